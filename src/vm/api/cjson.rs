//! `cjson`: JSON.
//!
//! Each instance has settings of its own, which its functions share. Those of the global instance end
//! with the run that changed them.

use mlua::ffi::LUA_REGISTRYINDEX;

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member, Push};
use crate::register::register;
use crate::vm::codec::json::{
    self, ARRAY_MARK, DecodeError, EMPTY_ARRAY, EncodeError, InvalidNumbers, Settings,
};
use crate::vm::libraries;
use crate::vm::native::{Full, Kind, NativeResult, Output, Raised, Stack};

const BEYOND: ApiContexts = ApiContexts::RUN.union(ApiContexts::BEYOND_STOCK);

register!(LUA_API: ENCODE: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode",
    signature: "cjson.encode(value: any): string",
    summary: "Returns a value as JSON text.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode)),
});
register!(LUA_API: DECODE: ApiSpec = ApiSpec {
    table: "cjson",
    name: "decode",
    signature: "cjson.decode(text: string|number): any",
    summary: "Returns the value that a JSON text stands for.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(decode)),
});
register!(LUA_API: ENCODE_SPARSE_ARRAY: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_sparse_array",
    signature: "cjson.encode_sparse_array(convert?: boolean, ratio?: integer, safe?: integer): boolean, integer, integer",
    summary: "Sets and returns what becomes of lists with gaps: from item `safe` on, one that spans more \
        than `ratio` times its items is an error, or an object if `convert`.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode_sparse_array)),
});
register!(LUA_API: ENCODE_MAX_DEPTH: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_max_depth",
    signature: "cjson.encode_max_depth(depth?: integer): integer",
    summary: "Sets and returns how deep tables may be nested to be encoded.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode_max_depth)),
});
register!(LUA_API: DECODE_MAX_DEPTH: ApiSpec = ApiSpec {
    table: "cjson",
    name: "decode_max_depth",
    signature: "cjson.decode_max_depth(depth?: integer): integer",
    summary: "Sets and returns how deep arrays and objects may be nested to be decoded.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(decode_max_depth)),
});
register!(LUA_API: ENCODE_NUMBER_PRECISION: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_number_precision",
    signature: "cjson.encode_number_precision(digits?: integer): integer",
    summary: "Sets and returns the significant digits of encoded numbers, 1 to 14.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode_number_precision)),
});
register!(LUA_API: ENCODE_KEEP_BUFFER: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_keep_buffer",
    signature: "cjson.encode_keep_buffer(keep?: boolean): boolean",
    summary: "Sets and returns a flag without effect: buffers are always kept as long as it pays.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode_keep_buffer)),
});
register!(LUA_API: ENCODE_INVALID_NUMBERS: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_invalid_numbers",
    signature: "cjson.encode_invalid_numbers(setting?: boolean|'off'|'on'|'null'): boolean|'null'",
    summary: "Sets and returns whether NaN and infinities are errors, written, or written as null.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(encode_invalid_numbers)),
});
register!(LUA_API: DECODE_INVALID_NUMBERS: ApiSpec = ApiSpec {
    table: "cjson",
    name: "decode_invalid_numbers",
    signature: "cjson.decode_invalid_numbers(setting?: boolean|'off'|'on'): boolean",
    summary: "Sets and returns whether NaN, infinities and hexadecimal numbers are decoded.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(decode_invalid_numbers)),
});
register!(LUA_API: NEW: ApiSpec = ApiSpec {
    table: "cjson",
    name: "new",
    signature: "cjson.new(): cjson",
    summary: "Returns another cjson with settings of its own.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(new)),
});
register!(LUA_API: NULL: ApiSpec = ApiSpec {
    table: "cjson",
    name: "null",
    signature: "cjson.null: lightuserdata",
    summary: "What null is decoded to, and is encoded as null.",
    contexts: ApiContexts::RUN,
    member: Member::Value(Push(|stack| stack.push_pointer(0))),
});
register!(LUA_API: NAME: ApiSpec = ApiSpec {
    table: "cjson",
    name: "_NAME",
    signature: "cjson._NAME: string",
    summary: "The name of the library.",
    contexts: ApiContexts::RUN,
    member: Member::Text("cjson"),
});
register!(LUA_API: VERSION: ApiSpec = ApiSpec {
    table: "cjson",
    name: "_VERSION",
    signature: "cjson._VERSION: string",
    summary: "The version of the library it is equal to.",
    contexts: ApiContexts::RUN,
    member: Member::Text("2.1.0"),
});
register!(LUA_API: EMPTY: ApiSpec = ApiSpec {
    table: "cjson",
    name: "empty_array",
    signature: "cjson.empty_array: lightuserdata",
    summary: "What is encoded as an empty array.",
    contexts: BEYOND,
    member: Member::Value(Push(|stack| stack.push_pointer(EMPTY_ARRAY))),
});
register!(LUA_API: ARRAY_MT: ApiSpec = ApiSpec {
    table: "cjson",
    name: "array_mt",
    signature: "cjson.array_mt: table",
    summary: "A metatable with which an empty table is encoded as an array.",
    contexts: BEYOND,
    member: Member::Value(Push(push_array_metatable)),
});
register!(LUA_API: DECODE_ARRAY_WITH_ARRAY_MT: ApiSpec = ApiSpec {
    table: "cjson",
    name: "decode_array_with_array_mt",
    signature: "cjson.decode_array_with_array_mt(enabled?: boolean): boolean",
    summary: "Sets and returns whether empty arrays are decoded to tables that are encoded as arrays again.",
    contexts: BEYOND,
    member: Member::Function(Function(decode_array_with_array_mt)),
});
register!(LUA_API: DECODE_BIG_NUMBERS_AS_STRINGS: ApiSpec = ApiSpec {
    table: "cjson",
    name: "decode_big_numbers_as_strings",
    signature: "cjson.decode_big_numbers_as_strings(enabled?: boolean): boolean",
    summary: "Sets and returns whether integers beyond 2^53 are decoded to strings with all their digits.",
    contexts: BEYOND,
    member: Member::Function(Function(decode_big_numbers_as_strings)),
});
register!(LUA_API: ENCODE_FULL_PRECISION: ApiSpec = ApiSpec {
    table: "cjson",
    name: "encode_full_precision",
    signature: "cjson.encode_full_precision(enabled?: boolean): boolean",
    summary: "Sets and returns whether numbers are encoded with 17 digits, which read back as the same number.",
    contexts: BEYOND,
    member: Member::Function(Function(encode_full_precision)),
});

