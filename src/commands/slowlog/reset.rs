//! `LUA.SLOWLOG RESET`.

use super::{ACL, FLAGS};
use crate::commands::spec::{COMMANDS, CommandSpec, ok};
use crate::register::register;
use crate::stats::SlowLog;

register!(COMMANDS: RESET: CommandSpec = CommandSpec {
    name: "LUA.SLOWLOG|RESET",
    needs: Some("SLOWLOG|RESET"),
    summary: "Empty the log of slow runs",
    complexity: "O(N) where N is the number of entries in the log",
    since: "7.0.0",
    arity: 2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    help: &["RESET", "    Empty the log."],
    handler: Some(|call| {
        call.engine.with_slowlog(SlowLog::clear);
        ok(call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
