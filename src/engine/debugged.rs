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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dialect::Dialect;
    use crate::policy::admission::Access;

    fn host(commands: &[&str]) -> ServerHost {
        let command = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
            format!("*{}\r\n{}", line.split(' ').count(), words.collect::<String>()).into_bytes()
        };
        let host = ServerHost::default();
        host.commands.replace(commands.iter().map(command).collect());
        host
    }

    /// What the client of a session is told, and then the reply.
    fn debug(engine: &Engine, host: &ServerHost, what: Debugged<'_>) -> String {
        let mut reply = engine.encoder(RespVersion::Resp2);
        let link = host.hold_client().expect("there is a client");
        if let Err(error) = engine.debug(host, what, link, true, &mut reply) {
            reply.error(error.line());
        }
        let told = [host.told.take(), reply.out].concat();
        String::from_utf8_lossy(&told).into_owned()
    }

    fn script<'a>(body: &'a str, arguments: &'a [&'a [u8]]) -> Debugged<'a> {
        let source = Source::Body(body.as_bytes());
        Debugged::Script(RunRequest { source, arguments, access: Access::ReadWrite })
    }

    fn engine() -> Engine {
        Engine::new(Dialect::redis(7, 0, 15)).expect("a thread")
    }

    #[test]
    fn a_script_is_followed_line_by_line_and_calls_are_shown() {
        let engine = engine();
        let host = host(&["s", "p a", "c"]);
        let told = debug(
            &engine,
            &host,
            script("local a = 1\nredis.call('SET', 'k', a)\nreturn a", &[b"0"]),
        );
        assert_eq!(
            told,
            "*2\r\n+* Stopped at 1, stop reason = step over\r\n+-> 1   local a = 1\r\n\
             *2\r\n+* Stopped at 2, stop reason = step over\r\n+-> 2   redis.call('SET', 'k', a)\r\n\
             *1\r\n+<value> 1\r\n*1\r\n+<endsession>\r\n:1\r\n"
        );
        assert_eq!(host.calls.borrow().len(), 1);
        let host = host_of_steps(3);
        let told = debug(&engine, &host, script("redis.call('GET', 'k')\nreturn 1", &[b"0"]));
        assert!(told.contains("+<redis> GET k\r\n+<reply> \"+OK\"\r\n"), "{told}");
    }

    fn host_of_steps(count: usize) -> ServerHost {
        host(&["s"].repeat(count))
    }

    #[test]
    fn coroutines_and_functions_in_natives_are_followed() {
        let body = "local t = {2, 1}\ntable.sort(t, function(a, b)\nreturn a < b\nend)\n\
            coroutine.wrap(function()\nt[3] = 1\nend)()\npcall(function()\nt[4] = 1\nend)\nreturn #t";
        let told = debug(&engine(), &host_of_steps(40), script(body, &[b"0"]));
        for line in [1, 2, 3, 5, 6, 8, 9, 11] {
            assert!(told.contains(&format!("+* Stopped at {line}, ")), "{line} in {told}");
        }
        assert!(told.ends_with("*1\r\n+<endsession>\r\n:4\r\n"), "{told}");
    }

    #[test]
    fn nothing_of_the_script_holds_an_abort_or_outlives_its_client() {
        let engine = engine();
        let endless = "while true do\npcall(function() local x end)\nend";
        let told = debug(&engine, &host(&["s", "s", "a"]), script(endless, &[b"0"]));
        assert!(told.contains("-ERR script aborted for user request script: "), "{told}");
        let gone = host(&[]);
        gone.threshold.set(Some(Duration::from_millis(5)));
        let told = debug(&engine, &gone, script(endless, &[b"0"]));
        let message = "-ERR timeout during Lua debugging with client closing connection script: ";
        assert!(told.contains(message), "{told}");
    }

    #[test]
    fn what_a_client_evaluates_cannot_hurt_the_run() {
        let commands = [
            "e error({})",
            "e local function f() return f() + 1 end return f()",
            "e string.rep('x', 1e9)",
            "e coroutine.wrap(function() error('x') end)()",
            "e redis.call('GET')",
            "p nosuch 3",
            "b 2 if error('x')",
            "watch t[1][2][3]",
            "c",
            "t",
            "c",
        ];
        let told = debug(
            &engine(),
            &host(&commands),
            script("local t = {}\nt[1] = 5\nreturn t[1]", &[b"0"]),
        );
        assert!(told.contains("+<endsession>\r\n"), "{told}");
    }

    #[test]
    fn large_and_cyclic_tables_are_shown_in_bounds() {
        let body = "local t = {}\nfor i = 1, 1000 do t[i] = t end\nlocal s = string.rep('x', 1e6)\nreturn 1";
        let commands = ["b 4", "c", "p t", "m 0", "p t", "p t 5", "p s", "c"];
        let told = debug(&engine(), &host(&commands), script(body, &[b"0"]));
        assert!(told.ends_with("*1\r\n+<endsession>\r\n:1\r\n"));
        assert!(told.contains("+<value>   [1] = <cycle>\r\n"));
        assert!(told.len() < 20 << 20, "{}", told.len());
    }

    #[test]
    fn a_function_is_followed_and_its_library_stays_as_it_was() {
        let engine = engine();
        let code = b"#!lua name=l\nlocal n = 0\nredis.register_function('f', function()\nn = n + 1\nreturn n\nend)";
        assert!(engine.load_library(&ServerHost::default(), code, false).is_ok());
        let call = FunctionCall { name: b"f", arguments: &[b"0"], access: Access::ReadWrite };
        for _ in 0..2 {
            let told = debug(&engine, &host(&["s", "p n", "c"]), Debugged::Function(call));
            assert!(told.contains("+* Stopped at 4, "), "{told}");
            assert!(told.ends_with("*1\r\n+<value> 1\r\n*1\r\n+<endsession>\r\n:1\r\n"), "{told}");
        }
        let mut reply = Encoder::new(RespVersion::Resp2);
        assert!(engine.call_function(&ServerHost::default(), call, &mut reply).is_ok());
        assert_eq!(reply.out, b":1\r\n");
    }
}
