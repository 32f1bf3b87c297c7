//! `LUA.SCRIPT SHOW`, which Valkey 8 has, on every server.

use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: SHOW: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|SHOW",
    replaces: Some("SCRIPT|SHOW"),
    needs: Some("SCRIPT|EXISTS"),
    summary: "Show server-side Lua script in the script cache.",
    complexity: "O(1).",
    since: "8.0.0",
    arity: 3,
    flags: CommandFlags::DENY_SCRIPT,
    args: &[Arg::new("sha1", ArgKind::Text)],
    help_on: &[(
        Hosts::Valkey,
        &["SHOW <sha1>", "    Show a script from the scripts cache."],
    )],
    handler: Some(show),
    ..CommandSpec::DEFAULT
});

fn show<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let body = call.engine.body_of(call.args.first().copied().unwrap_or_default())?;
    call.reply.bulk(&body);
    Ok(())
}
