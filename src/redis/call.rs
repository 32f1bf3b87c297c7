//! Commands by `RM_Call`.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::slice;

use redis_module::raw::{RedisModuleCallReply, RedisModuleCtx, RedisModuleString};
use seq_macro::seq;
use smallvec::SmallVec;

use super::api::api;
use crate::policy::call_errors::Refusal;

/// The reply of a command, as the server keeps it.
pub struct RawReply {
    reply: NonNull<RedisModuleCallReply>,
    proto: NonNull<u8>,
    len: usize,
}

impl RawReply {
    /// Takes the reply over; `None` for a null pointer.
    fn new(reply: *mut RedisModuleCallReply) -> Option<Self> {
        let reply = NonNull::new(reply)?;
        let mut len = 0;
        // SAFETY: the reply is live.
        let proto = unsafe { api!(CallReplyProto(reply.as_ptr(), &mut len)) };
        match NonNull::new(proto.cast_mut().cast()) {
            Some(proto) => Some(Self { reply, proto, len }),
            None => Some(Self { reply, proto: NonNull::dangling(), len: 0 }),
        }
    }
}

impl AsRef<[u8]> for RawReply {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes live as long as the reply.
        unsafe { slice::from_raw_parts(self.proto.as_ptr(), self.len) }
    }
}

impl Drop for RawReply {
    fn drop(&mut self) {
        // SAFETY: the reply is live and not used after this.
        unsafe { api!(FreeCallReply(self.reply.as_ptr())) };
    }
}

/// Calls a command for the module itself, with the server's rights, and reads its reply.
pub(super) fn plain<T>(
    ctx: *mut RedisModuleCtx,
    name: &CStr,
    args: &[&[u8]],
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    // SAFETY: callers give the context of a running callback.
    let reply = RawReply::new(unsafe { call(ctx, name.as_ptr(), args, b"E") })?;
    Some(read(reply.as_ref()))
}

/// Calls a command and says whether the server refused it before running it.
///
/// # Safety
/// 1. `ctx` is the context of a running callback.
/// 2. `name` is a C string.
pub(super) unsafe fn checked(
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    args: &[&[u8]],
    modifiers: &[u8],
) -> Result<RawReply, Refused> {
    set_errno(0);
    // SAFETY: by 1 and 2.
    let reply = unsafe { call(ctx, name, args, modifiers) };
    let errno = errno();
    let Some(reply) = RawReply::new(reply) else {
        return Err(Refused::from_errno(errno, Vec::new()));
    };
    // A refused call comes back as an error with its reason in errno. A command that ran leaves errno
    // alone, or with something that is no reason to refuse.
    if errno != 0
        && let [b'-', line @ ..] = reply.as_ref()
        && let Refused { refusal: Some(refusal), .. } = Refused::from_errno(errno, Vec::new())
        && is_refusal(refusal, line)
    {
        let line = line.split(|&byte| byte == b'\r').next().unwrap_or_default().to_vec();
        return Err(Refused { refusal: Some(refusal), line });
    }
    Ok(reply)
}

/// A call the server did not run.
pub(super) struct Refused {
    /// Why; `None` when the caller has no user to run it as.
    pub(super) refusal: Option<Refusal>,
    /// The server's error line without the dash.
    pub(super) line: Vec<u8>,
}

impl Refused {
    fn from_errno(errno: c_int, line: Vec<u8>) -> Self {
        let refusal = match errno {
            libc::ENOENT => Some(Refusal::Unknown),
            libc::EINVAL => Some(Refusal::Arity),
            libc::ESPIPE => Some(Refusal::ScriptRules),
            libc::ENOSPC => Some(Refusal::Memory),
            libc::EACCES => Some(Refusal::Acl),
            libc::EPERM => Some(Refusal::NonLocalKey),
            libc::EROFS => Some(Refusal::ClusterReadOnly),
            libc::ENETDOWN => Some(Refusal::ClusterDown),
            _ => None,
        };
        Self { refusal, line }
    }
}

/// Whether the server words this refusal so: a command that ran may have left the same errno.
fn is_refusal(refusal: Refusal, line: &[u8]) -> bool {
    match refusal {
        Refusal::Unknown => line.starts_with(b"ERR unknown "),
        Refusal::Arity => line.starts_with(b"ERR wrong number of arguments for "),
        Refusal::ScriptRules => {
            line.ends_with(b"is not allowed on script mode")
                || [&b"NOREPLICAS "[..], b"MISCONF ", b"READONLY ", b"MASTERDOWN "]
                    .iter()
                    .any(|code| line.starts_with(code))
        }
        Refusal::Memory => line.starts_with(b"OOM "),
        Refusal::Acl => {
            line.starts_with(b"NOPERM ") || line.starts_with(b"ERR acl verification failed")
        }
        Refusal::NonLocalKey | Refusal::CrossSlot => {
            line.starts_with(b"ERR Attempted to access a non local key")
        }
        Refusal::ClusterReadOnly | Refusal::ClusterDown => {
            line.starts_with(b"ERR Can not execute a ")
        }
    }
}

