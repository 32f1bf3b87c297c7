//! `redis.breakpoint` and `redis.debug`, which do something in debugging sessions only.

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
    let debugging = stack.shared().debugging.get();
    if let Some(debugging) = debugging {
        debugging.console.stop_at_next_line();
    }
    stack.push_boolean(debugging.is_some());
    Ok(1)
}

fn debug(stack: &mut Stack<'_>) -> NativeResult {
    if let Some(debugging) = stack.shared().debugging.get() {
        let values = stack.debug_line(1);
        debugging.console.log_debug(&values);
    }
    Ok(0)
}
