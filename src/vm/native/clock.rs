//! The clocks of the processor.

use std::ffi::c_long;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

unsafe extern "C" {
    safe fn clock() -> c_long;
}

/// Processor time this process used, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    /// Units of C's `clock` in a second, fixed by POSIX.
    const PER_SECOND: f64 = 1_000_000.0;
    clock() as f64 / PER_SECOND
}

/// What time it is for a run, in ticks of a length that only measuring tells.
///
/// The processor counts them, and reading its count is cheaper than asking the system.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if COUNTER.load(Ordering::Relaxed) == STEADY {
        // SAFETY: every processor of this kind has the counter.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    slow_ticks()
}

/// Whether the processor's counter runs at one rate whatever the processor does.
static COUNTER: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const STEADY: u8 = 1;
const UNSTEADY: u8 = 2;

/// The first reading, and all of them where the processor's counter is no use.
#[cold]
fn slow_ticks() -> u64 {
    /// The moment from which the system's clock is counted.
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    if COUNTER.load(Ordering::Relaxed) == UNKNOWN {
        COUNTER.store(if is_steady() { STEADY } else { UNSTEADY }, Ordering::Relaxed);
        return ticks();
    }
    // Never 0, which stands for no moment.
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(target_arch = "x86_64")]
fn is_steady() -> bool {
    use std::arch::x86_64::__cpuid;

    const FEATURES: u32 = 0x8000_0007;
    const STEADY: u32 = 1 << 8;
    __cpuid(0x8000_0000).eax >= FEATURES && __cpuid(FEATURES).edx & STEADY != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn is_steady() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on() {
        let begun = (ticks(), Instant::now());
        while begun.1.elapsed().as_millis() < 5 {}
        assert!(ticks() > begun.0);
    }
}
