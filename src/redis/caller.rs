//! Who sent a command, as the server's own slow log says it.

use std::ffi::CStr;
use std::sync::OnceLock;

use redis_module::raw::{self, RedisModuleClientInfo, RedisModuleCtx};

use super::api::api;
use super::call;
use crate::stats::Caller;

/// The client behind `ctx`; nobody where there is none, as when another module calls the command.
///
/// Stock: `networking.c` `getClientPeerId`.
pub(super) fn of(ctx: *mut RedisModuleCtx) -> Caller {
    // SAFETY: callers give the context of a running callback; so in all functions below.
    let id = unsafe { api!(GetClientId(ctx)) };
    let address = address(ctx, id).unwrap_or_default();
    Caller { address, name: name(ctx, id).unwrap_or_default() }
}

fn address(ctx: *mut RedisModuleCtx, id: u64) -> Option<Vec<u8>> {
    // SAFETY: all fields may be zero.
    let mut info: RedisModuleClientInfo = unsafe { std::mem::zeroed() };
    info.version = 1;
    // SAFETY: see `of`; the server fills what the version has.
    let status = unsafe { api!(GetClientInfoById((&raw mut info).cast(), id)) };
    if status != raw::REDISMODULE_OK as i32 {
        return None;
    }
    if info.flags & u64::from(raw::REDISMODULE_CLIENTINFO_FLAG_UNIXSOCKET) != 0 {
        static SOCKET: OnceLock<Vec<u8>> = OnceLock::new();
        // It cannot be changed, so the server is asked once.
        let socket = SOCKET.get_or_init(|| call::setting(ctx, b"unixsocket").unwrap_or_default());
        return Some([socket, &b":0"[..]].concat());
    }
    // SAFETY: the server wrote a C string.
    let host = unsafe { CStr::from_ptr(info.addr.as_ptr()) }.to_bytes();
    let port = info.port.to_string();
    Some(match host.contains(&b':') {
        true => [b"[", host, b"]:", port.as_bytes()].concat(),
        false => [host, b":", port.as_bytes()].concat(),
    })
}

fn name(ctx: *mut RedisModuleCtx, id: u64) -> Option<Vec<u8>> {
    // SAFETY: see `of`.
    let name = unsafe { api!(GetClientNameById(ctx, id)) };
    if name.is_null() {
        return None;
    }
    // SAFETY: the string is live until it is given back below.
    let bytes = unsafe { call::bytes(name) }.to_vec();
    // SAFETY: the string is ours to give back.
    unsafe { api!(FreeString(ctx, name)) };
    Some(bytes)
}
