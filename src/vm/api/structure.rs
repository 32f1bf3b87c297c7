//! The library `struct`: values as the bytes of C structures.

use std::ffi::CStr;

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::codec::structure::{self, Format, Item, Kind, Problem};
use crate::vm::native::{self, Full, NativeResult, Output, Stack, Value};
use crate::vm::number;

register!(LUA_API: PACK: ApiSpec = ApiSpec {
    table: "struct",
    name: "pack",
    signature: "struct.pack(format: string, ...: string|number): string",
    summary: "Returns a string with the values as bytes, one after another as the format says.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(pack)),
});
register!(LUA_API: UNPACK: ApiSpec = ApiSpec {
    table: "struct",
    name: "unpack",
    signature: "struct.unpack(format: string, bytes: string, start?: integer): string|number ...",
    summary: "Returns the values found in a string, and the position behind them.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(unpack)),
});
register!(LUA_API: SIZE: ApiSpec = ApiSpec {
    table: "struct",
    name: "size",
    signature: "struct.size(format: string): integer",
    summary: "Returns how many bytes a format takes.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(size)),
});

/// Options between two looks whether the run must end.
const BETWEEN_POLLS: u32 = 64 * 1024;
/// As many as a value can have before it.
const ZEROS: [u8; structure::MAX_INTEGER] = [0; structure::MAX_INTEGER];
/// Significant digits of a number that is packed as a string.
const DIGITS: usize = 14;

