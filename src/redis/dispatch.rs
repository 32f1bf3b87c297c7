//! The command callbacks: from the server's arguments to a handler.
//!
//! The server gives a callback nothing to tell commands apart by, so there is one per command, made from a
//! generic function and the command's place in [`COMMANDS`].

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use smallvec::SmallVec;

use super::api::api;
use super::call::bytes;
use super::global::{self, Module};
use super::host::RedisHost;
use super::reply::ClientReply;
use super::user::UserName;
use crate::commands::{self, COMMANDS, CommandSpec, Invocation, KeyAccess, Keys};
use crate::resp::{ErrorReply, ReplySink};

/// A command callback as the server calls it.
pub(super) type Callback =
    unsafe extern "C" fn(*mut RedisModuleCtx, *mut *mut RedisModuleString, c_int) -> c_int;

const OK: c_int = raw::REDISMODULE_OK as c_int;

/// Callbacks by place in [`COMMANDS`].
pub(super) const CALLBACKS: &[Callback] = &seq_macro::seq!(I in 0..64 { [ #( callback::<I>, )* ] });

/// The callback of the command at place `INDEX`.
unsafe extern "C" fn callback<const INDEX: usize>(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    let count = usize::try_from(argc).unwrap_or_default();
    // SAFETY: the server gives that many strings, live during the call.
    let argv = unsafe { slice::from_raw_parts(argv, count) };
    // SAFETY: as above.
    guard(ctx, || unsafe { run(INDEX, ctx, argv) });
    OK
}

/// Runs `work`; a panic in it becomes an error reply and a line in the log.
fn guard(ctx: *mut RedisModuleCtx, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        // SAFETY: callbacks of commands run on the main thread.
        let Some(module) = (unsafe { global::module() }) else {
            return;
        };
        // SAFETY: the context is live.
        let mut reply = unsafe { ClientReply::new(ctx) };
        reply.error(commands::internal_error(module.engine.dialect()).line());
    }
}

/// Runs the command at place `index`.
///
/// # Safety
/// `ctx` and `argv` are those of a callback that is running.
#[inline]
unsafe fn run(index: usize, ctx: *mut RedisModuleCtx, argv: &[*mut RedisModuleString]) {
    let Some(spec) = COMMANDS.get(index) else {
        return;
    };
    if let Keys::Counted { at, access, .. } = spec.keys {
        // SAFETY: the context is live.
        if unsafe { api!(IsKeysPositionRequest(ctx)) } != 0 {
            // SAFETY: as this function.
            unsafe { report_keys(ctx, argv, at, access) };
            return;
        }
    }
    // SAFETY: callbacks of commands run on the main thread.
    let Some(module) = (unsafe { global::module() }) else {
        return;
    };
    // SAFETY: the context is live as long as the reply is used.
    let mut reply = unsafe { ClientReply::new(ctx) };
    if !module.stock.permits(ctx, index) {
        reply.error(no_permission(ctx, module, spec).line());
        return;
    }
    let words = if spec.subcommand().is_some() { 2 } else { 1 };
    let subcommand = match argv.get(1) {
        // SAFETY: the string is live as long as the bytes are used.
        Some(string) if words == 2 => unsafe { bytes(*string) },
        _ => b"",
    };
    // SAFETY: the strings are live as long as the bytes are used.
    let args = argv.iter().skip(words).map(|string| unsafe { bytes(*string) });
    let args: SmallVec<[&[u8]; 16]> = args.collect();
    // SAFETY: the context outlives the host.
    let host = unsafe { RedisHost::new(ctx, module, argv) };
    let Some(handler) = spec.handler else { return };
    let mut invocation = Invocation {
        args: &args,
        subcommand,
        engine: &module.engine,
        host: &host,
        reply: &mut reply,
    };
    if let Err(error) = handler(&mut invocation) {
        reply.error(error.line());
    }
}

/// Tells the server where the keys of a command are, which it asks to route and to check it.
///
/// Reads nothing but the arguments: the server may ask on another thread, without a client.
///
/// # Safety
/// `ctx` and `argv` are those of a callback that is asked for keys.
unsafe fn report_keys(
    ctx: *mut RedisModuleCtx,
    argv: &[*mut RedisModuleString],
    at: usize,
    access: KeyAccess,
) {
    // SAFETY: the strings are live.
    let count = argv.get(at).map(|count| leading_integer(unsafe { bytes(*count) }));
    let count = count.unwrap_or_default();
    let first = at + 1;
    if count > argv.len().saturating_sub(first) {
        return;
    }
    let flags = key_flags(access);
    for position in first..first + count {
        // SAFETY: the context is live.
        unsafe {
            api!(KeyAtPosWithFlags(
                ctx,
                c_int::try_from(position).unwrap_or(c_int::MAX),
                c_int::try_from(flags).unwrap_or_default()
            ))
        };
    }
}

/// The number a text begins with, read as leniently as the server reads it to find keys; 0 for none.
///
/// Stock: `db.c` `genericGetKeys`.
fn leading_integer(text: &[u8]) -> usize {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: usize, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    })
}

/// The server's flags for keys used this way.
pub(super) fn key_flags(access: KeyAccess) -> u64 {
    let flags = match access {
        KeyAccess::ReadWrite => {
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_ACCESS
                | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        KeyAccess::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
    };
    u64::from(flags)
}

#[cold]
fn no_permission(ctx: *mut RedisModuleCtx, module: &Module, spec: &CommandSpec) -> ErrorReply {
    let user = UserName::of(ctx).map(|name| name.to_bytes()).unwrap_or_default();
    commands::no_permission(spec, &user, module.engine.dialect())
}
