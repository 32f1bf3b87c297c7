//! Function libraries in append-only files whose base is written as commands.
//!
//! Such a base has no auxiliary data, and a module has no say in what else it holds. So the libraries go to
//! the incremental file that begins with the rewrite, as commands, while the rewrite goes on.

use std::ffi::{CString, c_void};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};

use super::api::api;
use super::call;
use super::entry::subscribe;
use super::persistence::{guard, number_of};
use crate::config;
use crate::names;

/// Milliseconds until the next try while the server holds writes back.
const RETRY: i64 = 100;

/// Registers the callback for rewrites.
pub(super) fn register(ctx: *mut RedisModuleCtx) {
    subscribe(ctx, raw::REDISMODULE_EVENT_FORK_CHILD, forked);
}

/// The server made a child or lost one.
unsafe extern "C" fn forked(
    ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guard((), |module| {
        // A child that failed to save makes the server refuse writes.
        module.writes.allowed.set(false);
        if subevent == raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN
            && config::persists()
            && !module.engine.library_codes().is_empty()
            && rewrites_as_commands(ctx)
        {
            // Not at once: the server takes what is replicated within a command for the command's own
            // effect, and would write BGREWRITEAOF itself to the file and to replicas.
            write_after(ctx, 0);
        }
    });
}

/// Whether the child rewrites the append-only file as commands.
fn rewrites_as_commands(ctx: *mut RedisModuleCtx) -> bool {
    number_of(ctx, c"persistence", c"aof_rewrite_in_progress") == Some(1)
        && call::is_setting(ctx, b"aof-use-rdb-preamble", b"no")
}

fn write_after(ctx: *mut RedisModuleCtx, milliseconds: i64) {
    // SAFETY: the context is live, and the callback needs no data.
    unsafe { api!(CreateTimer(ctx, milliseconds, Some(write), std::ptr::null_mut())) };
}

/// Writes all libraries to the append-only file, and to no replica.
///
/// Commands that came since the file began stand before them. A library such a command deleted is not
/// among these, and one that it loaded is replaced by itself, so the outcome is the present set.
unsafe extern "C" fn write(ctx: *mut RedisModuleCtx, _data: *mut c_void) {
    guard((), |module| {
        // SAFETY: the function takes nothing.
        if unsafe { api!(AvoidReplicaTraffic()) } != 0 {
            // The server does not survive a write while clients are paused.
            write_after(ctx, RETRY);
            return;
        }
        let name = CString::new(names::full("LUA.FUNCTION")).unwrap_or_default();
        for code in module.engine.library_codes() {
            // SAFETY: the context is live; the format names two C strings and a buffer.
            unsafe {
                api!(Replicate(
                    ctx,
                    name.as_ptr(),
                    c"ccbR".as_ptr(),
                    c"LOAD".as_ptr(),
                    c"REPLACE".as_ptr(),
                    code.as_ptr(),
                    code.len()
                ))
            };
        }
    });
}
