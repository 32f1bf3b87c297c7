//! The module's section of `INFO`.

use std::ffi::c_int;

use redis_module::raw::{RedisModuleCtx, RedisModuleInfoCtx};

use super::api::api;
use super::global;

/// Registers the section.
pub(super) fn register(ctx: *mut RedisModuleCtx) {
    // SAFETY: the context is that of the load.
    unsafe { api!(RegisterInfoFunc(ctx, Some(report))) };
}

/// Writes the section; the server puts `redlua_` before every name.
unsafe extern "C" fn report(ctx: *mut RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: the server asks on the main thread.
    let Some(module) = (unsafe { global::module() }) else {
        return;
    };
    let stats = module.engine.stats();
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    // SAFETY: the context is live; an empty name adds to the module's default section.
    unsafe { api!(InfoAddSection(ctx, c"".as_ptr())) };
    for (name, value) in [
        (c"used_memory_vm_eval", number(stats.vm_memory)),
        (c"used_memory_scripts_eval", number(stats.scripts_memory)),
        (c"number_of_cached_scripts", number(stats.cached_scripts)),
        (c"number_of_evictable_scripts", number(stats.evictable_scripts)),
        (c"evicted_scripts", stats.evicted_scripts),
        (c"number_of_libraries", number(stats.libraries)),
        (c"number_of_functions", number(stats.functions)),
        (c"used_memory_vm_functions", number(stats.function_vm_memory)),
        (c"runs", stats.runs),
        (c"failed_runs", stats.failed_runs),
        (c"rebuilt_vms", stats.rebuilt_vms),
    ] {
        // SAFETY: the context is live.
        unsafe { api!(InfoAddFieldULongLong(ctx, name.as_ptr(), value)) };
    }
}
