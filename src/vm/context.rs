//! The run a Lua callback belongs to.

use std::cell::Cell;

use crate::host::{Host, ServerHost};
use crate::policy::admission::Grant;
use crate::policy::{RunState, ServerState};
use crate::script::Sha1;
use crate::vm::tally::Tally;
use crate::vm::watch::Watch;

/// What a script gets from its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs<'a> {
    /// The global `KEYS`.
    pub keys: &'a [&'a [u8]],
    /// The global `ARGV`.
    pub args: &'a [&'a [u8]],
}

/// What runs, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunName<'a> {
    /// A script, by its digest in hexadecimal.
    Script(Sha1),
    /// A script that was given a name, by that; its digest comes first.
    Named(Sha1, &'a [u8]),
    /// A function, by its name.
    Function(&'a [u8]),
}

impl RunName<'_> {
    /// Appends the name to `line`.
    pub fn write_to(self, line: &mut Vec<u8>) {
        match self {
            Self::Script(digest) => line.extend_from_slice(&digest.to_hex()),
            Self::Named(_, name) | Self::Function(name) => line.extend_from_slice(name),
        }
    }
}

/// One run, as the Lua API sees it.
pub struct RunContext<'a> {
    /// The server.
    pub host: &'a ServerHost,
    /// What runs.
    pub name: RunName<'a>,
    /// What the run may do.
    pub grant: Grant,
    /// The server as the run started.
    pub server: ServerState,
    /// What changes while the run goes on.
    pub state: RunState,
    /// What time may do to the run.
    pub watch: Watch<'a>,
    /// The keys it was given.
    pub keys: &'a [&'a [u8]],
    /// What it does, counted.
    pub tally: &'a Tally,
    /// The reply that is the run's result and goes to the client as it is.
    pub passed: Cell<Option<<ServerHost as Host>::Reply>>,
}
