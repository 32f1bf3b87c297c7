//! Debugged runs: as other ones, but in a VM of their own that a session follows.

use std::cell::Cell;
use std::rc::Rc;

use super::functions::{FunctionCall, NO_FUNCTION};
use super::request::{self, NOTHING, RunRequest, Source, integer};
use super::run::NO_SCRIPT;
use super::state::Engine;
use crate::config;
use crate::debugger::{Link, Session, Subject};
use crate::dialect::Hosts;
use crate::host::{Host, ServerHost};
use crate::policy::admission::{admit, bind};
use crate::policy::{Demand, RunState};
use crate::resp::{Encoder, ErrorReply, ReplySink, RespVersion};
use crate::script::{Origin, library};
use crate::vm::number::{self, NumberStyle};
use crate::vm::{Purpose, RunContext, RunKind, RunName, Tally, Vm, Watch};

/// What is run.
#[derive(Clone, Copy, Debug)]
pub enum Debugged<'a> {
    /// A script given as text.
    Script(RunRequest<'a>),
    /// A function of a library.
    Function(FunctionCall<'a>),
}

/// A session, and where its run takes place.
struct Debugger {
    /// Not here while the run is on.
    session: Option<Session>,
    is_forked: bool,
}

impl Debugger {
    /// Has the session follow a run of `vm`.
    fn follow<T>(&mut self, vm: &Vm, kind: RunKind, run: impl FnOnce() -> T) -> T {
        if let Some(session) = self.session.take() {
            vm.debug(session, kind, self.is_forked);
        }
        let outcome = run();
        self.session = vm.end_debugging();
        outcome
    }
}

impl Engine {
    /// Whether a run can begin at all.
    ///
    /// # Errors
    /// It is refused before a session begins: the server cannot give now what its flags ask for, or there is no
    /// such function.
    pub fn may_debug(&self, host: &ServerHost, what: Debugged<'_>) -> Result<(), ErrorReply> {
        match what {
            Debugged::Script(request) => {
                let found = self.find(request.source)?;
                self.gate(host, request.source, found.as_ref())
            }
            Debugged::Function(call) => {
                let found = self.libraries.borrow().function(call.name);
                let flags = found
                    .and_then(|(library, place)| Some(library.functions.get(place)?.flags))
                    .ok_or_else(|| ErrorReply::new(&NO_FUNCTION, self.dialect))?;
                host.unmet(Demand::of(Some(flags))).map_or(Ok(()), Err)
            }
        }
    }

    /// Does a run while the client behind `link` debugs it, and sends its result to `reply`.
    ///
    /// # Errors
    /// As for a run that is not debugged.
    pub fn debug<S: ReplySink>(
        &self,
        host: &ServerHost,
        what: Debugged<'_>,
        link: Box<dyn Link>,
        is_forked: bool,
        reply: &mut S,
    ) -> Result<(), ErrorReply> {
        let mut debugger = Debugger { session: None, is_forked };
        let threshold = host.busy_threshold();
        let outcome = match what {
            Debugged::Script(request) => {
                let Source::Body(text) = request.source else {
                    return Err(ErrorReply::new(&NO_SCRIPT, self.dialect));
                };
                let subject = Subject { text, function: None };
                debugger.session = Some(Session::new(&subject, self.dialect, threshold, link));
                self.debug_script(host, request, text, &mut debugger, reply)
            }
            Debugged::Function(call) => {
                let found = self.libraries.borrow().function(call.name);
                let text = found.map(|(library, _)| Rc::clone(&library.code)).unwrap_or_default();
                let subject = Subject { text: &text, function: Some(call.name) };
                debugger.session = Some(Session::new(&subject, self.dialect, threshold, link));
                self.debug_function(host, call, &mut debugger, reply)
            }
        };
        if let Some(mut session) = debugger.session {
            session.end();
        }
        outcome
    }

    fn debug_script<S: ReplySink>(
        &self,
        host: &ServerHost,
        request: RunRequest<'_>,
        body: &[u8],
        debugger: &mut Debugger,
        reply: &mut S,
    ) -> Result<(), ErrorReply> {
        let inputs = request.inputs(self.dialect)?;
        let found = match self.find_body(body) {
            Some(found) => found,
            None => self.compile_new(body, Origin::Eval)?,
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
            // Whoever debugs has time, which is not the script's.
            watch: Watch::Load(None),
            keys: inputs.keys,
            tally: &Tally::default(),
            passed: Cell::default(),
        };
        let vm = self.debug_vm(Purpose::Scripts, debugger.is_forked);
        vm.set_own_limit(found.limits.memory);
        let offset = self.shebang(body).map_or(0, |shebang| shebang.code_offset);
        let compiled = self.compile(&vm, body.get(offset..).unwrap_or_default())?;
        let outcome = debugger
            .follow(&vm, RunKind::Script, || vm.invoke(&run, compiled.function, inputs, reply));
        self.settle(&vm, outcome, |_| ())
    }

    fn debug_function<S: ReplySink>(
        &self,
        host: &ServerHost,
        call: FunctionCall<'_>,
        debugger: &mut Debugger,
        reply: &mut S,
    ) -> Result<(), ErrorReply> {
        let dialect = self.dialect;
        let missing = || ErrorReply::new(&NO_FUNCTION, dialect);
        let found = self.libraries.borrow().function(call.name);
        let (library, place) = found.ok_or_else(missing)?;
        let function = library.functions.get(place).ok_or_else(missing)?;
        let (count, rest) = call.arguments.split_first().unwrap_or((&NOTHING, &[]));
        let count = integer(count)
            .ok_or_else(|| ErrorReply::new(&super::functions::BAD_KEY_COUNT, dialect))?;
        let inputs = request::split(count, rest, dialect)?;
        let server = host.server_state();
        let mut grant = admit(Some(function.flags), call.access, &server, dialect)?;
        let declared = inputs.keys.first().copied();
        let slot = bind(&mut grant, declared, &server, dialect);
        let run = RunContext {
            host,
            name: RunName::Function(&function.name),
            grant,
            server,
            state: RunState::new(slot),
            watch: Watch::Load(None),
            keys: inputs.keys,
            tally: &Tally::default(),
            passed: Cell::default(),
        };
        let vm = self.debug_vm(Purpose::Functions, debugger.is_forked);
        let offset = library::metadata(&library.code).map_or(0, |metadata| metadata.code_offset);
        let registered = self.run_library(&vm, host, &library.code, offset, None)?;
        let own = registered.iter().find(|it| it.about.name == function.name);
        let own = own.ok_or_else(missing)?.function;
        vm.set_own_limit(function.limits.memory);
        let outcome =
            debugger.follow(&vm, RunKind::Function, || vm.invoke(&run, own, inputs, reply));
        self.settle(&vm, outcome, |_| ())
    }

    /// A VM for one debugged run, of which nothing is left after it.
    fn debug_vm(&self, purpose: Purpose, is_forked: bool) -> Rc<Vm> {
        let vm = self.make_vm(purpose);
        vm.set_limits(config::memory_limit(), config::max_script_size());
        if is_forked {
            // It goes with its process. To close it would take a lock that the ticker's thread may have held
            // when the process was made, and that nobody gives back here.
            std::mem::forget(Rc::clone(&vm));
        }
        vm
    }

    /// What writes replies as the server does, where it does not write them itself.
    pub fn encoder(&self, version: RespVersion) -> Encoder {
        let mut encoder = Encoder::new(version);
        encoder.cleans_lines = true;
        if !self.dialect.is(Hosts::Redis70) {
            encoder.doubles = Some(|value| {
                let mut buffer = [0; 32];
                let text = number::format(NumberStyle::Shortest, value, &mut buffer);
                String::from_utf8_lossy(text).into_owned()
            });
        }
        encoder
    }
}
