//! A replica's link to its master after a run that kept it busy.
//!
//! While a module lets clients in, the server reads what its master sends and does not process it. It would
//! take it up only with the next thing the master sends, up to ten seconds after the run. A new link goes on
//! at once with what was not processed.

use std::ffi::c_void;

use redis_module::raw::RedisModuleCtx;

use super::api::api;
use super::call;
use super::persistence::{guard, number_of};

/// Sees to it that the server goes on with its master's commands when the command of `ctx` is over.
pub(super) fn catch_up_after(ctx: *mut RedisModuleCtx) {
    // SAFETY: the context is live, and the callback needs no data.
    unsafe { api!(CreateTimer(ctx, 0, Some(catch_up), std::ptr::null_mut())) };
}

unsafe extern "C" fn catch_up(ctx: *mut RedisModuleCtx, _data: *mut c_void) {
    guard((), |_| {
        let number = |field| number_of(ctx, c"replication", field);
        let read = number(c"slave_read_repl_offset");
        let processed = number(c"slave_repl_offset");
        let Some((read, processed)) = read.zip(processed) else { return };
        // What a master does not keep any more, it would send with its whole dataset.
        let kept = number(c"repl_backlog_size").unwrap_or_default() / 2;
        let waiting = read.saturating_sub(processed);
        if waiting > 0 && waiting <= kept {
            call::plain(ctx, c"CLIENT", &[b"KILL", b"TYPE", b"master"], |_| ());
        }
    });
}
