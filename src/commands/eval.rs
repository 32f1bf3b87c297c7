//! `LUA.EVAL` and `LUA.EVAL_RO`: run a script given as text.

use super::debugged::debug;
use super::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, KeyAccess, Keys};
use crate::engine::{Debugged, NOTHING, RunRequest, Source};
use crate::host::Host;
use crate::policy::admission::Access;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

/// Flags of all commands that run scripts.
pub(super) const RUN_FLAGS: CommandFlags = CommandFlags::DENY_SCRIPT
    .union(CommandFlags::ALLOW_STALE)
    .union(CommandFlags::NO_MANDATORY_KEYS);

/// Keys, then arguments, after what names the script.
pub(super) const fn run_args(script: Arg) -> [Arg; 4] {
    [
        script,
        Arg::new("numkeys", ArgKind::Integer),
        Arg::new("key", ArgKind::Key).optional().multiple(),
        Arg::new("arg", ArgKind::Text).optional().multiple(),
    ]
}

const ARGS: &[Arg] = &run_args(Arg::new("script", ArgKind::Text));

register!(COMMANDS: EVAL: CommandSpec = CommandSpec {
    name: "LUA.EVAL",
    replaces: Some("EVAL"),
    summary: "Execute a Lua script server side",
    complexity: "Depends on the script that is executed.",
    since: "2.6.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::MAY_REPLICATE),
    keys: Keys::Counted {
        at: 2,
        access: KeyAccess::ReadWrite,
        notes: Some(c"We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"),
    },
    args: ARGS,
    handler: Some(|call| eval(call, Access::ReadWrite)),
    ..CommandSpec::DEFAULT
});
register!(COMMANDS: EVAL_RO: CommandSpec = CommandSpec {
    name: "LUA.EVAL_RO",
    replaces: Some("EVAL_RO"),
    summary: "Execute a read-only Lua script server side",
    complexity: "Depends on the script that is executed.",
    since: "7.0.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::READ_ONLY),
    keys: Keys::Counted {
        at: 2,
        access: KeyAccess::Read,
        notes: Some(c"We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"),
    },
    args: ARGS,
    handler: Some(|call| eval(call, Access::ReadOnly)),
    ..CommandSpec::DEFAULT
});

fn eval<S: ReplySink>(call: &mut Invocation<'_, S>, access: Access) -> Result<(), ErrorReply> {
    let (body, arguments) = call.args.split_first().unwrap_or((&NOTHING, &[]));
    let request = RunRequest { source: Source::Body(body), arguments, access };
    if let Some(mode) = call.host.debugging() {
        return debug(call, mode, Debugged::Script(request));
    }
    call.engine.run(call.host, request, call.reply)
}
