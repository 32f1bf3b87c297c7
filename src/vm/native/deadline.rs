//! A limit of time for Lua code.

use std::ffi::c_int;
use std::ptr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mlua::ffi;

use super::error_value;
use super::memory::Shared;
use super::stack::Stack;
use super::sys;

/// Ends what runs in a VM when its time is over; goes before the VM does.
///
/// A thread waits and then sets the VM's interrupt flag, so code pays nothing for it while it has time.
pub(super) struct Deadline {
    l: *mut ffi::lua_State,
    /// Dropping it ends the wait.
    cancel: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A place that the VM reads and a waiting thread writes.
struct Flag(*mut c_int);

// SAFETY: any thread may store 1 in the flag, and the thread that does ends before the VM.
unsafe impl Send for Flag {}

impl Deadline {
    /// Gives what runs next `limit`; then it ends with the error `message`, which nothing in it catches.
    ///
    /// # Safety
    /// `l` is a live state, which outlives the deadline, and has no other poll function.
    pub(super) unsafe fn set(l: *mut ffi::lua_State, limit: Duration) -> Self {
        // SAFETY: the state is live.
        unsafe { sys::redlua_setpoll(l, Some(expired)) };
        // SAFETY: as above.
        let flag = Flag(unsafe { sys::redlua_interruptflag(l) });
        let (cancel, cancelled) = mpsc::channel::<()>();
        let wait = move || {
            let flag = flag;
            if cancelled.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // SAFETY: the flag lives as long as the VM, which waits for this thread.
                unsafe { flag.0.write_volatile(1) };
            }
        };
        // Without a thread there is no limit.
        let thread = thread::Builder::new().name("redlua-deadline".to_owned()).spawn(wait).ok();
        Self { l, cancel: Some(cancel), thread }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        drop(self.cancel.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        // SAFETY: the state outlives the deadline.
        unsafe { sys::redlua_setpoll(self.l, None) };
        // SAFETY: as above; the run is over.
        unsafe { sys::redlua_revive(self.l) };
    }
}

/// The poll function: it is only called when the time is over.
unsafe extern "C" fn expired(l: *mut ffi::lua_State) -> c_int {
    let mut shared = ptr::null_mut();
    // SAFETY: the VM calls it with a live state.
    unsafe { ffi::lua_getallocf(l, &mut shared) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let _on = shared.native();
    // SAFETY: the state is live, has room, and a native counts as on.
    let mut stack = unsafe { Stack::new(l, shared) };
    error_value::push_code(&mut stack, b"FUNCTION LOAD timeout");
    // SAFETY: a value is on top.
    unsafe { sys::redlua_setdeath(l) };
    1
}
