//! `LUA.FUNCTION KILL`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};

register!(COMMANDS: KILL: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|KILL",
    replaces: Some("FUNCTION|KILL"),
    summary: "Kill the function currently in execution.",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::DENY_SCRIPT.union(CommandFlags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    help: &["KILL", "    Kill the current running function."],
    // No command comes in while a function runs.
    handler: Some(|call| Err(ErrorReply::new(&NOT_BUSY, call.engine.dialect()))),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: NOT_BUSY: ErrorSpec = ErrorSpec::stock(
    "NOTBUSY",
    "No scripts in execution right now.",
    "There is nothing to kill.",
));
