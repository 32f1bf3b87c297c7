//! `LUA.SCRIPT` and its subcommands.

mod debug;
mod doctor;
mod exists;
mod flush;
mod help;
mod kill;
mod list;
mod load;
mod show;
mod stats;

use super::spec::{COMMANDS, CommandSpec};
use crate::register::register;

/// The container's name.
const NAME: &str = "LUA.SCRIPT";

register!(COMMANDS: SCRIPT: CommandSpec = CommandSpec {
    name: NAME,
    replaces: Some("SCRIPT"),
    summary: "A container for Lua scripts management commands",
    complexity: "Depends on subcommand.",
    since: "2.6.0",
    arity: -2,
    acl: "slow",
    ..CommandSpec::DEFAULT
});
