//! RedLua: a second Lua script engine for Redis, as a loadable module.
//!
//! The layers, from the wire up; imports only go down (`tests/architecture.rs` checks it):
//!
//! | layer | owns |
//! |---|---|
//! | [`redis`] | the server's edge: the only user of the module API |
//! | [`commands`] | one file per command: parse, call the engine, write the reply |
//! | [`engine`] | a run from source to reply: cache, admission, VM |
//! | [`vm`] | the Lua virtual machine and the API scripts see |
//! | [`debugger`] | a debugging session as its client sees it |
//! | [`host`] | the port: all that a run asks of its server |
//! | [`policy`] | what a script may do now: pure functions over plain data |
//! | [`script`] | what a script is: shebang, flags, digest, cache |
//! | [`stats`] | what runs did, in figures, and the log of slow ones |
//! | [`resp`] | the wire's vocabulary |
//! | [`dialect`] | which server the module answers as |
//!
//! The life of `LUA.EVAL "return redis.call('GET', KEYS[1])" 1 k`: `redis::dispatch` borrows the
//! argument bytes and finds the [`commands::CommandSpec`]; `commands::eval` reads `numkeys`;
//! [`engine::Engine`] finds or compiles the script, asks [`policy`] whether it may start and hands it
//! to [`vm::Vm`]; `redis.call` asks [`policy`] again, goes down through [`host::Host`] and turns the
//! raw reply into a Lua value; the result goes out through a [`resp::ReplySink`].
#![cfg_attr(
    fuzzing,
    allow(dead_code, reason = "fuzzed runs are ended by their steps, not by time")
)]

pub mod commands;
pub mod config;
pub mod debugger;
pub mod dialect;
pub mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod host;
pub mod names;
pub mod policy;
#[cfg(not(any(test, fuzzing)))]
pub mod redis;
#[cfg(test)]
mod reference;
mod register;
pub mod resp;
pub mod script;
pub mod stats;
mod units;
pub mod vm;
