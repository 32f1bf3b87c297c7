//! Compiling source into functions the VM keeps.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::state::State;

/// A compiled function, kept by the VM it was compiled in until it is released there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRef(pub(super) c_int);

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
                Ok(FunctionRef(unsafe { ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX) }))
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
