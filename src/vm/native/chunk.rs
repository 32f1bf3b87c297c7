//! Compiling source into functions the VM keeps.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::stack::Stack;
use super::state::State;
use super::sys;

/// A compiled function, kept by the VM it was compiled in until it is released there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRef(pub(super) c_int, pub(super) Lends);

/// Which lists a function may be called with again and again: those it cannot hand on to anything that is
/// still there after the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lends {
    pub(super) keys: bool,
    pub(super) args: bool,
}

impl Lends {
    /// A script's: nothing of a script but its replies is there after a run.
    const SCRIPT: Self = Self { keys: true, args: true };

    /// Those of the function on top.
    pub(super) fn of(stack: &Stack<'_>) -> Self {
        // SAFETY: callers have a function on top.
        let handed_on = unsafe { sys::redlua_handson(stack.raw(), -1) };
        Self { keys: handed_on & 1 == 0, args: handed_on & 2 == 0 }
    }
}

/// Why source was not compiled.
#[derive(Debug, PartialEq, Eq)]
pub enum CompileError {
    /// It is not Lua; the compiler's message.
    Syntax(Vec<u8>),
    /// The VM reached its memory limit and must be thrown away.
    Memory,
}

impl State {
    /// Compiles `source` under the chunk name `name` and keeps the function.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub(crate) fn compile(&self, source: &[u8], name: &CStr) -> Result<FunctionRef, CompileError> {
        let l = self.raw();
        // SAFETY: the state is live; loading is protected and gives its error as a status.
        let status =
            unsafe { ffi::luaL_loadbuffer(l, source.as_ptr().cast(), source.len(), name.as_ptr()) };
        self.with_stack(|stack| match status {
            ffi::LUA_OK => {
                // SAFETY: the function is on top; the allocator does not fail.
                let anchor = unsafe { ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX) };
                Ok(FunctionRef(anchor, Lends::SCRIPT))
            }
            ffi::LUA_ERRMEM => {
                stack.pop(1);
                Err(CompileError::Memory)
            }
            _ => {
                let message = stack.text(-1).unwrap_or_default().to_vec();
                stack.pop(1);
                Err(CompileError::Syntax(message))
            }
        })
    }

    /// Gives a function up; the collector frees it.
    pub(crate) fn release(&self, function: FunctionRef) {
        // SAFETY: the state is live and the reference came from `compile`.
        unsafe { ffi::luaL_unref(self.raw(), ffi::LUA_REGISTRYINDEX, function.0) };
    }
}