/// Why a function of the library ends early.
enum Failure {
    Format(Problem),
    /// An error's whole text.
    Text(&'static [u8]),
    /// An argument's position and what is wrong with it.
    Argument(i32, &'static [u8]),
    /// An argument's position and what it should be.
    Type(i32, &'static str),
    Full(Full),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Format(problem)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl Failure {
    fn raise(self, stack: &mut Stack<'_>) -> NativeResult {
        match self {
            Self::Text(text) => stack.raise(text),
            Self::Argument(position, problem) => stack.raise_argument(position, problem),
            Self::Type(position, wanted) => stack.raise_type(position, wanted),
            Self::Full(full) => Err(stack.raise_full(full)),
            Self::Format(Problem::Overflow) => stack.raise(b"integral size overflow"),
            Self::Format(Problem::Size(size)) => {
                let limit = structure::MAX_INTEGER;
                let text = format!("integral size {size} is larger than limit of {limit}");
                stack.raise(text.as_bytes())
            }
            Self::Format(Problem::Alignment(alignment)) => {
                stack.raise(format!("alignment {alignment} is not a power of 2").as_bytes())
            }
            Self::Format(Problem::Unknown(letter)) => {
                let mut text = b"invalid format option '".to_vec();
                text.extend([letter, b'\'']);
                stack.raise_argument(1, &text)
            }
        }
    }
}

/// Stock: `lua_struct.c` `b_pack`.
fn pack(stack: &mut Stack<'_>) -> NativeResult {
    stack.text_argument(1)?;
    // On stock a nil lies behind the arguments, so that is what one that is missing is found to be.
    stack.push_nil();
    let mut written = write(stack);
    if matches!(written, Err(Failure::Full(Full::Memory))) {
        stack.collect();
        written = write(stack);
    }
    match written {
        Ok(()) => Ok(1),
        Err(failure) => failure.raise(stack),
    }
}

/// Pushes the packed arguments.
fn write(stack: &mut Stack<'_>) -> Result<(), Failure> {
    let mut out = Output::new(stack);
    let mut format = Format::default();
    let mut argument = 2;
    let mut options = 0;
    loop {
        let text = stack.bytes(1).unwrap_or_default();
        let Some(item) = format.next(text, out.bytes().len())? else {
            break;
        };
        if item.kind == Kind::Control {
            format.control(text, item.letter)?;
        } else if write_item(stack, item, format, argument, &mut out)? {
            argument += 1;
        }
        poll(stack, &mut options)?;
    }
    stack.push_bytes(out.bytes());
    Ok(())
}

/// Writes one option; gives whether it stands for the argument at `position`.
fn write_item(
    stack: &Stack<'_>,
    item: Item,
    format: Format,
    position: i32,
    out: &mut Output<'_>,
) -> Result<bool, Failure> {
    let number = || stack.number(position).ok_or(Failure::Type(position, "number"));
    out.write(ZEROS.get(..item.padding).unwrap_or_default())?;
    match item.kind {
        Kind::Integer { .. } => {
            let bytes = structure::write_integer(number()?, item.size, format.order);
            out.write(bytes.get(..item.size).unwrap_or_default())?;
        }
        Kind::Float => {
            out.write(&structure::ordered((number()? as f32).to_le_bytes(), format.order))?;
        }
        Kind::Double => out.write(&structure::ordered(number()?.to_le_bytes(), format.order))?,
        Kind::Bytes | Kind::Text => {
            let mut buffer = [0; 32];
            let bytes = match stack.view(position) {
                Value::String(bytes) => bytes,
                Value::Number(value) => number::format_precision(DIGITS, value, &mut buffer),
                _ => return Err(Failure::Type(position, "string")),
            };
            let size = if item.size == 0 { bytes.len() } else { item.size };
            // Stock has counted the argument by now, so its complaint is about the next one.
            let short = Failure::Argument(position + 1, b"string too short");
            out.write(bytes.get(..size).ok_or(short)?)?;
            if item.kind == Kind::Text {
                out.write(&[0])?;
            }
        }
        Kind::Padding => {
            out.write(&[0])?;
            return Ok(false);
        }
        Kind::Control => return Ok(false),
    }
    Ok(true)
}

/// Stock: `lua_struct.c` `b_unpack`.
fn unpack(stack: &mut Stack<'_>) -> NativeResult {
    stack.text_argument(1)?;
    stack.text_argument(2)?;
    let start = match stack.kind(3) {
        native::Kind::None | native::Kind::Nil => 1,
        _ => stack.integer_argument(3)?,
    };
    if start == 0 {
        return stack.raise_argument(3, b"offset must be 1 or greater");
    }
    match read(stack, (start as usize).wrapping_sub(1)) {
        Ok(results) => Ok(results),
        Err(failure) => {
            // What was read so far may have left no room for the error.
            stack.set_top(2);
            failure.raise(stack)
        }
    }
}

/// Pushes the values that the second argument has from `position` on, and the position behind them; gives
/// how many that is.
fn read(stack: &mut Stack<'_>, mut position: usize) -> Result<i32, Failure> {
    let mut format = Format::default();
    let mut results = 0;
    let mut options = 0;
    while let Some(item) = format.next(stack.bytes(1).unwrap_or_default(), position)? {
        // A negative start is a position close to the largest, and comes round.
        position = position.wrapping_add(item.padding);
        let bytes = part(stack, position, item.size)?;
        let number = structure::read_number(bytes, item.kind, format.order);
        if !stack.reserve(2) {
            return Err(Failure::Text(b"stack overflow (too many results)"));
        }
        let mut size = item.size;
        if let Some(number) = number {
            stack.push_number(number);
            results += 1;
        } else if item.kind == Kind::Bytes {
            if size == 0 {
                size = pop_size(stack, results)?;
                results -= 1;
                part(stack, position, size)?;
            }
            stack.push_part(2, position, size);
            results += 1;
        } else if item.kind == Kind::Text {
            let rest = stack.bytes(2).and_then(|data| data.get(position..)).unwrap_or_default();
            let text = CStr::from_bytes_until_nul(rest);
            let len = text.map_err(|_| Failure::Text(b"unfinished string in data"))?.count_bytes();
            stack.push_part(2, position, len);
            results += 1;
            size = len + 1;
        } else if item.kind == Kind::Control {
            format.control(stack.bytes(1).unwrap_or_default(), item.letter)?;
        }
        position += size;
        poll(stack, &mut options)?;
    }
    stack.push_number(position.wrapping_add(1) as i64 as f64);
    Ok(results + 1)
}

/// The bytes of the second argument that a value takes.
fn part<'a>(stack: &'a Stack<'_>, position: usize, size: usize) -> Result<&'a [u8], Failure> {
    let data = stack.bytes(2).unwrap_or_default();
    let rest = data.get(position..).and_then(|rest| rest.get(..size));
    rest.ok_or(Failure::Argument(2, b"data string too short"))
}

/// Pops the last of the results, which says how many bytes come next.
fn pop_size(stack: &mut Stack<'_>, results: i32) -> Result<usize, Failure> {
    let size = if results == 0 { None } else { stack.number(-1) };
    let size = size.ok_or(Failure::Text(b"format 'c0' needs a previous size"))?;
    stack.pop(1);
    Ok(structure::to_unsigned(size) as usize)
}

/// Stock: `lua_struct.c` `b_size`.
fn size(stack: &mut Stack<'_>) -> NativeResult {
    stack.text_argument(1)?;
    match measure(stack) {
        Ok(size) => {
            stack.push_number(size as i64 as f64);
            Ok(1)
        }
        Err(failure) => failure.raise(stack),
    }
}

fn measure(stack: &mut Stack<'_>) -> Result<usize, Failure> {
    let mut format = Format::default();
    let mut position = 0_usize;
    let mut options = 0;
    loop {
        let text = stack.bytes(1).unwrap_or_default();
        let Some(item) = format.next(text, position)? else {
            return Ok(position);
        };
        match item.kind {
            Kind::Text => return Err(Failure::Argument(1, b"option 's' has no fixed size")),
            Kind::Bytes if item.size == 0 => {
                return Err(Failure::Argument(1, b"option 'c0' has no fixed size"));
            }
            // Letters and digits that mean nothing are passed over here, and only here.
            Kind::Control if !item.letter.is_ascii_alphanumeric() => {
                format.control(text, item.letter)?;
            }
            _ => {}
        }
        position = position.wrapping_add(item.padding).wrapping_add(item.size);
        poll(stack, &mut options)?;
    }
}

/// Looks from time to time whether the run must end.
fn poll(stack: &mut Stack<'_>, options: &mut u32) -> Result<(), Failure> {
    *options = options.wrapping_add(1);
    if options.is_multiple_of(BETWEEN_POLLS) && stack.is_interrupted() {
        return Err(Failure::Full(Full::Interrupted));
    }
    Ok(())
}
