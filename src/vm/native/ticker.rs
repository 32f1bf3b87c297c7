//! The thread that makes long runs look up from their work.
//!
//! It ticks while there are runs, and sets the interrupt flag of the VM whose run it meets twice. A run that is
//! over within a tick pays two stores for it.
//!
//! While a profile is on, it also counts a sample about every millisecond in which it meets a run.

use std::ffi::c_int;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::vm::profile::{ProfileTarget, Profiler};

/// How often a run that goes on is interrupted; no limit of time is finer than that.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Ticks without a run after which the thread waits to be woken.
const PATIENCE: u32 = 100;
/// How long it waits at most: a run may begin in the very moment in which it lies down.
const NAP: Duration = Duration::from_secs(1);

/// The mean time between two samples, in microseconds.
const BETWEEN_SAMPLES: u64 = 1000;

/// A sample may take this part of the time up to the next one; where it takes more, there are fewer of them,
/// and each stands for more.
const SAMPLE_SHARE: u32 = 32;
/// The most that one stands for.
const LONGEST_STRIDE: u64 = 1000;

/// The thread waits to be woken.
const SLEEPS: u8 = 1;
/// A profile is on.
const SAMPLES: u8 = 1 << 1;

/// The ticking thread of an engine; it ends with the value.
pub struct Ticker {
    beat: Arc<Beat>,
    profiler: Profiler,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

/// What the thread that runs scripts and the one that ticks tell each other.
struct Beat {
    /// The number of the run that began last.
    run: AtomicU64,
    /// The interrupt flag of its VM; null once it ended.
    flag: AtomicPtr<c_int>,
    /// Held while the flag is written to, so that a VM can wait until nobody does.
    writing: Mutex<()>,
    /// The last run the thread saw, and when it first did, in nanoseconds since `epoch`.
    seen: AtomicU64,
    seen_at: AtomicU64,
    epoch: Instant,
    /// [`SLEEPS`] and [`SAMPLES`]: what a run that begins has to mind, in one look.
    attention: AtomicU8,
    /// Samples that are due in the run that is on.
    samples: AtomicU64,
    /// How many samples are taken at a time.
    stride: AtomicU64,
    /// The thread is to end.
    ends: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let beat = Arc::new(Beat {
            run: AtomicU64::new(0),
            flag: AtomicPtr::new(ptr::null_mut()),
            writing: Mutex::new(()),
            seen: AtomicU64::new(0),
            seen_at: AtomicU64::new(0),
            epoch: Instant::now(),
            attention: AtomicU8::new(0),
            samples: AtomicU64::new(0),
            stride: AtomicU64::new(1),
            ends: AtomicBool::new(false),
        });
        let ticking = Arc::clone(&beat);
        let handle = thread::Builder::new()
            .name("redlua-ticker".to_owned())
            .spawn(move || ticking.tick())?;
        let thread = handle.thread().clone();
        Ok(Self { beat, profiler: Profiler::default(), thread, handle: Some(handle) })
    }

