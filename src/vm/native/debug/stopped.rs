//! [`Stopped`]: a run that is stopped, for the session to look into.

use std::ffi::{CStr, c_char, c_int};

use mlua::ffi;

use super::{Debugging, copy, text};
use crate::debugger::{Frame, Limits, Paused, Value};
use crate::vm::native::call::shown_call;
use crate::vm::native::stack::{Kind, Stack};

/// The name of what the client evaluates.
const CHUNK: &CStr = c"@ldb_eval";
/// How far the globals are followed that stand behind others.
const BEHIND: usize = 3;

pub(super) struct Stopped<'a> {
    pub(super) stack: Stack<'a>,
    pub(super) debugging: &'a Debugging,
}

impl Paused for Stopped<'_> {
    fn frames(&mut self) -> Vec<Frame> {
        let threads = self.debugging.threads.borrow();
        let mut frames = Vec::new();
        for (at, &thread) in threads.iter().enumerate().rev() {
            let mut level = 0;
            // SAFETY: each of the threads waits for the next, so all are live.
            while let Some(record) = unsafe { record(thread, level, c"Snl") } {
                // SAFETY: Lua filled the record; the text lives as long as the function.
                let name = unsafe { text(record.name) };
                // SAFETY: as above.
                let what = unsafe { text(record.what) };
                frames.push(Frame {
                    position: self.debugging.place(&record),
                    name: name.map(<[u8]>::to_vec),
                    is_main: what == Some(b"main"),
                    begins_at: i64::from(record.linedefined),
                    is_innermost: frames.is_empty(),
                    is_outermost: false,
                });
                level += 1;
            }
            if at == 0
                && let Some(last) = frames.last_mut()
            {
                last.is_outermost = true;
            }
        }
        frames
    }

    fn variable(&mut self, name: &[u8], limits: Limits) -> Option<Value> {
        let top = self.stack.top();
        let is_found = self.push_local(name) || self.push_input(name) || self.push_outer(name);
        let value = is_found.then(|| copy::value(&mut self.stack, -1, limits));
        self.stack.set_top(top);
        value
    }

    fn locals(&mut self, limits: Limits) -> Vec<(Vec<u8>, Value)> {
        let mut locals = Vec::new();
        self.each_local(0, |stack, name| {
            if !name.starts_with(b"(*temporary)") {
                locals.push((name.to_vec(), copy::value(stack, -1, limits)));
            }
            true
        });
        locals
    }

    fn evaluate(&mut self, code: &[u8], limits: Limits) -> Result<Value, Vec<u8>> {
        let top = self.stack.top();
        let outcome = self
            .load(&[b"return ", code].concat())
            .or_else(|_| self.load(code))
            .and_then(|()| self.run(0))
            .map(|()| copy::value(&mut self.stack, -1, limits));
        self.stack.set_top(top);
        outcome
    }

    fn look_at(&mut self, expression: &[u8], limits: Limits) -> Result<(Value, bool), Vec<u8>> {
        let top = self.stack.top();
        let outcome = self
            .load(&[b"return ", expression].concat())
            .map(|()| self.push_scope())
            // SAFETY: the function and, on top, the table of what it sees.
            .map(|()| unsafe { ffi::lua_setfenv(self.stack.raw(), -2) })
            .and_then(|_| self.run(0))
            .map(|()| (copy::value(&mut self.stack, -1, limits), self.stack.truth(-1)));
        self.stack.set_top(top);
        outcome
    }

    fn call(&mut self, argv: &[Vec<u8>]) -> bool {
        let top = self.stack.top();
        let count = c_int::try_from(argv.len()).unwrap_or(c_int::MAX - 8);
        if !self.stack.reserve(count + 4) {
            return false;
        }
        self.stack.push_function(shown_call);
        for word in argv {
            self.stack.push_bytes(word);
        }
        // What it says, it says to the client.
        drop(self.run(count));
        self.stack.set_top(top);
        true
    }
}

