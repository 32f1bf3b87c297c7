//! `LUA.FCALL` and `LUA.FCALL_RO`: call a function of a library.

use super::debugged::debug;
use super::eval::{RUN_FLAGS, run_args};
use super::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, KeyAccess, Keys};
use crate::engine::{Debugged, FunctionCall, NOTHING};
use crate::host::Host;
use crate::policy::admission::Access;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

const ARGS: &[Arg] = &run_args(Arg::new("function", ArgKind::Text));

register!(COMMANDS: FCALL: CommandSpec = CommandSpec {
    name: "LUA.FCALL",
    replaces: Some("FCALL"),
    summary: "Invoke a function",
    complexity: "Depends on the function that is executed.",
    since: "7.0.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::MAY_REPLICATE),
    keys: Keys::Counted {
        at: 2,
        access: KeyAccess::ReadWrite,
        notes: Some(c"We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"),
    },
    args: ARGS,
    handler: Some(|call| fcall(call, Access::ReadWrite)),
    ..CommandSpec::DEFAULT
});
register!(COMMANDS: FCALL_RO: CommandSpec = CommandSpec {
    name: "LUA.FCALL_RO",
    replaces: Some("FCALL_RO"),
    summary: "Invoke a read-only function",
    complexity: "Depends on the function that is executed.",
    since: "7.0.0",
    arity: -3,
    flags: RUN_FLAGS.union(CommandFlags::READ_ONLY),
    keys: Keys::Counted {
        at: 2,
        access: KeyAccess::Read,
        notes: Some(c"We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"),
    },
    args: ARGS,
    handler: Some(|call| fcall(call, Access::ReadOnly)),
    ..CommandSpec::DEFAULT
});

fn fcall<S: ReplySink>(call: &mut Invocation<'_, S>, access: Access) -> Result<(), ErrorReply> {
    let (name, arguments) = call.args.split_first().unwrap_or((&NOTHING, &[]));
    let function = FunctionCall { name, arguments, access };
    if let Some(mode) = call.host.debugging() {
        return debug(call, mode, Debugged::Function(function));
    }
    call.engine.call_function(call.host, function, call.reply)
}
