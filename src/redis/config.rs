//! Settings: from their declarations to the server.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::api::api;
use super::{call, global, takeover};
use crate::config::{CONFIGS, ConfigSpec, Unit, Value};

/// Registers all settings and takes the values that the configuration file and the load's arguments give
/// them; the arguments count more.
///
/// # Errors
/// The name of the setting the server did not take.
pub(super) fn register(
    ctx: *mut RedisModuleCtx,
    arguments: &[(&'static ConfigSpec, i64)],
) -> Result<(), &'static CStr> {
    // SAFETY: the context is that of the load; the one made of it stays.
    SERVER.store(unsafe { api!(GetDetachedThreadSafeContext(ctx)) }, Ordering::Relaxed);
    for spec in CONFIGS {
        let status = match spec.unit {
            Unit::Bytes => register_number(ctx, spec, raw::REDISMODULE_CONFIG_MEMORY),
            Unit::Milliseconds | Unit::Microseconds | Unit::Count => register_number(ctx, spec, 0),
            Unit::Switch => register_switch(ctx, spec),
            Unit::Choice(words) => register_choice(ctx, spec, words),
        };
        if status != OK {
            return Err(spec.name);
        }
    }
    // SAFETY: the context is that of the load.
    let status = unsafe { api!(LoadConfigs(ctx)) };
    LOADED.store(true, Ordering::Relaxed);
    look_at_server();
    for (spec, value) in arguments {
        set(spec, *value);
    }
    if status == OK { Ok(()) } else { Err(c"redlua.*") }
}

/// A context for settings of the server: callbacks of settings get none.
static SERVER: AtomicPtr<RedisModuleCtx> = AtomicPtr::new(ptr::null_mut());

/// The settings have the values the configuration file gives them.
static LOADED: AtomicBool = AtomicBool::new(false);

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

fn register_number(ctx: *mut RedisModuleCtx, spec: &'static ConfigSpec, unit: u32) -> c_int {
    // SAFETY: the context is that of the load; the declaration lives as long as the module.
    unsafe {
        api!(RegisterNumericConfig(
            ctx,
            spec.name.as_ptr(),
            spec.default,
            unit | raw::REDISMODULE_CONFIG_DEFAULT,
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
            raw::REDISMODULE_CONFIG_DEFAULT,
            Some(read_int),
            Some(write_int),
            None,
            data(spec)
        ))
    }
}

fn register_choice(
    ctx: *mut RedisModuleCtx,
    spec: &'static ConfigSpec,
    words: &'static [&'static CStr],
) -> c_int {
    let mut names: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    let places: Vec<c_int> = (0..).take(words.len()).collect();
    // SAFETY: as above; the server copies the words.
    unsafe {
        api!(RegisterEnumConfig(
            ctx,
            spec.name.as_ptr(),
            c_int::try_from(spec.default).unwrap_or_default(),
            raw::REDISMODULE_CONFIG_DEFAULT,
            names.as_mut_ptr(),
            places.as_ptr(),
            c_int::try_from(words.len()).unwrap_or_default(),
            Some(read_int),
            Some(write_int),
            None,
            data(spec)
        ))
    }
}

/// What the server hands to the functions below.
fn data(spec: &'static ConfigSpec) -> *mut c_void {
    (&raw const *spec).cast_mut().cast()
}

/// Gives the server a setting's value.
unsafe extern "C" fn read(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: the data is the declaration it was registered with.
    get(unsafe { &*data.cast::<ConfigSpec>() })
}

/// Takes a setting's value from the server, which checked its range.
unsafe extern "C" fn write(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the data is the declaration it was registered with; the server waits for an error.
    unsafe { set_if_free(&*data.cast::<ConfigSpec>(), value, error) }
}

/// Gives the server the value of a switch, or the place of a word.
unsafe extern "C" fn read_int(_name: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: as in `read`.
    c_int::try_from(get(unsafe { &*data.cast::<ConfigSpec>() })).unwrap_or_default()
}

/// Takes the value of a switch, or the place of a word, from the server.
unsafe extern "C" fn write_int(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: as in `write`.
    unsafe { set_if_free(&*data.cast::<ConfigSpec>(), i64::from(value), error) }
}

/// Sets a value, unless it would change one that is fixed once the module is loaded.
///
/// The server has a flag for those, but with it refuses the value they have too, which tools that write
/// a whole configuration back trip over.
///
/// # Safety
/// `error` is where the server finds the reason of a refusal.
unsafe fn set_if_free(spec: &ConfigSpec, value: i64, error: *mut *mut RedisModuleString) -> c_int {
    if !spec.fixed || !LOADED.load(Ordering::Relaxed) {
        return set(spec, value);
    }
    if get(spec) == value {
        return OK;
    }
    let text = "can't set immutable config";
    // SAFETY: no context is needed for a string that the server frees.
    let text = unsafe { api!(CreateString(ptr::null_mut(), text.as_ptr().cast(), text.len())) };
    // SAFETY: by the contract.
    unsafe { *error = text };
    ERR
}

fn get(spec: &ConfigSpec) -> i64 {
    // The server may be in the middle of a walk through its settings, and does not bear to be asked for one.
    let (Value::Own(value) | Value::Server { known: value, .. }) = spec.value;
    value.load(Ordering::Relaxed)
}

/// Whether settings of the server that are also ours changed. For others the server is not asked: its slow
/// log and its statistics would show the question.
///
/// # Safety
/// The server describes a change.
pub(super) unsafe fn concerns_us(change: &raw::RedisModuleConfigChange) -> bool {
    let count = change.num_changes as usize;
    // SAFETY: the server gives that many names.
    let names = unsafe { slice::from_raw_parts(change.config_names, count) };
    names.iter().any(|name| {
        // SAFETY: they are C strings.
        let changed = unsafe { CStr::from_ptr(*name) };
        // The older name of `busy-reply-threshold`.
        changed == c"lua-time-limit"
            || CONFIGS
                .iter()
                .any(|spec| matches!(spec.value, Value::Server { name, .. } if name == changed))
    })
}

/// Takes the values of the settings that are the server's.
pub(super) fn look_at_server() {
    let ctx = SERVER.load(Ordering::Relaxed);
    for spec in CONFIGS {
        let Value::Server { name, known } = spec.value else { continue };
        let value = call::setting(ctx, name.to_bytes());
        let value = value.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        known.store(value.unwrap_or(spec.default), Ordering::Relaxed);
    }
}

fn set(spec: &ConfigSpec, value: i64) -> c_int {
    match spec.value {
        Value::Own(own) => {
            let begins = own.swap(value, Ordering::Relaxed) == 0 && spec.name == c"takeover";
            if begins && value != 0 && LOADED.load(Ordering::Relaxed) {
                begin_takeover();
            }
        }
        // The server sets what the configuration file does not name to its default: to what was so far.
        Value::Server { .. } if value == spec.default && !LOADED.load(Ordering::Relaxed) => {}
        Value::Server { name, .. } => {
            let ctx = SERVER.load(Ordering::Relaxed);
            let value = value.to_string();
            let words: [&[u8]; 3] = [b"SET", name.to_bytes(), value.as_bytes()];
            call::plain(ctx, c"CONFIG", &words, |_| ());
        }
    }
    OK
}

/// Begins a takeover on a server that runs.
fn begin_takeover() {
    // SAFETY: settings change on the main thread.
    if let Some(module) = unsafe { global::module() } {
        takeover::begin(SERVER.load(Ordering::Relaxed), module);
    }
}
