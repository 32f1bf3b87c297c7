//! `LUA.SCRIPT DOCTOR`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;
use crate::resp::ReplySink;

register!(COMMANDS: DOCTOR: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|DOCTOR",
    needs: Some("SCRIPT|EXISTS"),
    summary: "Advise on the scripts and functions there are",
    complexity: "O(N) with N being the number of scripts in cache and of functions",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::DENY_SCRIPT,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: Some(|call| {
        call.reply.verbatim(b"txt", call.engine.advice().as_bytes());
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
