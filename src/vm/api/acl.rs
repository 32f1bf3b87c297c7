//! `redis.acl_check_cmd`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::host::{Host, Permission};
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::vm::native::{NativeResult, Raised, Stack, error_value, with_arguments};

register!(LUA_API: ACL_CHECK_CMD: ApiSpec = ApiSpec {
    table: "redis",
    name: "acl_check_cmd",
    signature: "redis.acl_check_cmd(command: string, ...: string|number): boolean",
    summary: "Returns whether the caller's user may run the command on these keys and channels.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(acl_check_cmd)),
});
register!(ERRORS: ACL_CHECK_OUTSIDE_RUN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.acl_check_cmd can only be called inside a script invocation",
    "`redis.acl_check_cmd` is used while no script runs.",
));
register!(ERRORS: ACL_CHECK_COMMAND: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid command passed to redis.acl_check_cmd()",
    "`redis.acl_check_cmd` names a command the server does not have.",
).on(&[(Hosts::Valkey, "Invalid command passed to server.acl_check_cmd()")]));

register!(ERRORS: ACL_CHECK_ARITY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Wrong number of args for redis.acl_check_cmd()",
    "`redis.acl_check_cmd` names a command that takes another number of arguments, where the server looks at that.",
));

fn acl_check_cmd(stack: &mut Stack<'_>) -> NativeResult {
    let Some(run) = stack.run() else {
        error_value::push_spec(stack, &ACL_CHECK_OUTSIDE_RUN);
        return Err(Raised);
    };
    let verdict = with_arguments(stack, |argv| run.host.permission(argv));
    match verdict {
        Ok(Permission::Granted) => stack.push_boolean(true),
        Ok(Permission::Denied) => stack.push_boolean(false),
        Ok(Permission::NoSuchCommand) => {
            error_value::push_spec(stack, &ACL_CHECK_COMMAND);
            return Err(Raised);
        }
        Ok(Permission::WrongArity) => {
            error_value::push_spec(stack, &ACL_CHECK_ARITY);
            return Err(Raised);
        }
        Err(spec) => {
            error_value::push_spec(stack, spec);
            return Err(Raised);
        }
    }
    Ok(1)
}