/// Makes what every instance in the VM uses.
pub(crate) fn prepare(stack: &mut Stack<'_>) {
    stack.push_data(Settings::DEFAULT);
    let settings = stack.anchor();
    stack.push_table();
    stack.push_boolean(true);
    stack.set_field(-2, ARRAY_MARK);
    stack.seal();
    let array_metatable = stack.anchor();
    stack.shared().json.set([settings, array_metatable]);
}

/// Pushes the settings of the global instance.
pub(crate) fn push_shared_settings(stack: &mut Stack<'_>) {
    let [settings, _] = stack.shared().json.get();
    stack.push_item(LUA_REGISTRYINDEX, settings);
}

/// Gives the global instance the settings every instance starts with.
pub(crate) fn restore_shared_settings(stack: &mut Stack<'_>) {
    let [settings, _] = stack.shared().json.get();
    if let Some(settings) = stack.anchored_data::<Settings>(settings) {
        settings.set(Settings::DEFAULT);
    }
}

/// Pushes the settings of a new instance.
pub(crate) fn push_settings(stack: &mut Stack<'_>) {
    stack.push_data(Settings::DEFAULT);
}

fn push_array_metatable(stack: &mut Stack<'_>) {
    let [_, metatable] = stack.shared().json.get();
    stack.push_item(LUA_REGISTRYINDEX, metatable);
}

fn settings(stack: &Stack<'_>) -> Settings {
    stack.data::<Settings>().map_or(Settings::DEFAULT, std::cell::Cell::get)
}

fn change(stack: &Stack<'_>, change: impl FnOnce(&mut Settings)) {
    if let Some(cell) = stack.data::<Settings>() {
        let mut settings = cell.get();
        change(&mut settings);
        cell.set(settings);
        stack.shared().settings_touched.set(true);
    }
}

fn encode(stack: &mut Stack<'_>) -> NativeResult {
    if stack.top() != 1 {
        return stack.raise_argument(1, b"expected 1 argument");
    }
    let settings = settings(stack);
    let mut output = Output::new(stack);
    let mut outcome = json::encode(stack.view(1), &settings, &mut output);
    if let Err(EncodeError::Full(Full::Memory)) = outcome {
        drop(output);
        stack.collect();
        output = Output::new(stack);
        outcome = json::encode(stack.view(1), &settings, &mut output);
    }
    match outcome {
        Ok(()) => {
            stack.push_bytes(output.bytes());
            Ok(1)
        }
        Err(EncodeError::Message(message)) => stack.raise(message.as_bytes()),
        Err(EncodeError::Full(full)) => Err(stack.raise_full(full)),
    }
}

fn decode(stack: &mut Stack<'_>) -> NativeResult {
    if stack.top() != 1 {
        return stack.raise_argument(1, b"expected 1 argument");
    }
    let settings = settings(stack);
    let decoded = stack
        .with_text(1, |stack, text| json::decode(stack, text, &settings, push_array_metatable))?;
    match decoded {
        Ok(()) => Ok(1),
        Err(DecodeError::Message(message)) => {
            stack.set_top(1);
            stack.raise(message.as_bytes())
        }
        Err(DecodeError::Full(full)) => {
            stack.set_top(1);
            Err(stack.raise_full(full))
        }
    }
}

fn new(stack: &mut Stack<'_>) -> NativeResult {
    libraries::push_cjson(stack);
    Ok(1)
}

/// Sees to it that there are at most `most` arguments, and fills them up to that with nil.
fn take_arguments(stack: &mut Stack<'_>, most: i32) -> Result<(), Raised> {
    if stack.top() > most {
        stack.raise_argument(most + 1, b"found too many arguments")?;
    }
    stack.set_top(most);
    Ok(())
}

