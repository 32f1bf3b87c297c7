//! The log of slow runs.

use std::collections::VecDeque;

/// Words of a command that are kept; more are counted in the last one.
///
/// Stock: `slowlog.h` `SLOWLOG_ENTRY_MAX_ARGC`.
const WORDS: usize = 32;
/// Bytes of a word that are kept; more are counted at its end.
///
/// Stock: `slowlog.h` `SLOWLOG_ENTRY_MAX_STRING`.
const WORD_LENGTH: usize = 128;

/// Who had a run done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The address of the client.
    pub address: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
}

/// A command that a run called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerCall {
    /// Ticks it took.
    pub took: u64,
    /// It and its arguments, trimmed.
    pub words: Vec<Vec<u8>>,
}

/// A run in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRun {
    /// Its number, from 0 on.
    pub id: u64,
    /// Seconds from 1970 to its end.
    pub time: u64,
    /// Microseconds it took.
    pub micros: u64,
    /// The command that started it, trimmed.
    pub words: Vec<Vec<u8>>,
    /// Its caller.
    pub caller: Caller,
    /// The name or the digest of the script, or the name of the function.
    pub name: Vec<u8>,
    /// The slowest commands it called with their microseconds, the slowest first.
    pub inner: Vec<(u64, Vec<Vec<u8>>)>,
}

/// Slow runs, the last one first.
#[derive(Debug, Default)]
pub struct SlowLog {
    runs: VecDeque<SlowRun>,
    next: u64,
}

impl SlowLog {
    /// Adds a run, numbers it, and drops the oldest beyond `limit`.
    pub fn push(&mut self, mut run: SlowRun, limit: usize) {
        run.id = self.next;
        self.next += 1;
        self.runs.push_front(run);
        self.limit(limit);
    }

    /// Drops the oldest beyond `limit`.
    pub fn limit(&mut self, limit: usize) {
        self.runs.truncate(limit);
        if self.runs.capacity() > 4 * self.runs.len().max(32) {
            self.runs.shrink_to_fit();
        }
    }

    /// The runs, the last one first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SlowRun> {
        self.runs.iter()
    }

    /// Drops all; numbers go on.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.runs.shrink_to_fit();
    }
}

/// The words of a command as the log keeps them: the first 32, each up to 128 bytes, of `count` there are.
///
/// Stock: `slowlog.c` `slowlogCreateEntry`.
pub fn trim<'a>(words: impl IntoIterator<Item = &'a [u8]>, count: usize) -> Vec<Vec<u8>> {
    let kept = if count > WORDS { WORDS - 1 } else { count };
    let mut trimmed: Vec<_> = words.into_iter().take(kept).map(trim_word).collect();
    if count > kept {
        trimmed.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    trimmed
}

fn trim_word(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(WORD_LENGTH) {
        Some((kept, rest)) if !rest.is_empty() => {
            [kept, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(micros: u64) -> SlowRun {
        SlowRun {
            id: 0,
            time: 0,
            micros,
            words: Vec::new(),
            caller: Caller::default(),
            name: Vec::new(),
            inner: Vec::new(),
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_numbers_go_on() {
        let mut log = SlowLog::default();
        for micros in 0..10 {
            log.push(run(micros), 3);
        }
        let kept = |log: &SlowLog| log.iter().map(|run| (run.id, run.micros)).collect::<Vec<_>>();
        assert_eq!(kept(&log), [(9, 9), (8, 8), (7, 7)]);
        log.limit(1);
        assert_eq!(kept(&log), [(9, 9)]);
        log.clear();
        log.push(run(1), 0);
        assert_eq!(kept(&log), []);
        log.push(run(2), 5);
        assert_eq!(kept(&log), [(11, 2)]);
    }

    #[test]
    fn commands_are_trimmed_as_on_stock() {
        let words = |count: usize| vec![&b"word"[..]; count];
        assert_eq!(trim(words(32), 32).len(), 32);
        let many = trim(words(33), 33);
        assert_eq!((many.len(), many[31].as_slice()), (32, &b"... (2 more arguments)"[..]));
        let long = [b'x'; 130];
        assert_eq!(trim([&long[..128]], 1), [long[..128].to_vec()]);
        let expected = [&long[..128], b"... (2 more bytes)"].concat();
        assert_eq!(trim([&long[..]], 1), [expected]);
        assert!(trim([], 0).is_empty());
    }
}
