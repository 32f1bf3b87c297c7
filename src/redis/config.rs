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
        let flags = match spec.unit {
            Unit::Bytes => raw::REDISMODULE_CONFIG_MEMORY,
        };
        let data = (&raw const *spec).cast_mut().cast::<c_void>();
        // SAFETY: the context is that of the load; the declaration lives as long as the module.
        let status = unsafe {
            api!(RegisterNumericConfig(
                ctx,
                spec.name.as_ptr(),
                spec.default,
                flags,
                spec.range.0,
                spec.range.1,
                Some(read),
                Some(write),
                None,
                data
            ))
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
