//! May this script start?

use super::ServerState;
use crate::dialect::Dialect;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::script::ScriptFlags;

register!(ERRORS: NO_CLUSTER: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Can not run script on cluster, 'no-cluster' flag is set.",
    "A script flagged no-cluster is called on a cluster node.",
));
register!(ERRORS: WRITER_BY_READ_ONLY_COMMAND: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Can not execute a script with write flag using *_ro command.",
    "A script whose shebang lacks no-writes is called by a read-only command.",
));

/// Whether the command that starts a run lets it write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `EVAL`, `EVALSHA`.
    ReadWrite,
    /// `EVAL_RO`, `EVALSHA_RO`.
    ReadOnly,
}

/// What one admitted run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Write commands are refused.
    pub read_only: bool,
    /// Commands that need memory are not refused above `maxmemory`.
    pub allow_oom: bool,
    /// Keys of different cluster slots may be used.
    pub allow_cross_slot: bool,
}

/// Decides whether a script with these shebang flags may start, and what it may do.
///
/// The checks that need the server's own verdict (memory, disk, replicas, stale data) are made with
/// [`super::Demand`] before this.
///
/// # Errors
/// The reply for the caller when the script may not start.
///
/// Stock: `script.c` `scriptPrepareForRun`.
pub fn admit(
    flags: Option<ScriptFlags>,
    access: Access,
    server: &ServerState,
    dialect: Dialect,
) -> Result<Grant, ErrorReply> {
    let Some(flags) = flags else {
        return Ok(Grant {
            read_only: access == Access::ReadOnly,
            allow_oom: false,
            allow_cross_slot: true,
        });
    };
    if flags.contains(ScriptFlags::NO_CLUSTER) && server.cluster {
        return Err(ErrorReply::new(&NO_CLUSTER, dialect));
    }
    let writes = !flags.contains(ScriptFlags::NO_WRITES);
    if writes && access == Access::ReadOnly {
        return Err(ErrorReply::new(&WRITER_BY_READ_ONLY_COMMAND, dialect));
    }
    Ok(Grant {
        read_only: !writes,
        allow_oom: flags.contains(ScriptFlags::ALLOW_OOM),
        allow_cross_slot: flags.contains(ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Demand;

    const HOST: Dialect = Dialect::redis(7, 0, 15);
    const ALONE: ServerState =
        ServerState { cluster: false, transaction: false, obeyed: false, stale: false };
    const CLUSTER: ServerState = ServerState { cluster: true, ..ALONE };

    #[test]
    fn admit_follows_the_table() {
        use Access::{ReadOnly, ReadWrite};
        let none = Some(ScriptFlags::empty());
        let read = Some(ScriptFlags::NO_WRITES);
        let alone = Some(ScriptFlags::NO_CLUSTER);
        // flags, access, server, then: read_only, allow_oom, cross_slot, or the error
        type Verdict = Result<(bool, bool, bool), &'static ErrorSpec>;
        let cases: &[(_, _, _, Verdict)] = &[
            (None, ReadWrite, ALONE, Ok((false, false, true))),
            (None, ReadOnly, ALONE, Ok((true, false, true))),
            (none, ReadWrite, ALONE, Ok((false, false, false))),
            (none, ReadOnly, ALONE, Err(&WRITER_BY_READ_ONLY_COMMAND)),
            (read, ReadWrite, ALONE, Ok((true, false, false))),
            (read, ReadOnly, ALONE, Ok((true, false, false))),
            (alone, ReadWrite, ALONE, Ok((false, false, false))),
            (alone, ReadWrite, CLUSTER, Err(&NO_CLUSTER)),
            (alone, ReadOnly, CLUSTER, Err(&NO_CLUSTER)),
            (Some(ScriptFlags::ALLOW_OOM), ReadWrite, ALONE, Ok((false, true, false))),
            (
                Some(ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
                ReadWrite,
                CLUSTER,
                Ok((false, false, true)),
            ),
        ];
        for (flags, access, server, expected) in cases {
            let expected = (*expected)
                .map(|(read_only, allow_oom, allow_cross_slot)| Grant {
                    read_only,
                    allow_oom,
                    allow_cross_slot,
                })
                .map_err(|spec| ErrorReply::new(spec, HOST));
            assert_eq!(admit(*flags, *access, server, HOST), expected, "{flags:?} {access:?}");
        }
    }

    #[test]
    fn demand_follows_the_flags() {
        let demand = |flags| {
            let Demand { write, memory, fresh } = Demand::of(flags);
            (write, memory, fresh)
        };
        assert_eq!(demand(None), (false, false, true));
        assert_eq!(demand(Some(ScriptFlags::empty())), (true, true, true));
        assert_eq!(demand(Some(ScriptFlags::NO_WRITES)), (false, false, true));
        assert_eq!(demand(Some(ScriptFlags::ALLOW_OOM)), (true, false, true));
        assert_eq!(demand(Some(ScriptFlags::ALLOW_STALE)), (true, true, false));
    }
}
