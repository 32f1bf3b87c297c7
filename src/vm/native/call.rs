//! `redis.call` and `redis.pcall`: from Lua arguments to the server and back.
//!
//! The hottest path of the module, so it works on the raw stack.

use std::ffi::c_int;
use std::slice;

use smallvec::SmallVec;

use super::entry::{NativeResult, Raised};
use super::error_value;
use super::pass;
use super::stack::Stack;
use super::to_lua;
use super::view::Value;
use crate::dialect::Hosts;
use crate::host::{CallOutcome, Host, KeySlots, Permission, ServerHost};
use crate::policy::Demand;
use crate::policy::admission::Grant;
use crate::policy::call_errors::{ACL_FAILURE, CROSS_SLOT, Refusal, STALE_COMMAND, translate};
use crate::policy::call_rules::{
    CallMode, CommandFacts, Traits, UNKNOWN_COMMAND, WRITE_FROM_READ_ONLY, check_call,
};
use crate::policy::quirks::{Quirk, quirk};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, RespVersion};
use crate::vm::context::RunContext;
use crate::vm::number;

register!(ERRORS: NO_ARGUMENT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Please specify at least one argument for this redis lib call",
    "`redis.call`, `redis.pcall` or `redis.acl_check_cmd` is called without arguments.",
).on(&[(Hosts::Valkey, "Please specify at least one argument for this call")]));
register!(ERRORS: BAD_ARGUMENT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Lua redis lib command arguments must be strings or integers",
    "A command argument is neither a string nor a number.",
).on(&[(Hosts::Valkey, "Command arguments must be strings or integers")]));
register!(ERRORS: CALL_OUTSIDE_RUN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "redis.call/pcall can only be called inside a script invocation",
    "`redis.call` is used while no script runs.",
));

register!(ERRORS: NO_BLOCK: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "{} command is not allowed with BLOCK option from scripts",
    "`XREAD` or `XREADGROUP` is called with BLOCK on Redis before 7.4.",
));

/// Arguments of a command that failed that stay on the stack.
const TRACED: c_int = 32;

/// Arguments of a command without an allocation in the common case.
type Argv<'a> = SmallVec<[&'a [u8]; 12]>;

/// Texts of number arguments.
type Numbers = SmallVec<[[u8; 32]; 6]>;

/// `redis.call(command [, arg ...])`.
pub(crate) fn redis_call(stack: &mut Stack<'_>) -> NativeResult {
    match call::<false>(stack) {
        Reply::Value => Ok(1),
        Reply::Error => Err(Raised),
    }
}

/// `redis.pcall(command [, arg ...])`.
pub(crate) fn redis_pcall(stack: &mut Stack<'_>) -> NativeResult {
    call::<false>(stack);
    Ok(1)
}

/// `redis.call` in a debugging session, whose client is shown what is called.
pub(super) fn shown_call(stack: &mut Stack<'_>) -> NativeResult {
    match call::<true>(stack) {
        Reply::Value => Ok(1),
        Reply::Error => Err(Raised),
    }
}

/// `redis.pcall` in a debugging session.
pub(super) fn shown_pcall(stack: &mut Stack<'_>) -> NativeResult {
    call::<true>(stack);
    Ok(1)
}

/// What is on top of the stack after a call.
enum Reply {
    Value,
    Error,
}

fn call<const SHOWN: bool>(stack: &mut Stack<'_>) -> Reply {
    let Some(run) = stack.run() else {
        error_value::push_spec(stack, &CALL_OUTSIDE_RUN);
        return Reply::Error;
    };
    let mut numbers = Numbers::new();
    let argv = match arguments(stack, &mut numbers) {
        Ok(argv) => argv,
        Err(spec) => {
            error_value::push_spec(stack, spec);
            return Reply::Error;
        }
    };
    let outcome = if SHOWN { show(stack, run, &argv) } else { execute(run, &argv) };
    match outcome {
        Ok(reply) => {
            drop(argv);
            let proto: &[u8] = reply.as_ref();
            // The command's name stays where it is, and the arguments of one that failed, which a traceback
            // tells of.
            stack.set_top(if proto.first() == Some(&b'-') { stack.top().min(TRACED) } else { 1 });
            if stack.is_result()
                && run.state.resp.get() == RespVersion::Resp2
                && pass::is_plain(proto, stack.shared().room(), || run.host.speaks_resp3())
            {
                run.passed.set(Some(reply));
                stack.push_boolean(false);
                return Reply::Value;
            }
            let pushed = to_lua::push(stack, proto);
            if SHOWN
                && let Some(debugging) = stack.shared().debugging.get()
                && debugging.console.shows_calls()
            {
                debugging.console.log_reply(proto);
            }
            match pushed {
                Ok(()) if proto.first() != Some(&b'-') => Reply::Value,
                Ok(()) => Reply::Error,
                Err(to_lua::Cut) => {
                    // Whatever it is, the run ends; but there has to be a value.
                    stack.push_nil();
                    Reply::Error
                }
            }
        }
        Err(error) => {
            drop(argv);
            stack.set_top(stack.top().min(TRACED));
            error_value::push_reply(stack, &error);
            error_value::mark_counted(stack);
            Reply::Error
        }
    }
}

