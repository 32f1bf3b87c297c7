//! `LUA.FUNCTION` and its subcommands.

mod create;
mod delete;
mod dump;
mod flush;
mod help;
mod import;
mod info;
mod kill;
mod list;
mod load;
mod restore;
mod stats;

use super::spec::{COMMANDS, CommandFlags, CommandSpec};
use crate::register::register;

/// The container's name.
const NAME: &str = "LUA.FUNCTION";

/// Flags of all subcommands that change libraries.
const CHANGE: CommandFlags = CommandFlags::DENY_SCRIPT.union(CommandFlags::WRITE);

/// Hints for clients that change libraries everywhere.
const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

register!(COMMANDS: FUNCTION: CommandSpec = CommandSpec {
    name: NAME,
    replaces: Some("FUNCTION"),
    summary: "A container for function commands",
    complexity: "Depends on subcommand.",
    since: "7.0.0",
    arity: -2,
    acl: "slow",
    ..CommandSpec::DEFAULT
});
