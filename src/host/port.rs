//! [`Host`] and the plain values that pass through it.

use std::time::Duration;

use crate::debugger::{Link, Mode};
use crate::dialect::Dialect;
use crate::policy::call_errors::Refusal;
use crate::policy::call_rules::{CallMode, CommandFacts};
use crate::policy::{Demand, ServerState};
use crate::resp::ErrorReply;
use crate::stats::Caller;

/// What became of a command a script called.
pub enum CallOutcome<R> {
    /// The server ran it; the raw RESP reply.
    Reply(R),
    /// The server refused it before running it; its own error line without the dash.
    Refused(Refusal, Vec<u8>),
}

/// Whether the caller's user may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// It may not.
    Denied,
    /// There is no such command.
    NoSuchCommand,
    /// The command does not take so many arguments, on servers that look at that first.
    WrongArity,
}

/// The cluster slots of a command's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySlots {
    /// The command has no keys.
    None,
    /// All keys are in this slot.
    One(u16),
    /// The keys are in several slots.
    Several,
}

/// Levels of the server's log, numbered as `redis.LOG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`.
    Debug,
    /// `redis.LOG_VERBOSE`.
    Verbose,
    /// `redis.LOG_NOTICE`.
    Notice,
    /// `redis.LOG_WARNING`.
    Warning,
}

/// What a run asks of its server. All of it happens on the server's main thread.
pub trait Host {
    /// Holds the raw RESP bytes of one reply.
    type Reply: AsRef<[u8]>;

    /// Which server the module answers as.
    fn dialect(&self) -> Dialect;

    /// The state of the server now.
    fn server_state(&self) -> ServerState;

    /// The server's own error line when it cannot meet `demand` now.
    fn unmet(&self, demand: Demand) -> Option<ErrorReply>;

    /// What the server knows of the command `argv` names; `None` when there is no such command.
    fn facts(&self, argv: &[&[u8]]) -> Option<CommandFacts>;

    /// Calls a command as the caller's user.
    ///
    /// `argv[0]` is a string that Lua keeps, so a NUL byte follows it.
    fn call(&self, argv: &[&[u8]], mode: CallMode) -> CallOutcome<Self::Reply>;

    /// Why the server would not run a call in this mode, as it words it, whatever it says of scripts; `None` when
    /// it would. Servers before 7.2 cannot be asked.
    fn would_refuse(&self, argv: &[&[u8]], mode: CallMode) -> Option<(Refusal, Vec<u8>)>;

    /// Sends a reply that a call got to the caller's client as it is; false, and nothing is sent, where the
    /// host cannot.
    fn forward(&self, reply: &Self::Reply) -> bool;

    /// Whether the caller's client speaks RESP3.
    fn speaks_resp3(&self) -> bool;

    /// Makes `db` the database of the calls that follow.
    fn select(&self, db: i32);

    /// Whether the caller's user may run `argv`, keys and channels included.
    fn permission(&self, argv: &[&[u8]]) -> Permission;

    /// Why the caller's user may not run `argv`, as the server words it; `None` when it may.
    fn acl_refusal(&self, argv: &[&[u8]]) -> Option<Vec<u8>>;

    /// The cluster slots of the keys in `argv`.
    fn key_slots(&self, argv: &[&[u8]]) -> KeySlots;

    /// Whether this node serves the keys of `argv`.
    fn serves_keys(&self, argv: &[&[u8]]) -> bool;

    /// Whether this node serves any of the keys of `argv`, asked for alone.
    fn serves_some_key(&self, argv: &[&[u8]]) -> bool;

    /// Whether any node of the cluster serves the slot.
    fn is_slot_assigned(&self, slot: u16) -> bool;

    /// Whether the server frees flushed memory in the background when a client does not say how.
    fn flushes_lazily(&self) -> bool;

    /// Whether the server packs strings in its RDB files.
    fn packs_strings(&self) -> bool;

    /// Sends the command that is running to replicas and to the append-only file, as it was given.
    fn replicate(&self);

    /// Sends another command to replicas and to the append-only file in the place of the one that is
    /// running.
    fn replicate_as(&self, argv: &[&[u8]]);

    /// The libraries of the server's own engine, as `FUNCTION DUMP` gives them.
    ///
    /// # Errors
    /// The server's, if it refuses the command.
    fn stock_libraries(&self) -> Result<Vec<u8>, ErrorReply>;

    /// Has the server's own engine forget a library, if it has it, or all of them.
    fn drop_stock_libraries(&self, name: Option<&[u8]>);

    /// The command that is running, as the client gave it.
    fn command(&self) -> Vec<Vec<u8>>;

    /// The command that is running, as the slow log keeps it.
    fn trimmed_command(&self) -> Vec<Vec<u8>>;

    /// Whose command is running.
    fn caller(&self) -> Caller;

    /// How long a run goes on before other clients are told that the server is busy; `None` for ever.
    fn busy_threshold(&self) -> Option<Duration>;

    /// Whether the server can look at its clients while the command goes on.
    fn can_let_others_in(&self) -> bool;

    /// Has the server look at its clients, if the last time was long enough ago. Most of their commands get
    /// the error `busy`; those that may run on a busy server do.
    fn let_others_in(&self, busy: &ErrorReply);

    /// Whether somebody wants to know how a run that failed came to its error.
    fn wants_tracebacks(&self) -> bool;

    /// How the caller's client wants its runs debugged, if it does.
    fn debugging(&self) -> Option<Mode>;

    /// Whether replies to earlier commands wait to be sent to the caller's client.
    fn is_pipelined(&self) -> bool;

    /// Sets how the caller's client wants its runs debugged.
    ///
    /// # Errors
    /// Its connection is not one a session could use.
    fn set_debugging(&self, mode: Option<Mode>) -> Result<(), ErrorReply>;

    /// Takes hold of the connection of the caller's client while the server waits. The client is to be let go
    /// after the reply, by [`Host::let_client_go`].
    ///
    /// # Errors
    /// It is not one a session could use.
    fn hold_client(&self) -> Result<Box<dyn Link>, ErrorReply>;

    /// Closes the connection of the caller's client once it has its reply.
    fn let_client_go(&self);

    /// Hands the caller's client over to a process of its own, which has `work` talk to it, sends it the reply
    /// that comes out, and ends. Here the client is gone.
    ///
    /// # Errors
    /// There is no such process.
    fn fork(&self, work: &mut dyn FnMut(Box<dyn Link>) -> Vec<u8>) -> Result<(), ErrorReply>;

    /// Empties every database but the one selected, in this process only.
    fn flush_other_databases(&self);

    /// Writes a line to the server's log.
    fn log(&self, level: LogLevel, line: &[u8]);
}
