//! `LUA.PROFILE STOP`.

use super::{ACL, FLAGS};
use crate::commands::spec::{COMMANDS, CommandSpec, Invocation, ok};
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: STOP: CommandSpec = CommandSpec {
    name: "LUA.PROFILE|STOP",
    needs: Some("SLOWLOG|RESET"),
    summary: "End the profile; what it counted is kept",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    help: &["STOP", "    End the profile. What it counted is kept until the next one begins."],
    handler: Some(stop),
    ..CommandSpec::DEFAULT
});

fn stop<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    call.engine.end_profile()?;
    ok(call.reply);
    Ok(())
}
