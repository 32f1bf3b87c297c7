//! How long a run may take.

/// Milliseconds that a run may take; 0 for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// When it has written nothing.
    pub run: u64,
    /// When it has written.
    pub after_write: u64,
    /// When it has written nothing and no command that would end it can come in.
    pub unreachable: u64,
}

/// Which limit a run has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    /// [`TimeLimits::run`].
    Run,
    /// [`TimeLimits::after_write`].
    AfterWrite,
    /// [`TimeLimits::unreachable`].
    Unreachable,
}

impl TimeLimits {
    /// The limit that a run has passed after `elapsed` milliseconds, and its value.
    ///
    /// A run that has written is not ended but for the limit made for it: its effects stay.
    pub fn overrun(
        &self,
        elapsed: u64,
        has_written: bool,
        is_reachable: bool,
    ) -> Option<(Overrun, u64)> {
        let is_over = |limit: u64| limit != 0 && elapsed >= limit;
        let limits = if has_written {
            [Some((Overrun::AfterWrite, self.after_write)), None]
        } else {
            let unreachable = (!is_reachable).then_some((Overrun::Unreachable, self.unreachable));
            [Some((Overrun::Run, self.run)), unreachable]
        };
        limits.into_iter().flatten().find(|(_, limit)| is_over(*limit))
    }
}

/// The smaller of two limits, where 0 is none.
pub fn stricter(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        _ => one.min(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_depends_on_what_the_run_did_and_where_it_is() {
        use Overrun::{AfterWrite, Run, Unreachable};
        let all = TimeLimits { run: 20, after_write: 30, unreachable: 10 };
        let none = TimeLimits::default();
        let exec = TimeLimits { unreachable: 10, ..none };
        // limits, elapsed, has written, is reachable, then the limit passed
        let cases = [
            (all, 19, false, true, None),
            (all, 20, false, true, Some((Run, 20))),
            (all, 9, false, false, None),
            (all, 10, false, false, Some((Unreachable, 10))),
            (all, 20, false, false, Some((Run, 20))),
            (all, 29, true, true, None),
            (all, 30, true, true, Some((AfterWrite, 30))),
            (all, 30, true, false, Some((AfterWrite, 30))),
            (exec, 1_000_000, true, false, None),
            (exec, 1_000_000, false, true, None),
            (none, u64::MAX, false, false, None),
        ];
        for (limits, elapsed, written, reachable, expected) in cases {
            let overrun = limits.overrun(elapsed, written, reachable);
            assert_eq!(overrun, expected, "{limits:?} {elapsed} {written} {reachable}");
        }
    }

    #[test]
    fn the_stricter_of_two_limits_counts() {
        assert_eq!([stricter(0, 0), stricter(0, 5), stricter(5, 0), stricter(4, 5)], [0, 5, 5, 4]);
    }
}
