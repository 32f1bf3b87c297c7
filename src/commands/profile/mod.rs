//! `LUA.PROFILE` and its subcommands.

mod flame_graph;
mod get;
mod help;
mod start;
mod stop;
mod text;

use super::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The container's name.
const NAME: &str = "LUA.PROFILE";

/// Flags of all subcommands: those of the slow log's, and that a run that keeps the server busy can be looked
/// at.
const FLAGS: CommandFlags = CommandFlags::DENY_SCRIPT
    .union(CommandFlags::ADMIN)
    .union(CommandFlags::ALLOW_STALE)
    .union(CommandFlags::ALLOW_LOADING)
    .union(CommandFlags::ALLOW_BUSY);

/// ACL categories of all subcommands, as those of the slow log's.
const ACL: &str = "admin slow dangerous";

register!(COMMANDS: PROFILE: CommandSpec = CommandSpec {
    name: NAME,
    summary: "A container for commands that tell where scripts and functions spend their time",
    complexity: "Depends on subcommand.",
    since: "7.0.0",
    arity: -2,
    acl: ACL,
    ..CommandSpec::DEFAULT
});
