//! `LUA.FUNCTION LIST`.

use crate::commands::figures::{self, count};
use crate::commands::spec::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation};
use crate::dialect::Hosts;
use crate::engine::{Function, Library};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::glob;
use crate::script::shebang::until_nul;
use crate::stats::{Figures, Scale};

register!(COMMANDS: LIST: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|LIST",
    replaces: Some("FUNCTION|LIST"),
    summary: "List information about all the functions",
    complexity: "O(N) where N is the number of functions",
    since: "7.0.0",
    arity: -2,
    flags: CommandFlags::DENY_SCRIPT,
    tips: &["nondeterministic_output_order"],
    args: &[
        Arg::new("library-name-pattern", ArgKind::NamedText("LIBRARYNAME")).optional(),
        Arg::new("withcode", ArgKind::Token("WITHCODE")).optional(),
        Arg::new("withstats", ArgKind::Token("WITHSTATS")).optional(),
    ],
    help: &[
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    ],
    help_on: &[(
        Hosts::Redis70,
        &[
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Return general information on all the libraries:",
            "    * Library name",
            "    * The engine used to run the Library",
            "    * Library description",
            "    * Functions list",
            "    * Library code (if WITHCODE is given)",
            "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        ],
    )],
    handler: Some(list),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: NO_PATTERN: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "library name argument was not given",
    "Nothing follows LIBRARYNAME in `LUA.FUNCTION LIST`.",
));
register!(ERRORS: UNKNOWN_ARGUMENT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unknown argument {}",
    "`LUA.FUNCTION LIST` is given something it does not know, or twice.",
));

/// What is told beside names and functions.
#[derive(Clone, Copy, Default)]
struct Details {
    code: bool,
    stats: bool,
}

fn list<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let mut with = Details::default();
    let mut pattern = None;
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        let word = until_nul(arg);
        if !with.code && word.eq_ignore_ascii_case(b"withcode") {
            with.code = true;
        } else if !with.stats && word.eq_ignore_ascii_case(b"withstats") {
            with.stats = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            let given = args.next().ok_or_else(|| ErrorReply::new(&NO_PATTERN, dialect))?;
            pattern = Some(*given);
        } else {
            return Err(ErrorReply::with(&UNKNOWN_ARGUMENT, dialect, &[word]));
        }
    }
    let libraries = call.engine.libraries();
    let scale = call.engine.scale();
    let is_asked_for = |library: &&std::rc::Rc<Library>| {
        pattern.is_none_or(|pattern| glob::matches_in_any_case(pattern, &library.name))
    };
    call.reply.array(libraries.iter().filter(is_asked_for).count());
    for library in libraries.iter().filter(is_asked_for) {
        describe(library, with, &scale, call.reply);
    }
    Ok(())
}

/// Sends what is known about a library.
fn describe(library: &Library, with: Details, scale: &Scale, reply: &mut impl ReplySink) {
    reply.map_start();
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        describe_function(function, with, scale, reply);
    }
    if with.code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
    if with.stats {
        let total = |number: fn(&Figures) -> u64| -> u64 {
            library.functions.iter().map(|function| number(&function.figures.borrow())).sum()
        };
        reply.bulk(b"stats");
        reply.map_start();
        reply.bulk(b"memory");
        reply.integer(count(library.memory));
        reply.bulk(b"calls");
        reply.integer(count(total(|figures| figures.calls)));
        reply.bulk(b"errors");
        reply.integer(count(total(|figures| figures.errors)));
        reply.map_end(3);
    }
    reply.map_end(3 + usize::from(with.code) + usize::from(with.stats));
}

fn describe_function(
    function: &Function,
    with: Details,
    scale: &Scale,
    reply: &mut impl ReplySink,
) {
    reply.map_start();
    reply.bulk(b"name");
    reply.bulk(&function.name);
    reply.bulk(b"description");
    match &function.description {
        Some(description) => reply.bulk(description),
        None => reply.null(),
    }
    reply.bulk(b"flags");
    reply.set_start();
    let limits = function.limits.words();
    for flag in function.flags.flag_names() {
        reply.status(flag.as_bytes());
    }
    for limit in &limits {
        reply.status(limit.as_bytes());
    }
    reply.set_end(function.flags.flag_names().count() + limits.len());
    let mut pairs = 3;
    if with.stats {
        pairs += figures::send(&scale.summary(&function.figures.borrow()), reply);
    }
    reply.map_end(pairs);
}
