//! `LUA.EVALSHA` and `LUA.EVALSHA_RO`: run a cached script.

use super::eval::{RUN_FLAGS, run_args};
use super::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, KeyAccess, Keys};
use crate::engine::{NOTHING, RunRequest, Source};
use crate::host::Host;
use crate::policy::admission::Access;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

const ARGS: &[Arg] = &run_args(Arg::new("sha1", ArgKind::Text));

register!(COMMANDS: EVALSHA: CommandSpec = CommandSpec {
    name: "LUA.EVALSHA",
    replaces: Some("EVALSHA"),
    summary: "Execute a Lua script server side",
    complexity: "Depends on the script that is executed.",
    since: "2.6.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::MAY_REPLICATE),
    keys: Keys::Counted { at: 2, access: KeyAccess::ReadWrite, notes: None },
    args: ARGS,
    handler: Some(|call| evalsha(call, Access::ReadWrite)),
    ..CommandSpec::DEFAULT
});
register!(COMMANDS: EVALSHA_RO: CommandSpec = CommandSpec {
    name: "LUA.EVALSHA_RO",
    replaces: Some("EVALSHA_RO"),
    summary: "Execute a read-only Lua script server side",
    complexity: "Depends on the script that is executed.",
    since: "7.0.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::READ_ONLY),
    keys: Keys::Counted { at: 2, access: KeyAccess::Read, notes: None },
    args: ARGS,
    handler: Some(|call| evalsha(call, Access::ReadOnly)),
    ..CommandSpec::DEFAULT
});

register!(ERRORS: NOT_BY_DIGEST: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Please use EVAL instead of EVALSHA for debugging",
    "A client that asked for debugging runs a script by its digest.",
));

fn evalsha<S: ReplySink>(call: &mut Invocation<'_, S>, access: Access) -> Result<(), ErrorReply> {
    let (digest, arguments) = call.args.split_first().unwrap_or((&NOTHING, &[]));
    if digest.len() == 40 && call.host.debugging().is_some() {
        return Err(ErrorReply::new(&NOT_BY_DIGEST, call.engine.dialect()));
    }
    let request = RunRequest { source: Source::Digest(digest), arguments, access };
    call.engine.run(call.host, request, call.reply)
}
