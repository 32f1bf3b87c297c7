//! `LUA.SLOWLOG` and its subcommands.

mod get;
mod help;
mod len;
mod reset;

use super::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The container's name.
const NAME: &str = "LUA.SLOWLOG";

/// Flags of the subcommands, as stock's have them.
const FLAGS: CommandFlags =
    CommandFlags::ADMIN.union(CommandFlags::ALLOW_LOADING).union(CommandFlags::ALLOW_STALE);
/// Their ACL categories.
const ACL: &str = "admin slow dangerous";

register!(COMMANDS: SLOWLOG: CommandSpec = CommandSpec {
    name: NAME,
    summary: "A container for commands about slow scripts and functions",
    complexity: "Depends on subcommand.",
    since: "7.0.0",
    arity: -2,
    acl: "slow",
    ..CommandSpec::DEFAULT
});
