//! Commands by `RM_Call`.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::slice;

use redis_module::raw::{self, RedisModuleCallReply, RedisModuleCtx, RedisModuleString};
use smallvec::SmallVec;

use super::api::api;
use crate::policy::call_errors::Refusal;
use crate::resp::{Token, Tokens};

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

impl RawReply {
    /// Sends the reply to the client of `ctx` as it is; false, and nothing is sent, where the client does not
    /// speak its protocol.
    pub(super) fn forward(&self, ctx: *mut RedisModuleCtx) -> bool {
        // SAFETY: callers give the context of a running callback; the reply is live.
        let status = unsafe { api!(ReplyWithCallReply(ctx, self.reply.as_ptr())) };
        status == raw::REDISMODULE_OK as c_int
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
    let reply = unsafe { call(ctx, name.as_ptr(), None, args, Modifiers::new(b"E")) };
    let reply = RawReply::new(reply)?;
    Some(read(reply.as_ref()))
}

/// The value of a setting of the server.
pub(super) fn setting(ctx: *mut RedisModuleCtx, name: &[u8]) -> Option<Vec<u8>> {
    let read = |proto: &[u8]| {
        let mut tokens = Tokens::new(proto);
        // A list, or a map, of the name and the value.
        tokens.next();
        match (tokens.next(), tokens.next()) {
            (Token::Bulk(_), Token::Bulk(value)) => Some(value.to_vec()),
            _ => None,
        }
    };
    plain(ctx, c"CONFIG", &[b"GET", name], read).flatten()
}

/// Whether a setting of the server has this value.
pub(super) fn is_setting(ctx: *mut RedisModuleCtx, name: &[u8], value: &[u8]) -> bool {
    setting(ctx, name).as_deref() == Some(value)
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
    // SAFETY: by 1 and 2.
    unsafe { checked_with(ctx, name, None, args, Modifiers::new(modifiers)) }
}

/// As [`checked`]; with a `key`, that string is passed in the place of the first argument, which has the same
/// bytes.
///
/// # Safety
/// 1. `ctx` is the context of a running callback.
/// 2. `name` is a C string.
/// 3. `key` is live.
#[inline]
pub(super) unsafe fn checked_with(
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    key: Option<*mut RedisModuleString>,
    args: &[&[u8]],
    modifiers: Modifiers,
) -> Result<RawReply, Refused> {
    set_errno(0);
    // SAFETY: by 1, 2 and 3.
    match RawReply::new(unsafe { call(ctx, name, key, args, modifiers) }) {
        Some(reply) if reply.as_ref().first() != Some(&b'-') => Ok(reply),
        reply => unlike_refusal(reply, errno()),
    }
}

/// The error that a call gave, unless it is a refusal.
#[cold]
fn unlike_refusal(reply: Option<RawReply>, errno: c_int) -> Result<RawReply, Refused> {
    let Some(reply) = reply else {
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
        Refusal::NonLocalKey
        | Refusal::UnassignedSlot
        | Refusal::MovingSlot
        | Refusal::CrossSlot => line.starts_with(b"ERR Attempted to access a non local key"),
        Refusal::ClusterReadOnly | Refusal::ClusterDown => {
            line.starts_with(b"ERR Can not execute a ")
        }
    }
}

/// The letters before the arguments in a format of `RM_Call`.
#[derive(Clone, Copy)]
pub(super) struct Modifiers {
    letters: [u8; 8],
    len: u8,
}

impl Modifiers {
    /// These letters, eight at most.
    pub(super) const fn new(letters: &[u8]) -> Self {
        let mut modifiers = Self { letters: [0; 8], len: 0 };
        while (modifiers.len as usize) < letters.len() {
            modifiers = modifiers.and(letters[modifiers.len as usize]);
        }
        modifiers
    }

