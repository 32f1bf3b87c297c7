//! `cmsgpack`: Lua values as MessagePack and back.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::register::register;
use crate::vm::codec::MAX_SLOTS;
use crate::vm::codec::msgpack::{self, Fault, Unpackable, Unpacker};
use crate::vm::native::{Full, Kind, NativeResult, Output, Raised, Stack};

register!(LUA_API: PACK: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "pack",
    signature: "cmsgpack.pack(value: any, ...: any): string",
    summary: "Returns its arguments as MessagePack, one after the other.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(pack)),
});
register!(LUA_API: UNPACK: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "unpack",
    signature: "cmsgpack.unpack(text: string): any ...",
    summary: "Returns all values of a MessagePack text.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(unpack)),
});
register!(LUA_API: UNPACK_ONE: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "unpack_one",
    signature: "cmsgpack.unpack_one(text: string, offset?: integer): integer, any",
    summary: "Returns the offset behind the value at an offset, -1 at the end, and the value.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(unpack_one)),
});
register!(LUA_API: UNPACK_LIMIT: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "unpack_limit",
    signature: "cmsgpack.unpack_limit(text: string, limit: integer, offset?: integer): integer, any ...",
    summary: "Returns the offset behind at most so many values, -1 at the end, and the values.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(unpack_limit)),
});
register!(LUA_API: NAME: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "_NAME",
    signature: "cmsgpack._NAME: string",
    summary: "The name of the library.",
    contexts: ApiContexts::RUN,
    member: Member::Text("cmsgpack"),
});
register!(LUA_API: VERSION: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "_VERSION",
    signature: "cmsgpack._VERSION: string",
    summary: "The version of the library whose behaviour this one has.",
    contexts: ApiContexts::RUN,
    member: Member::Text("lua-cmsgpack 0.4.0"),
});
register!(LUA_API: COPYRIGHT: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "_COPYRIGHT",
    signature: "cmsgpack._COPYRIGHT: string",
    summary: "The copyright line of the server's own library.",
    contexts: ApiContexts::RUN,
    member: Member::HostText(|host| {
        let owner = if host.is(Hosts::Valkey) { "Redis Ltd." } else { "Salvatore Sanfilippo" };
        Some(format!("Copyright (C) 2012, {owner}"))
    }),
});
register!(LUA_API: DESCRIPTION: ApiSpec = ApiSpec {
    table: "cmsgpack",
    name: "_DESCRIPTION",
    signature: "cmsgpack._DESCRIPTION: string",
    summary: "What the library is, in a few words.",
    contexts: ApiContexts::RUN,
    member: Member::Text("MessagePack C implementation for Lua"),
});

/// Stock: `lua_cmsgpack.c` `mp_pack`.
fn pack(stack: &mut Stack<'_>) -> NativeResult {
    match stack.top() {
        0 => return stack.raise_argument(0, b"MessagePack pack needs input."),
        count if count as usize > MAX_SLOTS / 2 => {
            return stack.raise_argument(0, b"Too many arguments for MessagePack pack.");
        }
        _ => {}
    }
    let mut out = Output::new(stack);
    let mut packed = pack_arguments(stack, &mut out);
    if matches!(packed, Err(Unpackable::Full(Full::Memory))) {
        drop(out);
        stack.collect();
        out = Output::new(stack);
        packed = pack_arguments(stack, &mut out);
    }
    match packed {
        Ok(()) => {
            stack.push_bytes(out.bytes());
            Ok(1)
        }
        Err(Unpackable::Full(full)) => Err(stack.raise_full(full)),
        Err(Unpackable::Stack(place)) => raise_overflow(stack, place),
    }
}

fn pack_arguments(stack: &Stack<'_>, out: &mut Output<'_>) -> Result<(), Unpackable> {
    let count = stack.top();
    for position in 1..=count {
        // Stock has a result on its stack for each argument before this one, and a copy of it.
        let slots = (count + position) as usize;
        msgpack::pack(out, stack.view(position), slots)?;
    }
    Ok(())
}

fn unpack(stack: &mut Stack<'_>) -> NativeResult {
    unpack_from(stack, 0, 0)
}

fn unpack_one(stack: &mut Stack<'_>) -> NativeResult {
    let offset = optional_integer(stack, 2)?;
    stack.set_top(stack.top().min(1));
    unpack_from(stack, 1, offset)
}

fn unpack_limit(stack: &mut Stack<'_>) -> NativeResult {
    let limit = stack.integer_argument(2)?;
    let offset = optional_integer(stack, 3)?;
    stack.set_top(stack.top().min(1));
    unpack_from(stack, limit, offset)
}

fn optional_integer(stack: &mut Stack<'_>, position: i32) -> Result<i64, Raised> {
    match stack.kind(position) {
        Kind::None | Kind::Nil => Ok(0),
        _ => stack.integer_argument(position),
    }
}

/// Stock: `lua_cmsgpack.c` `mp_unpack_full`.
fn unpack_from(stack: &mut Stack<'_>, limit: i64, offset: i64) -> NativeResult {
    stack.with_text(1, |stack, text| {
        let len = text.len();
        let (Ok(start), 0..) = (usize::try_from(offset), limit) else {
            // The length is where the limit should be, as on stock, and both are C `int`s.
            let message = format!(
                "Invalid request to unpack with offset of {} and limit of {}.",
                offset as i32, len as i32
            );
            return stack.raise(message.as_bytes());
        };
        let Some(input) = text.get(start..) else {
            let message =
                format!("Start offset {} greater than input length {}.", offset as i32, len as i32);
            return stack.raise(message.as_bytes());
        };
        let all = limit == 0 && offset == 0;
        let limit = if all { i64::from(i32::MAX) } else { limit };

        let mut unpacker = Unpacker::new(stack, input);
        let mut count = 0;
        while unpacker.left() > 0 && i64::from(count) < limit {
            if let Err(fault) = unpacker.next(stack) {
                return raise_fault(stack, fault);
            }
            count += 1;
        }
        if !all {
            if unpacker.slots() >= MAX_SLOTS {
                return raise_overflow(stack, "in function mp_unpack_full");
            }
            let left = unpacker.left();
            stack.push_number(if left == 0 { -1.0 } else { (len - left) as f64 });
            stack.insert(2);
            count += 1;
        }
        Ok(count)
    })?
}

fn raise_fault(stack: &mut Stack<'_>, fault: Fault) -> NativeResult {
    // What was read gives its room to the message.
    stack.set_top(1);
    match fault {
        Fault::Missing => stack.raise(b"Missing bytes in input."),
        Fault::Format => stack.raise(b"Bad data format in input."),
        Fault::Stack(reason) => raise_overflow(stack, reason),
        Fault::NilKey => raise_bare(stack, b"table index is nil"),
        Fault::NanKey => raise_bare(stack, b"table index is NaN"),
        Fault::Full(full) => Err(stack.raise_full(full)),
    }
}

/// Raises `message` without a position, as the VM's own errors in C functions are.
fn raise_bare(stack: &mut Stack<'_>, message: &[u8]) -> NativeResult {
    stack.push_bytes(message);
    Err(Raised)
}

/// Raises the error of `luaL_checkstack`.
fn raise_overflow(stack: &mut Stack<'_>, reason: &str) -> NativeResult {
    stack.set_top(1);
    stack.raise(format!("stack overflow ({reason})").as_bytes())
}