/// Executes a command of a debugged run.
#[cold]
fn show(
    stack: &Stack<'_>,
    run: &RunContext<'_>,
    argv: &[&[u8]],
) -> Result<<ServerHost as Host>::Reply, ErrorReply> {
    let Some(debugging) = stack.shared().debugging.get() else { return execute_apart(run, argv) };
    if debugging.console.shows_calls() {
        let is_valkey = run.host.dialect().is(Hosts::Valkey);
        debugging.console.log_call(if is_valkey { b"<command>" } else { b"<redis>" }, argv);
    }
    // The server also writes an empty file and ends a child that saves, both of which are not the session's.
    if debugging.is_forked
        && argv.first().is_some_and(|name| name.eq_ignore_ascii_case(b"flushall"))
        && run.host.permission(argv) == Permission::Granted
    {
        run.host.flush_other_databases();
        let mut own: Argv<'_> = Argv::from_slice(argv);
        if let Some(name) = own.first_mut() {
            *name = c"FLUSHDB".to_bytes();
        }
        return execute_apart(run, &own);
    }
    execute_apart(run, argv)
}

/// As [`execute`], which has its place in the way of calls that are not shown.
fn execute_apart(
    run: &RunContext<'_>,
    argv: &[&[u8]],
) -> Result<<ServerHost as Host>::Reply, ErrorReply> {
    execute(run, argv)
}

/// Reads the arguments of the running function as a command.
///
/// The slices point into strings on the Lua stack and into `numbers`: both must stay as they are while
/// the result is used.
///
/// Stock: `script_lua.c` `luaArgsToRedisArgv`.
fn arguments<'a>(
    stack: &Stack<'_>,
    numbers: &'a mut Numbers,
) -> Result<Argv<'a>, &'static ErrorSpec> {
    let frame = stack.arguments();
    let count = frame.len();
    if count == 0 {
        return Err(&NO_ARGUMENT);
    }
    let mut argv = Argv::new();
    for value in frame {
        match value {
            Value::String(bytes) => {
                // SAFETY: the string stays on the stack as long as the result is used.
                argv.push(unsafe { slice::from_raw_parts(bytes.as_ptr(), bytes.len()) });
            }
            Value::Number(value) => {
                if numbers.is_empty() {
                    // Room for all: the texts must not move any more.
                    numbers.reserve(count);
                }
                numbers.push([0; 32]);
                let Some(text) = numbers.last_mut() else {
                    continue;
                };
                let style = number::NumberStyle::of(stack.shared().dialect);
                let text = number::format(style, value, text);
                // SAFETY: `numbers` does not move while it grows within its room, and the result
                // borrows it.
                argv.push(unsafe { slice::from_raw_parts(text.as_ptr(), text.len()) });
            }
            _ => return Err(&BAD_ARGUMENT),
        }
    }
    Ok(argv)
}

/// Gives the arguments of the running function to `work` as a command.
///
/// # Errors
/// They are no command.
pub(crate) fn with_arguments<T>(
    stack: &Stack<'_>,
    work: impl FnOnce(&[&[u8]]) -> T,
) -> Result<T, &'static ErrorSpec> {
    let mut numbers = Numbers::new();
    Ok(work(&arguments(stack, &mut numbers)?))
}

