//! `LUA.SCRIPT HELP`.

use super::NAME;
use crate::commands::help::help;
use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The subcommands in the order in which stock explains them; those that stock lacks are in the reference.
const ORDER: &[&str] = &["DEBUG", "EXISTS", "FLUSH", "KILL", "LOAD", "SHOW"];

register!(COMMANDS: HELP: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|HELP",
    replaces: Some("SCRIPT|HELP"),
    summary: "Show helpful text about the different subcommands",
    complexity: "O(1)",
    since: "5.0.0",
    arity: 2,
    flags: CommandFlags::ALLOW_LOADING.union(CommandFlags::ALLOW_STALE),
    handler: Some(|call| {
        help(NAME, ORDER, call.engine.dialect(), call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
