//! The way from Lua into Rust and back.

use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;

use super::error_value;
use super::memory::Shared;
use super::stack::Stack;
use super::sys;

/// The error value is on top of the stack and is to be raised.
#[derive(Debug)]
pub(crate) struct Raised;

/// How a native function ends: with that many results on top of the stack, or with an error.
pub(crate) type NativeResult = Result<c_int, Raised>;

/// A function scripts can call.
pub(crate) type NativeFn = fn(&mut Stack) -> NativeResult;

/// Pushes the Lua function that runs `function`, and pops the `data` values below it, which become what
/// [`Stack::data`] finds.
///
/// # Safety
/// 1. `l` is a live state made with its [`Shared`] as the allocator's data.
/// 2. The stack has room for two values, and `data` values are on top of it.
pub(super) unsafe fn push(l: *mut ffi::lua_State, function: NativeFn, data: c_int) {
    // SAFETY: by 1 and 2; a function pointer is as wide as any other.
    unsafe { ffi::lua_pushlightuserdata(l, function as *mut c_void) };
    // SAFETY: by 2.
    unsafe { ffi::lua_insert(l, -1 - data) };
    // SAFETY: by 1 and 2.
    unsafe { ffi::lua_pushcclosure(l, entry, 1 + data) };
}

/// The function that the native function on top runs; `None` if there is another value on top.
///
/// # Safety
/// `l` is a live state with a value on top and room for another one.
pub(super) unsafe fn native_at_top(l: *mut ffi::lua_State) -> Option<*const ()> {
    // SAFETY: a value is on top.
    let function = unsafe { ffi::lua_tocfunction(l, -1) }? as *const ();
    if function != entry as *const () {
        return None;
    }
    // SAFETY: as above; a function of `push` has an upvalue.
    unsafe { ffi::lua_getupvalue(l, -1, 1) };
    // SAFETY: the upvalue is on top.
    let native = unsafe { ffi::lua_touserdata(l, -1) };
    // SAFETY: as above.
    unsafe { ffi::lua_settop(l, -2) };
    Some(native.cast_const().cast())
}

/// The C function behind every native function. Owns nothing, so a Lua error may jump over it.
unsafe extern "C-unwind" fn entry(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it with a live state.
    let results = unsafe { guarded(l) };
    if results >= 0 {
        return results;
    }
    if results == OUT_OF_MEMORY {
        // No native is on, so an allocation beyond the limit fails and raises Lua's own memory error.
        // SAFETY: a C function may allocate.
        unsafe { ffi::lua_newuserdata(l, BEYOND_ANY_LIMIT) };
    }
    // SAFETY: the error value is on top of the stack.
    unsafe { ffi::lua_error(l) }
}

const RAISED: c_int = -1;
const OUT_OF_MEMORY: c_int = -2;
/// Bytes that no VM can get: more than any limit, and little enough for Lua to ask for them.
const BEYOND_ANY_LIMIT: usize = isize::MAX as usize / 2;

/// Runs the bound function; gives the number of results, [`RAISED`] or [`OUT_OF_MEMORY`].
///
/// # Safety
/// `l` is a live state that runs a function made by [`push`].
#[inline]
unsafe fn guarded(l: *mut ffi::lua_State) -> c_int {
    let mut shared = ptr::null_mut();
    // SAFETY: the state is live, and the first upvalue is what `push` stored.
    let function = unsafe { sys::redlua_native(l, &mut shared) };
    // SAFETY: as above.
    let function = unsafe { transmute::<*mut c_void, NativeFn>(function) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };

    shared.enter_native();
    // SAFETY: the state runs this very function.
    let mut stack = unsafe { Stack::new(l, shared) };
    let outcome = catch_unwind(AssertUnwindSafe(|| function(&mut stack)));
    if shared.is_over_limit() {
        stack.collect();
    }
    let results = match outcome {
        Ok(Ok(_) | Err(Raised)) if shared.is_out_of_memory() => OUT_OF_MEMORY,
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
