//! `LUA.FUNCTION STATS`.

use crate::commands::spec::{COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};

register!(COMMANDS: STATS: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|STATS",
    replaces: Some("FUNCTION|STATS"),
    summary: "Return information about the function currently running (name, description, duration)",
    complexity: "O(1)",
    since: "7.0.0",
    arity: 2,
    flags: CommandFlags::DENY_SCRIPT.union(CommandFlags::ALLOW_BUSY),
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    help: &[
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
    ],
    handler: Some(stats),
    ..CommandSpec::DEFAULT
});

fn stats<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let running = call.engine.running_function()?;
    let libraries = call.engine.libraries();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let reply = &mut *call.reply;
    reply.map_start();
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(run) => {
            reply.map_start();
            reply.bulk(b"name");
            reply.bulk(&run.name);
            reply.bulk(b"command");
            reply.array(run.command.len());
            for word in &run.command {
                reply.bulk(word);
            }
            reply.bulk(b"duration_ms");
            reply.integer(i64::try_from(run.since.elapsed().as_millis()).unwrap_or(i64::MAX));
            reply.map_end(3);
        }
    }
    reply.bulk(b"engines");
    reply.map_start();
    reply.bulk(b"LUA");
    reply.map_start();
    reply.bulk(b"libraries_count");
    reply.integer(count(libraries.iter().len()));
    reply.bulk(b"functions_count");
    reply.integer(count(libraries.count_functions()));
    reply.map_end(2);
    reply.map_end(1);
    reply.map_end(2);
    Ok(())
}
