//! `redis.breakpoint` and `redis.debug`, as they behave outside a debugging session.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::native::{NativeResult, Stack};

register!(LUA_API: BREAKPOINT: ApiSpec = ApiSpec {
    table: "redis",
    name: "breakpoint",
    signature: "redis.breakpoint(): boolean",
    summary: "Stops a debugging session at the next line; returns whether there is a session.",
    contexts: ApiContexts::EVAL,
    member: Member::Function(Function(breakpoint)),
});
register!(LUA_API: DEBUG: ApiSpec = ApiSpec {
    table: "redis",
    name: "debug",
    signature: "redis.debug(...: any)",
    summary: "Prints values in a debugging session; does nothing outside one.",
    contexts: ApiContexts::EVAL,
    member: Member::Function(Function(debug)),
});

fn breakpoint(stack: &mut Stack<'_>) -> NativeResult {
    stack.push_boolean(false);
    Ok(1)
}

fn debug(_: &mut Stack<'_>) -> NativeResult {
    Ok(0)
}
