//! The module's sections of `INFO`.

use std::ffi::{CStr, CString, c_int};

use redis_module::raw::{RedisModuleCtx, RedisModuleInfoCtx};

use super::api::api;
use super::global;
use crate::config::{self, CONFIGS, Unit, Value};
use crate::dialect::Flavour;

/// Registers the sections.
pub(super) fn register(ctx: *mut RedisModuleCtx) {
    // SAFETY: the context is that of the load.
    unsafe { api!(RegisterInfoFunc(ctx, Some(report))) };
}

/// Writes the sections; the server puts `redlua_` before every name.
unsafe extern "C" fn report(ctx: *mut RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: the server asks on the main thread.
    let Some(module) = (unsafe { global::module() }) else {
        return;
    };
    let stats = module.engine.stats();
    let report = Report { ctx };
    if report.section(c"engine") {
        let dialect = module.engine.dialect();
        report.text(c"version", env!("CARGO_PKG_VERSION"));
        report.text(c"build", env!("REDLUA_BUILD"));
        report.text(c"lua_version", "Lua 5.1");
        report.text(
            c"answers_as",
            match dialect.flavour {
                Flavour::Redis => "redis",
                Flavour::Valkey => "valkey",
            },
        );
        report.number(c"takeover", u64::from(config::takes_over()));
        report.number(c"rebuilt_vms", stats.rebuilt_vms);
    }
    if report.section(c"memory") {
        report.count(c"used_memory_vm_eval", stats.vm_memory);
        report.count(c"used_memory_vm_functions", stats.function_vm_memory);
        report.count(c"used_memory_scripts_eval", stats.scripts_memory);
        report.count(c"used_memory_stats", stats.figures_memory);
    }
    if report.section(c"cache") {
        report.count(c"number_of_cached_scripts", stats.cached_scripts);
        report.count(c"number_of_evictable_scripts", stats.evictable_scripts);
        report.number(c"evicted_scripts", stats.evicted_scripts);
    }
    if report.section(c"functions") {
        report.count(c"number_of_libraries", stats.libraries);
        report.count(c"number_of_functions", stats.functions);
    }
    if report.section(c"runs") {
        report.number(c"runs", stats.runs);
        report.number(c"failed_runs", stats.failed_runs);
        report.number(c"killed_runs", stats.killed_runs);
        report.count(c"slowlog_len", stats.slow_runs);
    }
    if report.section(c"limits") {
        let is_limit = |unit: Unit| !matches!(unit, Unit::Switch | Unit::Choice(_));
        for spec in CONFIGS.iter().filter(|spec| is_limit(spec.unit)) {
            let (Value::Own(value) | Value::Server { known: value, .. }) = spec.value;
            let name = spec.name.to_string_lossy().replace('-', "_");
            let name = CString::new(name).unwrap_or_default();
            report.signed(&name, value.load(std::sync::atomic::Ordering::Relaxed));
        }
    }
}

/// `INFO` as it is written.
struct Report {
    ctx: *mut RedisModuleInfoCtx,
}

impl Report {
    /// Begins a section; false where nobody asked for it.
    fn section(&self, name: &CStr) -> bool {
        // SAFETY: the context is live while the server asks; so in all functions below.
        let status = unsafe { api!(InfoAddSection(self.ctx, name.as_ptr())) };
        status == redis_module::raw::REDISMODULE_OK as c_int
    }

    fn number(&self, name: &CStr, value: u64) {
        // SAFETY: see `section`.
        unsafe { api!(InfoAddFieldULongLong(self.ctx, name.as_ptr(), value)) };
    }

    fn signed(&self, name: &CStr, value: i64) {
        // SAFETY: see `section`.
        unsafe { api!(InfoAddFieldLongLong(self.ctx, name.as_ptr(), value)) };
    }

    fn count(&self, name: &CStr, value: usize) {
        self.number(name, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn text(&self, name: &CStr, value: &str) {
        let value = CString::new(value).unwrap_or_default();
        // SAFETY: see `section`; the server copies the text.
        unsafe { api!(InfoAddFieldCString(self.ctx, name.as_ptr(), value.as_ptr())) };
    }
}
