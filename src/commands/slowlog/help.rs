//! `LUA.SLOWLOG HELP`.

use super::NAME;
use crate::commands::help::help;
use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The subcommands in the order in which they are explained.
const ORDER: &[&str] = &["GET", "LEN", "RESET"];

register!(COMMANDS: HELP: CommandSpec = CommandSpec {
    name: "LUA.SLOWLOG|HELP",
    summary: "Show helpful text about the different subcommands",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::ALLOW_LOADING.union(CommandFlags::ALLOW_STALE),
    acl: "slow",
    handler: Some(|call| {
        help(NAME, ORDER, call.engine.dialect(), call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
