//! One run: find the script, ask whether it may start, run it, settle.

use std::cell::Cell;

use super::request::{RunRequest, Source};
use super::scripts::Found;
use super::state::Engine;
use crate::config;
use crate::dialect::Hosts;
use crate::host::{Host, ServerHost};
use crate::policy::admission::{Grant, admit, bind};
use crate::policy::time_limits::{TimeLimits, stricter};
use crate::policy::{Demand, RunState, ServerState};
use crate::register::register;
use crate::resp::{Counted, ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::{Origin, RunLimits, Sha1};
use crate::vm::{InvokeError, RunContext, RunName, Vm, Watch};

register!(ERRORS: NO_SCRIPT: ErrorSpec = ErrorSpec::stock(
    "NOSCRIPT",
    "No matching script. Please use EVAL.",
    "The cache has no script of that digest.",
).on(&[(Hosts::Valkey, "No matching script.")]));

impl Engine {
    /// Runs a script for the caller behind `host` and sends its result to `reply`.
    ///
    /// # Errors
    /// The script was not found, may not run now, or failed; `reply` got nothing then.
    ///
    /// Stock: `eval.c` `evalGenericCommand`, with the checks `server.c` `processCommand` makes before it.
    pub fn run<S: ReplySink>(
        &self,
        host: &ServerHost,
        request: RunRequest<'_>,
        reply: &mut S,
    ) -> Result<(), ErrorReply> {
        let found = self.find(request.source)?;
        self.gate(host, request.source, found.as_ref())?;
        let inputs = request.inputs(self.dialect)?;
        let found = match (found, request.source) {
            (Some(found), _) => found,
            (None, Source::Body(body)) => self.compile_new(body, Origin::Eval)?,
            (None, Source::Digest(_)) => return Err(ErrorReply::new(&NO_SCRIPT, self.dialect)),
        };
        let server = host.server_state();
        let mut grant = self.admit(host, request, &found, &server)?;
        let declared = inputs.keys.first().copied();
        let slot = bind(&mut grant, declared, &server, self.dialect);
        let name = self.name_of(&found);
        let run = RunContext {
            host,
            name: match &name {
                Some(name) => RunName::Named(found.sha1, name),
                None => RunName::Script(found.sha1),
            },
            grant,
            server,
            state: RunState::new(slot),
            watch: self.watch(found.limits),
            keys: inputs.keys,
            tally: self.begin_tally(found.is_sampled),
            passed: Cell::default(),
        };
        let vm = self.vm(found.limits);
        let function = self.function(&vm, &found)?;
        let mut reply = Counted::new(reply);
        let outcome = vm.invoke(&run, function, inputs, &mut reply);
        self.note_script(&run, &found, &outcome, reply.bytes);
        self.settle(&vm, outcome, Self::rebuild).map_err(|error| self.trace(&run, &vm, error))
    }

    /// Finds the script, if it is cached.
    #[inline(always)]
    pub(super) fn find(&self, source: Source<'_>) -> Result<Option<Found>, ErrorReply> {
        match source {
            Source::Body(body) => Ok(self.find_body(body)),
            // A digest of another length is no digest, whatever the other arguments are.
            Source::Digest(hex) if hex.len() != 40 => {
                Err(ErrorReply::new(&NO_SCRIPT, self.dialect))
            }
            Source::Digest(hex) => Ok(Sha1::from_hex(hex).and_then(|sha1| self.find_digest(&sha1))),
        }
    }

    /// Refuses a script whose shebang asks for more than the server can give now.
    ///
    /// Stock makes this check before it looks at the command's arguments.
    #[inline(always)]
    pub(super) fn gate(
        &self,
        host: &ServerHost,
        source: Source<'_>,
        found: Option<&Found>,
    ) -> Result<(), ErrorReply> {
        let flags = match (found, source) {
            (Some(found), _) => found.flags,
            (None, Source::Body(body)) => self.shebang(body).ok().and_then(|it| it.flags),
            (None, Source::Digest(_)) => None,
        };
        match flags.and_then(|flags| host.unmet(Demand::of(Some(flags)))) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    #[inline(always)]
    pub(super) fn admit(
        &self,
        host: &ServerHost,
        request: RunRequest<'_>,
        found: &Found,
        server: &ServerState,
    ) -> Result<Grant, ErrorReply> {
        let grant = admit(found.flags, request.access, server, self.dialect)?;
        if found.flags.is_none()
            && server.stale
            && let Some(error) = host.unmet(Demand::of(None))
        {
            return Err(error);
        }
        Ok(grant)
    }

    /// What time may do to a run with these limits of its own.
    #[inline]
    pub(super) fn watch(&self, own: RunLimits) -> Watch<'_> {
        let limits = TimeLimits {
            run: stricter(config::max_run_time(), own.run_time),
            after_write: stricter(config::max_run_time_after_write(), own.run_time_after_write),
            unreachable: config::exec_time_limit(),
        };
        Watch::Run { slot: &self.busy, limits }
    }

    /// Counts a run that ended, and throws its VM away if the run broke it.
    #[inline]
    pub(super) fn settle(
        &self,
        vm: &Vm,
        outcome: Result<(), InvokeError>,
        rebuild: fn(&Self),
    ) -> Result<(), ErrorReply> {
        self.runs.set(self.runs.get() + 1);
        self.busy.leave();
        if vm.is_poisoned() || matches!(outcome, Err(InvokeError::Memory(_))) {
            rebuild(self);
        }
        outcome.map_err(|error| {
            self.failed_runs.set(self.failed_runs.get() + 1);
            self.note_kill();
            match error {
                InvokeError::Script(error) | InvokeError::Memory(error) => error,
            }
        })
    }
}
