//! `LUA.SLOWLOG LEN`.

use super::{ACL, FLAGS};
use crate::commands::figures::count;
use crate::commands::spec::{COMMANDS, CommandSpec};
use crate::register::register;
use crate::resp::ReplySink;

register!(COMMANDS: LEN: CommandSpec = CommandSpec {
    name: "LUA.SLOWLOG|LEN",
    needs: Some("SLOWLOG|LEN"),
    summary: "Count the slow runs that the log has",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    help: &["LEN", "    Count the slow runs that the log has."],
    handler: Some(|call| {
        call.reply.integer(count(call.engine.with_slowlog(|log| log.iter().len())));
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
