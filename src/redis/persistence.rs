//! Function libraries in RDB files and full synchronizations.
//!
//! Libraries are no keys, so they are the auxiliary data of a data type that has no keys. They are written
//! before the dataset and loaded as stock's libraries are: into the present set, which the load emptied or
//! not, or, when they come from a master, beside it until its dataset is complete.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::slice;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent, RedisModuleIO};

use super::api::api;
use super::entry::{log, subscribe};
use super::global::{self, Module};
use super::host::RedisHost;
use super::takeover;
use crate::config;
use crate::dialect::{Dialect, Hosts};
use crate::engine::{RestorePolicy, StagedLibraries};
use crate::names;
use crate::resp::ErrorReply;
use crate::script::Sha1;

/// The data type's name, nine characters that must never change: RDB files have it. A module with a prefix of
/// its own has a type of its own, named for it.
fn type_name() -> CString {
    let prefix = names::prefix();
    let name = if prefix == names::DECLARED_PREFIX {
        "redlua-fn".to_owned()
    } else {
        let digest = Sha1::of(prefix.as_bytes()).to_hex();
        format!("rl{}", String::from_utf8_lossy(&digest[..7]))
    };
    CString::new(name).unwrap_or_default()
}

/// The format of the record: the number of libraries, then the text of each.
const FORMAT: c_int = 1;

/// The load of a dataset that goes on.
#[derive(Default)]
pub(super) struct Loading {
    /// A master's libraries, which replace the present ones when its dataset is complete.
    aside: RefCell<Option<StagedLibraries>>,
    /// An RDB file is loaded, but not beside the present dataset.
    in_place: Cell<bool>,
    /// The load dropped the present libraries.
    replaces: Cell<bool>,
    /// The number of commands the server had run when all databases were last emptied.
    emptied_at: Cell<Option<u64>>,
}

/// Tells Valkey 9 that slots may move to other nodes as a whole, which it refuses while a module is there that does
/// not say so. The keys of such a slot are the server's affair, and libraries are no keys.
///
/// Stock: `valkeymodule.h`.
const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;

/// Registers the data type and the callbacks for loads.
///
/// # Errors
/// What the server did not take.
pub(super) fn register(ctx: *mut RedisModuleCtx, dialect: Dialect) -> Result<(), &'static str> {
    let mut options =
        raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
    if dialect.is(Hosts::Valkey) {
        options |= HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    // SAFETY: the context is that of the load.
    unsafe { api!(SetModuleOptions(ctx, c_int::try_from(options).unwrap_or_default())) };
    // SAFETY: all fields may be zero.
    let mut methods: raw::RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = u64::from(raw::REDISMODULE_TYPE_METHOD_VERSION);
    methods.rdb_load = Some(load_key);
    methods.aux_load = Some(load);
    // A server writes the frame of a record for every type that has a callback, whatever that writes.
    // Newer ones drop the frame where the second callback wrote nothing.
    if config::persists() {
        methods.aux_save = Some(save);
        methods.aux_save2 = Some(save_unless_empty);
        methods.aux_save_triggers =
            c_int::try_from(raw::REDISMODULE_AUX_BEFORE_RDB).unwrap_or_default();
    }
    // SAFETY: the context is that of the load; the server copies the methods.
    if unsafe { api!(CreateDataType(ctx, type_name().as_ptr(), FORMAT, &mut methods)) }.is_null() {
        return Err("data type");
    }
    subscribe(ctx, raw::REDISMODULE_EVENT_FLUSHDB, flushed);
    subscribe(ctx, raw::REDISMODULE_EVENT_LOADING, loads);
    subscribe(ctx, raw::REDISMODULE_EVENT_REPL_ASYNC_LOAD, loads_aside);
    Ok(())
}

