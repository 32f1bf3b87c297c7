//! `LUA.SLOWLOG GET`.

use super::{ACL, FLAGS, NAME};
use crate::commands::figures::count;
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandSpec, Invocation, wrong_usage};
use crate::engine::integer;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::stats::SlowRun;

/// How many runs are shown where nobody says.
///
/// Stock: `slowlog.c` `slowlogCommand`.
const SHOWN: usize = 10;

register!(COMMANDS: GET: CommandSpec = CommandSpec {
    name: "LUA.SLOWLOG|GET",
    needs: Some("SLOWLOG|GET"),
    summary: "Show slow runs of scripts and functions with their slowest commands, the last run first",
    complexity: "O(N) where N is the number of entries returned",
    since: "7.0.0",
    arity: -2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    args: &[Arg::new("count", ArgKind::Integer).optional()],
    help: &[
        "GET [<count>]",
        "    Show the last <count> slow runs (default: 10, -1 for all of them). A run has:",
        "    id, time stamp, microseconds, command, address and name of the client,",
        "    name or digest of what ran, and its slowest commands with their microseconds.",
    ],
    handler: Some(get),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: BAD_COUNT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "count should be greater than or equal to -1",
    "The number given to `LUA.SLOWLOG GET` is none, or less than -1.",
));

fn get<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let shown = match call.args {
        [] => SHOWN,
        [number] => match integer(number) {
            Some(-1) => usize::MAX,
            Some(number @ 0..) => usize::try_from(number).unwrap_or(usize::MAX),
            _ => return Err(ErrorReply::new(&BAD_COUNT, dialect)),
        },
        _ => return Err(wrong_usage(NAME, call.subcommand, dialect)),
    };
    let reply = &mut *call.reply;
    call.engine.with_slowlog(|log| {
        reply.array(shown.min(log.iter().len()));
        log.iter().take(shown).for_each(|run| describe(run, reply));
    });
    Ok(())
}

fn describe(run: &SlowRun, reply: &mut impl ReplySink) {
    reply.array(8);
    reply.integer(count(run.id));
    reply.integer(count(run.time));
    reply.integer(count(run.micros));
    command(&run.words, reply);
    reply.bulk(&run.caller.address);
    reply.bulk(&run.caller.name);
    reply.bulk(&run.name);
    reply.array(run.inner.len());
    for (micros, words) in &run.inner {
        reply.array(2);
        reply.integer(count(*micros));
        command(words, reply);
    }
}

fn command(words: &[Vec<u8>], reply: &mut impl ReplySink) {
    reply.array(words.len());
    words.iter().for_each(|word| reply.bulk(word));
}