/// Decides about a command and has the server run it.
///
/// Stock: `script.c` `scriptCall`.
#[inline(always)]
fn execute(
    run: &RunContext<'_>,
    argv: &[&[u8]],
) -> Result<<ServerHost as Host>::Reply, ErrorReply> {
    let host = run.host;
    let Some(facts) = host.facts(argv) else {
        return Err(unknown(host, argv));
    };
    let mode = check_call(facts, argv.len(), &run.grant, &run.state, &run.server)
        .map_err(|spec| rejected(run, argv, facts, spec))?;
    let slot = bound_slot(run, argv)?;
    let began = run.tally.calls();
    let outcome = if facts.traits.contains(Traits::QUIRK) {
        call_quirk(run, argv, mode)?
    } else {
        host.call(argv, mode)
    };
    match outcome {
        CallOutcome::Reply(reply) => {
            run.tally.called(run, began, facts, argv);
            if let Some(slot) = slot {
                run.state.slot.set(Some(slot));
            }
            if facts.traits.contains(Traits::WRITE) {
                run.state.dirty.set(true);
            }
            Ok(reply)
        }
        CallOutcome::Refused(refusal, line) => Err(refused(run, argv, facts, mode, refusal, &line)),
    }
}

/// The error of a command the server does not have.
#[cold]
fn unknown(host: &ServerHost, argv: &[&[u8]]) -> ErrorReply {
    // Valkey 9.1 has a word of its own for a missing subcommand.
    let has_nul = |name: &&[u8]| name.contains(&0);
    if host.dialect().is(Hosts::Valkey91)
        && !argv.first().is_some_and(has_nul)
        && let CallOutcome::Refused(Refusal::Unknown, line) = host.call(argv, CallMode::empty())
        && line.starts_with(b"ERR unknown subcommand")
    {
        return ErrorReply::from_line(line);
    }
    ErrorReply::new(&UNKNOWN_COMMAND, host.dialect())
}

/// Calls a command that does something else when a script calls it.
#[cold]
fn call_quirk(
    run: &RunContext<'_>,
    argv: &[&[u8]],
    mode: CallMode,
) -> Result<CallOutcome<<ServerHost as Host>::Reply>, ErrorReply> {
    let host = run.host;
    match quirk(argv, host.dialect()) {
        Quirk::None => {}
        Quirk::Select(db) => {
            let outcome = host.call(argv, mode);
            if let CallOutcome::Reply(reply) = &outcome {
                let proto: &[u8] = reply.as_ref();
                if proto.starts_with(b"+") {
                    host.select(db);
                }
            }
            return Ok(outcome);
        }
        Quirk::NoBlock => {
            let name = argv.first().copied().unwrap_or_default();
            return Err(ErrorReply::with(&NO_BLOCK, host.dialect(), &[name]));
        }
        Quirk::SortedSet { key, argv: sorted } => {
            let kind = host.call(&[c"TYPE".to_bytes(), key], CallMode::empty());
            if let CallOutcome::Reply(kind) = kind
                && <_ as AsRef<[u8]>>::as_ref(&kind) == b"+set\r\n"
            {
                let sorted: Argv<'_> = sorted.iter().map(|arg| &**arg).collect();
                return Ok(host.call(&sorted, mode));
            }
        }
    }
    Ok(host.call(argv, mode))
}

/// The error of a call the rules refuse.
///
/// Before it refuses a write of a read-only script, stock asks whether the replica may serve the command
/// and the user may run it; an engine that is a module asks about memory, the user and the cluster.
#[cold]
fn rejected(
    run: &RunContext<'_>,
    argv: &[&[u8]],
    facts: CommandFacts,
    spec: &'static ErrorSpec,
) -> ErrorReply {
    let dialect = run.host.dialect();
    if std::ptr::eq(spec, &WRITE_FROM_READ_ONLY) {
        if dialect.is(Hosts::Valkey91) {
            return denied_to_module(run, argv, facts)
                .unwrap_or_else(|| ErrorReply::new(spec, dialect));
        }
        let fresh = Demand { write: false, memory: false, fresh: true };
        let stale = run.server.stale && !facts.traits.contains(Traits::ALLOW_STALE);
        if stale && run.host.unmet(fresh).is_some() {
            return ErrorReply::new(&STALE_COMMAND, dialect);
        }
        if let Some(denied) = denied(run, argv) {
            return denied;
        }
    }
    ErrorReply::new(spec, dialect)
}

/// The error of a write by a read-only script that the server refuses for another reason first.
///
/// Stock: `module.c` `VM_CallArgv`.
#[cold]
fn denied_to_module(
    run: &RunContext<'_>,
    argv: &[&[u8]],
    facts: CommandFacts,
) -> Option<ErrorReply> {
    let writer = Grant { read_only: false, ..run.grant };
    let mode = check_call(facts, argv.len(), &writer, &run.state, &run.server).ok()?;
    if let Some(error) = crossing(run, argv) {
        return Some(error);
    }
    let (refusal, line) = run.host.would_refuse(argv, mode)?;
    Some(refused(run, argv, facts, mode, refusal, &line))
}