/// Runs a callback's work; a panic in it, which the log has by then, gives `broken`.
pub(super) fn guard<T>(broken: T, work: impl FnOnce(&'static Module) -> T) -> T {
    // SAFETY: the server calls these callbacks on its main thread, or on that of a child.
    let Some(module) = (unsafe { global::module() }) else {
        return broken;
    };
    catch_unwind(AssertUnwindSafe(|| work(module))).unwrap_or(broken)
}

/// Writes the record.
unsafe extern "C" fn save(io: *mut RedisModuleIO, _when: c_int) {
    guard((), |module| {
        let libraries = module.engine.library_codes();
        // SAFETY: the stream is live; so below.
        unsafe { api!(SaveUnsigned(io, u64::try_from(libraries.len()).unwrap_or_default())) };
        for code in libraries {
            // SAFETY: the server copies the bytes.
            unsafe { api!(SaveStringBuffer(io, code.as_ptr().cast(), code.len())) };
        }
    });
}

/// Writes the record unless there is no library.
unsafe extern "C" fn save_unless_empty(io: *mut RedisModuleIO, when: c_int) {
    if guard(false, |module| !module.engine.library_codes().is_empty()) {
        // SAFETY: as this function.
        unsafe { save(io, when) };
    }
}

/// Refuses a key of the data type, which only a forged payload has.
unsafe extern "C" fn load_key(_io: *mut RedisModuleIO, _format: c_int) -> *mut c_void {
    ptr::null_mut()
}

/// Reads the record.
unsafe extern "C" fn load(io: *mut RedisModuleIO, format: c_int, _when: c_int) -> c_int {
    let status = guard(raw::REDISMODULE_ERR, |module| {
        // SAFETY: the stream is live.
        let ctx = unsafe { api!(GetContextFromIO(io)) };
        let detached = Detached::new(ctx);
        match read_record(io, format, detached.0, module) {
            Ok(()) => raw::REDISMODULE_OK,
            Err(broken) => {
                log(ctx, c"warning", &format!("RedLua refuses the function libraries: {broken}"));
                raw::REDISMODULE_ERR
            }
        }
    });
    c_int::try_from(status).unwrap_or_default()
}

/// Why a record is refused.
enum Broken {
    Format(c_int),
    CutOff,
    Library(ErrorReply),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => {
                write!(out, "they are in format {format}, which a newer RedLua wrote")
            }
            Self::CutOff => out.write_str("the record is damaged"),
            Self::Library(error) => out.write_str(&String::from_utf8_lossy(error.line())),
        }
    }
}

/// Reads the record into the set that the load goes to.
fn read_record(
    io: *mut RedisModuleIO,
    format: c_int,
    ctx: *mut RedisModuleCtx,
    module: &'static Module,
) -> Result<(), Broken> {
    if format != FORMAT {
        return Err(Broken::Format(format));
    }
    // SAFETY: the context lives until the load of the record ends.
    let host = unsafe { RedisHost::new(ctx, module, &[]) };
    let engine = &module.engine;
    let aside = module.loading.aside.take();
    let is_aside = aside.is_some();
    let mut staged = aside.unwrap_or_else(|| engine.stage());
    let read = read_libraries(io, |code| engine.stage_library(&host, &mut staged, code, true));
    if is_aside {
        // Refused or not, they are dropped when the server says how the load ended.
        module.loading.aside.replace(Some(staged));
        return read;
    }
    match read {
        // Libraries that the load did not drop stay beside those it brings, and give way to namesakes.
        Ok(()) => engine.adopt(staged, RestorePolicy::Replace).map_err(Broken::Library),
        Err(broken) => {
            engine.drop_staged(staged);
            Err(broken)
        }
    }
}

/// Reads the record and hands each library's text to `stage`.
fn read_libraries(
    io: *mut RedisModuleIO,
    mut stage: impl FnMut(&[u8]) -> Result<(), ErrorReply>,
) -> Result<(), Broken> {
    // SAFETY: the stream is live.
    let count = unsafe { api!(LoadUnsigned(io)) };
    check(io)?;
    // A count that is too large ends with the stream.
    for _ in 0..count {
        let code = Text::read(io)?;
        stage(code.bytes()).map_err(Broken::Library)?;
    }
    Ok(())
}

/// Whether the stream could give what was read last.
fn check(io: *mut RedisModuleIO) -> Result<(), Broken> {
    // SAFETY: the stream is live.
    if unsafe { api!(IsIOError(io)) } == 0 { Ok(()) } else { Err(Broken::CutOff) }
}

/// A string of the record; freed with the value.
struct Text {
    start: NonNull<c_char>,
    len: usize,
}

impl Text {
    fn read(io: *mut RedisModuleIO) -> Result<Self, Broken> {
        let mut len = 0;
        // SAFETY: the stream is live.
        let start = NonNull::new(unsafe { api!(LoadStringBuffer(io, &mut len)) });
        let text = start.map(|start| Self { start, len }).ok_or(Broken::CutOff)?;
        check(io)?;
        Ok(text)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the server gave that many bytes, which live as long as the value.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: the bytes are ours to free.
        unsafe { api!(Free(self.start.as_ptr().cast())) };
    }
}

/// A context with a client of its own, which that of a stream lacks; freed with the value.
struct Detached(*mut RedisModuleCtx);

impl Detached {
    fn new(ctx: *mut RedisModuleCtx) -> Self {
        // SAFETY: the context is live.
        Self(unsafe { api!(GetDetachedThreadSafeContext(ctx)) })
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // SAFETY: the context is ours to free.
        unsafe { api!(FreeThreadSafeContext(self.0)) };
    }
}

