//! The library `bit`: operations on the low 32 bits of numbers.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::native::{Kind, NativeResult, Raised, Stack};

register!(LUA_API: TOBIT: ApiSpec = ApiSpec {
    table: "bit",
    name: "tobit",
    signature: "bit.tobit(number: number): integer",
    summary: "Returns the low 32 bits of a number as a signed integer.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| unary(stack, |bits| bits))),
});
register!(LUA_API: BNOT: ApiSpec = ApiSpec {
    table: "bit",
    name: "bnot",
    signature: "bit.bnot(number: number): integer",
    summary: "Returns the complement of a number's bits.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| unary(stack, |bits| !bits))),
});
register!(LUA_API: BAND: ApiSpec = ApiSpec {
    table: "bit",
    name: "band",
    signature: "bit.band(number: number, ...: number): integer",
    summary: "Returns the bits that all numbers have.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| combine(stack, |left, right| left & right))),
});
register!(LUA_API: BOR: ApiSpec = ApiSpec {
    table: "bit",
    name: "bor",
    signature: "bit.bor(number: number, ...: number): integer",
    summary: "Returns the bits that any of the numbers has.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| combine(stack, |left, right| left | right))),
});
register!(LUA_API: BXOR: ApiSpec = ApiSpec {
    table: "bit",
    name: "bxor",
    signature: "bit.bxor(number: number, ...: number): integer",
    summary: "Returns the bits that an odd count of the numbers has.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| combine(stack, |left, right| left ^ right))),
});
register!(LUA_API: LSHIFT: ApiSpec = ApiSpec {
    table: "bit",
    name: "lshift",
    signature: "bit.lshift(number: number, count: number): integer",
    summary: "Shifts bits to the left, by a count modulo 32.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| shift(stack, u32::wrapping_shl))),
});
register!(LUA_API: RSHIFT: ApiSpec = ApiSpec {
    table: "bit",
    name: "rshift",
    signature: "bit.rshift(number: number, count: number): integer",
    summary: "Shifts bits to the right, by a count modulo 32, and zeros in.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| shift(stack, u32::wrapping_shr))),
});
register!(LUA_API: ARSHIFT: ApiSpec = ApiSpec {
    table: "bit",
    name: "arshift",
    signature: "bit.arshift(number: number, count: number): integer",
    summary: "Shifts bits to the right, by a count modulo 32, and copies of the highest bit in.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| {
        shift(stack, |bits, count| (bits as i32).wrapping_shr(count) as u32)
    })),
});
register!(LUA_API: ROL: ApiSpec = ApiSpec {
    table: "bit",
    name: "rol",
    signature: "bit.rol(number: number, count: number): integer",
    summary: "Rotates bits to the left, by a count modulo 32.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| shift(stack, u32::rotate_left))),
});
register!(LUA_API: ROR: ApiSpec = ApiSpec {
    table: "bit",
    name: "ror",
    signature: "bit.ror(number: number, count: number): integer",
    summary: "Rotates bits to the right, by a count modulo 32.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| shift(stack, u32::rotate_right))),
});
register!(LUA_API: BSWAP: ApiSpec = ApiSpec {
    table: "bit",
    name: "bswap",
    signature: "bit.bswap(number: number): integer",
    summary: "Returns the four bytes of a number in reverse.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(|stack| unary(stack, u32::swap_bytes))),
});
register!(LUA_API: TOHEX: ApiSpec = ApiSpec {
    table: "bit",
    name: "tohex",
    signature: "bit.tohex(number: number, digits?: integer): string",
    summary: "Returns the low bits in hexadecimal, 8 digits unless told; in capitals if told below zero.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(tohex)),
});

fn unary(stack: &mut Stack<'_>, operation: fn(u32) -> u32) -> NativeResult {
    let bits = bits(stack, 1)?;
    push(stack, operation(bits))
}

fn combine(stack: &mut Stack<'_>, operation: fn(u32, u32) -> u32) -> NativeResult {
    let mut result = bits(stack, 1)?;
    // From the last one on: it shows in which of two bad arguments the error names.
    for position in (2..=stack.top()).rev() {
        result = operation(result, bits(stack, position)?);
    }
    push(stack, result)
}

fn shift(stack: &mut Stack<'_>, operation: fn(u32, u32) -> u32) -> NativeResult {
    let value = bits(stack, 1)?;
    let count = bits(stack, 2)? & 31;
    push(stack, operation(value, count))
}

/// Stock: `lua_bit.c` `bit_tohex`.
fn tohex(stack: &mut Stack<'_>) -> NativeResult {
    let value = bits(stack, 1)?;
    let digits = match stack.kind(2) {
        Kind::None => 8,
        _ => bits(stack, 2)? as i32,
    };
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    let unwanted = 8_usize.saturating_sub(digits.unsigned_abs() as usize);
    stack.push_bytes(text.as_bytes().get(unwanted..).unwrap_or_default());
    Ok(1)
}

/// The argument at `position` as bits.
///
/// Stock: `lua_bit.c` `barg`.
fn bits(stack: &mut Stack<'_>, position: i32) -> Result<u32, Raised> {
    // Adding it leaves the integer part of a number, rounded to even, in the low bits.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    Ok((stack.number_argument(position)? + MAGIC).to_bits() as u32)
}

fn push(stack: &mut Stack<'_>, bits: u32) -> NativeResult {
    stack.push_number(f64::from(bits as i32));
    Ok(1)
}
