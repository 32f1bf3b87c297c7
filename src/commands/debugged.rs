//! Runs of clients that asked for debugging.

use super::spec::Invocation;
use crate::debugger::{LOUD, Mode, PIPELINED};
use crate::dialect::Hosts;
use crate::engine::Debugged;
use crate::host::{Host, LogLevel};
use crate::resp::{ErrorReply, ReplySink, RespVersion};

/// Runs something in a session with the client.
///
/// Stock: `eval.c` `evalGenericCommandWithDebugging`.
pub(super) fn debug<S: ReplySink>(
    call: &mut Invocation<'_, S>,
    mode: Mode,
    what: Debugged<'_>,
) -> Result<(), ErrorReply> {
    let (engine, host) = (call.engine, call.host);
    engine.may_debug(host, what)?;
    if host.server_state().transaction || host.is_pipelined() {
        return Err(ErrorReply::new(&PIPELINED, engine.dialect()));
    }
    let log = |line: String| {
        let level = if engine.dialect().is(LOUD) { LogLevel::Warning } else { LogLevel::Notice };
        host.log(level, line.as_bytes());
    };
    let server = if engine.dialect().is(Hosts::Valkey) { "Valkey" } else { "Redis" };
    if mode == Mode::Forked {
        let speaks_resp3 = host.speaks_resp3();
        return host.fork(&mut |link| {
            log(format!("{server} forked for debugging eval"));
            let version = if speaks_resp3 { RespVersion::Resp3 } else { RespVersion::Resp2 };
            let mut reply = engine.encoder(version);
            if let Err(error) = engine.debug(host, what, link, true, &mut reply) {
                reply.error(error.line());
            }
            log("Lua debugging session child exiting".to_owned());
            reply.out
        });
    }
    let link = host.hold_client()?;
    log(format!("{server} synchronous debugging eval session started"));
    let outcome = engine.debug(host, what, link, false, call.reply);
    log(format!("{server} synchronous debugging eval session ended"));
    host.let_client_go();
    outcome
}
