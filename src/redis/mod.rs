//! The server's edge: the only user of the module API.
#![expect(unsafe_code, reason = "the fence around the module API")]

mod alloc;
mod aof;
mod api;
mod arguments;
mod call;
mod caller;
mod config;
mod debug;
mod dispatch;
mod entry;
mod facts;
mod filter;
mod global;
mod host;
mod info;
mod master_link;
mod persistence;
mod register;
mod reply;
mod takeover;
mod user;
mod verdicts;

pub use host::RedisHost;
pub use reply::ClientReply;
