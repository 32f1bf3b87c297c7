//! May this command run now, and how is it called?

use super::admission::Grant;
use super::{Replication, RunState, ServerState};
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec, RespVersion};

register!(ERRORS: UNKNOWN_COMMAND: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unknown Redis command called from script",
    "A script calls a command the server does not have.",
).on(&[(Hosts::Valkey, "Unknown command called from script")]));
register!(ERRORS: WRONG_ARITY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Wrong number of args calling Redis command from script",
    "A script calls a command with too few or too many arguments.",
).on(&[(Hosts::Valkey, "Wrong number of args calling command from script")]));
register!(ERRORS: NOT_ALLOWED: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "This Redis command is not allowed from script",
    "A script calls a command flagged noscript.",
).on(&[(Hosts::Valkey91, "This Valkey command is not allowed from script")]));
register!(ERRORS: WRITE_FROM_READ_ONLY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Write commands are not allowed from read-only scripts.",
    "A read-only run calls a command that writes or may replicate.",
));

bitflags::bitflags! {
    /// What a command is, as far as a script's right to call it goes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Traits: u8 {
        /// May modify the dataset.
        const WRITE = 1;
        /// May send something to replicas though it writes nothing.
        const MAY_REPLICATE = 1 << 1;
        /// Is refused above `maxmemory`.
        const DENY_OOM = 1 << 2;
        /// May not be called by a script.
        const NO_SCRIPT = 1 << 3;
        /// Does something else when a script calls it; [`crate::policy::quirks`] says what.
        const QUIRK = 1 << 4;
        /// Has its keys after their number.
        const COUNTED_KEYS = 1 << 5;
        /// Runs on a replica with stale data.
        const ALLOW_STALE = 1 << 6;
        /// Has a key for its first argument, and is the server's own.
        const KEY_FIRST = 1 << 7;
    }

    /// How the host calls a command.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CallMode: u8 {
        /// The server refuses what a script may not do now (replica, disk, replicas, stale data).
        const SCRIPT_RULES = 1;
        /// The server refuses what needs memory above `maxmemory`.
        const DENY_OOM = 1 << 1;
        /// The reply comes in RESP3.
        const RESP3 = 1 << 2;
        /// Effects do not go to the append-only file.
        const NO_AOF = 1 << 3;
        /// Effects do not go to the replicas.
        const NO_REPLICAS = 1 << 4;
        /// The first argument is a key.
        const KEY_FIRST = 1 << 5;
    }
}

/// What the rules need to know of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandFacts {
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i32,
    /// What the command is.
    pub traits: Traits,
    /// Where its keys are.
    pub keys: KeyPlaces,
}

/// Where a command's keys are, as `COMMAND` tells; all 0 where it has none, or none at places of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyPlaces {
    /// The first key; the command's name is at 0.
    pub first: i16,
    /// The last key; negative from the end, where -1 is the last argument.
    pub last: i16,
    /// From one key to the next.
    pub step: i16,
}

impl KeyPlaces {
    /// How many keys a command of `argc` words has.
    #[inline]
    pub fn count(self, argc: usize) -> u64 {
        if self.first == self.last {
            return u64::from(self.first != 0);
        }
        self.count_several(argc)
    }

    fn count_several(self, argc: usize) -> u64 {
        let (first, step) = (i64::from(self.first), i64::from(self.step).max(1));
        let end = if self.last < 0 { i64::try_from(argc).unwrap_or(i64::MAX) } else { 0 };
        let last = end + i64::from(self.last);
        if first < 1 || last < first { 0 } else { ((last - first) / step + 1).unsigned_abs() }
    }
}

impl CommandFacts {
    /// Whether the command takes `argc` arguments, its name included.
    #[inline]
    pub fn takes(&self, argc: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        argc == least || (self.arity < 0 && argc > least)
    }
}

