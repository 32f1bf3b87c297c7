//! [`Vm`]: a sealed Lua environment that compiles and runs scripts.

use std::ffi::CStr;
use std::sync::Arc;

use mlua::ffi::LUA_GLOBALSINDEX;

use super::api::{self, ApiContexts, ApiSpec, LUA_API};
use super::context::{Inputs, RunContext};
use super::libraries;
use super::native::{
    CompileError, FunctionRef, InvokeError, LoadError, NativeFn, Registered, Shared, State, Ticker,
};
use super::random::Random;
use super::sandbox;
use super::watch::RunKind;
use crate::debugger::Session;
use crate::dialect::{Dialect, Hosts};
use crate::resp::ReplySink;

/// The chunk name of scripts; error positions show it.
const CHUNK: &CStr = c"@user_script";

/// The chunk name of libraries.
const LIBRARY_CHUNK: &CStr = c"@user_function";

/// What a VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Scripts, by `EVAL` and its kin.
    Scripts,
    /// Functions of libraries, by `FCALL` and its kin.
    Functions,
}

/// A virtual machine.
pub struct Vm {
    state: State,
}

impl Vm {
    /// Makes a VM that answers as a server of `dialect` and may hold `memory_limit` bytes.
    pub fn new(
        purpose: Purpose,
        dialect: Dialect,
        random: Arc<Random>,
        ticker: Arc<Ticker>,
        memory_limit: usize,
    ) -> Self {
        let mut state = State::new(Shared::new(dialect, random, ticker, memory_limit));
        state.retain_globals(|name| sandbox::allows(sandbox::GLOBALS, name));
        for (table, members) in sandbox::LIBRARIES {
            state.retain_members(table, |name| sandbox::allows(members, name));
        }
        install(&mut state, purpose, dialect);
        state.seal();
        if purpose == Purpose::Functions {
            push_load_globals(&mut state, dialect);
            state.hide_globals();
        }
        Self { state }
    }

    /// Bytes the VM holds.
    pub fn memory(&self) -> usize {
        self.state.shared().used()
    }

    /// Sets how many bytes the VM may hold, and how many of source a chunk may have.
    pub fn set_limits(&self, memory: usize, source: usize) {
        self.state.set_limit(memory);
        self.state.set_source_limit(source);
    }

    /// Sets how many bytes the run that begins next may hold more than the VM holds now; 0 for any number.
    #[inline]
    pub fn set_own_limit(&self, memory: u64) {
        if memory != 0 {
            self.state.set_room(usize::try_from(memory).unwrap_or(usize::MAX));
        }
    }

    /// Whether a run is on in the VM.
    pub fn is_running(&self) -> bool {
        self.state.shared().run().is_some()
    }

    /// Whether a bug left the VM in doubt, so that it must be thrown away.
    pub fn is_poisoned(&self) -> bool {
        self.state.shared().poisoned.get()
    }

    /// Compiles a script; the first line of `source` counts as line 1 of the script.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(&self, source: &[u8]) -> Result<FunctionRef, CompileError> {
        self.state.compile(source, CHUNK)
    }

    /// Compiles a function; the first line of `source` counts as its line 1.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile_function(&self, source: &[u8]) -> Result<FunctionRef, CompileError> {
        self.state.compile(source, LIBRARY_CHUNK)
    }

    /// Runs the code of a library and gives the functions it registered; its first line counts as line 1 of
    /// the library.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, run: &RunContext<'_>, code: &[u8]) -> Result<Vec<Registered>, LoadError> {
        let outcome = self.state.load(run, code, LIBRARY_CHUNK);
        libraries::restore(&self.state);
        outcome
    }

    /// How the run that failed last came to its error, once.
    pub fn take_traceback(&self) -> Option<String> {
        self.state.shared().traceback.take()
    }

    /// Has `session` follow the runs of this VM from here on, and show its client what they call. Nothing of a
    /// run that is `forked` may be seen outside its process.
    pub fn debug(&self, session: Session, kind: RunKind, is_forked: bool) {
        self.state.debug(session, kind, is_forked);
    }

    /// Gives the session back, once no run is on.
    pub fn end_debugging(&self) -> Option<Session> {
        self.state.end_debugging()
    }

    /// Gives a compiled script or a registered function up.
    pub fn release(&self, function: FunctionRef) {
        self.state.release(function);
    }

    /// Runs a compiled script or a registered function and sends its result to `sink`.
    ///
    /// # Errors
    /// See [`InvokeError`]; `sink` got nothing then.
    pub fn invoke<S: ReplySink>(
        &self,
        run: &RunContext<'_>,
        function: FunctionRef,
        inputs: Inputs<'_>,
        sink: &mut S,
    ) -> Result<(), InvokeError> {
        debug_assert!(self.state.owns(function), "a function of another VM");
        let outcome = self.state.invoke(run, function, inputs, sink);
        libraries::restore(&self.state);
        outcome
    }
}