/// A setting that is a number from `least` on, given by the argument at `position`; pushes what it is
/// then.
fn number_option(
    stack: &mut Stack<'_>,
    position: i32,
    least: i32,
    most: i32,
    field: fn(&mut Settings) -> &mut i32,
) -> Result<(), Raised> {
    if stack.kind(position) != Kind::Nil {
        // As in C, where the number goes into an int.
        let value = stack.integer_argument(position)? as i32;
        if !(least..=most).contains(&value) {
            let problem = format!("expected integer between {least} and {most}");
            stack.raise_argument(1, problem.as_bytes())?;
        }
        change(stack, |settings| *field(settings) = value);
    }
    let value = *field(&mut settings(stack));
    stack.push_number(f64::from(value));
    Ok(())
}

/// The index of the argument at `position` among `words`, where true counts as `words[1]` and false as
/// `words[0]`; `None` if it is nil.
fn word_option(
    stack: &mut Stack<'_>,
    position: i32,
    words: &[&str],
) -> Result<Option<usize>, Raised> {
    match stack.kind(position) {
        Kind::Nil => Ok(None),
        Kind::Boolean => Ok(Some(usize::from(stack.truth(position)))),
        _ => {
            let text = stack.text_argument(position)?;
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
            if let Some(index) = words.iter().position(|word| word.as_bytes() == text) {
                return Ok(Some(index));
            }
            let problem = [b"invalid option '", text.as_slice(), b"'"].concat();
            stack.raise_argument(position, &problem)?;
            Ok(None)
        }
    }
}

/// A setting that is on or off, given by the argument at `position`; pushes what it is then.
fn flag_option(
    stack: &mut Stack<'_>,
    position: i32,
    field: fn(&mut Settings) -> &mut bool,
) -> Result<(), Raised> {
    if let Some(index) = word_option(stack, position, &["off", "on"])? {
        change(stack, |settings| *field(settings) = index == 1);
    }
    let value = *field(&mut settings(stack));
    stack.push_boolean(value);
    Ok(())
}

/// A setting that is on or off, given by the only argument.
fn flag(stack: &mut Stack<'_>, field: fn(&mut Settings) -> &mut bool) -> NativeResult {
    take_arguments(stack, 1)?;
    flag_option(stack, 1, field)?;
    Ok(1)
}

fn encode_sparse_array(stack: &mut Stack<'_>) -> NativeResult {
    take_arguments(stack, 3)?;
    flag_option(stack, 1, |settings| &mut settings.sparse_convert)?;
    number_option(stack, 2, 0, i32::MAX, |settings| &mut settings.sparse_ratio)?;
    number_option(stack, 3, 0, i32::MAX, |settings| &mut settings.sparse_safe)?;
    Ok(3)
}

fn encode_max_depth(stack: &mut Stack<'_>) -> NativeResult {
    take_arguments(stack, 1)?;
    number_option(stack, 1, 1, i32::MAX, |settings| &mut settings.encode_max_depth)?;
    Ok(1)
}

fn decode_max_depth(stack: &mut Stack<'_>) -> NativeResult {
    take_arguments(stack, 1)?;
    number_option(stack, 1, 1, i32::MAX, |settings| &mut settings.decode_max_depth)?;
    Ok(1)
}

fn encode_number_precision(stack: &mut Stack<'_>) -> NativeResult {
    take_arguments(stack, 1)?;
    number_option(stack, 1, 1, 14, |settings| &mut settings.encode_number_precision)?;
    Ok(1)
}

fn encode_keep_buffer(stack: &mut Stack<'_>) -> NativeResult {
    flag(stack, |settings| &mut settings.encode_keep_buffer)
}

fn encode_invalid_numbers(stack: &mut Stack<'_>) -> NativeResult {
    const CHOICES: [InvalidNumbers; 3] =
        [InvalidNumbers::Refused, InvalidNumbers::Written, InvalidNumbers::Null];
    take_arguments(stack, 1)?;
    if let Some(index) = word_option(stack, 1, &["off", "on", "null"])? {
        let choice = CHOICES.get(index).copied().unwrap_or(InvalidNumbers::Refused);
        change(stack, |settings| settings.encode_invalid_numbers = choice);
    }
    match settings(stack).encode_invalid_numbers {
        InvalidNumbers::Refused => stack.push_boolean(false),
        InvalidNumbers::Written => stack.push_boolean(true),
        InvalidNumbers::Null => stack.push_bytes(b"null"),
    }
    Ok(1)
}

fn decode_invalid_numbers(stack: &mut Stack<'_>) -> NativeResult {
    flag(stack, |settings| &mut settings.decode_invalid_numbers)
}

fn decode_array_with_array_mt(stack: &mut Stack<'_>) -> NativeResult {
    flag(stack, |settings| &mut settings.decode_array_with_array_mt)
}

fn decode_big_numbers_as_strings(stack: &mut Stack<'_>) -> NativeResult {
    flag(stack, |settings| &mut settings.decode_big_numbers_as_strings)
}

fn encode_full_precision(stack: &mut Stack<'_>) -> NativeResult {
    flag(stack, |settings| &mut settings.encode_full_precision)
}
