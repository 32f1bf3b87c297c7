//! What the runs of one script or function did.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::histogram::Histogram;

/// Bytes of an error that are kept.
const ERROR_LENGTH: usize = 256;
/// Bytes of a key that are kept.
const KEY_LENGTH: usize = 64;

/// Bytes that all figures hold beside themselves.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Bytes that all figures hold beside themselves.
pub fn held_bytes() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// The clock when it began.
    pub began: u64,
    /// Ticks it took.
    pub took: u64,
    /// Commands it called.
    pub commands: u64,
    /// Keys of those that read.
    pub keys_read: u64,
    /// Keys of those that write.
    pub keys_written: u64,
    /// Bytes of its reply.
    pub reply_bytes: u64,
    /// Bytes the virtual machine grew by at most.
    pub memory: u64,
}

/// The error a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Its text, cut.
    pub text: Box<[u8]>,
    /// The clock when the run began.
    pub at: u64,
}

/// What is not known of most scripts.
#[derive(Clone, Debug, Default)]
struct Notes {
    last_error: Option<LastError>,
    undeclared: Option<Box<[u8]>>,
    global: Option<Box<[u8]>>,
}

/// What runs did altogether.
#[derive(Debug, Default)]
pub struct Figures {
    /// Runs.
    pub calls: u64,
    /// Runs that ended with an error.
    pub errors: u64,
    /// Runs among these that a client or a limit ended.
    pub kills: u64,
    /// Ticks of all runs.
    pub ticks: u64,
    /// Ticks of the longest one.
    pub longest: u64,
    /// Commands called.
    pub commands: u64,
    /// Keys of commands that read.
    pub keys_read: u64,
    /// Keys of commands that write.
    pub keys_written: u64,
    /// Bytes of replies.
    pub reply_bytes: u64,
    /// Bytes by which the virtual machine grew in one run at most.
    pub memory: u64,
    /// The clock when the first run began.
    pub first: u64,
    /// The clock when the last run began.
    pub last: u64,
    times: Histogram,
    notes: Option<Box<Notes>>,
}

impl Figures {
    /// Adds a run.
    #[inline(always)]
    pub fn add(&mut self, ran: Ran) {
        self.calls += 1;
        self.last = ran.began;
        self.ticks += ran.took;
        self.longest = self.longest.max(ran.took);
        self.reply_bytes += ran.reply_bytes;
        self.memory = self.memory.max(ran.memory);
        if ran.commands != 0 {
            self.commands += ran.commands;
            self.keys_read += ran.keys_read;
            self.keys_written += ran.keys_written;
        }
        if !self.times.count(ran.took) {
            self.make_room(ran.took);
        }
    }

    #[cold]
    fn make_room(&mut self, took: u64) {
        // The first run finds no bucket.
        if self.calls == 1 {
            self.first = self.last;
        }
        let before = self.times.held_bytes();
        self.times.add(took);
        HELD.fetch_add(self.times.held_bytes() - before, Ordering::Relaxed);
    }

    /// Adds the error that the run that was added last ended with.
    #[cold]
    pub fn add_error(&mut self, error: &[u8], killed: bool) {
        self.errors += 1;
        self.kills += u64::from(killed);
        self.reply_bytes += error.len() as u64 + 3;
        let (before, at) = (self.notes_bytes(), self.last);
        let notes = self.notes.get_or_insert_default();
        let text = error.get(..ERROR_LENGTH).unwrap_or(error).into();
        notes.last_error = Some(LastError { text, at });
        if let Some(name) = refused_global(error) {
            notes.global = Some(name.get(..KEY_LENGTH).unwrap_or(name).into());
        }
        self.count_notes(before);
    }

    /// Adds a key that a run used without having declared it.
    #[cold]
    pub fn add_undeclared(&mut self, key: &[u8]) {
        let before = self.notes_bytes();
        let notes = self.notes.get_or_insert_default();
        notes.undeclared = Some(key.get(..KEY_LENGTH).unwrap_or(key).into());
        self.count_notes(before);
    }

    fn count_notes(&self, before: usize) {
        HELD.fetch_add(self.notes_bytes(), Ordering::Relaxed);
        HELD.fetch_sub(before, Ordering::Relaxed);
    }

    fn notes_bytes(&self) -> usize {
        let Some(notes) = &self.notes else { return 0 };
        let texts = [
            notes.last_error.as_ref().map(|it| &it.text),
            notes.undeclared.as_ref(),
            notes.global.as_ref(),
        ];
        size_of::<Notes>() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }

    /// Whether the next run is one of those that are looked at closely: the 1st, the 2nd, the 4th, the 8th …
    #[inline]
    pub fn samples_next(&self) -> bool {
        self.calls & self.calls.wrapping_add(1) == 0
    }