/// Calls a command whose arguments are bytes.
///
/// Bytes become strings that only the command holds. That matters: the server encodes a value as an
/// integer only when nobody else holds it, so passing strings of our own would store it differently.
///
/// # Safety
/// 1. `ctx` is the context of a running callback.
/// 2. `name` is a C string.
unsafe fn call(
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    args: &[&[u8]],
    modifiers: &[u8],
) -> *mut RedisModuleCallReply {
    match args.len() {
        // SAFETY: by 1 and 2.
        0..=4 => unsafe { call_4(ctx, name, args, modifiers) },
        // SAFETY: by 1 and 2.
        5..=16 => unsafe { call_16(ctx, name, args, modifiers) },
        // SAFETY: by 1 and 2.
        17..=64 => unsafe { call_64(ctx, name, args, modifiers) },
        // SAFETY: by 1 and 2.
        65..=256 => unsafe { call_256(ctx, name, args, modifiers) },
        // SAFETY: by 1 and 2.
        _ => unsafe { call_strings(ctx, name, args, modifiers) },
    }
}

/// The format of a call: modifiers, then one letter per argument, then NUL.
fn format(modifiers: &[u8], args: usize, letter: u8) -> SmallVec<[u8; 32]> {
    let mut format = SmallVec::with_capacity(modifiers.len() + args + 1);
    format.extend_from_slice(modifiers);
    format.resize(modifiers.len() + args, letter);
    format.push(0);
    format
}

/// Defines a function that passes up to `$size` arguments as pointer and length each.
///
/// A variadic call has a fixed number of arguments in Rust: the missing ones are passed as nulls, which the
/// server does not read, because the format does not name them.
macro_rules! padded_call {
    ($name:ident, $size:literal) => {
        /// # Safety
        /// As [`call`]; at most as many arguments as the name says.
        unsafe fn $name(
            ctx: *mut RedisModuleCtx,
            name: *const c_char,
            args: &[&[u8]],
            modifiers: &[u8],
        ) -> *mut RedisModuleCallReply {
            let mut pairs = [(std::ptr::null::<c_char>(), 0_usize); $size];
            for (pair, arg) in pairs.iter_mut().zip(args) {
                *pair = (arg.as_ptr().cast(), arg.len());
            }
            let format = format(modifiers, args.len(), b'b');
            let format = format.as_ptr().cast::<c_char>();
            seq!(I in 0..$size {
                // SAFETY: by the contract; the format names as many pairs as there are arguments.
                unsafe { api!(Call(ctx, name, format #(, pairs[I].0, pairs[I].1)*)) }
            })
        }
    };
}
padded_call!(call_4, 4);
padded_call!(call_16, 16);
padded_call!(call_64, 64);
padded_call!(call_256, 256);

/// Passes `args` as strings of the module's own, for calls with very many arguments.
///
/// # Safety
/// As [`call`].
unsafe fn call_strings(
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    args: &[&[u8]],
    modifiers: &[u8],
) -> *mut RedisModuleCallReply {
    let strings = Strings::new(args);
    let format = format(modifiers, 1, b'v');
    let pointer: *const *mut RedisModuleString = strings.as_slice().as_ptr();
    // SAFETY: by the function's contract; the format names the vector and its length.
    unsafe { api!(Call(ctx, name, format.as_ptr().cast(), pointer, args.len())) }
}

/// Strings of the module's own; freed with the value.
pub(super) struct Strings(SmallVec<[*mut RedisModuleString; 8]>);

impl Strings {
    pub(super) fn new(items: &[&[u8]]) -> Self {
        let create = |item: &&[u8]| {
            // SAFETY: no context is needed to create a string that is freed by hand.
            unsafe { api!(CreateString(std::ptr::null_mut(), item.as_ptr().cast(), item.len())) }
        };
        Self(items.iter().map(create).collect())
    }

    pub(super) fn as_slice(&self) -> &[*mut RedisModuleString] {
        &self.0
    }
}

impl Drop for Strings {
    fn drop(&mut self) {
        for string in &self.0 {
            // SAFETY: the string was created here.
            unsafe { api!(FreeString(std::ptr::null_mut(), *string)) };
        }
    }
}

pub(super) fn errno() -> c_int {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() = value };
}