    /// A run begins in the VM with this interrupt flag. What it gives is for [`Ticker::end`].
    #[inline]
    pub(super) fn begin(&self, flag: *mut c_int) -> Outer {
        let beat = &*self.beat;
        // Only this thread writes the number and the flag.
        let outer = beat.flag.load(Ordering::Relaxed);
        beat.run.store(beat.run.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        beat.flag.store(flag, Ordering::Release);
        if beat.attention.load(Ordering::Relaxed) != 0 {
            return self.attend(outer);
        }
        Outer(outer)
    }

    #[cold]
    fn attend(&self, outer: *mut c_int) -> Outer {
        let attention = self.beat.attention.load(Ordering::Relaxed);
        if attention & SLEEPS != 0 {
            self.beat.attention.fetch_and(!SLEEPS, Ordering::Relaxed);
            self.thread.unpark();
        }
        if attention & SAMPLES == 0 {
            return Outer(outer);
        }
        // What came between two runs is of neither.
        self.beat.samples.store(0, Ordering::Relaxed);
        Outer(outer.map_addr(|address| address | Outer::SAMPLED))
    }

    /// The run that began last ended, and the one around it goes on, whose time begins anew.
    #[inline]
    pub(super) fn end(&self, outer: Outer) {
        let beat = &*self.beat;
        beat.flag.store(outer.flag(), Ordering::Release);
        if !outer.flag().is_null() {
            beat.run.store(beat.run.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// The same for a run within which nothing is left to be done and that was within no other.
    #[inline]
    pub(super) fn end_plainly(&self) {
        self.beat.flag.store(ptr::null_mut(), Ordering::Release);
    }

    /// What the profile is kept in.
    pub fn profiler(&self) -> &Profiler {
        &self.profiler
    }

    /// Begins a profile; false, and nothing is done, if one is on.
    pub fn begin_profile(&self, target: ProfileTarget) -> bool {
        let is_begun = self.profiler.begin(target);
        if is_begun {
            self.beat.samples.store(0, Ordering::Relaxed);
            self.beat.stride.store(1, Ordering::Relaxed);
            self.beat.attention.fetch_or(SAMPLES, Ordering::Relaxed);
            self.thread.unpark();
        }
        is_begun
    }

    /// Ends the profile; false if none is on.
    pub fn end_profile(&self) -> bool {
        self.beat.attention.fetch_and(!SAMPLES, Ordering::Relaxed);
        self.profiler.end()
    }

    /// Whether a profile is on.
    pub(super) fn is_sampling(&self) -> bool {
        self.beat.attention.load(Ordering::Relaxed) & SAMPLES != 0
    }

    /// The samples that are due, once.
    pub(super) fn take_samples(&self) -> u64 {
        // Exchanging is dear, and mostly there are none.
        match self.beat.samples.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.beat.samples.swap(0, Ordering::Relaxed),
        }
    }

    /// How long the run that is on has been going on, as far as the thread saw, which is up to a tick less
    /// than it was; `None` when the thread has not seen it.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        let beat = &*self.beat;
        let is_seen = beat.seen.load(Ordering::Acquire) == beat.run.load(Ordering::Relaxed);
        let since = Duration::from_nanos(beat.seen_at.load(Ordering::Relaxed));
        is_seen.then(|| beat.epoch.elapsed().saturating_sub(since))
    }

    /// Waits until the thread does not write to the flag of a VM whose run ended.
    pub(super) fn let_go(&self) {
        drop(self.beat.writing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a run has to give back at its end: the interrupt flag of the run within which it began, or null; and
/// whether samples are taken of it.
#[derive(Clone, Copy)]
pub(super) struct Outer(*mut c_int);

impl Outer {
    /// The bit of the address that says so: a flag lies at an even one.
    const SAMPLED: usize = 1;

    /// Whether there is nothing to give back.
    #[inline]
    pub(super) fn is_nothing(self) -> bool {
        self.0.is_null()
    }

    pub(super) fn is_sampled(self) -> bool {
        self.0.addr() & Self::SAMPLED != 0
    }

    fn flag(self) -> *mut c_int {
        self.0.map_addr(|address| address & !Self::SAMPLED)
    }
}

impl Ticker {
    /// Notes how long it took to take samples.
    pub(super) fn note_cost(&self, cost: Duration) {
        let wanted = (cost * SAMPLE_SHARE).as_micros() as u64 / BETWEEN_SAMPLES + 1;
        // It comes down slowly, as samples are of different cost.
        let stride = self.beat.stride.load(Ordering::Relaxed);
        let stride = wanted.max(stride - stride / 8).min(LONGEST_STRIDE);
        self.beat.stride.store(stride, Ordering::Relaxed);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.beat.ends.store(true, Ordering::Relaxed);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            drop(handle.join());
        }
    }
}

impl Beat {
    /// What the thread does.
    fn tick(&self) {
        leave_signals_to_others();
        let mut idle = 0;
        let mut last = 0;
        let mut ticked = Instant::now();
        let chance = RandomState::new();
        let mut due = 0;
        while !self.ends.load(Ordering::Relaxed) {
            let run = self.run.load(Ordering::Relaxed);
            idle = if run == last && !self.is_running() { idle + 1 } else { 0 };
            last = run;
            if self.attention.load(Ordering::Relaxed) & SAMPLES != 0 {
                self.sample(&mut due);
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    self.interrupt();
                }
                // Never in step with what the server or its clients do again and again.
                let chance = chance.hash_one(ticked.elapsed()) % BETWEEN_SAMPLES;
                thread::park_timeout(Duration::from_micros(BETWEEN_SAMPLES / 2 + chance));
            } else if idle > PATIENCE {
                self.attention.fetch_or(SLEEPS, Ordering::Relaxed);
                thread::park_timeout(NAP);
                self.attention.fetch_and(!SLEEPS, Ordering::Relaxed);
            } else {
                self.interrupt();
                thread::park_timeout(TICK);
            }
        }
    }

    fn is_running(&self) -> bool {
        !self.flag.load(Ordering::Relaxed).is_null()
    }

    /// Counts a sample if a run is on, and has it look up once enough of them are due.
    fn sample(&self, due: &mut u64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let flag = self.flag.load(Ordering::Acquire);
        if flag.is_null() {
            return;
        }
        *due += 1;
        if *due >= self.stride.load(Ordering::Relaxed) {
            self.samples.fetch_add(std::mem::take(due), Ordering::Relaxed);
            // SAFETY: as in `interrupt`.
            unsafe { flag.write_volatile(1) };
        }
    }

    /// Sets the flag of the run that is on if it was on a tick ago.
    fn interrupt(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let flag = self.flag.load(Ordering::Acquire);
        if flag.is_null() {
            return;
        }
        let run = self.run.load(Ordering::Relaxed);
        if self.seen.load(Ordering::Relaxed) == run {
            // SAFETY: a VM is dropped between its runs, when the flag here is null, and only after it took
            // the lock.
            unsafe { flag.write_volatile(1) };
        } else {
            let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.seen_at.store(now, Ordering::Relaxed);
            self.seen.store(run, Ordering::Release);
        }
    }
}

/// Signals to the process are for the server's own threads.
fn leave_signals_to_others() {
    // SAFETY: an all-zero set is one that `sigfillset` may fill.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live; both calls only fail for arguments that are not these.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_is_interrupted_and_timed() {
        let ticker = Ticker::start().unwrap();
        let mut flag: c_int = 0;
        let flag = &raw mut flag;
        // SAFETY: the flag lives to the end of the test, which waits for the thread.
        let is_set = || unsafe { flag.read_volatile() } == 1;
        let begun = Instant::now();
        ticker.begin(flag);
        while !is_set() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never interrupted");
            thread::yield_now();
        }
        assert!(ticker.elapsed().is_some_and(|elapsed| elapsed <= begun.elapsed()));
        ticker.end(Outer(ptr::null_mut()));
        ticker.let_go();
        // SAFETY: as above.
        unsafe { flag.write_volatile(0) };
        ticker.begin(ptr::null_mut());
        assert_eq!(ticker.elapsed(), None, "a run that was not seen has no time");
        ticker.let_go();
        assert!(!is_set());
    }

    #[test]
    fn a_sleeping_ticker_is_woken_by_a_run() {
        let ticker = Ticker::start().unwrap();
        let begun = Instant::now();
        while ticker.beat.attention.load(Ordering::Relaxed) & SLEEPS == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never sleeps");
            thread::yield_now();
        }
        let mut flag: c_int = 0;
        let flag = &raw mut flag;
        ticker.begin(flag);
        // SAFETY: the flag lives to the end of the test, which waits for the thread.
        while unsafe { flag.read_volatile() } == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "never interrupted");
            thread::yield_now();
        }
        ticker.end(Outer(ptr::null_mut()));
        ticker.let_go();
    }

    #[test]
    fn a_profile_counts_in_runs_only_and_wakes_the_thread() {
        let ticker = Ticker::start().unwrap();
        let mut flag: c_int = 0;
        let flag = &raw mut flag;
        assert!(!ticker.begin(flag).is_sampled());
        ticker.end(Outer(ptr::null_mut()));
        assert!(ticker.begin_profile(ProfileTarget::All));
        ticker.beat.sample(&mut 0);
        assert_eq!(ticker.take_samples(), 0, "no run is on");
        let outer = ticker.begin(flag);
        assert!(outer.is_sampled() && outer.flag().is_null());
        let begun = Instant::now();
        while ticker.take_samples() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "never counted");
            thread::yield_now();
        }
        ticker.end(outer);
        ticker.let_go();
        ticker.take_samples();
        ticker.beat.sample(&mut 0);
        assert_eq!(ticker.take_samples(), 0, "the run has ended");
        ticker.note_cost(Duration::from_micros(30));
        assert_eq!(ticker.beat.stride.load(Ordering::Relaxed), 1);
        ticker.note_cost(Duration::from_micros(100));
        assert_eq!(ticker.beat.stride.load(Ordering::Relaxed), 4);
        ticker.note_cost(Duration::from_secs(100));
        assert_eq!(ticker.beat.stride.load(Ordering::Relaxed), LONGEST_STRIDE);
        assert!(ticker.end_profile() && !ticker.end_profile() && !ticker.is_sampling());
    }
}
