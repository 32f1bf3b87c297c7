//! The generator behind `math.random`: the 48-bit linear congruential one of `drand48`.
//!
//! Redis uses it so that a seed gives the same sequence everywhere; scripts may rely on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// One more than the largest value a sequence gives.
const MAX: u64 = 2_147_483_647;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// The low word of every seeded state.
const SEED_LOW: u64 = 0x330E;

/// The state of the generator; scripts share it across runs, as on stock.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Default for Random {
    /// The state a server starts with.
    ///
    /// Stock: `rand.c`.
    fn default() -> Self {
        Self(AtomicU64::new(0x1234_ABCD_330E))
    }
}

impl Random {
    /// Starts the sequence of `seed`.
    ///
    /// Stock: `rand.c` `redisSrand48`.
    pub(crate) fn seed(&self, seed: i32) {
        self.0.store((u64::from(seed.cast_unsigned()) << 16) | SEED_LOW, Ordering::Relaxed);
    }

    /// The next number of the sequence, at least 0 and less than 1.
    ///
    /// Stock: `script_lua.c` `redis_math_random`.
    pub(crate) fn unit(&self) -> f64 {
        let state = self.0.load(Ordering::Relaxed);
        let state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0.store(state, Ordering::Relaxed);
        ((state >> 17) % MAX) as f64 / MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_starts_its_sequence_over() {
        let random = Random::default();
        random.seed(7);
        let first = [random.unit(), random.unit()];
        random.seed(7);
        assert_eq!([random.unit(), random.unit()], first);
        random.seed(0);
        // The first number of drand48 for the seed 0.
        assert!((random.unit() - 0.170_828_036_1).abs() < 1e-9);
    }
}
