//! `LUA.SCRIPT KILL`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec, Invocation, ok};
use crate::engine::RunKind;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: KILL: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|KILL",
    replaces: Some("SCRIPT|KILL"),
    summary: "Kill the script currently in execution.",
    complexity: "O(1)",
    since: "2.6.0",
    arity: 2,
    flags: CommandFlags::DENY_SCRIPT.union(CommandFlags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    help: &["KILL", "    Kill the currently executing Lua script."],
    handler: Some(kill),
    ..CommandSpec::DEFAULT
});

fn kill<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    call.engine.kill(RunKind::Script)?;
    ok(call.reply);
    Ok(())
}
