//! What a script says of how much time and memory it may take.

use crate::units;

/// Limits that a script sets for itself; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// Milliseconds that a run may take when it has written nothing.
    pub run_time: u64,
    /// Milliseconds that a run may take when it has written.
    pub run_time_after_write: u64,
    /// Bytes that a run may hold more than there were before it.
    pub memory: u64,
}

/// Describes one limit: its name and its meaning in one sentence.
#[derive(Clone, Copy, Debug)]
pub struct LimitSpec {
    /// The name as scripts write it, before `=`.
    pub name: &'static str,
    /// What it means to a script's author.
    pub summary: &'static str,
    field: fn(&mut RunLimits) -> &mut u64,
    read: fn(&[u8]) -> Option<u64>,
}

/// Lists every limit.
pub const LIMITS: [LimitSpec; 3] = [
    LimitSpec {
        name: "max-run-time",
        summary: "Milliseconds after which a run ends with an error, unless it has written.",
        field: |limits| &mut limits.run_time,
        read: units::number,
    },
    LimitSpec {
        name: "max-run-time-after-write",
        summary: "Milliseconds after which a run that has written ends with an error; what it wrote stays.",
        field: |limits| &mut limits.run_time_after_write,
        read: units::number,
    },
    LimitSpec {
        name: "memory",
        summary: "Memory that a run may take, such as 512kb or 10mb, before it ends with an error.",
        field: |limits| &mut limits.memory,
        read: units::bytes,
    },
];

/// What [`RunLimits::set`] made of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitWord {
    /// It set a limit.
    Set,
    /// It names a limit but has no proper value.
    BadValue,
    /// It names no limit.
    Unknown,
}

impl RunLimits {
    /// Takes the limit that a word such as `max-run-time=100` sets; the name is in this letter case.
    pub fn set(&mut self, word: &[u8]) -> LimitWord {
        let Some(equals) = word.iter().position(|&byte| byte == b'=') else {
            return LimitWord::Unknown;
        };
        let (name, value) = (&word[..equals], &word[equals + 1..]);
        let Some(spec) = LIMITS.iter().find(|spec| spec.name.as_bytes() == name) else {
            return LimitWord::Unknown;
        };
        match (spec.read)(value).filter(|&value| value > 0) {
            Some(value) => {
                *(spec.field)(self) = value;
                LimitWord::Set
            }
            None => LimitWord::BadValue,
        }
    }

    /// Gives the words that set these limits, in the order of [`LIMITS`].
    pub fn words(mut self) -> Vec<String> {
        let mut words = Vec::new();
        for spec in LIMITS {
            let value = *(spec.field)(&mut self);
            if value != 0 {
                words.push(format!("{}={value}", spec.name));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_set_limits() {
        let mut limits = RunLimits::default();
        let cases: [(&[u8], LimitWord); 16] = [
            (b"max-run-time=100", LimitWord::Set),
            (b"max-run-time-after-write=2000", LimitWord::Set),
            (b"memory=2mb", LimitWord::Set),
            (b"memory=", LimitWord::BadValue),
            (b"memory=mb", LimitWord::BadValue),
            (b"memory=1tb", LimitWord::BadValue),
            (b"memory=-1", LimitWord::BadValue),
            (b"memory=0", LimitWord::BadValue),
            (b"max-run-time=0", LimitWord::BadValue),
            (b"max-run-time=+1", LimitWord::BadValue),
            (b"max-run-time=1s", LimitWord::BadValue),
            (b"max-run-time=99999999999999999999", LimitWord::BadValue),
            (b"max-run-time", LimitWord::Unknown),
            (b"Memory=1", LimitWord::Unknown),
            (b"", LimitWord::Unknown),
            (b"=1", LimitWord::Unknown),
        ];
        for (word, expected) in cases {
            assert_eq!(limits.set(word), expected, "{}", word.escape_ascii());
        }
        assert_eq!(
            limits.words(),
            ["max-run-time=100", "max-run-time-after-write=2000", "memory=2097152"]
        );
        assert!(RunLimits::default().words().is_empty());
    }
}
