//! Hooks: how a debugging session follows a run and stops it.
//!
//! A thread with hooks runs in a main loop of its own (`edits/redlua_hooked.c`), and coroutines inherit the
//! hooks of the thread that makes them. Nothing of it is there for runs that are not debugged.

mod copy;
mod stopped;

use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use mlua::ffi;

use super::call::{shown_call, shown_pcall};
use super::entry::NativeFn;
use super::error_value;
use super::memory::Shared;
use super::stack::{Kind, Stack};
use super::state::State;
use super::sys;
use crate::debugger::{Console, Event, Limits, Place, Session, Verdict};
use crate::vm::RunKind;
use stopped::Stopped;

/// Instructions after which a run that goes on is looked at.
///
/// Stock: `script_lua.c` `luaCallFunction`.
const PACE: c_int = 100_000;

/// A session that follows the runs of a VM.
pub(crate) struct Debugging {
    /// What the session tells its client.
    pub(crate) console: Rc<Console>,
    /// The session; not here while it has the run stopped.
    session: RefCell<Option<Box<Session>>>,
    /// The threads that run: each waits for the one behind it. Only the last may be looked into before the
    /// next event, which drops those that are no more.
    threads: RefCell<Vec<*mut ffi::lua_State>>,
    /// The name of the chunks that are debugged, as Lua shows it.
    chunk: &'static [u8],
    /// Nothing the run does may be seen outside its process.
    pub(crate) is_forked: bool,
}

impl State {
    /// Has `session` follow the runs of this VM from here on.
    pub(crate) fn debug(&self, session: Session, kind: RunKind, is_forked: bool) {
        let chunk: &[u8] = match kind {
            RunKind::Script => b"user_script",
            RunKind::Function => b"user_function",
        };
        let debugging = Debugging {
            console: Rc::clone(session.console()),
            session: RefCell::new(Some(Box::new(session))),
            threads: RefCell::default(),
            chunk,
            is_forked,
        };
        if self.shared().debugging.set(debugging).is_err() {
            return;
        }
        self.with_stack(|stack| {
            match self.anchors.functions {
                Some(functions) => stack.push_kept(functions.running),
                None => stack.push_copy(ffi::LUA_GLOBALSINDEX),
            }
            for table in [&b"redis"[..], b"server"] {
                if stack.push_field(-1, table) == Kind::Table {
                    replace_member(stack, b"call", shown_call);
                    replace_member(stack, b"pcall", shown_pcall);
                }
                stack.pop(1);
            }
            stack.pop(1);
        });
        let events = ffi::LUA_MASKCALL | ffi::LUA_MASKLINE | ffi::LUA_MASKCOUNT;
        // SAFETY: the state is live and runs nothing.
        unsafe { ffi::lua_sethook(self.raw(), Some(hook), events, PACE) };
    }

    /// Gives the session back, once no run is on.
    pub(crate) fn end_debugging(&self) -> Option<Session> {
        let debugging = self.shared().debugging.get()?;
        debugging.session.take().map(|session| *session)
    }
}

/// Puts another function in the place of a member of the read-only table on top.
fn replace_member(stack: &mut Stack<'_>, name: &[u8], function: NativeFn) {
    // SAFETY: a table is on top.
    unsafe { sys::lua_enablereadonlytable(stack.raw(), -1, 0) };
    stack.push_function(function);
    stack.set_field(-2, name);
    // SAFETY: as above.
    unsafe { sys::lua_enablereadonlytable(stack.raw(), -1, 1) };
}

impl Stack<'_> {
    /// The values from `first` on in one line, as `redis.debug` shows them.
    pub(crate) fn debug_line(&mut self, first: c_int) -> Vec<u8> {
        let mut line = Vec::new();
        for index in first..=self.top() {
            if index > first {
                line.extend_from_slice(b", ");
            }
            copy::value(self, index, Limits::debug()).push_line(&mut line);
        }
        line
    }
}

/// How a hook ends.
enum End {
    /// The run goes on.
    Go,
    /// The value on top is raised.
    Raise,
    /// The run ends.
    Die,
}

/// The hook. Owns nothing, so a Lua error may jump over it.
unsafe extern "C-unwind" fn hook(l: *mut ffi::lua_State, record: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls it with a live state and a record of the running function.
    match unsafe { guarded(l, record) } {
        End::Go => {}
        // SAFETY: the error value is on top of the stack.
        End::Raise => unsafe { ffi::lua_error(l) },
        End::Die => {
            // SAFETY: the state is live, and no frame that owns anything is on.
            unsafe { sys::redlua_die(l) };
        }
    }
}

