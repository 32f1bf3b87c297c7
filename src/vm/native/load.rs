//! Loading a library: its code runs once and registers functions.

use std::collections::HashSet;
use std::ffi::CStr;

use mlua::ffi;

use super::chunk::{CompileError, FunctionRef, Lends};
use super::error_value::until_nul;
use super::invoke::{UNKNOWN, field};
use super::stack::{Kind, Stack};
use super::state::State;
use super::sys;
use crate::script::{RunLimits, ScriptFlags};
use crate::vm::context::RunContext;

/// What a function is registered with, the function aside.
#[derive(Debug)]
pub struct Registration {
    /// Its name.
    pub name: Vec<u8>,
    /// What it does, if its author says so.
    pub description: Option<Vec<u8>>,
    /// Its flags.
    pub flags: ScriptFlags,
    /// Its limits, which stand among the flags.
    pub limits: RunLimits,
}

/// A function that a library registered.
#[derive(Debug)]
pub struct Registered {
    /// What it was registered with.
    pub about: Registration,
    /// The function, kept by the VM.
    pub function: FunctionRef,
}

/// The functions of the library that is being loaded.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    functions: Vec<Registered>,
    /// Their names, so that a library of thousands is not searched for each.
    names: HashSet<Vec<u8>>,
}

impl Loading {
    /// Whether the library has registered a function of this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }
}

/// Why a library was not loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It is not Lua; the compiler's message.
    Syntax(Vec<u8>),
    /// Its code raised an error; the message.
    Run(Vec<u8>),
    /// The VM reached its memory limit and must be thrown away.
    Memory,
}

impl State {
    /// Runs the code of a library and gives the functions it registered.
    ///
    /// # Errors
    /// See [`LoadError`]; no function is kept then.
    ///
    /// Stock: `function_lua.c` `luaEngineCreate`.
    pub(crate) fn load(
        &self,
        run: &RunContext<'_>,
        code: &[u8],
        chunk: &CStr,
    ) -> Result<Vec<Registered>, LoadError> {
        let main = self.compile(code, chunk).map_err(|error| match error {
            CompileError::Syntax(message) => LoadError::Syntax(message),
            CompileError::Memory => LoadError::Memory,
        })?;
        let guard = self.shared().begin(run);
        self.shared().loading.replace(Some(Loading::default()));
        self.with_stack(|stack| {
            self.show_globals(stack, |globals| globals.loading);
            stack.push_item(ffi::LUA_REGISTRYINDEX, main.0);
        });
        self.release(main);
        // SAFETY: the function is on the stack.
        let status = unsafe { ffi::lua_pcall(self.raw(), 0, 0, 0) };
        self.revive(status);
        let functions = self.shared().loading.take().unwrap_or_default().functions;
        let outcome = self.with_stack(|stack| {
            let outcome = match status {
                ffi::LUA_OK => Ok(functions),
                ffi::LUA_ERRMEM => Err(LoadError::Memory),
                _ => {
                    for function in functions {
                        self.release(function.function);
                    }
                    Err(LoadError::Run(message(stack)))
                }
            };
            stack.set_top(0);
            self.show_globals(stack, |globals| globals.running);
            self.tidy(stack);
            outcome
        });
        drop(guard);
        outcome
    }

    /// Puts one of the tables that [`State::hide_globals`] keeps behind the globals.
    fn show_globals(
        &self,
        stack: &mut Stack<'_>,
        choose: impl FnOnce(super::state::FunctionGlobals) -> std::ffi::c_int,
    ) {
        let Some(globals) = self.anchors.functions else { return };
        stack.push_item(ffi::LUA_REGISTRYINDEX, globals.metatable);
        // SAFETY: a table is on top.
        unsafe { sys::lua_enablereadonlytable(stack.raw(), -1, 0) };
        stack.push_item(ffi::LUA_REGISTRYINDEX, choose(globals));
        stack.set_field(-2, b"__index");
        // SAFETY: as above.
        unsafe { sys::lua_enablereadonlytable(stack.raw(), -1, 1) };
        stack.pop(1);
    }
}

/// The message of the error on top.
///
/// Stock: `script_lua.c` `luaExtractErrorInformation`.
fn message(stack: &mut Stack<'_>) -> Vec<u8> {
    if stack.kind(-1) == Kind::Table {
        return field(stack, b"err").unwrap_or_else(|| UNKNOWN.to_vec());
    }
    match stack.text(-1) {
        Some(text) => [b"ERR ", until_nul(text)].concat(),
        None => UNKNOWN.to_vec(),
    }
}

/// Keeps the function on top, which is popped, as one of the library that is being loaded; false, and
/// nothing is popped, if none is.
pub(crate) fn register(stack: &mut Stack<'_>, about: Registration) -> bool {
    if stack.shared().loading.borrow().is_none() {
        return false;
    }
    let lends = Lends::of(stack);
    let function = FunctionRef(stack.anchor(), lends);
    if let Some(loading) = stack.shared().loading.borrow_mut().as_mut() {
        loading.names.insert(about.name.clone());
        loading.functions.push(Registered { about, function });
    }
    true
}
