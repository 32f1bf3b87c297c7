//! What admission wants to know of the server before a script starts.

use crate::script::ScriptFlags;

/// What a script needs the server to be ready for; the host asks the server just that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The script may write: not on a read-only replica, not after a disk error, not with too few
    /// replicas.
    pub write: bool,
    /// The script may need memory: not above `maxmemory`.
    pub memory: bool,
    /// The script needs current data: not on a replica that lost its master and must not serve
    /// stale data.
    pub fresh: bool,
}

impl Demand {
    /// What a script with these shebang flags needs (`None`: a script without a shebang).
    ///
    /// A script without a shebang is checked call by call, but for stale data. `no-writes` implies
    /// `allow-oom`.
    ///
    /// Stock: `script.c` `scriptFlagsToCmdFlags`.
    pub fn of(flags: Option<ScriptFlags>) -> Self {
        let Some(flags) = flags else {
            return Self { write: false, memory: false, fresh: true };
        };
        Self {
            write: !flags.contains(ScriptFlags::NO_WRITES),
            memory: !flags.intersects(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM),
            fresh: !flags.contains(ScriptFlags::ALLOW_STALE),
        }
    }
}

/// A snapshot of the server, taken as a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerState {
    /// The server runs in cluster mode.
    pub cluster: bool,
    /// The caller is the master link or the AOF: it is obeyed whatever the state.
    pub obeyed: bool,
    /// The server is a replica that is not connected to its master.
    pub stale: bool,
    /// The caller's command is part of a transaction.
    pub transaction: bool,
}
