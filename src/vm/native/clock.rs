//! The clocks of the processor.

use std::ffi::c_long;
use std::sync::LazyLock;
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
/// The processor counts them, and reading its count costs a third of what asking the system does.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if *IS_STEADY {
        // SAFETY: every processor of this kind has the counter.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The moment from which the system's clock is counted.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The processor's counter runs at one rate whatever the processor does.
#[cfg(target_arch = "x86_64")]
static IS_STEADY: LazyLock<bool> = LazyLock::new(|| {
    use std::arch::x86_64::__cpuid;

    const FEATURES: u32 = 0x8000_0007;
    const STEADY: u32 = 1 << 8;
    __cpuid(0x8000_0000).eax >= FEATURES && __cpuid(FEATURES).edx & STEADY != 0
});

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
