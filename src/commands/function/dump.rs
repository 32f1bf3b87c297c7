//! `LUA.FUNCTION DUMP`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::host::Host;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};
use crate::script::payload;

register!(COMMANDS: DUMP: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|DUMP",
    replaces: Some("FUNCTION|DUMP"),
    summary: "Dump all functions into a serialized binary payload",
    complexity: "O(N) where N is the number of functions",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::DENY_SCRIPT,
    help: &[
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    ],
    handler: Some(dump),
    ..CommandSpec::DEFAULT
});

fn dump<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let codes = call.engine.library_codes();
    let version = call.engine.dialect().rdb_version();
    let texts = codes.iter().map(|code| &**code);
    call.reply.bulk(&payload::dump(texts, version, call.host.packs_strings()));
    Ok(())
}
