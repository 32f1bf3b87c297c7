//! How long a tick of the run's clock is.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As long as the clocks have run together for less than this, the rate is not known well enough to go by it.
const SETTLED: Duration = Duration::from_millis(50);
/// When they have run together for so long, the rate stays as it was found: sums must not shrink.
const SURE: Duration = Duration::from_secs(2);
/// How often both clocks are read to find them at the same moment.
const TRIES: usize = 5;

/// Two clocks that are read together once, and again when the length of a tick is asked for.
///
/// So nothing waits until the rate is known.
#[derive(Debug)]
pub struct Pace {
    ticks: u64,
    since: Instant,
    clock: fn() -> u64,
    nanos_per_tick: Cell<Option<f64>>,
}

impl Pace {
    /// The pace of a clock that counts ticks.
    pub fn of(clock: fn() -> u64) -> Self {
        let (since, ticks) = read(clock);
        Self { ticks, since, clock, nanos_per_tick: Cell::new(None) }
    }

    /// Nanoseconds of one tick.
    fn nanos_per_tick(&self) -> f64 {
        if let Some(known) = self.nanos_per_tick.get() {
            return known;
        }
        let (now, ticks) = read(self.clock);
        let elapsed = now.saturating_duration_since(self.since);
        let passed = ticks.saturating_sub(self.ticks).max(1);
        let nanos = elapsed.as_nanos().max(1) as f64 / passed as f64;
        if elapsed >= SURE {
            self.nanos_per_tick.set(Some(nanos));
        }
        nanos
    }

    /// Ticks in that many microseconds, once that is known well.
    pub fn ticks_in(&self, micros: u64) -> Option<u64> {
        let is_settled = self.since.elapsed() >= SETTLED;
        is_settled.then(|| (micros as f64 * 1000.0 / self.nanos_per_tick()) as u64)
    }

    /// What ticks are at this moment.
    pub fn scale(&self) -> Scale {
        Scale {
            nanos_per_tick: self.nanos_per_tick(),
            ticks: (self.clock)(),
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

/// What the system's clock and the other one show at the same moment, or as near as can be.
fn read(clock: fn() -> u64) -> (Instant, u64) {
    let both = || {
        let before = Instant::now();
        let ticks = clock();
        (before.elapsed(), before, ticks)
    };
    let readings = [(); TRIES].map(|()| both());
    let closest = readings.into_iter().min_by_key(|(gap, ..)| *gap);
    closest
        .map_or_else(|| (Instant::now(), clock()), |(gap, before, ticks)| (before + gap / 2, ticks))
}

/// What ticks are at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    nanos_per_tick: f64,
    ticks: u64,
    now: Duration,
}

impl Scale {
    /// Whole microseconds of so many ticks.
    pub fn micros(&self, ticks: u64) -> u64 {
        self.fine_micros(ticks) as u64
    }

    /// Microseconds of so many ticks.
    pub fn fine_micros(&self, ticks: u64) -> f64 {
        ticks as f64 * self.nanos_per_tick / 1000.0
    }

    /// Seconds from 1970 to now.
    pub fn unix_now(&self) -> u64 {
        self.now.as_secs()
    }

    /// Seconds from 1970 to a moment that the clock showed.
    pub fn unix_seconds(&self, moment: u64) -> u64 {
        let ago = self.ticks.saturating_sub(moment) as f64 * self.nanos_per_tick;
        self.now.saturating_sub(Duration::from_nanos(ago as u64)).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// Four ticks in a nanosecond.
    fn clock() -> u64 {
        START.elapsed().as_nanos() as u64 * 4
    }

    #[test]
    fn the_rate_is_found() {
        let pace = Pace::of(clock);
        let mut ticks = None;
        while ticks.is_none() {
            ticks = pace.ticks_in(1000);
        }
        assert!(pace.since.elapsed() >= SETTLED);
        let ticks = ticks.unwrap();
        assert!((3_900_000..4_100_000).contains(&ticks), "{ticks}");
        let nanos = pace.scale().nanos_per_tick;
        assert!((0.24..0.26).contains(&nanos), "{nanos}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let scale = pace.scale();
        assert!(scale.unix_seconds(clock()).abs_diff(now) <= 1);
        assert_eq!(scale.unix_now(), scale.unix_seconds(u64::MAX));
        assert!((999..=1001).contains(&scale.micros(ticks)));
    }
}