/// All keys are gone, by `FLUSHALL`, which keeps libraries, or because a dataset takes their place: servers
/// drop the keys before they begin to load it, or once they know that they can read it.
///
/// Stock: `db.c` `emptyData`.
unsafe extern "C" fn flushed(
    ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    guard((), |module| {
        // SAFETY: the event comes with this.
        let flush = unsafe { &*data.cast::<raw::RedisModuleFlushInfo>() };
        if subevent != raw::REDISMODULE_SUBEVENT_FLUSHDB_END || flush.dbnum != -1 {
            return;
        }
        if module.loading.in_place.get() {
            module.loading.replaces.set(true);
            drop_all(ctx, module);
        } else {
            module.loading.emptied_at.set(commands_run(ctx, module));
        }
    });
}

/// The number of commands the server has run, which tells whether two events belong to one command; not
/// looked up where no library depends on it.
fn commands_run(ctx: *mut RedisModuleCtx, module: &Module) -> Option<u64> {
    if module.engine.library_codes().is_empty() {
        return None;
    }
    number_of(ctx, c"stats", c"total_commands_processed")
}

/// A number of the server's `INFO`.
pub(super) fn number_of(ctx: *mut RedisModuleCtx, section: &CStr, field: &CStr) -> Option<u64> {
    // SAFETY: the context is live.
    let info = unsafe { api!(GetServerInfo(ctx, section.as_ptr())) };
    let mut failure = 0;
    // SAFETY: the information is live until it is freed below.
    let number = unsafe { api!(ServerInfoGetFieldUnsigned(info, field.as_ptr(), &mut failure)) };
    // SAFETY: the information is ours to free.
    unsafe { api!(FreeServerInfo(ctx, info)) };
    (failure == 0).then_some(number)
}

/// The server begins or ends to load a dataset.
///
/// Libraries go where stock drops its own: before an append-only file, and where the keys go. What a failed
/// load brought goes with its keys. A master without libraries sends no record, so the end of its dataset
/// is what replaces the present ones.
unsafe extern "C" fn loads(
    ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guard((), |module| {
        // An append-only file could hold what changes a user.
        module.stock.verdicts().forget();
        let Loading { aside, in_place, replaces, emptied_at } = &module.loading;
        let is_beside = aside.borrow().is_some();
        let emptied = emptied_at.take();
        let was_emptied = || emptied.is_some() && emptied == commands_run(ctx, module);
        match subevent {
            raw::REDISMODULE_SUBEVENT_LOADING_REPL_START if is_beside => replaces.set(false),
            raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
                module.engine.data_goes();
                in_place.set(true);
                replaces.set(was_emptied());
                aside.replace(Some(module.engine.stage()));
            }
            raw::REDISMODULE_SUBEVENT_LOADING_RDB_START => {
                in_place.set(true);
                replaces.set(was_emptied());
            }
            raw::REDISMODULE_SUBEVENT_LOADING_AOF_START => replaces.set(true),
            raw::REDISMODULE_SUBEVENT_LOADING_FAILED => {
                in_place.set(false);
                if let Some(staged) = aside.take() {
                    module.engine.drop_staged(staged);
                }
            }
            _ => {
                in_place.set(false);
                replaces.set(false);
                if let Some(staged) = aside.take() {
                    replace_all(ctx, module, staged);
                }
            }
        }
        if replaces.get() {
            drop_all(ctx, module);
        }
        if subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED {
            takeover::begin(ctx, module);
        }
    });
}

/// The server begins or ends to load a master's dataset beside the present one.
unsafe extern "C" fn loads_aside(
    ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guard((), |module| {
        let begins = subevent == raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_STARTED;
        let staged = module.loading.aside.replace(begins.then(|| module.engine.stage()));
        match (staged, subevent) {
            (Some(staged), raw::REDISMODULE_SUBEVENT_REPL_ASYNC_LOAD_COMPLETED) => {
                module.engine.data_goes();
                replace_all(ctx, module, staged);
            }
            (Some(staged), _) => module.engine.drop_staged(staged),
            (None, _) => {}
        }
    });
}

/// Drops the present libraries.
fn drop_all(ctx: *mut RedisModuleCtx, module: &Module) {
    if !module.engine.library_codes().is_empty() {
        replace_all(ctx, module, module.engine.stage());
    }
}

/// Puts a set of libraries in place of the present ones.
fn replace_all(ctx: *mut RedisModuleCtx, module: &Module, staged: StagedLibraries) {
    if let Err(error) = module.engine.adopt(staged, RestorePolicy::Flush) {
        let broken = Broken::Library(error);
        log(ctx, c"warning", &format!("RedLua keeps its function libraries: {broken}"));
    }
}
