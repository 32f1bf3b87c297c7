//! May this script start?

use super::ServerState;
use super::key_slot::{SLOT_COUNT, key_slot};
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

/// Binds a run to the slot of its declared keys; gives the slot that its first key must be in, if that is known.
///
/// Servers that [trust the client's slot](Dialect::trusts_client_slot) put a key of another slot where nobody finds
/// it. Stock's engine tells them the slot of each call, which a module cannot, so the permission to cross slots
/// holds only while the client has none: without declared keys, and outside of a transaction, whose other commands
/// may have some.
pub fn bind(
    grant: &mut Grant,
    declared: Option<&[u8]>,
    server: &ServerState,
    dialect: Dialect,
) -> Option<u16> {
    if !server.cluster || server.obeyed {
        return None;
    }
    let declared = declared.map(key_slot);
    if !dialect.trusts_client_slot() || (declared.is_none() && !server.transaction) {
        return declared;
    }
    grant.allow_cross_slot = false;
    // No key is in a slot that there is not.
    Some(declared.unwrap_or(SLOT_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Demand;

    const HOST: Dialect = Dialect::redis(7, 0, 15);
    const ALONE: ServerState =
        ServerState { cluster: false, obeyed: false, stale: false, transaction: false };
    const CLUSTER: ServerState =
        ServerState { cluster: true, obeyed: false, stale: false, transaction: false };

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
    fn a_run_is_bound_to_the_slot_its_client_has() {
        const CROSSING: Grant =
            Grant { read_only: false, allow_oom: false, allow_cross_slot: true };
        const NEWER: Dialect = Dialect::redis(8, 0, 0);
        const QUEUED: ServerState = ServerState { transaction: true, ..CLUSTER };
        const MASTER: ServerState = ServerState { obeyed: true, ..CLUSTER };
        let (key, slot) = (Some(&b"foo"[..]), Some(12182));
        for (dialect, server, declared, expected, may_cross) in [
            (HOST, CLUSTER, key, slot, true),
            (HOST, QUEUED, None, None, true),
            (NEWER, CLUSTER, key, slot, false),
            (NEWER, CLUSTER, None, None, true),
            (NEWER, QUEUED, key, slot, false),
            (NEWER, QUEUED, None, Some(SLOT_COUNT), false),
            (NEWER, MASTER, key, None, true),
            (NEWER, ALONE, key, None, true),
        ] {
            let mut grant = CROSSING;
            assert_eq!(bind(&mut grant, declared, &server, dialect), expected);
            assert_eq!(grant.allow_cross_slot, may_cross, "{server:?} {declared:?}");
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
