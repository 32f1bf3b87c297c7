//! `redis.register_function`.

use std::collections::HashSet;

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorSpec};
use crate::script::library::is_valid_name;
use crate::script::limits::LimitWord;
use crate::script::{RunLimits, ScriptFlags};
use crate::vm::Registered;
use crate::vm::native::{self, Kind, NativeResult, Raised, Registration, Stack, error_value};

register!(LUA_API: REGISTER_FUNCTION: ApiSpec = ApiSpec {
    table: "redis",
    name: "register_function",
    signature: "redis.register_function(name: string, callback: fun(keys: string[], args: string[]): any) or \
        redis.register_function(definition: {function_name: string, callback: fun(keys: string[], args: string[]): any, flags?: string[], description?: string})",
    summary: "Makes a function of the library callable by FCALL.",
    contexts: ApiContexts::LIBRARY_LOAD,
    member: Member::Function(Function(register_function)),
});

/// Declares errors of the function; its name, under which each server has it, stands between two texts.
macro_rules! errors {
    ($($name:ident, $before:literal _ $after:literal, $when:literal;)*) => { $(
        register!(ERRORS: $name: ErrorSpec = ErrorSpec::stock(
            "ERR", concat!($before, "redis.register_function", $after), $when,
        ).on(&[(Hosts::Valkey, concat!($before, "server.register_function", $after))]));
    )* };
}

errors! {
    NOT_LOADING, "" _ " can only be called on FUNCTION LOAD command",
        "A function calls `redis.register_function`.";
    COUNT, "wrong number of arguments to " _ "",
        "`redis.register_function` gets no argument or more than two.";
    NO_TABLE, "calling " _ " with a single argument is only applicable to Lua table (representing named arguments).",
        "The only argument of `redis.register_function` is no table.";
    KEY, "named argument key given to " _ " is not a string",
        "A key of the named arguments is no string.";
    NAME_TYPE, "function_name argument given to " _ " must be a string",
        "The named argument `function_name` is no string.";
    DESCRIPTION_TYPE, "description argument given to " _ " must be a string",
        "The named argument `description` is no string.";
    CALLBACK_TYPE, "callback argument given to " _ " must be a function",
        "The named argument `callback` is no function.";
    FLAGS_TYPE, "flags argument to " _ " must be a table representing function flags",
        "The named argument `flags` is no table.";
    ARGUMENT, "unknown argument given to " _ "",
        "A named argument does not exist.";
    NO_NAME, "" _ " must get a function name argument",
        "There is no named argument `function_name`.";
    NO_CALLBACK, "" _ " must get a callback argument",
        "There is no named argument `callback`.";
    FIRST, "first argument to " _ " must be a string",
        "The first of two arguments is no string.";
    SECOND, "second argument to " _ " must be a function",
        "The second of two arguments is no function.";
}
register!(ERRORS: FLAG: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "unknown flag given",
    "The named argument `flags` holds something that is no flag.",
));
register!(ERRORS: BAD_NAME: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
    "The name of a library or a function has other characters, or none.",
));
register!(ERRORS: TWICE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function already exists in the library",
    "A library registers two functions of one name.",
));
register!(ERRORS: BAD_FUNCTION_NAME: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function names can only contain letters, numbers, or underscores(_) and must be at least one character long",
    "The name of a function has other characters, or none, on a server that looks once the library has run.",
));

/// The error for a name that is none, which libraries share.
pub fn invalid_name() -> &'static ErrorSpec {
    &BAD_NAME
}

/// What is wrong with the names of a library's functions on a server that looks once the library has run.
///
/// Stock: Valkey's `functions.c` `functionLibCreateFunction`.
pub fn check_names(functions: &[Registered]) -> Result<(), &'static ErrorSpec> {
    let mut names = HashSet::new();
    for function in functions {
        if !is_valid_name(&function.about.name) {
            return Err(&BAD_FUNCTION_NAME);
        }
        if !names.insert(&function.about.name) {
            return Err(&TWICE);
        }
    }
    Ok(())
}

/// Stock: `function_lua.c` `luaRegisterFunction`.
fn register_function(stack: &mut Stack<'_>) -> NativeResult {
    let registered = check_loading(stack).and_then(|()| {
        let arguments = match stack.top() {
            1 => named(stack),
            2 => positional(stack),
            _ => Err(&COUNT),
        }?;
        keep(stack, arguments)
    });
    match registered {
        Ok(()) => Ok(0),
        Err(spec) => {
            stack.set_top(0);
            error_value::push_spec(stack, spec);
            Err(Raised)
        }
    }
}

