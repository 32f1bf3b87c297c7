//! Debugging sessions at the server's edge: whose they are, the socket they take over, and the process that
//! some of them have.
//!
//! The server does not show modules the sockets of clients. A session takes the descriptor from `CLIENT LIST`:
//! in sync mode it reads and writes there while the server waits; a forked session inherits it, and the server
//! closes its own copy.

mod clients;
mod forked;
mod link;

pub(super) use clients::Debuggers;
pub(super) use forked::{close, fork};
pub(super) use link::{Socket, connection};
