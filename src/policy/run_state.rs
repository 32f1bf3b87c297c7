//! What changes while a run goes on.

use std::cell::Cell;

use crate::resp::RespVersion;

bitflags::bitflags! {
    /// Where the effects of a script's commands go, as `redis.set_repl` says it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Replication: u8 {
        /// To the append-only file.
        const AOF = 1;
        /// To the replicas.
        const REPLICAS = 2;
    }
}

/// The state of one run.
///
/// The fields are cells because commands of other clients may reach the run while it goes on.
#[derive(Debug)]
pub struct RunState {
    /// A write command was let through: from here on the run is not refused any more.
    pub dirty: Cell<bool>,
    /// The RESP version in which the script sees replies.
    pub resp: Cell<RespVersion>,
    /// Where effects go.
    pub replication: Cell<Replication>,
    /// The cluster slot the run is bound to, once it touched a key.
    pub slot: Cell<Option<u16>>,
}

impl RunState {
    /// The state of a run that starts, its declared keys in `slot`.
    pub fn new(slot: Option<u16>) -> Self {
        Self {
            dirty: Cell::new(false),
            resp: Cell::new(RespVersion::Resp2),
            replication: Cell::new(Replication::all()),
            slot: Cell::new(slot),
        }
    }
}
