//! `LUA.PROFILE START`.

use super::{ACL, FLAGS};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandSpec, Invocation, ok, wrong_usage};
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: START: CommandSpec = CommandSpec {
    name: "LUA.PROFILE|START",
    needs: Some("SLOWLOG|RESET"),
    summary: "Begin to count where scripts and functions spend their time",
    complexity: "O(1)",
    since: "7.0.0",
    arity: -2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::new("name", ArgKind::Text).optional()],
    help: &[
        "START [<NAME>]",
        "    Begin a profile of all scripts and functions, or of one: the digest of a script or",
        "    the name of a function. What an earlier profile counted is dropped.",
    ],
    handler: Some(start),
    ..CommandSpec::DEFAULT
});

fn start<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let name = match call.args {
        [] => None,
        [name] => Some(*name),
        _ => return Err(wrong_usage(super::NAME, call.subcommand, call.engine.dialect())),
    };
    call.engine.begin_profile(name)?;
    ok(call.reply);
    Ok(())
}
