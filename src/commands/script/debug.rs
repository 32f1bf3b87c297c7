//! `LUA.SCRIPT DEBUG`.

use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, ok};
use crate::debugger::{Mode, PIPELINED};
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

register!(COMMANDS: DEBUG: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|DEBUG",
    replaces: Some("SCRIPT|DEBUG"),
    summary: "Set the debug mode for executed scripts.",
    complexity: "O(1)",
    since: "3.2.0",
    arity: 3,
    flags: CommandFlags::DENY_SCRIPT,
    args: &[Arg::new(
        "mode",
        ArgKind::OneOf(&[
            Arg::new("yes", ArgKind::Token("YES")),
            Arg::new("sync", ArgKind::Token("SYNC")),
            Arg::new("no", ArgKind::Token("NO")),
        ]),
    )],
    help: &["DEBUG (YES|SYNC|NO)", "    Set the debug mode for subsequent scripts executed."],
    handler: Some(debug),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: DEBUG_MODE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Use SCRIPT DEBUG YES/SYNC/NO",
    "The argument of `LUA.SCRIPT DEBUG` is none of the three.",
));

fn debug<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    if call.host.is_pipelined() || call.host.server_state().transaction {
        return Err(ErrorReply::new(&PIPELINED, call.engine.dialect()));
    }
    let mode = match call.args {
        [mode] if mode.eq_ignore_ascii_case(b"no") => None,
        [mode] if mode.eq_ignore_ascii_case(b"yes") => Some(Mode::Forked),
        [mode] if mode.eq_ignore_ascii_case(b"sync") => Some(Mode::Sync),
        _ => return Err(ErrorReply::new(&DEBUG_MODE, call.engine.dialect())),
    };
    call.host.set_debugging(mode)?;
    ok(call.reply);
    Ok(())
}
