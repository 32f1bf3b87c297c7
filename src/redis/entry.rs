//! Loading the module, which is never unloaded: servers refuse that for one with a data type.

use std::ffi::{CStr, CString, c_int, c_void};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::ptr;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent, RedisModuleString};

use super::api::{self, api};
use super::arguments::{self, Arguments};
use super::debug::Debuggers;
use super::facts::FactsCache;
use super::global::{self, Module, Writes};
use super::persistence::{self, Loading};
use super::takeover::{self, Counterparts};
use super::user::StockCommands;
use super::{aof, config, filter, info, register};
use crate::dialect::{Dialect, Flavour, version};
use crate::engine::Engine;
use crate::names;

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;
/// The module's version, `MMmmpp` in decimal as `MODULE LIST` shows it.
const VERSION: c_int = 100;

/// Called by the server to load the module.
///
/// # Safety
/// Only the server calls it, with a live context and that many live strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    let api_version = raw::REDISMODULE_APIVER_1 as c_int;
    // SAFETY: the context is that of the load. Nothing is allocated before.
    unsafe { api::connect(ctx) };
    // SAFETY: the server calls this with these.
    let words = unsafe { arguments::words(argv, argc) };
    let arguments = Arguments::parse(&words);
    if let Ok(Arguments { prefix: Some(prefix), .. }) = &arguments {
        names::set_prefix(prefix);
    }
    let name = arguments::module_name();
    // SAFETY: the context is live.
    let status = unsafe { raw::Export_RedisModule_Init(ctx, name.as_ptr(), VERSION, api_version) };
    if status != OK {
        return ERR;
    }
    let loaded = catch_unwind(AssertUnwindSafe(|| load(ctx, &arguments?)));
    match loaded.unwrap_or_else(|_| Err("internal error".to_owned())) {
        Ok(()) => OK,
        Err(reason) => {
            log(ctx, c"warning", &format!("RedLua does not load: {reason}"));
            ERR
        }
    }
}

fn load(ctx: *mut RedisModuleCtx, arguments: &Arguments) -> Result<(), String> {
    panic::set_hook(Box::new(|panic| {
        log(ptr::null_mut(), c"warning", &format!("A bug was met, please report it: {panic}"));
    }));
    let missing = api::missing();
    if let Some(name) = missing.first() {
        return Err(format!("the server lacks {name}; Redis 7.0.15 or Valkey 8.1 is needed"));
    }
    let dialect = dialect(ctx).ok_or("the server does not tell its version")?;
    register::register(ctx, dialect)
        .map_err(|name| format!("the server refused the command {name}"))?;
    config::register(ctx, &arguments.settings)
        .map_err(|name| format!("bad value for the setting {name:?}"))?;
    info::register(ctx);
    persistence::register(ctx, dialect).map_err(|name| format!("the server refused the {name}"))?;
    aof::register(ctx);
    filter::register(ctx).map_err(|name| format!("the server refused the {name}"))?;
    let module = Module {
        engine: Engine::new(dialect)
            .map_err(|error| format!("no thread for its clock: {error}"))?,
        facts: FactsCache::default(),
        stock: StockCommands::new(),
        counterparts: Counterparts::new(),
        probe: CString::new(names::full("LUA.WRITEPROBE")).unwrap_or_default(),
        writes: Writes::default(),
        debuggers: Debuggers::default(),
        loading: Loading::default(),
    };
    module.facts.fill(ctx);
    module.stock.verdicts().prepare(ctx);
    // SAFETY: the module is being loaded, on the main thread.
    unsafe { global::install(module) };
    subscribe(ctx, raw::REDISMODULE_EVENT_MODULE_CHANGE, modules_changed);
    // With the children that the server makes and loses, which `aof` hears of, these are what can make it
    // refuse writes without showing in a context's flags. An event has one callback.
    subscribe(ctx, raw::REDISMODULE_EVENT_CONFIG, settings_changed);
    subscribe(ctx, raw::REDISMODULE_EVENT_PERSISTENCE, writes_may_be_refused);
    subscribe(ctx, raw::REDISMODULE_EVENT_CRON_LOOP, ticked);
    // SAFETY: the module is being loaded, on the main thread.
    if let Some(module) = unsafe { global::module() } {
        takeover::begin(ctx, module);
    }
    log(
        ctx,
        c"notice",
        &format!("RedLua {} ({}) is ready", env!("CARGO_PKG_VERSION"), env!("REDLUA_BUILD")),
    );
    Ok(())
}

