//! The error handler of every run, and the global `__redis__err__handler`.

use crate::vm::native::{Kind, NativeResult, Stack, error_value, traceback};

/// The error handler of every run: what [`handler`] does, and a note of the way to the error.
pub(crate) fn handler_of_run(stack: &mut Stack<'_>) -> NativeResult {
    stack.set_top(1);
    // The handler is the innermost function.
    traceback::keep(stack, 1);
    handler(stack)
}

/// Turns an error value into a table that says where it was raised.
///
/// Stock: `eval.c` `scriptingInit`, the Lua function `__redis__err__handler`.
pub(crate) fn handler(stack: &mut Stack<'_>) -> NativeResult {
    stack.set_top(1);
    if stack.kind(1) != Kind::Table {
        let mut text = b"ERR ".to_vec();
        text.extend_from_slice(&stack.display(1));
        stack.push_table();
        stack.push_bytes(&text);
        stack.set_field(-2, b"err");
    } else if stack.is_read_only(1) {
        // A table of the sandbox was raised. Stock's handler, a chunk of its own, fails to write to it and
        // is called again with that error.
        error_value::push_code(stack, b"err_handler_def:10: Attempt to modify a readonly table");
        stack.push_bytes(b"@err_handler_def");
        stack.set_field(-2, b"source");
        stack.push_number(10.0);
        stack.set_field(-2, b"line");
        return Ok(1);
    }
    if let Some((source, line)) = stack.caller() {
        stack.push_bytes(&source);
        stack.set_field(-2, b"source");
        stack.push_number(f64::from(line));
        stack.set_field(-2, b"line");
    }
    Ok(1)
}