/// # Safety
/// As for [`hook`].
unsafe fn guarded(l: *mut ffi::lua_State, record: *mut ffi::lua_Debug) -> End {
    let mut shared = ptr::null_mut();
    // SAFETY: the state is live.
    unsafe { ffi::lua_getallocf(l, &mut shared) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let Some(debugging) = shared.debugging.get() else { return End::Go };
    shared.enter_native();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        debugging.note_thread(l);
        // While a session has the run stopped, what its client evaluates is not followed.
        let Some(mut session) = debugging.session.take() else { return Verdict::Go };
        // SAFETY: as this function; a native counts as on.
        let stack = unsafe { Stack::new(l, shared) };
        // SAFETY: Lua filled the record's event.
        let event = unsafe { (*record).event };
        // SAFETY: as this function.
        let verdict = unsafe { follow(&mut session, debugging, stack, event, record) };
        debugging.session.replace(Some(session));
        verdict
    }));
    // SAFETY: as above.
    let mut stack = unsafe { Stack::new(l, shared) };
    let end = match outcome {
        // SAFETY: the state is live.
        _ if unsafe { sys::redlua_isdying(l) } != 0 => End::Die,
        Ok(Verdict::Go) => End::Go,
        Ok(Verdict::Raise(message)) => {
            error_value::push_code(&mut stack, message);
            End::Raise
        }
        Ok(Verdict::End(message)) => {
            error_value::push_placed(&mut stack, message);
            // SAFETY: a value is on top.
            unsafe { sys::redlua_setdeath(l) };
            End::Die
        }
        Err(_) => {
            shared.poisoned.set(true);
            error_value::push_code(&mut stack, b"internal error");
            End::Raise
        }
    };
    shared.leave_native();
    end
}

/// Tells the session of an event.
///
/// # Safety
/// `record` is what Lua gave the hook with this event, and `stack` is that of the thread it came from.
unsafe fn follow(
    session: &mut Session,
    debugging: &Debugging,
    stack: Stack<'_>,
    event: c_int,
    record: *mut ffi::lua_Debug,
) -> Verdict {
    let event = match event {
        ffi::LUA_HOOKCALL if session.wants_calls() => {
            // SAFETY: by the contract.
            unsafe { ffi::lua_getinfo(stack.raw(), c"nS".as_ptr(), record) };
            // SAFETY: the record was just filled.
            let record = unsafe { &*record };
            if debugging.is_in_chunk(record) {
                // SAFETY: Lua gives a C string, or null for none.
                let name = unsafe { text(record.name) };
                session.enter(name, i64::from(record.linedefined));
            }
            return Verdict::Go;
        }
        ffi::LUA_HOOKLINE => Event::Line,
        ffi::LUA_HOOKCOUNT => Event::Pace,
        _ => return Verdict::Go,
    };
    // SAFETY: by the contract.
    unsafe { ffi::lua_getinfo(stack.raw(), c"Sl".as_ptr(), record) };
    // SAFETY: the record was just filled.
    let place = debugging.place(unsafe { &*record });
    session.pass(event, place, &mut Stopped { stack, debugging })
}

impl Debugging {
    /// An event came from the thread `l`: those that it waited for are done.
    fn note_thread(&self, l: *mut ffi::lua_State) {
        let mut threads = self.threads.borrow_mut();
        match threads.iter().position(|&thread| thread == l) {
            Some(at) => threads.truncate(at + 1),
            None => threads.push(l),
        }
    }

    fn is_in_chunk(&self, record: &ffi::lua_Debug) -> bool {
        // SAFETY: Lua ends the text with a NUL.
        let source = unsafe { CStr::from_ptr(record.short_src.as_ptr()) }.to_bytes();
        source.windows(self.chunk.len()).any(|part| part == self.chunk)
    }

    fn place(&self, record: &ffi::lua_Debug) -> Place {
        let line = i64::from(record.currentline);
        Place { line, is_in_source: self.is_in_chunk(record) }
    }
}

/// The text at `start`; `None` for null.
///
/// # Safety
/// It is null or a C string that outlives the result.
unsafe fn text<'a>(start: *const std::ffi::c_char) -> Option<&'a [u8]> {
    // SAFETY: by the contract.
    (!start.is_null()).then(|| unsafe { CStr::from_ptr(start) }.to_bytes())
}
