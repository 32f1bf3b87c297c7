//! `redis.log` and its levels.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::host::{Host, LogLevel};
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::vm::native::{NativeResult, Raised, Stack, error_value};
use crate::vm::number;

const EVERYWHERE: ApiContexts = ApiContexts::ALL;

register!(LUA_API: LOG: ApiSpec = ApiSpec {
    table: "redis",
    name: "log",
    signature: "redis.log(level: integer, ...: string|number)",
    summary: "Writes a line to the server's log; several messages are joined by blanks.",
    contexts: EVERYWHERE,
    member: Member::Function(Function(log)),
});
register!(LUA_API: LOG_DEBUG: ApiSpec = level("LOG_DEBUG", "redis.LOG_DEBUG: integer", LogLevel::Debug));
register!(LUA_API: LOG_VERBOSE: ApiSpec = level("LOG_VERBOSE", "redis.LOG_VERBOSE: integer", LogLevel::Verbose));
register!(LUA_API: LOG_NOTICE: ApiSpec = level("LOG_NOTICE", "redis.LOG_NOTICE: integer", LogLevel::Notice));
register!(LUA_API: LOG_WARNING: ApiSpec = level("LOG_WARNING", "redis.LOG_WARNING: integer", LogLevel::Warning));

register!(ERRORS: LOG_ARGUMENTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.log() requires two arguments or more.",
    "`redis.log` is called with fewer than two arguments.",
)
.on(&[(Hosts::Valkey, "server.log() requires two arguments or more.")]));
register!(ERRORS: LOG_LEVEL_TYPE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "First argument must be a number (log level).",
    "The level given to `redis.log` is not a number.",
));
register!(ERRORS: LOG_LEVEL: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid log level.",
    "The level given to `redis.log` is none of the constants.",
).on(&[(Hosts::Redis70, "Invalid debug level.")]));

const fn level(name: &'static str, signature: &'static str, level: LogLevel) -> ApiSpec {
    ApiSpec {
        table: "redis",
        name,
        signature,
        summary: "A level for redis.log.",
        contexts: EVERYWHERE,
        member: Member::Number(level as u8 as f64),
    }
}

fn log(stack: &mut Stack<'_>) -> NativeResult {
    let arguments = stack.top();
    if arguments < 2 {
        error_value::push_spec(stack, &LOG_ARGUMENTS);
        return Err(Raised);
    }
    let Some(number) = stack.number(1) else {
        error_value::push_spec(stack, &LOG_LEVEL_TYPE);
        return Err(Raised);
    };
    let level = match number::to_int(number) {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => {
            error_value::push_spec(stack, &LOG_LEVEL);
            return Err(Raised);
        }
    };
    let mut line = Vec::new();
    for index in 2..=arguments {
        if let Some(text) = stack.text(index) {
            if index != 2 {
                line.push(b' ');
            }
            line.extend_from_slice(text);
        }
    }
    if let Some(run) = stack.run() {
        run.host.log(level, &line);
    }
    Ok(0)
}
