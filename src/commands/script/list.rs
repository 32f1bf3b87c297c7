//! `LUA.SCRIPT LIST`.

use crate::commands::figures::{self, count};
use crate::commands::spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, wrong_usage,
};
use crate::engine::Kept;
use crate::register::register;
use crate::resp::{ErrorReply, ReplySink};
use crate::script::{Script, glob};
use crate::stats::{Figures, Scale};

register!(COMMANDS: LIST: CommandSpec = CommandSpec {
    name: "LUA.SCRIPT|LIST",
    needs: Some("SCRIPT|EXISTS"),
    summary: "List the scripts of the script cache whose names or digests match a pattern",
    complexity: "O(N) with N being the number of scripts in cache",
    since: "7.0.0",
    arity: -2,
    flags: CommandFlags::DENY_SCRIPT,
    tips: &["nondeterministic_output", "request_policy:all_shards"],
    args: &[
        Arg::new("pattern", ArgKind::Text).optional(),
        Arg::new("withstats", ArgKind::Token("WITHSTATS")).optional(),
    ],
    handler: Some(list),
    ..CommandSpec::DEFAULT
});

fn list<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let is_word = |arg: &&[u8]| arg.eq_ignore_ascii_case(b"withstats");
    let (pattern, with_stats) = match call.args {
        [] => (None, false),
        [word] if is_word(word) => (None, true),
        [pattern] => (Some(*pattern), false),
        [pattern, word] if is_word(word) => (Some(*pattern), true),
        _ => return Err(wrong_usage(super::NAME, call.subcommand, call.engine.dialect())),
    };
    let is_asked_for = |script: &&Script<Kept>| {
        pattern.is_none_or(|pattern| {
            let name = script.name.as_deref();
            name.is_some_and(|name| glob::matches(pattern, name))
                || glob::matches(pattern, &script.sha1.to_hex())
        })
    };
    let scripts = call.engine.scripts();
    let scale = call.engine.scale();
    let found: Vec<_> = scripts.iter().filter(is_asked_for).collect();
    call.reply.array(found.len());
    for script in found {
        describe(script, with_stats, &scale, call.reply);
    }
    Ok(())
}

fn describe(script: &Script<Kept>, with_stats: bool, scale: &Scale, reply: &mut impl ReplySink) {
    let none = Figures::default();
    let figures = script.compiled.figures().unwrap_or(&none);
    let moment = |at| if figures.calls == 0 { 0 } else { count(scale.unix_seconds(at)) };
    reply.map_start();
    reply.bulk(b"sha1");
    reply.bulk(&script.sha1.to_hex());
    reply.bulk(b"name");
    match &script.name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.bulk(b"flags");
    reply.set_start();
    let mut flags = 0;
    for flag in script.flags.iter().flat_map(|flags| flags.flag_names()) {
        reply.status(flag.as_bytes());
        flags += 1;
    }
    let limits = script.limits.words();
    for limit in &limits {
        reply.status(limit.as_bytes());
    }
    reply.set_end(flags + limits.len());
    reply.bulk(b"size");
    reply.integer(count(script.body.len()));
    reply.bulk(b"first_used");
    reply.integer(moment(figures.first));
    reply.bulk(b"last_used");
    reply.integer(moment(figures.last));
    if with_stats {
        reply.bulk(b"stats");
        reply.map_start();
        let pairs = figures::send(&scale.summary(figures), reply);
        reply.map_end(pairs);
    }
    reply.map_end(6 + usize::from(with_stats));
}
