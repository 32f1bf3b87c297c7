//! `LUA.FUNCTION FLUSH`.

use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandSpec, Invocation, ok, wrong_usage};
use crate::config;
use crate::engine::FlushMode;
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::shebang::until_nul;

register!(COMMANDS: FLUSH: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|FLUSH",
    replaces: Some("FUNCTION|FLUSH"),
    summary: "Deleting all functions",
    complexity: "O(N) where N is the number of functions deleted",
    since: "7.0.0",
    arity: -2,
    flags: CHANGE,
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[Arg::new(
        "async",
        ArgKind::OneOf(&[
            Arg::new("async", ArgKind::Token("ASYNC")),
            Arg::new("sync", ArgKind::Token("SYNC")),
        ]),
    )
    .optional()],
    help: &[
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
    ],
    handler: Some(flush),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: FLUSH_MODE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "FUNCTION FLUSH only supports SYNC|ASYNC option",
    "The argument of `LUA.FUNCTION FLUSH` is neither SYNC nor ASYNC.",
));

fn flush<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let mode = match call.args {
        [] if call.host.flushes_lazily() => FlushMode::Async,
        [] => FlushMode::Sync,
        [mode] if until_nul(mode).eq_ignore_ascii_case(b"sync") => FlushMode::Sync,
        [mode] if until_nul(mode).eq_ignore_ascii_case(b"async") => FlushMode::Async,
        [_] => return Err(ErrorReply::new(&FLUSH_MODE, dialect)),
        _ => return Err(wrong_usage(super::NAME, call.subcommand, dialect)),
    };
    call.engine.flush_libraries(mode);
    if config::takes_over() {
        call.host.drop_stock_libraries(None);
    }
    call.host.replicate();
    ok(call.reply);
    Ok(())
}
