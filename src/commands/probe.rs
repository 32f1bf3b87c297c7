//! `LUA.WRITEPROBE`: a write command that writes nothing.
//!
//! The module calls it itself to hear in the server's own words whether a write that needs memory would be
//! refused now; no other part of the module API tells.

use super::spec::{COMMANDS, CommandFlags, CommandSpec, ok};
use crate::register::register;

register!(COMMANDS: WRITE_PROBE: CommandSpec = CommandSpec {
    name: "LUA.WRITEPROBE",
    summary: "Does nothing; an internal command that is refused when a write would be",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 1,
    flags: CommandFlags::WRITE
        .union(CommandFlags::DENY_OOM)
        .union(CommandFlags::NO_MONITOR)
        .union(CommandFlags::NO_SLOWLOG)
        .union(CommandFlags::FAST),
    handler: Some(|call| {
        ok(call.reply);
        Ok(())
    }),
    ..CommandSpec::DEFAULT
});
