//! The call stack of a run, frame by frame, as tracebacks and profiles show it.

use std::ffi::{CStr, c_char, c_int};

use mlua::ffi;

use super::call::{redis_call, redis_pcall};
use super::entry::{self, NativeFn};
use super::stack::{Kind, Stack};

/// One function on the call stack; it stands for what it was read from only while that goes on.
pub(super) struct Frame {
    record: ffi::lua_Debug,
}

/// What a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The code of a script outside its functions.
    Main,
    /// A function of a script or a library.
    Lua,
    /// A function of the VM or the module.
    Native,
    /// A function that is gone since it ended with a call.
    TailCall,
}

impl Frame {
    /// The frame at `level`, counted from the innermost.
    pub(super) fn at(stack: &Stack<'_>, level: c_int) -> Option<Self> {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: the state is live.
        if unsafe { ffi::lua_getstack(stack.raw(), level, &mut record) } == 0 {
            return None;
        }
        // SAFETY: the record was just filled.
        unsafe { ffi::lua_getinfo(stack.raw(), c"Sln".as_ptr(), &mut record) };
        Some(Self { record })
    }

    /// Whether there is a frame at `level`.
    fn is_at(stack: &Stack<'_>, level: c_int) -> bool {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: the state is live.
        unsafe { ffi::lua_getstack(stack.raw(), level, &mut record) != 0 }
    }

    /// How many frames there are.
    pub(super) fn count(stack: &Stack<'_>) -> c_int {
        let mut beyond = 1;
        while Self::is_at(stack, beyond) {
            beyond *= 2;
        }
        let mut there = beyond / 2;
        if !Self::is_at(stack, there) {
            return 0;
        }
        while beyond - there > 1 {
            let middle = there + (beyond - there) / 2;
            if Self::is_at(stack, middle) {
                there = middle;
            } else {
                beyond = middle;
            }
        }
        beyond
    }

    /// What it is of.
    pub(super) fn kind(&self) -> FrameKind {
        match text(self.record.what) {
            b"C" => FrameKind::Native,
            b"main" => FrameKind::Main,
            b"tail" => FrameKind::TailCall,
            _ => FrameKind::Lua,
        }
    }

    /// The name of the code it is in: not that of code that a script made from a string, which is the string.
    pub(super) fn source(&self) -> &[u8] {
        match text(self.record.source) {
            [b'@', name @ ..] => name,
            _ => b"string",
        }
    }

    /// The line it is at.
    pub(super) fn line(&self) -> c_int {
        self.record.currentline
    }

    /// The line its function begins at.
    pub(super) fn first_line(&self) -> c_int {
        self.record.linedefined
    }

    /// The name by which its function was called, if it was called by one.
    pub(super) fn name(&self) -> Option<&[u8]> {
        Some(text(self.record.name)).filter(|name| !name.is_empty())
    }

    /// `redis.call` or `redis.pcall`, if it is one of them.
    pub(super) fn command_function(&mut self, stack: &mut Stack<'_>) -> Option<&'static str> {
        if self.kind() != FrameKind::Native {
            return None;
        }
        // SAFETY: the record is that of a frame that is on; one value is pushed.
        unsafe { ffi::lua_getinfo(stack.raw(), c"f".as_ptr(), &mut self.record) };
        // SAFETY: a value is on top, and there is room for another one.
        let native = unsafe { entry::native_at_top(stack.raw()) };
        stack.pop(1);
        let is = |function: NativeFn| native == Some(function as *const ());
        match () {
            () if is(redis_call) => Some("redis.call"),
            () if is(redis_pcall) => Some("redis.pcall"),
            () => None,
        }
    }

    /// Pushes what stands at `position` among the arguments of a native function that has not touched it;
    /// false, and nothing is pushed, if nothing does.
    pub(super) fn push_argument(&self, stack: &mut Stack<'_>, position: c_int) -> bool {
        // SAFETY: the record is that of a frame that is on.
        !unsafe { ffi::lua_getlocal(stack.raw(), &raw const self.record, position) }.is_null()
    }

    /// Runs `read` with the command that a frame of `redis.call` calls.
    pub(super) fn with_command<T>(
        &self,
        stack: &mut Stack<'_>,
        read: impl FnOnce(&Stack<'_>, &[u8]) -> T,
    ) -> Option<T> {
        if !self.push_argument(stack, 1) {
            return None;
        }
        let outcome = match stack.kind(-1) {
            Kind::String => stack.bytes(-1).map(|name| read(stack, name)),
            _ => None,
        };
        stack.pop(1);
        outcome
    }
}

/// A C string of Lua's, which may be missing.
fn text<'a>(string: *const c_char) -> &'a [u8] {
    if string.is_null() {
        return b"";
    }
    // SAFETY: Lua gives C strings, which live as long as the frame.
    unsafe { CStr::from_ptr(string) }.to_bytes()
}

/// A name as a line of text has it: no longer than names are, and nothing but visible ASCII without what
/// separates frames.
pub(super) fn plain(name: &[u8]) -> String {
    const LONGEST: usize = 64;
    let shown = name.get(..LONGEST).unwrap_or(name).iter();
    shown
        .map(|&byte| if byte.is_ascii_graphic() && byte != b';' { char::from(byte) } else { '?' })
        .collect()
}
