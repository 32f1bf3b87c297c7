//! What a script is told when the server refuses one of its calls.
//!
//! The module API words refusals in its own way; scripts get the stock engine's words.

use super::call_rules::{NOT_ALLOWED, UNKNOWN_COMMAND, WRONG_ARITY};
use crate::dialect::{Dialect, Hosts};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};

register!(ERRORS: STALE_COMMAND: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Can not execute the command on a stale replica",
    "A script calls a command that is not allowed on a replica without its master.",
));
register!(ERRORS: ACL_FAILURE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "ACL failure in script: {}",
    "The caller's user may not run the command, or not on that key or channel.",
).on(&[(Hosts::Redis70, "The user executing the script {}")]));
register!(ERRORS: NON_LOCAL_KEY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script attempted to access a non local key in a cluster node",
    "A script uses a key another cluster node serves.",
));
register!(ERRORS: UNASSIGNED_SLOT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script attempted to access a slot not served",
    "A script uses a key that no cluster node serves.",
));
register!(ERRORS: MOVING_SLOT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unable to execute command '{}' in script because undeclared keys were accessed during rehashing of the slot",
    "A script calls a command with keys some of which have already moved to another cluster node.",
));
register!(ERRORS: CROSS_SLOT_COMMAND: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Command '{}' in script attempted to access keys that don't hash to the same slot",
    "A script calls a command with keys of several cluster slots.",
).on(&[(Hosts::Redis70, "Script attempted to access a non local key in a cluster node")]));
register!(ERRORS: CROSS_SLOT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script attempted to access keys that do not hash to the same slot",
    "A script with a shebang uses keys of more than one cluster slot.",
));
register!(ERRORS: CLUSTER_DOWN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script attempted to execute a command while the cluster is down",
    "A script uses a key while the cluster is down.",
));
register!(ERRORS: CLUSTER_READ_ONLY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script attempted to execute a write command while the cluster is down and readonly",
    "A script writes while the cluster is down and serves reads only.",
));

/// Why the server refused a call before running it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such command.
    Unknown,
    /// Wrong number of arguments.
    Arity,
    /// The rules for scripts: noscript, read-only or stale replica, disk error, replicas.
    ScriptRules,
    /// Above `maxmemory`.
    Memory,
    /// The user may not.
    Acl,
    /// A key of another node.
    NonLocalKey,
    /// A key of no node.
    UnassignedSlot,
    /// Keys of a slot of which this node has only some.
    MovingSlot,
    /// Keys of several slots in one command.
    CrossSlot,
    /// A write on a cluster that is down but for reads.
    ClusterReadOnly,
    /// The cluster is down.
    ClusterDown,
}

/// Translates a refusal into the error the stock engine raises.
///
/// `line` is the server's own error line without its dash, `command` the full name of the command.
///
/// Stock: `script.c` `scriptCall`.
pub fn translate(refusal: Refusal, line: &[u8], command: &[u8], dialect: Dialect) -> ErrorReply {
    match refusal {
        // This engine is a module itself, and passes on what the module API says of the cluster.
        Refusal::NonLocalKey
        | Refusal::UnassignedSlot
        | Refusal::MovingSlot
        | Refusal::CrossSlot
        | Refusal::ClusterReadOnly
        | Refusal::ClusterDown
            if dialect.is(Hosts::Valkey91) =>
        {
            ErrorReply::from_line(line.to_vec())
        }
        Refusal::Unknown => ErrorReply::new(&UNKNOWN_COMMAND, dialect),
        Refusal::Arity => ErrorReply::new(&WRONG_ARITY, dialect),
        Refusal::ScriptRules if line.starts_with(b"MASTERDOWN") => {
            ErrorReply::new(&STALE_COMMAND, dialect)
        }
        Refusal::ScriptRules if line.ends_with(b"is not allowed on script mode") => {
            ErrorReply::new(&NOT_ALLOWED, dialect)
        }
        Refusal::ScriptRules | Refusal::Memory => ErrorReply::from_line(line.to_vec()),
        Refusal::Acl => ErrorReply::with(&ACL_FAILURE, dialect, &[acl_reason(line)]),
        Refusal::CrossSlot => ErrorReply::with(&CROSS_SLOT_COMMAND, dialect, &[command]),
        Refusal::NonLocalKey => ErrorReply::new(&NON_LOCAL_KEY, dialect),
        Refusal::UnassignedSlot => ErrorReply::new(&UNASSIGNED_SLOT, dialect),
        Refusal::MovingSlot => ErrorReply::with(&MOVING_SLOT, dialect, &[command]),
        Refusal::ClusterReadOnly => ErrorReply::new(&CLUSTER_READ_ONLY, dialect),
        Refusal::ClusterDown => ErrorReply::new(&CLUSTER_DOWN, dialect),
    }
}

