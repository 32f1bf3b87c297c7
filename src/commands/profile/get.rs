//! `LUA.PROFILE GET`.

use super::{ACL, FLAGS, flame_graph, text};
use crate::commands::spec::{
    Arg, ArgKind, COMMANDS, CommandSpec, Invocation, internal_error, wrong_usage,
};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

register!(ERRORS: UNKNOWN_FORMAT: ErrorSpec = ErrorSpec::module(
    "ERR", "Unknown format {}", "`LUA.PROFILE GET` is given something else than TEXT, FOLDED or SVG.",
));
register!(ERRORS: NO_SAMPLES: ErrorSpec = ErrorSpec::module(
    "ERR",
    "the profile has no samples, nothing can be drawn",
    "`LUA.PROFILE GET SVG` is called before a run was met.",
));

register!(COMMANDS: GET: CommandSpec = CommandSpec {
    name: "LUA.PROFILE|GET",
    needs: Some("SLOWLOG|GET"),
    summary: "Tell what the profile that is on, or was on last, has counted",
    complexity: "O(N) where N is the number of different stacks that were met",
    since: "7.0.0",
    arity: -2,
    flags: FLAGS,
    acl: ACL,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    args: &[Arg::new("format", ArgKind::OneOf(&[
        Arg::new("text", ArgKind::Token("TEXT")),
        Arg::new("folded", ArgKind::Token("FOLDED")),
        Arg::new("svg", ArgKind::Token("SVG")),
    ])).optional()],
    help: &[
        "GET [TEXT|FOLDED|SVG]",
        "    Return what the profile has counted so far:",
        "    * TEXT: the lines and commands that took most of the time (the default)",
        "    * FOLDED: each stack with its number of samples, as flame graph tools read it",
        "    * SVG: a flame graph",
    ],
    handler: Some(get),
    ..CommandSpec::DEFAULT
});

fn get<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let format = match call.args {
        [] => &b"text"[..],
        [format] => format,
        _ => return Err(wrong_usage(super::NAME, call.subcommand, dialect)),
    };
    let page = if format.eq_ignore_ascii_case(b"text") {
        call.engine.read_profile(text::report)?.into_bytes()
    } else if format.eq_ignore_ascii_case(b"folded") {
        call.engine.read_profile(text::folded)?.into_bytes()
    } else if format.eq_ignore_ascii_case(b"svg") {
        if call.engine.read_profile(|profile| profile.samples == 0)? {
            return Err(ErrorReply::new(&NO_SAMPLES, dialect));
        }
        let folded = call.engine.read_profile(text::folded)?;
        flame_graph::draw(&folded).ok_or_else(|| internal_error(dialect))?
    } else {
        let shown = format.get(..128).unwrap_or(format);
        return Err(ErrorReply::with(&UNKNOWN_FORMAT, dialect, &[shown]));
    };
    call.reply.verbatim(b"txt", &page);
    Ok(())
}
