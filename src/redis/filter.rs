//! The command filter, which sees every command before the server looks it up.

use redis_module::raw::{self, RedisModuleCommandFilterCtx, RedisModuleCtx};

use super::api::api;
use super::call::bytes;
use super::persistence::guard;
use super::{takeover, verdicts};
use crate::config;

/// Has the server show every command to the filter.
///
/// # Errors
/// What the server did not take.
pub(super) fn register(ctx: *mut RedisModuleCtx) -> Result<(), &'static str> {
    // What scripts call matters to neither of those who look: it is forbidden to scripts.
    let flags = raw::REDISMODULE_CMDFILTER_NOSELF.cast_signed();
    // SAFETY: the context is that of the load.
    let filter = unsafe { api!(RegisterCommandFilter(ctx, Some(filter), flags)) };
    if filter.is_null() { Err("command filter") } else { Ok(()) }
}

unsafe extern "C" fn filter(command: *mut RedisModuleCommandFilterCtx) {
    // SAFETY: the server gives a live context.
    let name = unsafe { api!(CommandFilterArgGet(command, 0)) };
    if name.is_null() {
        return;
    }
    // SAFETY: the name is live.
    let name = unsafe { bytes(name) };
    if verdicts::is_suspect(name) {
        guard((), |module| module.stock.verdicts().suspect());
    } else if takeover::may_have_counterpart(name) && config::takes_over() {
        // SAFETY: as this function.
        guard((), |module| unsafe { takeover::rewrite(module, command) });
    } else if name.eq_ignore_ascii_case(b"debug") {
        guard((), |module| module.facts.suspect());
    }
}
