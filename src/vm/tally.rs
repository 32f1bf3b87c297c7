//! What a run does, counted while it goes on.

use std::cell::{Cell, RefCell};

use super::native::ticks;
use crate::policy::call_rules::{CommandFacts, Traits};
use crate::stats::{InnerCall, trim};

/// Commands of a run that the slow log shows at most.
const SLOWEST: usize = 5;
/// Commands of a run whose keys are held against the declared ones.
const INSPECTED: u32 = 32;
/// Declared keys that a key is held against at most.
const COMPARED: usize = 16;

/// Counts of one run.
pub struct Tally<'a> {
    /// The clock when the run began; 0 where nobody wants to know.
    pub began: u64,
    /// Commands that ran.
    pub commands: Cell<u64>,
    /// Keys of those that read.
    pub keys_read: Cell<u64>,
    /// Keys of those that write.
    pub keys_written: Cell<u64>,
    /// Bytes by which the virtual machine grew at most.
    pub memory: Cell<usize>,
    /// A client or a limit ended the run.
    pub killed: Cell<bool>,
    /// The keys it was given.
    declared: &'a [&'a [u8]],
    /// Commands whose keys are still to be compared.
    to_inspect: Cell<u32>,
    undeclared: RefCell<Option<Box<[u8]>>>,
    /// Ticks that a command must take to be among the slowest; the highest number when nobody wants to know.
    bar: Cell<u64>,
    slowest: RefCell<Vec<InnerCall>>,
}

impl<'a> Tally<'a> {
    /// Counts a run that begins now with these keys. Its slowest commands are kept if they took `bar` ticks,
    /// and with `inspects` its keys are looked at.
    #[inline]
    pub fn new(declared: &'a [&'a [u8]], bar: u64, inspects: bool) -> Self {
        let inspects = inspects && declared.len() <= COMPARED;
        Self { began: ticks(), ..Self::with(declared, bar, if inspects { INSPECTED } else { 0 }) }
    }

    /// Counts a run that nobody wants to know of.
    #[inline]
    pub fn off() -> Self {
        Self::with(&[], u64::MAX, 0)
    }

    #[inline]
    fn with(declared: &'a [&'a [u8]], bar: u64, to_inspect: u32) -> Self {
        Self {
            began: 0,
            commands: Cell::new(0),
            keys_read: Cell::new(0),
            keys_written: Cell::new(0),
            memory: Cell::new(0),
            killed: Cell::new(false),
            declared,
            to_inspect: Cell::new(to_inspect),
            undeclared: RefCell::new(None),
            bar: Cell::new(bar),
            slowest: RefCell::new(Vec::new()),
        }
    }

    /// A command begins; gives what [`Tally::called`] wants.
    #[inline]
    pub(super) fn calls(&self) -> u64 {
        if self.bar.get() == u64::MAX { 0 } else { ticks() }
    }

    /// A command that began then has ended.
    #[inline]
    pub(super) fn called(&self, began: u64, facts: CommandFacts, argv: &[&[u8]]) {
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
            self.inspect(facts, argv);
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
    }

    /// Looks whether a command's key is one of the declared ones.
    #[cold]
    fn inspect(&self, facts: CommandFacts, argv: &[&[u8]]) {
        self.to_inspect.set(self.to_inspect.get() - 1);
        if let Some(key) = argv.get(1)
            && facts.traits.contains(Traits::KEY_FIRST)
            && !self.declared.contains(key)
        {
            self.to_inspect.set(0);
            self.undeclared.replace(Some((*key).into()));
        }
    }

    /// A key that was used and not declared, if one was seen.
    #[inline]
    pub fn undeclared(&self) -> Option<Box<[u8]>> {
        self.undeclared.take()
    }

    /// The slowest commands, the slowest first.
    pub fn slowest(&self) -> Vec<InnerCall> {
        self.slowest.take()
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
        let tally = Tally::new(&[], 0, false);
        for took in [3, 9, 1, 7, 5, 2, 8, 9] {
            if took >= tally.bar.get() {
                tally.keep(took, &[b"get"]);
            }
        }
        let kept: Vec<u64> = tally.slowest().iter().map(|it| it.took).collect();
        assert_eq!(kept, [9, 9, 8, 7, 5]);
    }

    #[test]
    fn keys_that_were_not_declared_are_seen() {
        let declared: [&[u8]; 2] = [b"a", b"b"];
        let seen = |inspects, keys: &[&[u8]]| {
            let tally = Tally::new(&declared, u64::MAX, inspects);
            for &key in keys {
                tally.called(tally.calls(), GET, &[b"get", key]);
            }
            assert_eq!(
                (tally.commands.get(), tally.keys_read.get()),
                (keys.len() as u64, keys.len() as u64)
            );
            tally.undeclared()
        };
        assert_eq!(seen(true, &[b"a", b"b"]), None);
        assert_eq!(seen(true, &[b"a", b"c", b"d"]).as_deref(), Some(&b"c"[..]));
        assert_eq!(seen(false, &[b"c"]), None);
        let mut late = vec![&b"a"[..]; 100];
        late.push(b"c");
        assert_eq!(seen(true, &late), None, "only the first commands are looked at");
    }
}
