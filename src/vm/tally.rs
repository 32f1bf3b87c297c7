//! What a run does, counted while it goes on.

use std::cell::{Cell, RefCell};

use super::native::ticks;
use crate::policy::call_rules::{CommandFacts, Traits};
use crate::stats::{InnerCall, Ran, trim};
use crate::vm::context::RunContext;

/// Commands of a run that the slow log shows at most.
const SLOWEST: usize = 5;
/// Commands of a run whose keys are held against the declared ones.
const INSPECTED: u32 = 32;
/// Declared keys that a key is held against at most.
const COMPARED: usize = 16;
/// Bytes of a key that are kept.
const KEPT: usize = 64;

/// Counts of the run that is on.
///
/// An engine has one and uses it for run after run.
pub struct Tally {
    /// The clock when the run began; 0 where nobody wants to know.
    began: Cell<u64>,
    commands: Cell<u64>,
    keys_read: Cell<u64>,
    keys_written: Cell<u64>,
    memory: Cell<usize>,
    /// Ticks that a command must take to be among the slowest; the highest number when nobody wants to know.
    bar: Cell<u64>,
    /// Commands whose keys are still to be held against the declared ones.
    to_inspect: Cell<u32>,
    marks: Cell<Marks>,
    undeclared: RefCell<Box<[u8]>>,
    slowest: RefCell<Vec<InnerCall>>,
}

bitflags::bitflags! {
    /// What few runs have.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Marks: u8 {
        /// A client or a limit ended it.
        const KILLED = 1;
        /// It used a key that it was not given.
        const UNDECLARED = 1 << 1;
        /// Some of its commands are kept as the slowest.
        const SLOW_CALLS = 1 << 2;
    }
}

impl Default for Tally {
    /// Counts for nobody.
    fn default() -> Self {
        Self {
            began: Cell::new(0),
            commands: Cell::new(0),
            keys_read: Cell::new(0),
            keys_written: Cell::new(0),
            memory: Cell::new(0),
            bar: Cell::new(u64::MAX),
            to_inspect: Cell::new(0),
            marks: Cell::default(),
            undeclared: RefCell::default(),
            slowest: RefCell::default(),
        }
    }
}

impl Tally {
    /// A run begins. Its slowest commands are kept if they took `bar` ticks, and with `inspects` its keys are
    /// looked at.
    #[inline(always)]
    pub fn begin(&self, bar: u64, inspects: bool) {
        self.commands.set(0);
        self.keys_read.set(0);
        self.keys_written.set(0);
        self.bar.set(bar);
        self.to_inspect.set(if inspects { INSPECTED } else { 0 });
        if !self.marks.get().is_empty() {
            self.clear();
        }
        self.began.set(ticks());
    }

    #[cold]
    fn clear(&self) {
        self.marks.set(Marks::empty());
        self.slowest.take();
    }

    /// A run begins that nobody wants to know of.
    #[cold]
    pub fn begin_for_nobody(&self) {
        self.begin(u64::MAX, false);
        self.began.set(0);
    }

    /// What the run that ends now did, but for its reply; `None` where nobody wants to know.
    #[inline(always)]
    pub fn end(&self) -> Option<Ran> {
        let began = self.began.get();
        if began == 0 {
            return None;
        }
        Some(Ran {
            began,
            took: ticks().saturating_sub(began),
            commands: self.commands.get(),
            keys_read: self.keys_read.get(),
            keys_written: self.keys_written.get(),
            reply_bytes: 0,
            memory: self.memory.get() as u64,
        })
    }

    /// Whether a client or a limit ended the run.
    pub fn was_killed(&self) -> bool {
        self.marks.get().contains(Marks::KILLED)
    }

    /// Whether the run used a key that it was not given.
    #[inline]
    pub fn has_undeclared(&self) -> bool {
        self.marks.get().contains(Marks::UNDECLARED)
    }

    /// A key that the run used and was not given.
    pub fn undeclared(&self) -> Box<[u8]> {
        self.undeclared.take()
    }

    /// The slowest commands, the slowest first.
    pub fn slowest(&self) -> Vec<InnerCall> {
        self.slowest.take()
    }

    fn mark(&self, mark: Marks) {
        self.marks.set(self.marks.get() | mark);
    }

