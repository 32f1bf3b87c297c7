//! `redis.set_repl`, `redis.replicate_commands` and the `REPL_*` constants.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::policy::Replication;
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::vm::native::{NativeResult, Raised, Stack, error_value};
use crate::vm::number;

register!(LUA_API: SET_REPL: ApiSpec = ApiSpec {
    table: "redis",
    name: "set_repl",
    signature: "redis.set_repl(flags: integer)",
    summary: "Chooses where the effects of the commands that follow go, for the rest of the run.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(set_repl)),
});
register!(LUA_API: REPLICATE_COMMANDS: ApiSpec = ApiSpec {
    table: "redis",
    name: "replicate_commands",
    signature: "redis.replicate_commands(): boolean",
    summary: "Does nothing and returns true: effects are always replicated command by command.",
    contexts: ApiContexts::EVAL,
    member: Member::Function(Function(replicate_commands)),
});
register!(LUA_API: REPL_NONE: ApiSpec =
    constant("REPL_NONE", "redis.REPL_NONE: integer", Replication::empty()));
register!(LUA_API: REPL_AOF: ApiSpec =
    constant("REPL_AOF", "redis.REPL_AOF: integer", Replication::AOF));
register!(LUA_API: REPL_SLAVE: ApiSpec =
    constant("REPL_SLAVE", "redis.REPL_SLAVE: integer", Replication::REPLICAS));
register!(LUA_API: REPL_REPLICA: ApiSpec =
    constant("REPL_REPLICA", "redis.REPL_REPLICA: integer", Replication::REPLICAS));
register!(LUA_API: REPL_ALL: ApiSpec =
    constant("REPL_ALL", "redis.REPL_ALL: integer", Replication::all()));

register!(ERRORS: SET_REPL_OUTSIDE_RUN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.set_repl can only be called inside a script invocation",
    "`redis.set_repl` is used while no script runs.",
));
register!(ERRORS: SET_REPL_ARGUMENTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.set_repl() requires one argument.",
    "`redis.set_repl` is not called with one argument.",
).on(&[
    (Hosts::Redis70, "redis.set_repl() requires two arguments."),
    (Hosts::Valkey, "server.set_repl() requires one argument."),
]));
register!(ERRORS: SET_REPL_FLAGS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
    "The flags given to `redis.set_repl` are none of the constants.",
));

const fn constant(name: &'static str, signature: &'static str, value: Replication) -> ApiSpec {
    ApiSpec {
        table: "redis",
        name,
        signature,
        summary: "A destination for redis.set_repl.",
        contexts: ApiContexts::RUN,
        member: Member::Number(value.bits() as f64),
    }
}

fn set_repl(stack: &mut Stack<'_>) -> NativeResult {
    let Some(run) = stack.run() else {
        error_value::push_spec(stack, &SET_REPL_OUTSIDE_RUN);
        return Err(Raised);
    };
    if stack.top() != 1 {
        error_value::push_spec(stack, &SET_REPL_ARGUMENTS);
        return Err(Raised);
    }
    // What is not a number counts as 0, as on stock.
    let flags = number::to_int(stack.number(1).unwrap_or_default());
    let flags = u8::try_from(flags).ok().and_then(Replication::from_bits);
    let Some(flags) = flags else {
        error_value::push_spec(stack, &SET_REPL_FLAGS);
        return Err(Raised);
    };
    run.state.replication.set(flags);
    Ok(0)
}

fn replicate_commands(stack: &mut Stack<'_>) -> NativeResult {
    stack.push_boolean(true);
    Ok(1)
}