/// The reason inside the server's ACL refusal: `NOPERM reason`, and before 7.2
/// `ERR acl verification failed, reason.`
fn acl_reason(line: &[u8]) -> &[u8] {
    if let Some(reason) = line.strip_prefix(b"NOPERM ") {
        return reason;
    }
    let reason = line.strip_prefix(b"ERR acl verification failed, ").unwrap_or(line);
    reason.strip_suffix(b".").unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Dialect = Dialect::redis(7, 0, 15);
    const NEW: Dialect = Dialect::redis(8, 0, 2);
    const MODULAR: Dialect = Dialect::valkey(9, 1, 0);

    #[test]
    fn translate_follows_the_table() {
        let cases: &[(_, &[u8], _, &[u8])] = &[
            (Refusal::Unknown, b"ERR unknown command", NEW, b"ERR Unknown Redis command called from script"),
            (Refusal::ScriptRules, b"MASTERDOWN Link with MASTER is down", OLD,
                b"ERR Can not execute the command on a stale replica"),
            (Refusal::ScriptRules, b"ERR command 'multi' is not allowed on script mode", OLD,
                b"ERR This Redis command is not allowed from script"),
            (Refusal::ScriptRules, b"READONLY You can't write against a read only replica.", OLD,
                b"READONLY You can't write against a read only replica."),
            (Refusal::Memory, b"OOM command not allowed when used memory > 'maxmemory'.", OLD,
                b"OOM command not allowed when used memory > 'maxmemory'."),
            (Refusal::Acl, b"ERR acl verification failed, can't run this command or subcommand.", OLD,
                b"ERR The user executing the script can't run this command or subcommand"),
            (Refusal::Acl, b"NOPERM No permissions to access a key", NEW,
                b"ERR ACL failure in script: No permissions to access a key"),
            (Refusal::NonLocalKey, b"ERR Attempted to access a non local key in a cluster node", OLD,
                b"ERR Script attempted to access a non local key in a cluster node"),
            (Refusal::CrossSlot, b"", OLD,
                b"ERR Script attempted to access a non local key in a cluster node"),
            (Refusal::CrossSlot, b"", NEW,
                b"ERR Command 'get' in script attempted to access keys that don't hash to the same slot"),
            (Refusal::ClusterDown, b"ERR Can not execute a command 'get' while the cluster is down", OLD,
                b"ERR Script attempted to execute a command while the cluster is down"),
            (Refusal::ClusterDown, b"ERR Can not execute a command 'get' while the cluster is down", MODULAR,
                b"ERR Can not execute a command 'get' while the cluster is down"),
            (Refusal::UnassignedSlot, b"ERR Attempted to access a non local key in a cluster node", NEW,
                b"ERR Script attempted to access a slot not served"),
        ];
        for (refusal, line, dialect, expected) in cases {
            let error = translate(*refusal, line, b"get", *dialect);
            assert_eq!(error.line(), *expected, "{refusal:?}");
        }
    }
}