fn check_loading(stack: &Stack<'_>) -> Result<(), &'static ErrorSpec> {
    if stack.shared().loading.borrow().is_some() { Ok(()) } else { Err(&NOT_LOADING) }
}

/// Registers the function on top.
///
/// Stock: `functions.c` `functionLibCreateFunction`.
fn keep(stack: &mut Stack<'_>, arguments: Registration) -> Result<(), &'static ErrorSpec> {
    if stack.shared().dialect.is(Hosts::Valkey) {
        // There a description ends where a text of C would, and names are checked by `check_names`.
        let description = arguments.description.map(|text| until_nul(&text).to_vec());
        native::register(stack, Registration { description, ..arguments });
        return Ok(());
    }
    if !is_valid_name(&arguments.name) {
        return Err(&BAD_NAME);
    }
    let is_taken = stack
        .shared()
        .loading
        .borrow()
        .as_ref()
        .is_some_and(|loading| loading.has(&arguments.name));
    if is_taken {
        return Err(&TWICE);
    }
    native::register(stack, arguments);
    Ok(())
}

/// Reads a name and a callback, which stays on top.
fn positional(stack: &mut Stack<'_>) -> Result<Registration, &'static ErrorSpec> {
    let name = stack.text(1).ok_or(&FIRST)?.to_vec();
    if stack.kind(2) != Kind::Function {
        return Err(&SECOND);
    }
    let (flags, limits) = <_>::default();
    Ok(Registration { name, description: None, flags, limits })
}

/// Reads a table of arguments, and pushes the callback.
fn named(stack: &mut Stack<'_>) -> Result<Registration, &'static ErrorSpec> {
    if stack.kind(1) != Kind::Table {
        return Err(&NO_TABLE);
    }
    let mut name = None;
    let mut description = None;
    let (mut flags, mut limits) = <_>::default();
    // The callback gets a place of its own below the pairs.
    stack.push_nil();
    stack.push_nil();
    while stack.next(1) {
        let key = match stack.kind(-2) {
            Kind::String => stack.bytes(-2).unwrap_or_default().to_ascii_lowercase(),
            // A number counts as a string, and none is an argument.
            Kind::Number => return Err(&ARGUMENT),
            _ => return Err(&KEY),
        };
        match until_nul(&key) {
            b"function_name" => name = Some(stack.text(-1).ok_or(&NAME_TYPE)?.to_vec()),
            b"description" => {
                description = Some(stack.text(-1).ok_or(&DESCRIPTION_TYPE)?.to_vec());
            }
            b"callback" => {
                if stack.kind(-1) != Kind::Function {
                    return Err(&CALLBACK_TYPE);
                }
                stack.push_copy(-1);
                stack.replace(2);
            }
            b"flags" => {
                if stack.kind(-1) != Kind::Table {
                    return Err(&FLAGS_TYPE);
                }
                (flags, limits) = read_flags(stack)?;
            }
            _ => return Err(&ARGUMENT),
        }
        stack.pop(1);
    }
    let name = name.ok_or(&NO_NAME)?;
    if stack.kind(2) != Kind::Function {
        return Err(&NO_CALLBACK);
    }
    Ok(Registration { name, description, flags, limits })
}

/// Reads the list of flags on top, limits among them.
///
/// Stock: `function_lua.c` `luaRegisterFunctionReadFlags`.
fn read_flags(stack: &mut Stack<'_>) -> Result<(ScriptFlags, RunLimits), &'static ErrorSpec> {
    let mut flags = ScriptFlags::empty();
    let mut limits = RunLimits::default();
    for position in 1.. {
        if stack.push_item(-1, position) == Kind::Nil {
            stack.pop(1);
            break;
        }
        let word = stack.text(-1).map(until_nul).ok_or(&FLAG)?;
        match ScriptFlags::from_flag_name_in_any_case(word) {
            Some(flag) => flags |= flag,
            None if limits.set(word) == LimitWord::Set => {}
            None => return Err(&FLAG),
        }
        stack.pop(1);
    }
    Ok((flags, limits))
}

fn until_nul(text: &[u8]) -> &[u8] {
    error_value::until_nul(text)
}