/// Decides whether a command with `argc` arguments may be called now, and how.
///
/// Sets nothing: the caller marks the run dirty once the server let a write through.
///
/// # Errors
/// The error for the script. When it refuses a write of a read-only run, a user who may not run the command
/// at all is told so instead; that is for the caller to find out.
///
/// Stock: `script.c` `scriptCall` and the functions it calls first.
pub fn check_call(
    facts: CommandFacts,
    argc: usize,
    grant: &Grant,
    run: &RunState,
    server: &ServerState,
) -> Result<CallMode, &'static ErrorSpec> {
    if !facts.takes(argc) {
        return Err(&WRONG_ARITY);
    }
    let traits = facts.traits;
    if traits.contains(Traits::NO_SCRIPT) {
        return Err(&NOT_ALLOWED);
    }
    if grant.read_only && traits.intersects(Traits::WRITE | Traits::MAY_REPLICATE) {
        return Err(&WRITE_FROM_READ_ONLY);
    }

    let first_write = !run.dirty.get();
    let mut mode = CallMode::empty();
    // Once a script wrote, it is not stopped half way by the state of the server.
    if (traits.contains(Traits::WRITE) && first_write) || server.stale {
        mode |= CallMode::SCRIPT_RULES;
    }
    if traits.contains(Traits::DENY_OOM) && first_write && !grant.allow_oom && !server.obeyed {
        mode |= CallMode::DENY_OOM;
    }
    if run.resp.get() == RespVersion::Resp3 {
        mode |= CallMode::RESP3;
    }
    if traits.contains(Traits::KEY_FIRST) {
        mode |= CallMode::KEY_FIRST;
    }
    let replication = run.replication.get();
    if !replication.contains(Replication::AOF) {
        mode |= CallMode::NO_AOF;
    }
    if !replication.contains(Replication::REPLICAS) {
        mode |= CallMode::NO_REPLICAS;
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: Grant = Grant { read_only: false, allow_oom: false, allow_cross_slot: true };
    const READER: Grant = Grant { read_only: true, ..WRITER };
    const HUNGRY: Grant = Grant { allow_oom: true, ..WRITER };
    const PLAIN: ServerState =
        ServerState { cluster: false, obeyed: false, stale: false, transaction: false };

    fn facts(arity: i32, traits: Traits) -> CommandFacts {
        CommandFacts { arity, traits, keys: KeyPlaces::default() }
    }

    #[test]
    fn keys_are_counted_by_their_places() {
        let count = |first, last, step, argc| KeyPlaces { first, last, step }.count(argc);
        assert_eq!(count(0, 0, 0, 5), 0);
        assert_eq!(count(1, 1, 1, 2), 1);
        assert_eq!(count(2, 2, 1, 4), 1);
        assert_eq!(count(1, 2, 1, 3), 2);
        assert_eq!(count(1, -1, 1, 4), 3);
        assert_eq!(count(1, -2, 1, 4), 2);
        assert_eq!(count(1, -1, 2, 5), 2);
        assert_eq!(count(3, -1, 1, 2), 0);
    }

    #[test]
    fn check_call_follows_the_table() {
        let get = facts(2, Traits::empty());
        let set = facts(-3, Traits::WRITE | Traits::DENY_OOM);
        let del = facts(-2, Traits::WRITE);
        let publish = facts(3, Traits::MAY_REPLICATE);
        let multi = facts(1, Traits::NO_SCRIPT);
        let cases: &[(_, usize, _, bool, Result<CallMode, &ErrorSpec>)] = &[
            (get, 2, WRITER, false, Ok(CallMode::empty())),
            (get, 1, WRITER, false, Err(&WRONG_ARITY)),
            (get, 3, WRITER, false, Err(&WRONG_ARITY)),
            (set, 2, WRITER, false, Err(&WRONG_ARITY)),
            (set, 5, WRITER, false, Ok(CallMode::SCRIPT_RULES | CallMode::DENY_OOM)),
            (set, 3, WRITER, true, Ok(CallMode::empty())),
            (set, 3, HUNGRY, false, Ok(CallMode::SCRIPT_RULES)),
            (del, 2, WRITER, false, Ok(CallMode::SCRIPT_RULES)),
            (del, 2, READER, false, Err(&WRITE_FROM_READ_ONLY)),
            (publish, 3, READER, false, Err(&WRITE_FROM_READ_ONLY)),
            (publish, 3, WRITER, false, Ok(CallMode::empty())),
            (multi, 1, WRITER, false, Err(&NOT_ALLOWED)),
            (multi, 2, WRITER, false, Err(&WRONG_ARITY)),
        ];
        for (row, (facts, argc, grant, dirty, expected)) in cases.iter().enumerate() {
            let run = RunState::new(None);
            run.dirty.set(*dirty);
            let verdict = check_call(*facts, *argc, grant, &run, &PLAIN);
            assert_eq!(
                verdict.map_err(|spec| spec.text),
                expected.map_err(|spec| spec.text),
                "{row}"
            );
        }
    }

    #[test]
    fn the_state_of_the_run_shapes_the_call() {
        let run = RunState::new(None);
        run.resp.set(RespVersion::Resp3);
        run.replication.set(Replication::AOF);
        let get = facts(2, Traits::empty());
        let mode = check_call(get, 2, &WRITER, &run, &PLAIN).ok();
        assert_eq!(mode, Some(CallMode::RESP3 | CallMode::NO_REPLICAS));
        run.replication.set(Replication::empty());
        let mode = check_call(get, 2, &WRITER, &run, &PLAIN).ok();
        assert_eq!(mode, Some(CallMode::RESP3 | CallMode::NO_REPLICAS | CallMode::NO_AOF));
    }

    #[test]
    fn a_stale_replica_keeps_the_server_watching() {
        let run = RunState::new(None);
        run.dirty.set(true);
        let stale = ServerState { stale: true, ..PLAIN };
        let mode = check_call(facts(2, Traits::empty()), 2, &WRITER, &run, &stale).ok();
        assert_eq!(mode, Some(CallMode::SCRIPT_RULES));
    }
}