/// The error of a command that must not even be shown to the server, as its keys are in several slots.
///
/// See [`crate::dialect::Dialect::keeps_crossed_slots`].
#[cold]
fn crossing(run: &RunContext<'_>, argv: &[&[u8]]) -> Option<ErrorReply> {
    let is_bound = run.server.cluster && !run.server.obeyed;
    if !is_bound || run.host.key_slots(argv) != KeySlots::Several {
        return None;
    }
    let refusal =
        || translate(Refusal::CrossSlot, ELSEWHERE, &lower_name(argv), run.host.dialect());
    Some(denied(run, argv).unwrap_or_else(refusal))
}

/// The error of a call the server refused.
#[cold]
fn refused(
    run: &RunContext<'_>,
    argv: &[&[u8]],
    facts: CommandFacts,
    mode: CallMode,
    refusal: Refusal,
    line: &[u8],
) -> ErrorReply {
    // Stock asks the ACL before the rules for writes and memory, the module API after them; where stock's
    // engine is a module, that is its order too.
    let rules = CallMode::SCRIPT_RULES | CallMode::DENY_OOM;
    let is_module = run.host.dialect().is(Hosts::Valkey91);
    if !is_module
        && matches!(refusal, Refusal::ScriptRules | Refusal::Memory)
        && mode.intersects(rules)
        && !line.starts_with(b"MASTERDOWN")
        && let Some(denied) = denied(run, argv)
    {
        return denied;
    }
    let mut refusal = refusal;
    if refusal == Refusal::NonLocalKey {
        refusal = match run.host.key_slots(argv) {
            KeySlots::Several => Refusal::CrossSlot,
            KeySlots::One(slot) => not_here(run, argv, slot),
            KeySlots::None => Refusal::NonLocalKey,
        };
        // The cluster is asked last, except of a module: by then the write was let through.
        if !is_module && facts.traits.contains(Traits::WRITE) {
            run.state.dirty.set(true);
        }
    }
    translate(refusal, line, &lower_name(argv), run.host.dialect())
}

fn lower_name(argv: &[&[u8]]) -> Vec<u8> {
    argv.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default()
}

/// The ACL error of a command, if the caller may not run it.
#[cold]
fn denied(run: &RunContext<'_>, argv: &[&[u8]]) -> Option<ErrorReply> {
    let line = run.host.acl_refusal(argv)?;
    let dialect = run.host.dialect();
    debug_assert!(ACL_FAILURE.text(dialect).ends_with("{}"));
    Some(translate(Refusal::Acl, &line, &[], dialect))
}

/// What the module API says of keys that cannot be used on this node.
const ELSEWHERE: &[u8] = b"ERR Attempted to access a non local key in a cluster node";

/// The slot a script bound to one slot uses with this command.
///
/// # Errors
/// The command's keys are in another slot than the keys before.
///
/// Stock: `script.c` `scriptVerifyClusterState`.
#[inline]
fn bound_slot(run: &RunContext<'_>, argv: &[&[u8]]) -> Result<Option<u16>, ErrorReply> {
    if !run.server.cluster || run.server.obeyed {
        return Ok(None);
    }
    if run.host.dialect().keeps_crossed_slots()
        && let Some(error) = crossing(run, argv)
    {
        return Err(error);
    }
    if run.grant.allow_cross_slot {
        return Ok(None);
    }
    let KeySlots::One(slot) = run.host.key_slots(argv) else {
        return Ok(None);
    };
    if run.state.slot.get().is_none_or(|bound| bound == slot) {
        return Ok(Some(slot));
    }
    let dialect = run.host.dialect();
    if run.host.serves_keys(argv) {
        return Err(ErrorReply::new(&CROSS_SLOT, dialect));
    }
    Err(translate(not_here(run, argv, slot), ELSEWHERE, &lower_name(argv), dialect))
}

/// Why keys that all are in `slot` cannot be used on this node.
///
/// Stock: `script.c` `scriptVerifyClusterState`.
#[cold]
fn not_here(run: &RunContext<'_>, argv: &[&[u8]], slot: u16) -> Refusal {
    match () {
        () if !run.host.dialect().tells_why_keys_are_not_here() => Refusal::NonLocalKey,
        () if !run.host.is_slot_assigned(slot) => Refusal::UnassignedSlot,
        () if run.host.serves_some_key(argv) => Refusal::MovingSlot,
        () => Refusal::NonLocalKey,
    }
}
