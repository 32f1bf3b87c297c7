//! `LUA.SCRIPT STATS`.

use crate::commands::figures;
use crate::commands::spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, wrong_usage,
};
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: STATS: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|STATS",
    needs: Some("SCRIPT|EXISTS"),
    summary: "Tell what the runs of a script or a function did, or of all of them, and count anew if asked to",
    complexity: "O(1) for one script or function, O(N) for all",
    since: "7.0.0",
    arity: -2,
    flags: CommandFlags::DENY_SCRIPT.union(CommandFlags::ALLOW_BUSY),
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    args: &[
        Arg::new("sha1-or-name", ArgKind::Text).optional(),
        Arg::new("reset", ArgKind::Token("RESET")).optional(),
    ],
    handler: Some(stats),
    ..CommandSpec::DEFAULT
});

fn stats<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let is_word = |arg: &&[u8]| arg.eq_ignore_ascii_case(b"reset");
    let (name, resets) = match call.args {
        [] => (None, false),
        [word] if is_word(word) => (None, true),
        [name] => (Some(*name), false),
        [name, word] if is_word(word) => (Some(*name), true),
        _ => return Err(wrong_usage(super::NAME, call.subcommand, call.engine.dialect())),
    };
    let summary = call.engine.figures(name, resets)?;
    call.reply.map_start();
    let pairs = figures::send(&summary, call.reply);
    call.reply.map_end(pairs);
    Ok(())
}
