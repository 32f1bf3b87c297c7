//! A debugging session as its client sees it: what it sends, what it is told, and where a run stops.
//!
//! Nothing here knows Lua or the server. A stopped run is asked by [`Paused`], and a client is talked to by
//! [`Link`]. Stock: `eval.c`, the functions whose names begin with `ldb`.

mod breakpoints;
mod console;
mod help;
mod input;
mod reply;
mod session;
mod source;
mod text;
mod value;
mod words;

pub use console::Console;
pub use session::{Event, Link, Paused, Place, Session, Subject, Verdict};
pub use source::{Frame, Position};
pub use value::{Limits, Table, Value};

use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};

register!(ERRORS: PIPELINED: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "SCRIPT DEBUG must be called outside a pipeline",
    "`LUA.SCRIPT DEBUG`, or a run that is to be debugged, comes while replies wait to be sent, or in a transaction.",
));
register!(ERRORS: ENCRYPTED: ErrorSpec = ErrorSpec::module(
    "ERR",
    "SCRIPT DEBUG needs a connection of its own without TLS",
    "A client asks for debugging whose connection is encrypted, or is none.",
));
register!(ERRORS: FORK: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Fork() failed: can't run EVAL in debugging mode: {}",
    "The system has no process to give for a debugging session.",
));

/// How a client wants its runs debugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a process of its own, on a copy of the data.
    Forked,
    /// By the server itself, which waits meanwhile.
    Sync,
}

/// The servers that log sessions as warnings.
pub const LOUD: Hosts = Hosts::Redis70;