    /// The time that this share of the runs did not pass, within an eighth, in ticks.
    pub fn quantile(&self, share: f64) -> u64 {
        self.times.quantile(share).min(self.longest)
    }

    /// The error of the last run that ended with one.
    pub fn last_error(&self) -> Option<&LastError> {
        self.notes.as_ref()?.last_error.as_ref()
    }

    /// A key that a run used without having declared it, if one was seen.
    pub fn undeclared(&self) -> Option<&[u8]> {
        self.notes.as_ref()?.undeclared.as_deref()
    }

    /// A global that a run wanted to read or make, if one failed over that; empty where its name is unknown.
    pub fn global(&self) -> Option<&[u8]> {
        self.notes.as_ref()?.global.as_deref()
    }

    /// Adds what other runs did.
    pub fn merge(&mut self, other: &Self) {
        if other.calls == 0 {
            return;
        }
        self.first = if self.calls == 0 { other.first } else { self.first.min(other.first) };
        self.last = self.last.max(other.last);
        self.calls += other.calls;
        self.errors += other.errors;
        self.kills += other.kills;
        self.ticks += other.ticks;
        self.longest = self.longest.max(other.longest);
        self.commands += other.commands;
        self.keys_read += other.keys_read;
        self.keys_written += other.keys_written;
        self.reply_bytes += other.reply_bytes;
        self.memory = self.memory.max(other.memory);
        let before = self.held();
        self.times.merge(&other.times);
        if let Some(error) = other.last_error()
            && self.last_error().is_none_or(|last| last.at < error.at)
        {
            self.notes.get_or_insert_default().last_error = Some(error.clone());
        }
        HELD.fetch_add(self.held(), Ordering::Relaxed);
        HELD.fetch_sub(before, Ordering::Relaxed);
    }

    fn held(&self) -> usize {
        self.times.held_bytes() + self.notes_bytes()
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        HELD.fetch_sub(self.held(), Ordering::Relaxed);
    }
}

/// The global that an error is about; empty where the error does not name it.
fn refused_global(error: &[u8]) -> Option<&[u8]> {
    const READ: &[u8] = b"Script attempted to access nonexistent global variable '";
    const WRITE: &[u8] = b"Attempt to modify a readonly table";
    let find = |text: &[u8]| error.windows(text.len()).position(|part| part == text);
    if let Some(at) = find(READ) {
        let name = error.get(at + READ.len()..).unwrap_or_default();
        return name.split(|&byte| byte == b'\'').next();
    }
    find(WRITE).map(|_| &b""[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(took: u64) -> Ran {
        Ran { began: 100 + took, took, commands: 2, memory: took, ..Ran::default() }
    }

    #[test]
    fn runs_are_summed_up() {
        let mut figures = Figures::default();
        figures.add(ran(40));
        figures.add(ran(10));
        figures.add(ran(20));
        figures.add_error(b"ERR no", true);
        assert_eq!((figures.calls, figures.errors, figures.kills), (3, 1, 1));
        assert_eq!((figures.ticks, figures.longest, figures.memory), (70, 40, 40));
        assert_eq!((figures.first, figures.last, figures.commands), (140, 120, 6));
        assert_eq!(figures.last_error().map(|it| (&*it.text, it.at)), Some((&b"ERR no"[..], 120)));
        assert!(figures.quantile(0.5).abs_diff(20) <= 2);
        assert_eq!(figures.quantile(1.0), 40, "no more than the longest");
        let mut all = Figures::default();
        all.merge(&Figures::default());
        all.merge(&figures);
        all.merge(&figures);
        assert_eq!((all.calls, all.first, all.last, all.longest), (6, 140, 120, 40));
    }

    #[test]
    fn samples_get_rarer() {
        let mut figures = Figures::default();
        let mut sampled = Vec::new();
        for call in 1..=20 {
            if figures.samples_next() {
                sampled.push(call);
            }
            figures.add(ran(1));
        }
        assert_eq!(sampled, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn long_texts_are_cut_and_globals_are_seen() {
        let mut figures = Figures::default();
        let long = [b'x'; 10_000];
        figures.add_error(&long, false);
        figures.add_undeclared(&long);
        assert_eq!(figures.last_error().unwrap().text.len(), ERROR_LENGTH);
        assert_eq!(figures.undeclared().unwrap().len(), KEY_LENGTH);
        assert_eq!(figures.global(), None);
        let error = b"ERR user_script:1: Script attempted to access nonexistent global variable 'print' script: x";
        figures.add_error(error, false);
        assert_eq!(figures.global(), Some(&b"print"[..]));
        assert_eq!(
            refused_global(b"ERR user_script:1: Attempt to modify a readonly table"),
            Some(&b""[..])
        );
    }
}