impl Stopped<'_> {
    fn raw(&self) -> *mut ffi::lua_State {
        self.stack.raw()
    }

    /// Pushes the function that the code is.
    fn load(&mut self, code: &[u8]) -> Result<(), Vec<u8>> {
        if !self.stack.reserve(8) {
            return Err(b"stack overflow".to_vec());
        }
        let (start, len) = (code.as_ptr().cast(), code.len());
        // SAFETY: the state is live; loading is protected and gives its error as a status.
        let status = unsafe { ffi::luaL_loadbuffer(self.raw(), start, len, CHUNK.as_ptr()) };
        self.outcome(status)
    }

    /// Calls the function below the `count` arguments on top, and leaves its first result in their place.
    fn run(&mut self, count: c_int) -> Result<(), Vec<u8>> {
        let shared = self.stack.shared();
        // What it does counts, and it may fail: no frame of ours is jumped over.
        shared.leave_native();
        // SAFETY: the function and its arguments are on the stack; the call is protected.
        let status = unsafe { ffi::lua_pcall(self.raw(), count, 1, 0) };
        shared.enter_native();
        self.outcome(status)
    }

    fn outcome(&mut self, status: c_int) -> Result<(), Vec<u8>> {
        if status == ffi::LUA_OK {
            return Ok(());
        }
        if self.stack.kind(-1) == Kind::Table {
            self.stack.push_field(-1, b"err");
        }
        let message = self.stack.text(-1).unwrap_or(b"(error object is not a string)").to_vec();
        Err(message)
    }

    /// Gives the local variables of the function at `level` to `look`, each on top of the stack, until it
    /// wants no more; false if it did not.
    fn each_local(
        &mut self,
        level: c_int,
        mut look: impl FnMut(&mut Stack<'_>, &[u8]) -> bool,
    ) -> bool {
        if !self.stack.reserve(4) {
            return true;
        }
        // SAFETY: the state is live.
        let Some(record) = (unsafe { record(self.raw(), level, c"") }) else { return true };
        for number in 1.. {
            // SAFETY: the record is of a function that runs; a value is pushed with each name.
            let name = unsafe { ffi::lua_getlocal(self.raw(), &record, number) };
            // SAFETY: the name lives as long as the function.
            let Some(name) = (unsafe { text(name) }) else { break };
            let goes_on = look(&mut self.stack, name);
            self.stack.pop(1);
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Pushes the first local variable of this name, from the innermost function outwards.
    fn push_local(&mut self, name: &[u8]) -> bool {
        let mut level = 0;
        // SAFETY: the state is live.
        while unsafe { record(self.raw(), level, c"") }.is_some() {
            let mut is_found = false;
            self.each_local(level, |stack, local| {
                if local == name {
                    is_found = true;
                    // Below the value that is popped.
                    stack.push_copy(-1);
                    stack.insert(-2);
                }
                !is_found
            });
            if is_found {
                return true;
            }
            level += 1;
        }
        false
    }

    /// Pushes `KEYS` or `ARGV`.
    fn push_input(&mut self, name: &[u8]) -> bool {
        if name != b"KEYS" && name != b"ARGV" {
            return false;
        }
        let is_there = self.stack.push_field(ffi::LUA_GLOBALSINDEX, name) != Kind::Nil;
        if !is_there {
            self.stack.pop(1);
        }
        is_there
    }

    /// Pushes what the innermost function took from around it under this name.
    fn push_outer(&mut self, name: &[u8]) -> bool {
        let mut is_found = false;
        self.each_outer(|stack, outer| {
            if outer == name {
                is_found = true;
                stack.push_copy(-1);
                // Below the function and the value, which are popped.
                stack.insert(-3);
            }
            !is_found
        });
        is_found
    }

    /// As [`Stopped::each_local`], with what the innermost function took from around it. Two values lie on
    /// the stack then: the function, and the variable on top.
    fn each_outer(&mut self, mut look: impl FnMut(&mut Stack<'_>, &[u8]) -> bool) {
        if !self.stack.reserve(8) {
            return;
        }
        // SAFETY: the state is live; the function is pushed.
        if unsafe { record(self.raw(), 0, c"f") }.is_none() {
            return;
        }
        for number in 1.. {
            // SAFETY: a function is on top; a value is pushed with each name.
            let name = unsafe { ffi::lua_getupvalue(self.raw(), -1, number) };
            // SAFETY: the name lives as long as the function.
            let Some(name) = (unsafe { text(name) }) else { break };
            let goes_on = look(&mut self.stack, name);
            self.stack.pop(1);
            if !goes_on {
                break;
            }
        }
        self.stack.pop(1);
    }

    /// Pushes a table of what the innermost function sees.
    fn push_scope(&mut self) {
        self.stack.push_table();
        let scope = self.stack.top();
        self.each_outer(|stack, name| {
            stack.push_copy(-1);
            stack.set_field(scope, name);
            true
        });
        self.each_local(0, |stack, name| {
            if !name.starts_with(b"(") {
                stack.push_copy(-1);
                stack.set_field(scope, name);
            }
            true
        });
        self.stack.push_table();
        self.push_globals();
        self.stack.set_field(-2, b"__index");
        self.stack.set_metatable(scope);
    }

    /// Pushes a copy of the globals, in which nothing is missing with an error.
    fn push_globals(&mut self) {
        let stack = &mut self.stack;
        stack.push_table();
        let globals = stack.top();
        stack.push_copy(ffi::LUA_GLOBALSINDEX);
        for _ in 0..BEHIND {
            copy_fields(stack, globals);
            // SAFETY: a table is on top.
            if unsafe { ffi::lua_getmetatable(stack.raw(), -1) } == 0 {
                break;
            }
            if stack.push_field(-1, b"__index") != Kind::Table {
                break;
            }
        }
        stack.set_top(globals);
    }
}

/// Adds the fields of the table on top to the one at `to`, but for those that are there.
fn copy_fields(stack: &mut Stack<'_>, to: c_int) {
    let from = stack.top();
    stack.push_nil();
    while stack.next(from) {
        stack.push_copy(-2);
        // SAFETY: a table and a key.
        unsafe { ffi::lua_rawget_(stack.raw(), to) };
        let is_there = stack.kind(-1) != Kind::Nil;
        stack.pop(1);
        if is_there {
            stack.pop(1);
        } else {
            stack.push_copy(-2);
            stack.insert(-2);
            stack.raw_set(to);
        }
    }
}

/// What Lua says of the function at `level`; `None` beyond the last.
///
/// # Safety
/// The thread is live, and has room for a value if that is asked for.
unsafe fn record(l: *mut ffi::lua_State, level: c_int, what: &CStr) -> Option<ffi::lua_Debug> {
    // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
    let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
    // SAFETY: by the contract.
    if unsafe { ffi::lua_getstack(l, level, &mut record) } == 0 {
        return None;
    }
    let what: *const c_char = what.as_ptr();
    // SAFETY: as above.
    unsafe { ffi::lua_getinfo(l, what, &mut record) };
    Some(record)
}
