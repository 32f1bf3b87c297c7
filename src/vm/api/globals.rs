//! What reading a global that does not exist gives.

use crate::vm::native::{NativeResult, Stack};

/// `__index` of the globals: an error, but for tables the host's own engine lacks.
///
/// Stock: `script_lua.c` `luaProtectedTableError`.
pub(crate) fn missing_global(stack: &mut Stack<'_>) -> NativeResult {
    missing(stack, true)
}

/// `__index` of the globals, and of `redis`, while a library is loaded: an error.
pub(crate) fn missing_while_loading(stack: &mut Stack<'_>) -> NativeResult {
    missing(stack, false)
}

fn missing(stack: &mut Stack<'_>, has_extras: bool) -> NativeResult {
    if stack.top() != 2 {
        return stack.raise(b"Wrong number of arguments to luaProtectedTableError");
    }
    let Some(name) = stack.text(2) else {
        return stack
            .raise(b"Second argument to luaProtectedTableError must be a string or number");
    };
    let name = name.to_vec();
    if has_extras && stack.push_extra(&name) {
        return Ok(1);
    }
    raise_missing(stack, &name)
}

/// `__index` of the `os` table on a host without one: as if there were no `os`.
pub(crate) fn missing_os(stack: &mut Stack<'_>) -> NativeResult {
    raise_missing(stack, b"os")
}

fn raise_missing(stack: &mut Stack<'_>, name: &[u8]) -> NativeResult {
    let mut message = b"Script attempted to access nonexistent global variable '".to_vec();
    message.extend(name.iter().take_while(|&&byte| byte != 0));
    message.push(b'\'');
    stack.raise(&message)
}
