//! `redis.error_reply` and `redis.status_reply`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::vm::native::{NativeResult, Stack, error_value};

register!(LUA_API: ERROR_REPLY: ApiSpec = ApiSpec {
    table: "redis",
    name: "error_reply",
    signature: "redis.error_reply(message: string): {err: string}",
    summary: "Returns an error reply; its first word is the error code, a single word gets the code ERR.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(error_reply)),
});
register!(LUA_API: STATUS_REPLY: ApiSpec = ApiSpec {
    table: "redis",
    name: "status_reply",
    signature: "redis.status_reply(message: string): {ok: string}",
    summary: "Returns a status reply.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(status_reply)),
});
register!(ERRORS: WRONG_ARGUMENTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "wrong number or type of arguments",
    "`redis.error_reply` or `redis.status_reply` is not called with one string; returned, not raised.",
));

fn error_reply(stack: &mut Stack<'_>) -> NativeResult {
    let Some(message) = only_string(stack) else {
        error_value::push_spec(stack, &WRONG_ARGUMENTS);
        return Ok(1);
    };
    let mut text = Vec::with_capacity(message.len() + 1);
    if !message.starts_with(b"-") {
        text.push(b'-');
    }
    text.extend_from_slice(message);
    error_value::push(stack, &text);
    Ok(1)
}

fn status_reply(stack: &mut Stack<'_>) -> NativeResult {
    if only_string(stack).is_none() {
        error_value::push_spec(stack, &WRONG_ARGUMENTS);
        return Ok(1);
    }
    stack.push_table();
    stack.push_copy(1);
    stack.set_field(-2, b"ok");
    Ok(1)
}

fn only_string<'s>(stack: &'s Stack<'_>) -> Option<&'s [u8]> {
    if stack.top() == 1 { stack.bytes(1) } else { None }
}
