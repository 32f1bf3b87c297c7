//! `LUA.FUNCTION KILL`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec, Invocation, ok};
use crate::engine::RunKind;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

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
    handler: Some(kill),
    ..CommandSpec::DEFAULT
});

fn kill<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    call.engine.kill(RunKind::Function)?;
    ok(call.reply);
    Ok(())
}
