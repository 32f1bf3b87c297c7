//! Lua values as replies.

use std::ffi::c_int;

use super::error_value::until_nul;
use super::stack::{Kind, Stack};
use crate::resp::{ReplySink, RespVersion};
use crate::vm::number;

/// Sends the value on top of the stack to `sink` and pops it.
///
/// `version` is the one the script chose: it decides how booleans go out. Tables are read raw, so no
/// metamethod runs; nesting ends where Lua's stack does.
///
/// Stock: `script_lua.c` `luaReplyToRedisReply`.
pub(super) fn reply<S: ReplySink>(stack: &mut Stack<'_>, version: RespVersion, sink: &mut S) {
    if !stack.reserve(4) {
        sink.error(b"ERR reached lua stack limit");
        stack.pop(1);
        return;
    }
    match stack.kind(-1) {
        Kind::String => sink.bulk(stack.bytes(-1).unwrap_or_default()),
        Kind::Number => {
            sink.integer(number::to_integer(stack.number(-1).unwrap_or_default()));
        }
        Kind::Boolean => match (version, stack.truth(-1)) {
            (RespVersion::Resp2, true) => sink.integer(1),
            (RespVersion::Resp2, false) => sink.null(),
            (RespVersion::Resp3, value) => sink.boolean(value),
        },
        Kind::Table => {
            if !typed(stack, version, sink) {
                list(stack, version, sink);
            }
        }
        _ => sink.null(),
    }
    stack.pop(1);
}

/// Sends the table on top if one of its fields names a reply type; leaves it on the stack.
fn typed<S: ReplySink>(stack: &mut Stack<'_>, version: RespVersion, sink: &mut S) -> bool {
    if stack.push_field(-1, b"err") == Kind::String {
        sink.error(until_nul(stack.bytes(-1).unwrap_or_default()));
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"ok") == Kind::String {
        sink.status(until_nul(stack.bytes(-1).unwrap_or_default()));
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"double") == Kind::Number {
        sink.double(stack.number(-1).unwrap_or_default());
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"big_number") == Kind::String {
        sink.big_number(stack.bytes(-1).unwrap_or_default());
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"verbatim_string") == Kind::Table && verbatim(stack, sink) {
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"map") == Kind::Table {
        map(stack, version, sink);
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    if stack.push_field(-1, b"set") == Kind::Table {
        set(stack, version, sink);
        stack.pop(1);
        return true;
    }
    stack.pop(1);
    false
}

/// Sends the table on top as a verbatim string if it is one.
fn verbatim<S: ReplySink>(stack: &mut Stack<'_>, sink: &mut S) -> bool {
    let format = stack.push_field(-1, b"format");
    let text = stack.push_field(-2, b"string");
    let complete = format == Kind::String && text == Kind::String;
    if complete {
        let format = stack.bytes(-2).unwrap_or_default();
        sink.verbatim(format, stack.bytes(-1).unwrap_or_default());
    }
    stack.pop(2);
    complete
}

fn map<S: ReplySink>(stack: &mut Stack<'_>, version: RespVersion, sink: &mut S) {
    sink.map_start();
    let mut pairs = 0;
    stack.push_nil();
    while stack.next(-2) {
        stack.push_copy(-2);
        reply(stack, version, sink);
        reply(stack, version, sink);
        pairs += 1;
    }
    sink.map_end(pairs);
}

fn set<S: ReplySink>(stack: &mut Stack<'_>, version: RespVersion, sink: &mut S) {
    sink.set_start();
    let mut members = 0;
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        stack.push_copy(-1);
        reply(stack, version, sink);
        members += 1;
    }
    sink.set_end(members);
}

/// Sends the items of the table on top up to the first nil.
fn list<S: ReplySink>(stack: &mut Stack<'_>, version: RespVersion, sink: &mut S) {
    let mut len: c_int = 0;
    while stack.push_item(-1, len + 1) != Kind::Nil {
        stack.pop(1);
        len += 1;
    }
    stack.pop(1);
    sink.array(usize::try_from(len).unwrap_or_default());
    for position in 1..=len {
        stack.push_item(-1, position);
        reply(stack, version, sink);
    }
}
