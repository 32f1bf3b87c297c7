//! Replies as Lua values, in one pass over their raw RESP.

use std::ffi::c_int;

use super::error_value;
use super::stack::Stack;
use crate::dialect::Hosts;
use crate::resp::{Token, Tokens};

/// Nesting beyond which a reply is cut; no command of the server comes near.
const MAX_DEPTH: usize = 1000;

/// After so many elements the conversion looks whether to go on.
const EVERY: usize = 1024;

/// Bytes of one place in a list.
const SLOT: usize = 16;

/// Pushes the Lua value of the raw reply `proto`.
///
/// What a script sees: integers as numbers, bulk strings as strings, null (RESP2) as false and
/// (RESP3) as nil, arrays as lists, and the rest as tables with one field that names the type.
///
/// # Errors
/// The run has to end, or the reply does not fit into the VM: the stack holds parts of it.
///
/// Stock: `script_lua.c` `redisProtocolToLuaType`.
pub(super) fn push(stack: &mut Stack<'_>, proto: &[u8]) -> Result<(), Cut> {
    let mut tokens = Tokens::new(proto);
    // Most replies are one of these two, and every native has room for one value.
    if let Some(bytes) = tokens.bulk() {
        stack.push_bytes(bytes);
        return Ok(());
    }
    if let Some(value) = tokens.number() {
        stack.push_number(value as f64);
        return Ok(());
    }
    push_next(stack, &mut tokens, 0)
}

/// The conversion stopped half way.
pub(super) struct Cut;

fn push_next(stack: &mut Stack<'_>, tokens: &mut Tokens<'_>, depth: usize) -> Result<(), Cut> {
    if depth > MAX_DEPTH || !stack.reserve(6) {
        error_value::push_code(stack, b"reply nested too deep");
        return Ok(());
    }
    match tokens.next() {
        Token::Bulk(bytes) => stack.push_bytes(bytes),
        Token::Integer(value) => stack.push_number(value as f64),
        Token::NullBulk | Token::NullArray => stack.push_boolean(false),
        Token::Null | Token::Malformed => stack.push_nil(),
        Token::Boolean(value) => stack.push_boolean(value),
        Token::Status(line) => stack.push_status(line),
        Token::Double(value) => push_named(stack, b"double", |stack| stack.push_number(value)),
        Token::BigNumber(digits) => {
            push_named(stack, b"big_number", |stack| stack.push_bytes(digits));
        }
        Token::Verbatim { format, text } => push_named(stack, b"verbatim_string", |stack| {
            stack.push_table();
            stack.push_bytes(text);
            stack.set_field(-2, b"string");
            stack.push_bytes(&format);
            stack.set_field(-2, b"format");
        }),
        Token::Error(line) => push_error(stack, line),
        Token::Array(len) => push_list(stack, tokens, len, depth)?,
        Token::Set(len) => {
            stack.push_table();
            push_fields(stack, len);
            for at in 0..len {
                check(stack, at)?;
                push_next(stack, tokens, depth + 1)?;
                stack.push_boolean(true);
                set_pair(stack);
            }
            stack.set_field(-2, b"set");
        }
        Token::Map(len) => {
            stack.push_table();
            push_fields(stack, len);
            for at in 0..len {
                check(stack, at)?;
                push_next(stack, tokens, depth + 1)?;
                push_next(stack, tokens, depth + 1)?;
                set_pair(stack);
            }
            stack.set_field(-2, b"map");
        }
        Token::Attribute(len) => {
            tokens.skip(len.saturating_mul(2));
            push_next(stack, tokens, depth + 1)?;
        }
    }
    Ok(())
}

/// Looks, every so many elements, whether to go on.
#[inline]
fn check(stack: &mut Stack<'_>, at: usize) -> Result<(), Cut> {
    if at % EVERY == EVERY - 1 { look(stack, 0) } else { Ok(()) }
}

/// Looks whether the run may go on and the VM has room for `bytes` more.
#[cold]
fn look(stack: &mut Stack<'_>, bytes: usize) -> Result<(), Cut> {
    if !stack.shared().has_room(bytes) {
        stack.collect();
        if !stack.shared().has_room(bytes) {
            stack.shared().exhaust();
            return Err(Cut);
        }
    }
    if stack.is_interrupted() { Err(Cut) } else { Ok(()) }
}

/// Pushes an empty table for `len` pairs, with the room it has on the host: the order of `pairs` depends
/// on it.
fn push_fields(stack: &mut Stack<'_>, len: usize) {
    let room = if stack.shared().dialect.is(Hosts::Valkey) { len } else { 0 };
    stack.push_sized_table(0, c_int::try_from(room).unwrap_or(0));
}

/// Pushes `{name = value}`.
fn push_named<'vm>(stack: &mut Stack<'vm>, name: &[u8], value: impl FnOnce(&mut Stack<'vm>)) {
    stack.push_table();
    value(stack);
    stack.set_field(-2, name);
}

fn push_error(stack: &mut Stack<'_>, line: &[u8]) {
    let mut text = Vec::with_capacity(line.len() + 1);
    text.push(b'-');
    text.extend_from_slice(line);
    error_value::push(stack, &text);
    error_value::mark_counted(stack);
}

fn push_list(
    stack: &mut Stack<'_>,
    tokens: &mut Tokens<'_>,
    len: usize,
    depth: usize,
) -> Result<(), Cut> {
    let room = if stack.shared().dialect.is(Hosts::Valkey) { len } else { grown(len) };
    if room > EVERY {
        look(stack, room.saturating_mul(SLOT))?;
    }
    stack.push_sized_table(c_int::try_from(room).unwrap_or(0), 0);
    for place in 0..c_int::try_from(len).unwrap_or(c_int::MAX) {
        check(stack, place as usize)?;
        // Most lists have nothing but strings, which need not go over the stack.
        if let Some(bytes) = tokens.bulk() {
            stack.append_bytes(-1, place, bytes);
        } else {
            push_next(stack, tokens, depth + 1)?;
            stack.set_item(-2, place + 1);
        }
    }
    Ok(())
}

/// The room of a list that grew item by item to `len`.
///
/// Where stock lets a list grow, ours gets the same room at once: scripts see it in `#list` after they
/// removed items, and in the order of `pairs` after they added some.
pub(crate) fn grown(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two() }
}

/// Pops a value and a key and stores them, unless the key cannot be one.
fn set_pair(stack: &mut Stack<'_>) {
    if stack.kind(-2) == super::Kind::Nil {
        stack.pop(2);
    } else {
        stack.raw_set(-3);
    }
}
