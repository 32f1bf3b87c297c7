//! `LUA.FUNCTION LOAD`.

use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::shebang::until_nul;

register!(COMMANDS: LOAD: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|LOAD",
    replaces: Some("FUNCTION|LOAD"),
    summary: "Create a function with the given arguments (name, code, description)",
    complexity: "O(1) (considering compilation time is redundant)",
    since: "7.0.0",
    arity: -3,
    flags: CHANGE.union(CommandFlags::DENY_OOM),
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[
        Arg::new("replace", ArgKind::Token("REPLACE")).optional(),
        Arg::new("function-code", ArgKind::Text),
    ],
    help: &[
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
    ],
    handler: Some(load),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: UNKNOWN_OPTION: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unknown option given: {}",
    "`LUA.FUNCTION LOAD` is given something else than REPLACE before the code.",
));

fn load<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let Some((code, options)) = call.args.split_last() else { return Ok(()) };
    for option in options {
        if !until_nul(option).eq_ignore_ascii_case(b"replace") {
            let dialect = call.engine.dialect();
            return Err(ErrorReply::with(&UNKNOWN_OPTION, dialect, &[until_nul(option)]));
        }
    }
    let name = call.engine.load_library(call.host, code, !options.is_empty())?;
    call.host.replicate();
    call.reply.bulk(&name);
    Ok(())
}
