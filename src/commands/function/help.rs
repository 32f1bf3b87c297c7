//! `LUA.FUNCTION HELP`.

use super::NAME;
use crate::commands::help::help;
use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The subcommands in the order in which stock explains them; those that stock lacks are in the reference.
const ORDER: &[&str] = &[
    "LOAD", "DELETE", "LIST", "STATS", "KILL", "FLUSH", "DUMP", "RESTORE", "CREATE", "INFO",
    "IMPORT",
];

register!(COMMANDS: HELP: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|HELP",
    replaces: Some("FUNCTION|HELP"),
    summary: "Show helpful text about the different subcommands",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::ALLOW_LOADING.union(CommandFlags::ALLOW_STALE),
    handler: Some(|call| {
        help(NAME, ORDER, call.engine.dialect(), call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
