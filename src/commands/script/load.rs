//! `LUA.SCRIPT LOAD`.

use crate::commands::spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, wrong_arity,
};
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: LOAD: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|LOAD",
    replaces: Some("SCRIPT|LOAD"),
    summary: "Load the specified Lua script into the script cache.",
    complexity: "O(N) with N being the length in bytes of the script body.",
    since: "2.6.0",
    arity: -3,
    flags: CommandFlags::DENY_SCRIPT.union(CommandFlags::ALLOW_STALE),
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[
        Arg::new("script", ArgKind::Text),
        Arg::new("name", ArgKind::NamedText("NAME")).optional(),
    ],
    help: &["LOAD <script>", "    Load a script into the scripts cache without executing it."],
    handler: Some(load),
    ..CommandSpec::DEFAULT
});

fn load<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let (script, name) = match call.args {
        [script] => (*script, None),
        [script, word, name] if word.eq_ignore_ascii_case(b"name") => (*script, Some(*name)),
        _ => return Err(wrong_arity(&LOAD, call.engine.dialect())),
    };
    let digest = call.engine.load(script, name)?;
    call.reply.bulk(&digest.to_hex());
    Ok(())
}
