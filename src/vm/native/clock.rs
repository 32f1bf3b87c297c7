//! The processor clock.

use std::ffi::c_long;

unsafe extern "C" {
    safe fn clock() -> c_long;
}

/// Processor time this process used, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    /// Units of C's `clock` in a second, fixed by POSIX.
    const PER_SECOND: f64 = 1_000_000.0;
    clock() as f64 / PER_SECOND
}
