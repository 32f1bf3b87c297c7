//! How often which time was taken.
//!
//! Eight buckets for each doubling, of which only those between the least and the most that came are there:
//! a script's times lie close together, and there may be 100,000 scripts.

/// Bits of a value that tell buckets of one doubling apart.
const FINE_BITS: u32 = 3;
/// Buckets per doubling.
const FINE: u64 = 1 << FINE_BITS;

/// Counts of values, each known within an eighth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The number of the first bucket.
    first: u16,
    counts: Vec<u32>,
}

impl Histogram {
    /// Counts a value, if there is a bucket for it.
    #[inline]
    pub fn count(&mut self, value: u64) -> bool {
        let place = usize::from(bucket_of(value).wrapping_sub(self.first));
        match self.counts.get_mut(place) {
            Some(count) => {
                *count = count.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.add_times(bucket_of(value), 1);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, &count) in (other.first..).zip(&other.counts) {
            self.add_times(bucket, count);
        }
    }

    #[cold]
    fn add_times(&mut self, bucket: u16, times: u32) {
        if times == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = usize::from(self.first - bucket);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bucket;
        }
        let place = usize::from(bucket - self.first);
        if place >= self.counts.len() {
            // No more room than is needed: most scripts stay within what they first took.
            self.counts.reserve_exact(place + 1 - self.counts.len());
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(times);
        }
    }

    /// The value that this share of all values does not pass, within an eighth; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let wanted = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, &count) in (self.first..).zip(&self.counts) {
            seen += u64::from(count);
            if seen >= wanted {
                return middle_of(bucket);
            }
        }
        0
    }

    /// Bytes it holds besides itself.
    pub fn held_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u32>()
    }
}

/// The bucket of a value: values below 8 have one each.
#[inline]
fn bucket_of(value: u64) -> u16 {
    let doubling = (value | FINE).ilog2() - FINE_BITS;
    let bucket = u64::from(doubling) * FINE + (value >> doubling);
    bucket as u16
}

/// The value in the middle of a bucket.
fn middle_of(bucket: u16) -> u64 {
    let (doubling, fine) = (u64::from(bucket) / FINE, u64::from(bucket) % FINE);
    if doubling == 0 {
        return fine;
    }
    let shift = doubling - 1;
    let least = (FINE + fine) << shift;
    least + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut last = 0;
        for value in 0..100_000 {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "{value}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), 61 * 8 + 7);
    }

    #[test]
    fn few_values_take_little() {
        let mut times = Histogram::default();
        assert_eq!((times.quantile(0.5), times.held_bytes()), (0, 0));
        times.add(5000);
        assert_eq!(times.held_bytes(), 4);
        times.add(9000);
        times.add(4000);
        assert!(times.held_bytes() < 100);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_an_eighth(mut values in prop::collection::vec(0..1_u64 << 40, 1..200)) {
            let (mut whole, mut half, mut other) =
                (Histogram::default(), Histogram::default(), Histogram::default());
            for (at, &value) in values.iter().enumerate() {
                whole.add(value);
                if at % 2 == 0 { half.add(value) } else { other.add(value) }
            }
            half.merge(&other);
            values.sort_unstable();
            for share in [0.01, 0.5, 0.99, 1.0] {
                let place = ((values.len() as f64 * share).ceil() as usize).max(1) - 1;
                let (exact, found) = (values[place], whole.quantile(share));
                prop_assert!(found.abs_diff(exact) <= exact / 8, "{exact} {found}");
                prop_assert_eq!(half.quantile(share), found);
            }
        }
    }
}
