//! A limit of steps for runs under a fuzzer, where nobody is there to end a run that does not end.
//!
//! A step is one look at the interrupt flag. The flag is always set, so each look asks here, and the same
//! script takes the same number of steps every time.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;

use mlua::ffi;

use super::memory::Shared;
use super::sys;

thread_local! {
    /// What the run that is on has left.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Gives the next run so many steps.
pub(crate) fn allow(steps: u32) {
    LEFT.set(steps);
}

/// Whether the last run used up its steps: its VM is of no use any more.
pub(crate) fn are_used_up() -> bool {
    LEFT.get() == 0
}

/// Makes the runs of a VM count their steps.
///
/// # Safety
/// `l` is a live state.
pub(super) unsafe fn count(l: *mut ffi::lua_State) {
    // SAFETY: the state is live.
    unsafe { sys::redlua_setpoll(l, Some(poll)) };
    // SAFETY: as above.
    unsafe { request(l) };
}

/// Makes the VM ask at its next step.
///
/// # Safety
/// `l` is a live state.
unsafe fn request(l: *mut ffi::lua_State) {
    // SAFETY: the state is live.
    let flag = unsafe { sys::redlua_interruptflag(l) };
    // SAFETY: the flag lives as long as the state.
    unsafe { flag.write_volatile(1) };
}

/// Takes one step; not 0 if it was the last one of a run.
unsafe extern "C" fn poll(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: the VM calls it with a live state.
    unsafe { request(l) };
    let mut shared = ptr::null_mut();
    // SAFETY: as above.
    unsafe { ffi::lua_getallocf(l, &mut shared) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };
    // A VM that is being made takes no steps.
    if shared.run().is_none() {
        return 0;
    }
    let left = LEFT.get().saturating_sub(1);
    LEFT.set(left);
    c_int::from(left == 0)
}
