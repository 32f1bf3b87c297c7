//! The run a Lua callback belongs to.

use crate::host::ServerHost;
use crate::policy::admission::Grant;
use crate::policy::{RunState, ServerState};
use crate::script::Sha1;

/// What a script gets from its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs<'a> {
    /// The global `KEYS`.
    pub keys: &'a [&'a [u8]],
    /// The global `ARGV`.
    pub args: &'a [&'a [u8]],
}

/// One run, as the Lua API sees it.
pub struct RunContext<'a> {
    /// The server.
    pub host: &'a ServerHost,
    /// The script; errors name it by its digest in hexadecimal.
    pub script: Sha1,
    /// What the run may do.
    pub grant: Grant,
    /// The server as the run started.
    pub server: ServerState,
    /// What changes while the run goes on.
    pub state: RunState,
}
