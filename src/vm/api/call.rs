//! `redis.call` and `redis.pcall`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::native::{redis_call, redis_pcall};

register!(LUA_API: CALL: ApiSpec = ApiSpec {
    table: "redis",
    name: "call",
    signature: "redis.call(command: string, ...: string|number): any",
    summary: "Runs a command and returns its reply; an error reply is raised as a Lua error.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(redis_call)),
});
register!(LUA_API: PCALL: ApiSpec = ApiSpec {
    table: "redis",
    name: "pcall",
    signature: "redis.pcall(command: string, ...: string|number): any",
    summary: "Runs a command and returns its reply; an error reply is returned as a table with the field err.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(redis_pcall)),
});
