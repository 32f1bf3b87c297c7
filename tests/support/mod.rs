//! What every test against a live server needs: the server, a client that returns raw frames, and
//! a way to read those frames.
//!
//! A test binary takes it in with `#[path = "../support/mod.rs"] mod support;`. It knows nothing of
//! the crate under test, so it works for any server and any module.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary compiles its own copy and uses a part of it"
)]

mod client;
mod resp;
mod server;

use std::time::{Duration, Instant};

pub use client::Client;
pub use resp::{Value, render};
pub use server::{Server, ServerBuilder};

/// Makes the arguments of a command from anything that reads as bytes, for those that mix text and bytes.
#[macro_export]
macro_rules! argv {
    ($($argument:expr),* $(,)?) => {
        [$(Vec::<u8>::from(AsRef::<[u8]>::as_ref(&$argument))),*]
    };
}

/// How long [`wait_until`] and the server's start wait before they give up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition that can only be polled is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Polls `condition` until it holds.
///
/// # Panics
/// When it does not hold within [`PATIENCE`]; `what` says what was waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}");
        std::thread::sleep(POLL);
    }
}
