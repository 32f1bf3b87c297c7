//! `LUA.SCRIPT FLUSH`.

use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, ok};
use crate::dialect::Hosts;
use crate::engine::FlushMode;
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

register!(COMMANDS: FLUSH: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|FLUSH",
    replaces: Some("SCRIPT|FLUSH"),
    summary: "Remove all the scripts from the script cache.",
    complexity: "O(N) with N being the number of scripts in cache",
    since: "2.6.0",
    history: &[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
    arity: -2,
    flags: CommandFlags::DENY_SCRIPT,
    flags_on: &[(Hosts::Valkey91, CommandFlags::ALLOW_STALE)],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::new(
        "async",
        ArgKind::OneOf(&[
            Arg::new("async", ArgKind::Token("ASYNC")),
            Arg::new("sync", ArgKind::Token("SYNC")),
        ]),
    )
    .optional()
    .since("6.2.0")],
    help: &[
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
    ],
    help_on: &[(
        Hosts::Valkey,
        &[
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined",
            "     by the lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
        ],
    )],
    handler: Some(flush),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: FLUSH_MODE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "SCRIPT FLUSH only support SYNC|ASYNC option",
    "The argument of `LUA.SCRIPT FLUSH` is neither SYNC nor ASYNC.",
));

fn flush<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let mode = match call.args {
        [] if call.host.flushes_lazily() => FlushMode::Async,
        [] => FlushMode::Sync,
        [mode] if mode.eq_ignore_ascii_case(b"sync") => FlushMode::Sync,
        [mode] if mode.eq_ignore_ascii_case(b"async") => FlushMode::Async,
        _ => return Err(ErrorReply::new(&FLUSH_MODE, call.engine.dialect())),
    };
    call.engine.flush(mode);
    ok(call.reply);
    Ok(())
}
