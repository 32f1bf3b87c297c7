//! The way from Lua into Rust and back.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi;

use super::error_value;
use super::memory::Shared;
use super::stack::Stack;

/// The error value is on top of the stack and is to be raised.
#[derive(Debug)]
pub(crate) struct Raised;

/// How a native function ends: with that many results on top of the stack, or with an error.
pub(crate) type NativeResult = Result<c_int, Raised>;

/// A function scripts can call.
pub(crate) type NativeFn = fn(&mut Stack) -> NativeResult;

/// Ties a native function to the VM it is installed in; lives as long as the VM.
pub(crate) struct Binding {
    function: NativeFn,
    shared: *const Shared,
}

impl Binding {
    pub(super) fn new(function: NativeFn, shared: *const Shared) -> Box<Self> {
        Box::new(Self { function, shared })
    }
}

/// Pushes the Lua function for `binding`.
///
/// # Safety
/// 1. `l` is a live state whose VM keeps `binding` as long as it lives.
/// 2. The stack has room for two values.
pub(super) unsafe fn push(l: *mut ffi::lua_State, binding: *const Binding) {
    // SAFETY: by 1 and 2.
    unsafe { ffi::lua_pushlightuserdata(l, binding.cast_mut().cast::<c_void>()) };
    // SAFETY: by 1 and 2.
    unsafe { ffi::lua_pushcclosure(l, entry, 1) };
}

/// The C function behind every native function. Owns nothing, so a Lua error may jump over it.
unsafe extern "C-unwind" fn entry(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it with a live state.
    let results = unsafe { guarded(l) };
    if results >= 0 {
        return results;
    }
    if results == OUT_OF_MEMORY {
        // The VM is over its limit and no native is on: the allocation fails and raises Lua's own
        // memory error.
        // SAFETY: a C function may allocate.
        unsafe { ffi::lua_newuserdata(l, OVERSHOOT) };
    }
    // SAFETY: the error value is on top of the stack.
    unsafe { ffi::lua_error(l) }
}

const RAISED: c_int = -1;
const OUT_OF_MEMORY: c_int = -2;
/// Bytes that a VM over its limit cannot get.
const OVERSHOOT: usize = 16;

/// Runs the bound function; gives the number of results, [`RAISED`] or [`OUT_OF_MEMORY`].
///
/// # Safety
/// `l` is a live state that runs a function made by [`push`].
#[inline]
unsafe fn guarded(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: the first upvalue is the binding.
    let binding = unsafe { ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)) }.cast::<Binding>();
    // SAFETY: the VM keeps its bindings as long as it lives.
    let binding = unsafe { &*binding };
    // SAFETY: the VM keeps what it shares as long as it lives.
    let shared = unsafe { &*binding.shared };

    shared.enter_native();
    // SAFETY: the state runs this very function.
    let mut stack = unsafe { Stack::new(l, shared) };
    let outcome = catch_unwind(AssertUnwindSafe(|| (binding.function)(&mut stack)));
    if shared.is_over_limit() {
        stack.collect();
    }
    let results = match outcome {
        Ok(Ok(_) | Err(Raised)) if shared.is_over_limit() => OUT_OF_MEMORY,
        Ok(Ok(results)) => results,
        Ok(Err(Raised)) => RAISED,
        Err(_) => {
            shared.poisoned.set(true);
            error_value::push_code(&mut stack, b"internal error");
            RAISED
        }
    };
    shared.leave_native();
    results
}