    /// These letters and one more.
    pub(super) const fn and(mut self, letter: u8) -> Self {
        self.letters[self.len as usize] = letter;
        self.len += 1;
        self
    }
}

/// Calls a command whose arguments are bytes.
///
/// Bytes become strings that only the command holds. That matters: the server encodes a value as an
/// integer only when nobody else holds it, so passing strings of our own would store it differently. A key
/// is copied where it is stored, so `key`, which stands for the first argument, may be the client's own.
///
/// # Safety
/// 1. `ctx` is the context of a running callback.
/// 2. `name` is a C string.
/// 3. `key` is live.
#[inline]
unsafe fn call(
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    key: Option<*mut RedisModuleString>,
    args: &[&[u8]],
    modifiers: Modifiers,
) -> *mut RedisModuleCallReply {
    // SAFETY: reads a pointer that is written once, before anything else runs.
    let Some(function) = (unsafe { raw::RedisModule_Call }) else { return std::ptr::null_mut() };
    if args.len() > 4 {
        // SAFETY: by 1 and 2.
        return unsafe { call_many(function, ctx, name, args, modifiers) };
    }
    // As many letters as there are arguments, the others pushed out.
    let mut letters = u64::from_le_bytes(*b"bbbb\0\0\0\0") >> (8 * (4 - args.len()));
    if key.is_some() {
        letters ^= u64::from(b'b' ^ b's');
    }
    let mut format = [0; 24];
    format[..8].copy_from_slice(&modifiers.letters);
    let len = usize::from(modifiers.len % 16);
    format[len..len + 8].copy_from_slice(&letters.to_le_bytes());
    let format = format.as_ptr().cast::<c_char>();
    macro_rules! pass {
        ($($key:ident)?; $($arg:ident)*) => {
            // SAFETY: by 1, 2 and 3; the format names what is passed.
            unsafe { function(ctx, name, format $(, $key)? $(, $arg.as_ptr(), $arg.len())*) }
        };
    }
    match (key, args) {
        (None, []) => pass!(;),
        (None, [a]) => pass!(; a),
        (None, [a, b]) => pass!(; a b),
        (None, [a, b, c]) => pass!(; a b c),
        (None, [a, b, c, d]) => pass!(; a b c d),
        (Some(key), [_]) => pass!(key;),
        (Some(key), [_, b]) => pass!(key; b),
        (Some(key), [_, b, c]) => pass!(key; b c),
        (Some(key), [_, b, c, d]) => pass!(key; b c d),
        _ => std::ptr::null_mut(),
    }
}

/// As [`call`] with more arguments than most commands have.
///
/// # Safety
/// 1. `ctx` is the context of a running callback.
/// 2. `name` is a C string.
#[cold]
unsafe fn call_many(
    function: CallFunction,
    ctx: *mut RedisModuleCtx,
    name: *const c_char,
    args: &[&[u8]],
    modifiers: Modifiers,
) -> *mut RedisModuleCallReply {
    let arguments = args.iter().map(|arg| Argument { start: arg.as_ptr().cast(), len: arg.len() });
    let arguments: SmallVec<[Argument; 16]> = arguments.collect();
    let len = usize::from(modifiers.len);
    let mut format: SmallVec<[u8; 32]> = SmallVec::from_slice(&modifiers.letters[..len]);
    format.resize(len + args.len(), b'b');
    format.push(0);
    let (format, count) = (format.as_ptr().cast(), arguments.len());
    // SAFETY: by 1 and 2; the format names as many pairs as there are arguments.
    unsafe { redlua_call(function, ctx, name, format, arguments.as_ptr(), count) }
}

/// A byte string as `call.c` knows it.
#[repr(C)]
struct Argument {
    start: *const c_char,
    len: usize,
}

/// `RM_Call`.
type CallFunction = unsafe extern "C" fn(
    *mut RedisModuleCtx,
    *const c_char,
    *const c_char,
    ...
) -> *mut RedisModuleCallReply;

unsafe extern "C" {
    /// Calls `RM_Call` with `count` arguments; see `call.c`.
    fn redlua_call(
        function: CallFunction,
        ctx: *mut RedisModuleCtx,
        name: *const c_char,
        format: *const c_char,
        arguments: *const Argument,
        count: usize,
    ) -> *mut RedisModuleCallReply;
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

/// The bytes of a string of the server.
///
/// # Safety
/// The string is live and not changed as long as the bytes are used.
#[inline]
pub(super) unsafe fn bytes<'a>(string: *mut RedisModuleString) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: the string is live.
    let start = unsafe { api!(StringPtrLen(string, &mut len)) };
    // SAFETY: the server gives that many bytes.
    unsafe { slice::from_raw_parts(start.cast(), len) }
}

pub(super) fn errno() -> c_int {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() = value };
}
