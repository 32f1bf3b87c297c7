//! `LUA.FUNCTION IMPORT`: the libraries of the server's own engine.

use super::restore::{POLICIES, policy, restore_payload};
use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{
    Arg, COMMANDS, CommandFlags, CommandSpec, Invocation, ok, wrong_usage,
};
use crate::engine::RestorePolicy;
use crate::host::Host;
use crate::names;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: IMPORT: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|IMPORT",
    needs: Some("FUNCTION|RESTORE"),
    summary: "Copy all libraries of the server's own engine into this one",
    complexity: "O(N) where N is the number of functions of the server's own engine",
    since: "7.0.0",
    arity: -2,
    flags: CHANGE.union(CommandFlags::DENY_OOM),
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[Arg::new("policy", POLICIES).optional()],
    handler: Some(import),
    ..CommandSpec::DEFAULT
});

fn import<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let policy = match call.args {
        [] => RestorePolicy::Append,
        [word] => policy(word, dialect)?,
        _ => return Err(wrong_usage(super::NAME, call.subcommand, dialect)),
    };
    let payload = call.host.stock_libraries()?;
    restore_payload(call.engine, call.host, &payload, policy)?;
    // Replicas and files get what was copied: their own engine may hold something else.
    let word: &[u8] = match policy {
        RestorePolicy::Flush => b"FLUSH",
        RestorePolicy::Append => b"APPEND",
        RestorePolicy::Replace => b"REPLACE",
    };
    let name = names::full(super::NAME);
    call.host.replicate_as(&[name.as_bytes(), b"RESTORE", &payload, word]);
    ok(call.reply);
    Ok(())
}