    /// A client or a limit ends the run.
    pub(super) fn kill(&self) {
        self.mark(Marks::KILLED);
    }

    /// The virtual machine grew by so many bytes at most.
    #[inline]
    pub(super) fn grew(&self, bytes: usize) {
        self.memory.set(bytes);
    }

    /// A command begins; gives what [`Tally::called`] wants.
    #[inline]
    pub(super) fn calls(&self) -> u64 {
        if self.bar.get() == u64::MAX { 0 } else { ticks() }
    }

    /// A command that began then has ended.
    #[inline]
    pub(super) fn called(
        &self,
        run: &RunContext<'_>,
        began: u64,
        facts: CommandFacts,
        argv: &[&[u8]],
    ) {
        self.commands.set(self.commands.get() + 1);
        let keys = facts.keys.count(argv.len());
        let kind =
            if facts.traits.contains(Traits::WRITE) { &self.keys_written } else { &self.keys_read };
        kind.set(kind.get() + keys);
        if began != 0 {
            let took = ticks().saturating_sub(began);
            if took >= self.bar.get() {
                self.keep(took, argv);
            }
        }
        if self.to_inspect.get() != 0 {
            self.inspect(run.keys, facts, argv);
        }
    }

    /// Keeps a command as one of the slowest.
    #[cold]
    fn keep(&self, took: u64, argv: &[&[u8]]) {
        let mut slowest = self.slowest.borrow_mut();
        if slowest.len() == SLOWEST {
            slowest.pop();
        }
        let words = trim(argv.iter().copied(), argv.len());
        let place = slowest.partition_point(|other| other.took >= took);
        slowest.insert(place, InnerCall { took, words });
        if let [.., last] = slowest.as_slice()
            && slowest.len() == SLOWEST
        {
            self.bar.set(last.took + 1);
        }
        self.mark(Marks::SLOW_CALLS);
    }

    /// Looks whether a command's key is one of the declared ones.
    #[cold]
    fn inspect(&self, declared: &[&[u8]], facts: CommandFacts, argv: &[&[u8]]) {
        self.to_inspect.set(self.to_inspect.get() - 1);
        if declared.len() > COMPARED {
            self.to_inspect.set(0);
        } else if let Some(key) = argv.get(1)
            && facts.traits.contains(Traits::KEY_FIRST)
            && !declared.contains(key)
        {
            self.to_inspect.set(0);
            self.undeclared.replace(key.get(..KEPT).unwrap_or(key).into());
            self.mark(Marks::UNDECLARED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::call_rules::KeyPlaces;

    const GET: CommandFacts = CommandFacts {
        arity: 2,
        traits: Traits::KEY_FIRST,
        keys: KeyPlaces { first: 1, last: 1, step: 1 },
    };

    #[test]
    fn the_slowest_commands_are_kept_in_order() {
        let tally = Tally::default();
        assert!(tally.end().is_none(), "nobody wants to know");
        tally.begin(0, false);
        for took in [3, 9, 1, 7, 5, 2, 8, 9] {
            if took >= tally.bar.get() {
                tally.keep(took, &[b"get"]);
            }
        }
        let kept: Vec<u64> = tally.slowest.borrow().iter().map(|it| it.took).collect();
        assert_eq!(kept, [9, 9, 8, 7, 5]);
        tally.begin(0, false);
        assert!(tally.slowest().is_empty(), "those of the run before");
    }

    #[test]
    fn keys_that_were_not_declared_are_seen() {
        let declared: [&[u8]; 2] = [b"a", b"b"];
        let seen = |inspects, keys: &[&[u8]]| {
            let tally = Tally::default();
            tally.begin(u64::MAX, inspects);
            for key in keys {
                if tally.to_inspect.get() != 0 {
                    tally.inspect(&declared, GET, &[b"get", key]);
                }
            }
            tally.has_undeclared().then(|| tally.undeclared())
        };
        assert_eq!(seen(true, &[b"a", b"b"]), None);
        assert_eq!(seen(true, &[b"a", b"c", b"d"]).as_deref(), Some(&b"c"[..]));
        assert_eq!(seen(false, &[b"c"]), None);
        let mut late = vec![&b"a"[..]; 100];
        late.push(b"c");
        assert_eq!(seen(true, &late), None, "only the first commands are looked at");
    }
}
