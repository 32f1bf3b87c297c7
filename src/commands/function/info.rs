//! `LUA.FUNCTION INFO`: one function, as Redis had it before 7.0 was released.

use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

register!(COMMANDS: INFO: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|INFO",
    needs: Some("FUNCTION|LIST"),
    summary: "Return information about a function by its name",
    complexity: "O(1)",
    since: "7.0.0",
    arity: -3,
    flags: CommandFlags::DENY_SCRIPT,
    args: &[
        Arg::new("function-name", ArgKind::Text),
        Arg::new("withcode", ArgKind::Token("WITHCODE")).optional(),
    ],
    handler: Some(info),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: NO_FUNCTION: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function does not exists",
    "`LUA.FUNCTION INFO` names no function.",
));
register!(ERRORS: ARGUMENTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "wrong number of arguments for 'info' command or subcommand",
    "Something follows WITHCODE in `LUA.FUNCTION INFO`.",
));

fn info<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let (name, with_code) = match call.args {
        [name] => (name, false),
        [name, word] => (name, word.eq_ignore_ascii_case(b"withcode")),
        _ => return Err(ErrorReply::new(&ARGUMENTS, dialect)),
    };
    let libraries = call.engine.libraries();
    let (library, function) =
        libraries.find(name).ok_or_else(|| ErrorReply::new(&NO_FUNCTION, dialect))?;
    let reply = &mut *call.reply;
    reply.map_start();
    reply.bulk(b"name");
    reply.bulk(&function.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"description");
    match &function.description {
        Some(description) => reply.bulk(description),
        None => reply.null(),
    }
    if with_code {
        reply.bulk(b"code");
        reply.bulk(library.source());
    }
    reply.map_end(if with_code { 4 } else { 3 });
    Ok(())
}
