//! The port: all that a run asks of the server it runs in.
//!
//! There is one host per build, so calls through it are direct: the server's own edge, and in unit
//! tests a fake.

#[cfg(test)]
mod fake;
mod port;

#[cfg(test)]
pub use fake::FakeHost as ServerHost;
pub use port::{CallOutcome, Host, KeySlots, LogLevel, Permission};

#[cfg(not(test))]
pub use crate::redis::{ClientReply as ServerReply, RedisHost as ServerHost};
/// Where replies to the caller go.
#[cfg(test)]
pub type ServerReply = crate::resp::Encoder;