/// A callback for events of the server.
pub(super) type EventCallback =
    unsafe extern "C" fn(*mut RedisModuleCtx, RedisModuleEvent, u64, *mut c_void);

/// Has the server report the events of kind `id`.
pub(super) fn subscribe(ctx: *mut RedisModuleCtx, id: u64, callback: EventCallback) {
    let event = RedisModuleEvent { id, dataver: 1 };
    // SAFETY: the context is that of the load; every kind of event has the same type of callback.
    unsafe { api!(SubscribeToServerEvent(ctx, event, Some(callback))) };
}

/// A setting changed.
unsafe extern "C" fn settings_changed(
    _ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: events come on the main thread.
    if let Some(module) = unsafe { global::module() } {
        module.writes.allowed.set(false);
        module.writes.need_replicas.set(None);
    }
    // SAFETY: this kind of event comes with this.
    let change = unsafe { data.cast::<raw::RedisModuleConfigChange>().as_ref() };
    // SAFETY: the server describes the change.
    if change.is_some_and(|change| unsafe { config::concerns_us(change) }) {
        config::look_at_server();
    }
}

/// The event loop goes to sleep, which it does after it wrote to the append-only file, or wakes up.
pub(super) unsafe extern "C" fn turned(
    _ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    // SAFETY: events come on the main thread.
    if let Some(module) = unsafe { global::module() } {
        module.writes.allowed.set(false);
    }
}

/// A file was written or failed to be.
unsafe extern "C" fn writes_may_be_refused(
    _ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    // SAFETY: events come on the main thread, or on that of a child.
    if let Some(module) = unsafe { global::module() } {
        module.writes.allowed.set(false);
    }
}

/// Other modules bring and take commands.
unsafe extern "C" fn modules_changed(
    ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    // SAFETY: events come on the main thread.
    if let Some(module) = unsafe { global::module() } {
        module.facts.invalidate();
        module.stock.verdicts().modules_changed();
        // A module that goes still has its commands now. After one that came everything is asked for at once, so
        // that no script's statistics show it; Valkey 9.1 loads its own engine after other modules.
        if subevent == raw::REDISMODULE_SUBEVENT_MODULE_LOADED {
            module.facts.fill(ctx);
            module.stock.verdicts().prepare(ctx);
        }
    }
}

/// The server did what it does some times in a second.
unsafe extern "C" fn ticked(
    _ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    // SAFETY: events come on the main thread.
    if let Some(module) = unsafe { global::module() } {
        module.stock.verdicts().tick();
        module.debuggers.tick();
    }
}

/// Asks the server what it is.
fn dialect(ctx: *mut RedisModuleCtx) -> Option<Dialect> {
    // SAFETY: the context is live.
    let info = unsafe { api!(GetServerInfo(ctx, c"server".as_ptr())) };
    let field = |name: &CStr| {
        // SAFETY: the information is live until it is freed below.
        let value = unsafe { api!(ServerInfoGetFieldC(info, name.as_ptr())) };
        if value.is_null() {
            return None;
        }
        // SAFETY: the server gives a C string.
        let value = unsafe { CStr::from_ptr(value) };
        Some(value.to_string_lossy().into_owned())
    };
    let redis_version = field(c"redis_version").and_then(|text| parse_version(&text));
    let valkey_version = field(c"valkey_version").and_then(|text| parse_version(&text));
    // SAFETY: the information is ours to free.
    unsafe { api!(FreeServerInfo(ctx, info)) };
    let redis_version = redis_version?;
    Some(match valkey_version {
        Some(version) => Dialect { flavour: Flavour::Valkey, version, redis_version },
        None => Dialect { flavour: Flavour::Redis, version: redis_version, redis_version },
    })
}

fn parse_version(text: &str) -> Option<u32> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some(version(parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

/// Writes a line to the server's log.
pub(super) fn log(ctx: *mut RedisModuleCtx, level: &CStr, line: &str) {
    let line = CString::new(line).unwrap_or_default();
    // SAFETY: the context is live or null, and the format takes one C string.
    unsafe { api!(Log(ctx, level.as_ptr(), c"%s".as_ptr(), line.as_ptr())) };
}
