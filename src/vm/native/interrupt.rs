//! What happens when a VM's interrupt flag is set: the run looks at the time, and may have to end.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;

use super::error_value;
use super::memory::Shared;
use super::sample;
use super::stack::Stack;
use super::sys;
use super::traceback;
use crate::resp::ErrorReply;
use crate::vm::watch::End;

/// The poll function of every VM; not 0 ends the run.
pub(super) unsafe extern "C" fn poll(l: *mut ffi::lua_State) -> c_int {
    let mut shared = ptr::null_mut();
    // SAFETY: the VM calls it with a live state.
    unsafe { ffi::lua_getallocf(l, &mut shared) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };
    shared.enter_native();
    if shared.ticker().is_sampling() {
        // SAFETY: the state is live, has room, and a native counts as on.
        let mut stack = unsafe { Stack::new(l, shared) };
        if catch_unwind(AssertUnwindSafe(|| sample::take_at_poll(&mut stack))).is_err() {
            shared.poisoned.set(true);
        }
    }
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        let run = shared.run()?;
        let end = run.look(shared.elapsed()?);
        if end.is_some() {
            run.tally.kill();
        }
        end
    }));
    let end = verdict.unwrap_or_else(|_| {
        shared.poisoned.set(true);
        Some(End::Bare(ErrorReply::from_line(b"ERR internal error".to_vec())))
    });
    if let Some(end) = &end {
        // SAFETY: the state is live, has room, and a native counts as on.
        let mut stack = unsafe { Stack::new(l, shared) };
        if matches!(end, End::Placed(_)) {
            traceback::keep(&mut stack, 0);
        }
        push(&mut stack, end);
        // SAFETY: a value is on top.
        unsafe { sys::redlua_setdeath(l) };
    }
    shared.leave_native();
    c_int::from(end.is_some())
}

/// Pushes the error a run ends with, as its error handler would make it.
fn push(stack: &mut Stack<'_>, end: &End) {
    match end {
        End::Bare(error) => error_value::push_reply(stack, error),
        End::Placed(error) => {
            let place = stack.place();
            error_value::push_reply(stack, error);
            if let Some((source, line)) = place {
                stack.push_bytes(&source);
                stack.set_field(-2, b"source");
                stack.push_number(f64::from(line));
                stack.set_field(-2, b"line");
            }
        }
    }
}
