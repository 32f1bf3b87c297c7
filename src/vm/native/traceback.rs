//! The way that led to an error: the frames of the run, and the command that failed.

use std::ffi::c_int;
use std::fmt::Write;

use super::frames::{Frame, FrameKind, plain};
use super::stack::Stack;
use crate::host::Host;
use crate::vm::context::RunContext;

/// Frames that are told from the place of the error on, and from the beginning of the run.
const INNER: c_int = 16;
const OUTER: c_int = 4;
/// Arguments of a command whose types are told.
const ARGUMENTS: c_int = 16;
/// Bytes of a traceback; what is beyond is cut.
const LONGEST: usize = 700;

/// Keeps how the run came to where it is, unless nobody wants to know; `skip` frames are not the script's.
#[cold]
pub(crate) fn keep(stack: &mut Stack<'_>, skip: c_int) {
    if let Some(run) = stack.run()
        && run.host.wants_tracebacks()
    {
        let text = describe(stack, run, skip);
        stack.shared().traceback.set(Some(text));
    }
}

/// The frames from the innermost on: what each function is, and where it is.
fn describe(stack: &mut Stack<'_>, run: &RunContext<'_>, skip: c_int) -> String {
    let count = Frame::count(stack);
    let mut text = String::with_capacity(LONGEST);
    for level in skip..count {
        let hidden = count - skip - INNER - OUTER;
        if hidden > 0 && (INNER..INNER + hidden).contains(&(level - skip)) {
            if level - skip == INNER {
                let _ = write!(text, " < ... {hidden} more ...");
            }
            continue;
        }
        let Some(mut frame) = Frame::at(stack, level) else { break };
        if !text.is_empty() {
            text.push_str(" < ");
        }
        match frame.command_function(stack) {
            Some(function) => write_command(stack, run, &frame, function, &mut text),
            None => write_frame(&frame, &mut text),
        }
    }
    if text.len() > LONGEST {
        // Every character is one byte.
        text.truncate(LONGEST - 4);
        text.push_str(" ...");
    }
    text
}

fn write_frame(frame: &Frame, text: &mut String) {
    let name = frame.name().map(plain);
    let name = name.as_deref();
    let _ = match frame.kind() {
        FrameKind::TailCall => write!(text, "(tail call)"),
        FrameKind::Native => write!(text, "[C] {}", name.unwrap_or("?")),
        kind => {
            let _ = write!(text, "{}:{} in ", plain(frame.source()), frame.line());
            match (kind, name) {
                (FrameKind::Main, _) => write!(text, "main chunk"),
                (_, Some(name)) => write!(text, "function {name}"),
                (_, None) => write!(text, "function at line {}", frame.first_line()),
            }
        }
    };
}

/// Writes a call of a command: its name and the types of its arguments, never their values, which may be
/// secrets. So may be what stands in the place of a name; what is no command is not told.
fn write_command(
    stack: &mut Stack<'_>,
    run: &RunContext<'_>,
    frame: &Frame,
    function: &str,
    text: &mut String,
) {
    let name = frame.with_command(stack, |_, name| {
        run.host.facts(&[name]).map(|_| plain(&name.to_ascii_uppercase()))
    });
    let _ = write!(text, "{function} {}(", name.flatten().map_or("? ".into(), |it| it + " "));
    let mut position = 2;
    while frame.push_argument(stack, position) {
        let kind = stack.type_name(-1);
        stack.pop(1);
        let separator = if position == 2 { "" } else { ", " };
        if position > ARGUMENTS + 1 {
            text.push_str(", ...");
            break;
        }
        let _ = write!(text, "{separator}{kind}");
        position += 1;
    }
    text.push(')');
}
