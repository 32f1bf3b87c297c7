//! `LUA.FUNCTION RESTORE`.

use super::{CHANGE, EVERYWHERE};
use crate::commands::spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Invocation, ok, wrong_usage,
};
use crate::config;
use crate::dialect::Dialect;
use crate::engine::{Engine, RestorePolicy};
use crate::host::{Host, ServerHost};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::payload::{self, PayloadError};
use crate::script::shebang::until_nul;

/// What to do with libraries that are there already.
pub(super) const POLICIES: ArgKind = ArgKind::OneOf(&[
    Arg::new("flush", ArgKind::Token("FLUSH")),
    Arg::new("append", ArgKind::Token("APPEND")),
    Arg::new("replace", ArgKind::Token("REPLACE")),
]);

register!(COMMANDS: RESTORE: CommandSpec = CommandSpec {
    name: "LUA.FUNCTION|RESTORE",
    replaces: Some("FUNCTION|RESTORE"),
    summary: "Restore all the functions on the given payload",
    complexity: "O(N) where N is the number of functions on the payload",
    since: "7.0.0",
    arity: -3,
    flags: CHANGE.union(CommandFlags::DENY_OOM),
    acl: "write scripting slow",
    tips: EVERYWHERE,
    args: &[
        Arg::new("serialized-value", ArgKind::Text),
        Arg::new("policy", POLICIES).optional(),
    ],
    help: &[
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).",
    ],
    handler: Some(restore),
    ..CommandSpec::DEFAULT
});
register!(ERRORS: POLICY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
    "The policy of `LUA.FUNCTION RESTORE` does not exist.",
));
register!(ERRORS: FOOTER: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "DUMP payload version or checksum are wrong",
    "A payload of libraries is damaged, or from a newer server.",
));
register!(ERRORS: NOT_A_LIBRARY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "given type is not a function",
    "A payload holds something else than libraries.",
));
register!(ERRORS: PRE_GA: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Pre-GA function format not supported",
    "A payload is from a release candidate of Redis 7.0.",
));
register!(ERRORS: LIBRARY_TEXT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Failed loading library payload",
    "The text of a library in a payload cannot be read.",
));

fn restore<S: ReplySink>(call: &mut Invocation<'_, S>) -> Result<(), ErrorReply> {
    let dialect = call.engine.dialect();
    let (payload, policy) = match call.args {
        [payload] => (payload, RestorePolicy::Append),
        [payload, word] => (payload, policy(word, dialect)?),
        _ => return Err(wrong_usage(super::NAME, call.subcommand, dialect)),
    };
    restore_payload(call.engine, call.host, payload, policy)?;
    if config::takes_over() && policy == RestorePolicy::Flush {
        call.host.drop_stock_libraries(None);
    }
    call.host.replicate();
    ok(call.reply);
    Ok(())
}

/// The policy that `word` names.
pub(super) fn policy(word: &[u8], dialect: Dialect) -> Result<RestorePolicy, ErrorReply> {
    match &*until_nul(word).to_ascii_lowercase() {
        b"append" => Ok(RestorePolicy::Append),
        b"replace" => Ok(RestorePolicy::Replace),
        b"flush" => Ok(RestorePolicy::Flush),
        _ => Err(ErrorReply::new(&POLICY, dialect)),
    }
}

/// Loads the libraries of a payload; all of them or none.
pub(super) fn restore_payload(
    engine: &Engine,
    host: &ServerHost,
    payload: &[u8],
    policy: RestorePolicy,
) -> Result<(), ErrorReply> {
    let dialect = engine.dialect();
    let refusal = |error| {
        let spec = match error {
            PayloadError::Footer => &FOOTER,
            PayloadError::NotALibrary => &NOT_A_LIBRARY,
            PayloadError::PreGa => &PRE_GA,
            PayloadError::Text => &LIBRARY_TEXT,
        };
        ErrorReply::new(spec, dialect)
    };
    let limit = config::memory_limit();
    let reads = |version| dialect.reads_rdb(version);
    let texts = payload::restore(payload, reads, limit).map_err(refusal)?;
    let mut staged = engine.stage();
    for text in texts {
        let loaded = text
            .map_err(refusal)
            .and_then(|text| engine.stage_library(host, &mut staged, &text, false));
        if let Err(error) = loaded {
            engine.drop_staged(staged);
            return Err(error);
        }
    }
    engine.adopt(staged, policy)
}