/// Adds the module's own members to the globals.
fn install(state: &mut State, purpose: Purpose, dialect: Dialect) {
    let context = match purpose {
        Purpose::Scripts => ApiContexts::EVAL,
        Purpose::Functions => ApiContexts::FUNCTION,
    };
    let add_members = |state: &mut State, table| add_members(state, table, context);
    state.with_stack(|stack| stack.push_table());
    add_members(state, "redis");
    let extra = !dialect.is(Hosts::Valkey);
    if !extra {
        add_members(state, "server");
        state.with_stack(|stack| {
            stack.push_copy(-1);
            stack.set_field(LUA_GLOBALSINDEX, b"server");
        });
    }
    state.with_stack(|stack| stack.set_field(LUA_GLOBALSINDEX, b"redis"));

    if extra {
        state.with_stack(|stack| stack.push_table());
        add_members(state, "redis");
        add_members(state, "server");
        add_extra(state, "server");
    }

    state.with_stack(|stack| stack.push_table());
    add_members(state, "os");
    if dialect.has_os() {
        state.with_stack(|stack| stack.set_field(LUA_GLOBALSINDEX, b"os"));
    } else {
        set_index(state, api::globals::missing_os);
        add_extra(state, "os");
    }

    state.with_stack(libraries::install);

    state.with_stack(|stack| {
        stack.push_field(LUA_GLOBALSINDEX, b"math");
    });
    add_members(state, "math");
    state.with_stack(|stack| stack.pop(1));

    state.with_stack(|stack| {
        stack.push_function(api::handler_of_run);
        if purpose == Purpose::Functions {
            return;
        }
        stack.push_function(api::handler);
        if dialect.is(Hosts::Valkey) {
            stack.push_copy(-1);
            stack.set_field(LUA_GLOBALSINDEX, b"__server__err__handler");
        }
        stack.set_field(LUA_GLOBALSINDEX, b"__redis__err__handler");
    });
    state.set_handler();

    state.with_stack(|stack| stack.push_copy(LUA_GLOBALSINDEX));
    set_index(state, api::globals::missing_global);
    state.with_stack(|stack| stack.pop(1));
}

/// Pushes what stands behind the globals while a library is loaded.
fn push_load_globals(state: &mut State, dialect: Dialect) {
    state.with_stack(|stack| {
        stack.push_table();
        stack.push_table();
    });
    add_members(state, "redis", ApiContexts::LIBRARY_LOAD);
    if dialect.is(Hosts::Valkey) {
        add_members(state, "server", ApiContexts::LIBRARY_LOAD);
    }
    set_index(state, api::globals::missing_while_loading);
    state.with_stack(|stack| {
        if dialect.is(Hosts::Valkey) {
            stack.push_copy(-1);
            stack.set_field(-3, b"server");
        }
        stack.set_field(-2, b"redis");
    });
    set_index(state, api::globals::missing_while_loading);
    state.seal_top();
}

/// Adds the declared members of `table` to the table on top.
fn add_members(state: &mut State, table: &str, context: ApiContexts) {
    let here = |spec: &&ApiSpec| spec.table == table && spec.contexts.contains(context);
    state.with_stack(|stack| {
        for spec in LUA_API.iter().filter(here) {
            libraries::add_member(stack, spec, None);
        }
    });
}

/// Gives the table on top a metatable whose `__index` is `function`.
fn set_index(state: &mut State, function: NativeFn) {
    state.with_stack(|stack| {
        stack.push_table();
        stack.push_function(function);
        stack.set_field(-2, b"__index");
        stack.set_metatable(-2);
    });
}

/// Pops the table on top and makes it answer for the missing global `name`.
fn add_extra(state: &mut State, name: &'static str) {
    state.seal_top();
    let anchor = state.anchor();
    state.shared().extras.borrow_mut().push((name, anchor));
}
