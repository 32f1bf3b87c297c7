//! `LUA.FUNCTION DELETE`.

use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandSpec, Invocation, ok};
use crate::config;
use crate::host::Host;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: DELETE: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|DELETE",
    replaces: Some("FUNCTION|DELETE"),
    summary: "Delete a function by name",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 3,
    flags: CHANGE,
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[Arg::new("library-name", ArgKind::Text)],
    help: &["DELETE <LIBRARY NAME>", "    Delete the given library."],
    handler: Some(delete),
    ..CommandSpec::DEFAULT
});

fn delete<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let name = call.args.first().copied().unwrap_or_default();
    call.engine.delete_library(name)?;
    if config::takes_over() {
        // Or the next takeover would bring it back.
        call.host.drop_stock_libraries(Some(name));
    }
    call.host.replicate();
    ok(call.reply);
    Ok(())
}
