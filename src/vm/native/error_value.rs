//! Error tables: how Lua code sees an error reply.

use super::stack::Stack;
use crate::resp::{ErrorReply, ErrorSpec};

/// Pushes `{err = line}`, as scripts see an error reply.
///
/// `text` is what a C string of stock would hold: a line with its code after a leading dash, or a bare
/// message, which gets the code `ERR`. CR and LF at the ends of the message go.
///
/// Stock: `script_lua.c` `luaPushErrorBuff`.
pub(crate) fn push(stack: &mut Stack<'_>, text: &[u8]) {
    if let Some(debugging) = stack.shared().debugging.get() {
        debugging.console.log_error(until_nul(text));
    }
    push_unseen(stack, text);
}

/// As [`push`], without a word to a debugging session.
fn push_unseen(stack: &mut Stack<'_>, text: &[u8]) {
    let text = until_nul(text);
    let (code, message) = match text.strip_prefix(b"-") {
        None => (&b"ERR"[..], text),
        Some(line) => match line.iter().position(|&byte| byte == b' ') {
            None => (&b"ERR"[..], line),
            Some(blank) => (&line[..blank], &line[blank + 1..]),
        },
    };
    let message = trim(message);
    let mut line = Vec::with_capacity(code.len() + 1 + message.len());
    line.extend_from_slice(code);
    line.push(b' ');
    line.extend_from_slice(message);
    stack.push_table();
    stack.push_bytes(&line);
    stack.set_field(-2, b"err");
}

/// Pushes the error `spec` as the host words it.
pub(crate) fn push_spec(stack: &mut Stack<'_>, spec: &ErrorSpec) {
    let reply = ErrorReply::new(spec, stack.shared().dialect);
    push_reply(stack, &reply);
}

/// Pushes `reply` as scripts see it.
pub(crate) fn push_reply(stack: &mut Stack<'_>, reply: &ErrorReply) {
    let mut text = Vec::with_capacity(reply.line().len() + 1);
    text.push(b'-');
    text.extend_from_slice(reply.line());
    if let Some(debugging) = stack.shared().debugging.get() {
        // Stock's own errors have their code only where it is another one.
        debugging.console.log_error(text.strip_prefix(b"-ERR ").unwrap_or(&text));
    }
    push_unseen(stack, &text);
}

/// Pushes `{err = "ERR message"}` with the place where the run is, as an error handler would.
pub(super) fn push_placed(stack: &mut Stack<'_>, message: &[u8]) {
    let place = stack.place();
    push_unseen(stack, message);
    if let Some((source, line)) = place {
        stack.push_bytes(&source);
        stack.set_field(-2, b"source");
        stack.push_number(f64::from(line));
        stack.set_field(-2, b"line");
    }
}

/// Pushes `{err = "ERR message"}`.
pub(crate) fn push_code(stack: &mut Stack<'_>, message: &[u8]) {
    push(stack, message);
}

/// Marks the error table on top as one the server counted already.
pub(crate) fn mark_counted(stack: &mut Stack<'_>) {
    stack.push_boolean(true);
    stack.set_field(-2, b"ignore_error_stats_update");
}

/// The part of `text` a C string would show.
pub(crate) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}
