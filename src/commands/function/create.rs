//! `LUA.FUNCTION CREATE`: a function from a plain chunk, as Redis had it before 7.0 was released.

use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, ok};
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

register!(COMMANDS: CREATE: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|CREATE",
    needs: Some("FUNCTION|LOAD"),
    summary: "Create a function from a chunk that uses KEYS and ARGV",
    complexity: "O(1) (considering compilation time is redundant)",
    since: "7.0.0",
    arity: -5,
    flags: CHANGE.union(CommandFlags::DENY_OOM),
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[
        Arg::new("engine", ArgKind::Text),
        Arg::new("function-name", ArgKind::Text),
        Arg::new("replace", ArgKind::Token("REPLACE")).optional(),
        Arg::new("description", ArgKind::NamedText("DESCRIPTION")).optional(),
        Arg::new("function-code", ArgKind::Text),
    ],
    handler: Some(create),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: NO_CODE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function code is missing",
    "Nothing follows the options of `LUA.FUNCTION CREATE`.",
));
register!(ERRORS: NO_ENGINE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Engine not found",
    "The engine of `LUA.FUNCTION CREATE` is not Lua.",
));

fn create<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let [engine, name, options @ ..] = call.args else { return Ok(()) };
    let mut replace = false;
    let mut description = None;
    let mut options = options.iter();
    // What is left before the code and is no option is passed over, as it was then.
    while options.len() > 1 {
        let Some(word) = options.next() else { break };
        if word.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if word.eq_ignore_ascii_case(b"desc") || word.eq_ignore_ascii_case(b"description") {
            description = options.next().copied();
        }
    }
    let code = options.next().ok_or_else(|| ErrorReply::new(&NO_CODE, dialect))?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(ErrorReply::new(&NO_ENGINE, dialect));
    }
    call.engine.create_function(call.host, name, description, code, replace)?;
    call.host.replicate();
    ok(call.reply);
    Ok(())
}
