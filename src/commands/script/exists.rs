//! `LUA.SCRIPT EXISTS`.

use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: EXISTS: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|EXISTS",
    replaces: Some("SCRIPT|EXISTS"),
    summary: "Check existence of scripts in the script cache.",
    complexity: "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
    since: "2.6.0",
    arity: -3,
    flags: CommandFlags::DENY_SCRIPT,
    flags_on: &[(Hosts::Valkey91, CommandFlags::ALLOW_STALE)],
    tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
    args: &[Arg::new("sha1", ArgKind::Text).multiple()],
    help: &[
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
    ],
    handler: Some(exists),
    ..CommandSpec::DEFAULT
});

fn exists<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    call.reply.array(call.args.len());
    for digest in call.args {
        call.reply.integer(i64::from(call.engine.exists(digest)));
    }
    Ok(())
}
