//! Samples of where a run is, for a profile.
//!
//! The ticker counts a sample and sets the interrupt flag; the run finds the count when it looks up: before a
//! call, at a jump back, when a function ends, and at its own end.

use std::ffi::c_int;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Instant;

use mlua::ffi;

use super::frames::{Frame, FrameKind, plain};
use super::memory::Shared;
use super::stack::Stack;
use super::sys;
use crate::host::{Host, ServerHost};
use crate::vm::context::RunContext;
use crate::vm::profile::write_short_name;

/// Frames of a stack, the innermost ones.
const DEPTH: c_int = 64;
/// The first frame of a stack that is deeper.
const DEEPER: &str = "[deeper]";
/// The frame of the time after the script, in which its reply is made.
const REPLY: &str = "[reply]";

/// The sample function of every VM: a function is about to end.
pub(super) unsafe extern "C" fn sample(l: *mut ffi::lua_State) -> c_int {
    let mut shared = ptr::null_mut();
    // SAFETY: the VM calls it with a live state.
    unsafe { ffi::lua_getallocf(l, &mut shared) };
    // SAFETY: the VM was made with what it shares as the allocator's data.
    let shared = unsafe { &*shared.cast::<Shared>() };
    shared.enter_native();
    // SAFETY: the state is live, has room, and a native counts as on.
    let mut stack = unsafe { Stack::new(l, shared) };
    if catch_unwind(AssertUnwindSafe(|| take(&mut stack, 0))).is_err() {
        shared.poisoned.set(true);
    }
    shared.leave_native();
    0
}

/// Takes the samples that are due where the run is at a poll.
pub(super) fn take_at_poll(stack: &mut Stack<'_>) {
    // SAFETY: the state is live.
    let skip = unsafe { sys::redlua_isentering(stack.raw()) };
    take(stack, skip);
}

/// Takes the samples that are due where the run is; `skip` functions have not begun.
fn take(stack: &mut Stack<'_>, skip: c_int) {
    let shared = stack.shared();
    let samples = shared.ticker().take_samples();
    if samples == 0 {
        return;
    }
    let Some(run) = shared.run() else { return };
    let begun = Instant::now();
    let profiler = shared.ticker().profiler();
    profiler.count(run.name, samples, |text| write_frames(stack, run, skip, text));
    shared.ticker().note_cost(begun.elapsed());
}

/// Counts the samples that are due at the end of a run.
pub(super) fn take_at_end(shared: &Shared) {
    let samples = shared.ticker().take_samples();
    if samples == 0 {
        return;
    }
    let Some(run) = shared.run() else { return };
    shared.ticker().profiler().count(run.name, samples, |text| {
        text.push(';');
        text.push_str(REPLY);
    });
}

/// Writes the frames from the outermost on.
fn write_frames(stack: &mut Stack<'_>, run: &RunContext<'_>, skip: c_int, text: &mut String) {
    let mut frames = Vec::with_capacity(8);
    for level in skip..skip + DEPTH {
        let Some(frame) = Frame::at(stack, level) else { break };
        frames.push(frame);
    }
    if Frame::at(stack, skip + DEPTH).is_some() {
        text.push(';');
        text.push_str(DEEPER);
        frames.pop();
    }
    for mut frame in frames.into_iter().rev() {
        let _ = match frame.kind() {
            // It is not there any more.
            FrameKind::TailCall => Ok(()),
            FrameKind::Native => match frame.command_function(stack) {
                Some(function) => {
                    let name = command(stack, run.host, &frame);
                    write!(text, ";{function} {name}")
                }
                None => write!(text, ";[C] {}", frame.name().map_or("?".into(), plain)),
            },
            kind => {
                text.push(';');
                match frame.source() {
                    b"user_script" | b"user_function" => write_short_name(run.name, text),
                    source => text.push_str(&plain(source)),
                }
                let _ = match (kind, frame.name()) {
                    (FrameKind::Main, _) => write!(text, ":main"),
                    (_, Some(name)) => write!(text, ":{}", plain(name)),
                    (_, None) => write!(text, ":function@{}", frame.first_line()),
                };
                write!(text, ":{}", frame.line())
            }
        };
    }
}

/// The name of the command that a frame calls. What is no command may be anything, secrets too.
fn command(stack: &mut Stack<'_>, host: &ServerHost, frame: &Frame) -> String {
    let name = frame.with_command(stack, |_, name| {
        host.facts(&[name]).map(|_| plain(&name.to_ascii_uppercase()))
    });
    name.flatten().unwrap_or_else(|| "?".into())
}
