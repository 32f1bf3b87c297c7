//! `redis.sha1hex`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::script::Sha1;
use crate::vm::native::{NativeResult, Raised, Stack, error_value};

register!(LUA_API: SHA1HEX: ApiSpec = ApiSpec {
    table: "redis",
    name: "sha1hex",
    signature: "redis.sha1hex(text: string|number): string",
    summary: "Returns the SHA1 digest of a string in hexadecimal.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(sha1hex)),
});
register!(ERRORS: WRONG_NUMBER: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "wrong number of arguments",
    "`redis.sha1hex` is not called with one argument.",
));

fn sha1hex(stack: &mut Stack<'_>) -> NativeResult {
    if stack.top() != 1 {
        error_value::push_spec(stack, &WRONG_NUMBER);
        return Err(Raised);
    }
    // As on stock, what is neither a string nor a number counts as an empty string.
    let digest = Sha1::of(stack.text(1).unwrap_or_default()).to_hex();
    stack.push_bytes(&digest);
    Ok(1)
}
