//! Settings: from their declarations to the server.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::sync::atomic::Ordering;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::api::api;
use crate::config::{CONFIGS, ConfigSpec, Unit};

/// Registers all settings and takes the values the configuration file gives them.
///
/// # Errors
/// The name of the setting the server did not take.
pub(super) fn register(ctx: *mut RedisModuleCtx) -> Result<(), &'static CStr> {
    for spec in CONFIGS {
        let status = match spec.unit {
            Unit::Bytes => register_number(ctx, spec, raw::REDISMODULE_CONFIG_MEMORY),
            Unit::Switch => register_switch(ctx, spec),
        };
        if status != OK {
            return Err(spec.name);
        }
    }
    // SAFETY: the context is that of the load.
    let status = unsafe { api!(LoadConfigs(ctx)) };
    if status == OK { Ok(()) } else { Err(c"redlua.*") }
}

const OK: c_int = raw::REDISMODULE_OK as c_int;

fn register_number(ctx: *mut RedisModuleCtx, spec: &'static ConfigSpec, unit: u32) -> c_int {
    // SAFETY: the context is that of the load; the declaration lives as long as the module.
    unsafe {
        api!(RegisterNumericConfig(
            ctx,
            spec.name.as_ptr(),
            spec.default,
            unit | flags(spec),
            spec.range.0,
            spec.range.1,
            Some(read),
            Some(write),
            None,
            data(spec)
        ))
    }
}

fn register_switch(ctx: *mut RedisModuleCtx, spec: &'static ConfigSpec) -> c_int {
    let default = c_int::from(spec.default != 0);
    // SAFETY: as above.
    unsafe {
        api!(RegisterBoolConfig(
            ctx,
            spec.name.as_ptr(),
            default,
            flags(spec),
            Some(read_switch),
            Some(write_switch),
            None,
            data(spec)
        ))
    }
}

/// The flags that all kinds of settings have.
fn flags(spec: &ConfigSpec) -> u32 {
    if spec.fixed { raw::REDISMODULE_CONFIG_IMMUTABLE } else { raw::REDISMODULE_CONFIG_DEFAULT }
}

/// What the server hands to the functions below.
fn data(spec: &'static ConfigSpec) -> *mut c_void {
    (&raw const *spec).cast_mut().cast()
}

/// Gives the server a setting's value.
unsafe extern "C" fn read(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: the data is the declaration it was registered with.
    let spec = unsafe { &*data.cast::<ConfigSpec>() };
    spec.value.load(Ordering::Relaxed)
}

/// Takes a setting's value from the server, which checked its range.
unsafe extern "C" fn write(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the data is the declaration it was registered with.
    let spec = unsafe { &*data.cast::<ConfigSpec>() };
    spec.value.store(value, Ordering::Relaxed);
    OK
}

/// Gives the server a switch's value.
unsafe extern "C" fn read_switch(_name: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: as in `read`.
    let spec = unsafe { &*data.cast::<ConfigSpec>() };
    c_int::from(spec.value.load(Ordering::Relaxed) != 0)
}

/// Takes a switch's value from the server.
unsafe extern "C" fn write_switch(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: as in `write`.
    let spec = unsafe { &*data.cast::<ConfigSpec>() };
    spec.value.store(i64::from(value != 0), Ordering::Relaxed);
    OK
}
