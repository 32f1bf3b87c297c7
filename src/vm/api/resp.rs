//! `redis.setresp`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec, RespVersion};
use crate::vm::native::{NativeResult, Raised, Stack, error_value};
use crate::vm::number;

register!(LUA_API: SETRESP: ApiSpec = ApiSpec {
    table: "redis",
    name: "setresp",
    signature: "redis.setresp(version: 2|3)",
    summary: "Chooses RESP 2 or 3 for the replies this run sees; every run starts with 2.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(setresp)),
});
register!(ERRORS: SETRESP_OUTSIDE_RUN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.setresp can only be called inside a script invocation",
    "`redis.setresp` is used while no script runs.",
));
register!(ERRORS: SETRESP_ARGUMENTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.setresp() requires one argument.",
    "`redis.setresp` is not called with one argument.",
).on(&[(Hosts::Valkey, "server.setresp() requires one argument.")]));
register!(ERRORS: SETRESP_VERSION: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "RESP version must be 2 or 3.",
    "The version given to `redis.setresp` is neither 2 nor 3.",
));

fn setresp(stack: &mut Stack<'_>) -> NativeResult {
    let Some(run) = stack.run() else {
        error_value::push_spec(stack, &SETRESP_OUTSIDE_RUN);
        return Err(Raised);
    };
    if stack.top() != 1 {
        error_value::push_spec(stack, &SETRESP_ARGUMENTS);
        return Err(Raised);
    }
    let version = match number::to_int(stack.number(1).unwrap_or_default()) {
        2 => RespVersion::Resp2,
        3 => RespVersion::Resp3,
        _ => {
            error_value::push_spec(stack, &SETRESP_VERSION);
            return Err(Raised);
        }
    };
    run.state.resp.set(version);
    Ok(0)
}
