//! What a profile counted: samples by the stack they were taken on.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::context::RunName;
use crate::script::Sha1;

/// Bytes that the stacks of a profile take at most; samples on further ones count for one that says so.
const ROOM: usize = 8 * 1024 * 1024;
/// What a stack takes beside its text.
const PER_STACK: usize = 48;
/// The stack of samples for whose own stack there is no room.
const OTHER: &str = "[other stacks]";

/// The runs that a profile is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileTarget {
    /// All of them.
    All,
    /// Those of a script.
    Script(Sha1),
    /// Those of a function, by its name in any letter case.
    Function(Vec<u8>),
}

impl ProfileTarget {
    fn has(&self, name: RunName<'_>) -> bool {
        match (self, name) {
            (Self::All, _) => true,
            (Self::Script(wanted), RunName::Script(sha1) | RunName::Named(sha1, _)) => {
                *wanted == sha1
            }
            (Self::Function(wanted), RunName::Function(name)) => wanted.eq_ignore_ascii_case(name),
            _ => false,
        }
    }
}

/// A profile that is on, or that has ended and is kept.
#[derive(Debug)]
pub struct Profile {
    /// The runs it is of.
    pub target: ProfileTarget,
    /// Samples by stack: frames from the outermost on, separated by semicolons.
    pub stacks: HashMap<Box<str>, u64, foldhash::fast::RandomState>,
    /// All of them.
    pub samples: u64,
    /// Samples of runs that it is not of.
    pub left_out: u64,
    bytes: usize,
    begun: Instant,
    ended: Option<Instant>,
}

impl Profile {
    fn new(target: ProfileTarget) -> Self {
        Self {
            target,
            stacks: HashMap::default(),
            samples: 0,
            left_out: 0,
            bytes: 0,
            begun: Instant::now(),
            ended: None,
        }
    }

    /// Whether it goes on.
    pub fn is_on(&self) -> bool {
        self.ended.is_none()
    }

    /// How long it has been on.
    pub fn duration(&self) -> Duration {
        self.ended.unwrap_or_else(Instant::now).duration_since(self.begun)
    }

    /// The stacks in the order of their texts.
    pub fn sorted(&self) -> Vec<(&str, u64)> {
        let mut stacks: Vec<_> =
            self.stacks.iter().map(|(stack, count)| (&**stack, *count)).collect();
        stacks.sort_unstable();
        stacks
    }

    fn count(&mut self, stack: &str, samples: u64) {
        self.samples += samples;
        if let Some(count) = self.stacks.get_mut(stack) {
            *count += samples;
        } else if self.bytes + stack.len() + PER_STACK <= ROOM {
            self.bytes += stack.len() + PER_STACK;
            self.stacks.insert(stack.into(), samples);
        } else {
            *self.stacks.entry(OTHER.into()).or_default() += samples;
        }
    }
}

/// Keeps the profile.
#[derive(Default)]
pub struct Profiler {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    profile: Option<Profile>,
    /// Room for the text of a stack.
    text: String,
}

impl Profiler {
    /// Begins a profile in the place of one that has ended; false, and nothing is done, if one is on.
    pub(super) fn begin(&self, target: ProfileTarget) -> bool {
        let mut kept = self.lock();
        let is_free = kept.profile.as_ref().is_none_or(|profile| !profile.is_on());
        if is_free {
            kept.profile = Some(Profile::new(target));
        }
        is_free
    }

    /// Ends the profile; false if none is on.
    pub(super) fn end(&self) -> bool {
        let mut kept = self.lock();
        let profile = kept.profile.as_mut().filter(|profile| profile.is_on());
        let is_on = profile.is_some();
        if let Some(profile) = profile {
            profile.ended = Some(Instant::now());
        }
        is_on
    }

    /// Gives the profile that is kept, if there is one, to `read`.
    pub fn read<T>(&self, read: impl FnOnce(Option<&Profile>) -> T) -> T {
        read(self.lock().profile.as_ref())
    }

    /// Counts samples of the run `name`; `frames` writes the frames of its stack, each with a semicolon before
    /// it.
    pub(super) fn count(&self, name: RunName<'_>, samples: u64, frames: impl FnOnce(&mut String)) {
        let kept = &mut *self.lock();
        let Some(profile) = kept.profile.as_mut().filter(|profile| profile.is_on()) else {
            return;
        };
        if !profile.target.has(name) {
            profile.left_out += samples;
            return;
        }
        kept.text.clear();
        write_name(name, &mut kept.text);
        frames(&mut kept.text);
        profile.count(&kept.text, samples);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the name of a run in full; the code of a library that is loaded has none.
fn write_name(name: RunName<'_>, text: &mut String) {
    let _ = match name {
        RunName::Script(sha1) => write!(text, "{sha1}"),
        RunName::Function(b"") => write!(text, "[load]"),
        RunName::Named(_, name) | RunName::Function(name) => {
            write!(text, "{}", name.escape_ascii())
        }
    };
}

/// Writes the name of a run as its frames have it: a digest by its first eight digits.
pub(super) fn write_short_name(name: RunName<'_>, text: &mut String) {
    let start = text.len();
    write_name(name, text);
    if matches!(name, RunName::Script(_)) {
        text.truncate(start + 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_add_up_whatever_there_is_room_for() {
        let profiler = Profiler::default();
        assert!(profiler.begin(ProfileTarget::All) && !profiler.begin(ProfileTarget::All));
        let long = "x".repeat(100_000);
        for number in 0..100 {
            profiler.count(RunName::Function(b"f"), 2, |text| {
                let _ = write!(text, ";{number}{long}");
            });
        }
        profiler.read(|profile| {
            let profile = profile.expect("one is on");
            assert_eq!(profile.samples, 200);
            assert_eq!(profile.stacks.values().sum::<u64>(), 200);
            assert!(profile.stacks.keys().map(|it| it.len()).sum::<usize>() <= ROOM);
            assert!(profile.stacks.get(OTHER).is_some_and(|count| *count > 0));
        });
        assert!(profiler.end() && !profiler.end());
        profiler.count(RunName::Function(b"f"), 1, |_| panic!("it has ended"));
    }

    #[test]
    fn runs_that_were_not_asked_for_are_left_out() {
        let profiler = Profiler::default();
        profiler.begin(ProfileTarget::Function(b"F".to_vec()));
        profiler.count(RunName::Function(b"g"), 3, |_| panic!("not this one"));
        profiler.count(RunName::Script(Sha1::of(b"f")), 1, |_| panic!("not this one"));
        profiler.count(RunName::Function(b"f"), 5, |text| text.push_str(";a b"));
        profiler.read(|profile| {
            let profile = profile.expect("one is on");
            assert_eq!((profile.samples, profile.left_out), (5, 4));
            assert_eq!(profile.sorted(), [("f;a b", 5)]);
        });
    }
}
