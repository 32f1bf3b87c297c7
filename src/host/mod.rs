//! The port: all that a run asks of the server it runs in.
//!
//! There is one host per build, so calls through it are direct: the server's own edge, and in unit
//! tests and under a fuzzer a fake.

#[cfg(any(test, fuzzing))]
mod fake;
mod port;

#[cfg(any(test, fuzzing))]
pub use fake::FakeHost as ServerHost;
pub use port::{CallOutcome, Host, KeySlots, LogLevel, Permission};

#[cfg(not(any(test, fuzzing)))]
pub use crate::redis::{ClientReply as ServerReply, RedisHost as ServerHost};
/// Where replies to the caller go.
#[cfg(any(test, fuzzing))]
pub type ServerReply = crate::resp::Encoder;
