//! `LUA.PROFILE HELP`.

use super::{ACL, FLAGS, NAME};
use crate::commands::help::help;
use crate::commands::spec::{COMMANDS, CommandSpec};
use crate::register::register;

/// The subcommands in the order in which they are used.
const ORDER: &[&str] = &["START", "STOP", "GET"];

register!(COMMANDS: HELP: CommandSpec = CommandSpec {
    name: "LUA.PROFILE|HELP",
    needs: Some("SLOWLOG|HELP"),
    summary: "Show helpful text about the different subcommands",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: FLAGS,
    acl: ACL,
    handler: Some(|call| {
        help(NAME, ORDER, call.engine.dialect(), call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
