//! Lua values as JSON text.

use super::{ARRAY_MARK, EMPTY_ARRAY, InvalidNumbers, Settings, string};
use crate::vm::codec::MAX_SLOTS;
use crate::vm::native::{Full, Items, Output, Pairs, TableView, Value};
use crate::vm::number::{self, NumberBuffer};

/// Why a value has no text.
#[derive(Debug)]
pub(crate) enum EncodeError {
    /// The message for the script.
    Message(String),
    /// See [`Full`].
    Full(Full),
}

impl From<Full> for EncodeError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

type Encoded = Result<(), EncodeError>;

/// The digits that tell every number from all others.
const FULL_PRECISION: usize = 17;

/// Writes `value`.
///
/// # Errors
/// See [`EncodeError`].
///
/// Stock: `lua_cjson.c` `json_encode`.
pub(crate) fn encode(value: Value<'_>, settings: &Settings, output: &mut Output<'_>) -> Encoded {
    let precision = match settings.encode_full_precision {
        true => FULL_PRECISION,
        false => usize::try_from(settings.encode_number_precision).unwrap_or_default(),
    };
    let mut encoder = Encoder { output, settings, precision, open: Vec::new(), slots: 1 };
    if let Some(table) = encoder.scalar(value)? {
        encoder.begin(table)?;
        while let Some(open) = encoder.open.pop() {
            encoder.go_on(open)?;
        }
    }
    Ok(())
}

/// A table that is not written to its end.
enum Open<'a> {
    /// The items of a list.
    List {
        items: Items<'a>,
        is_first: bool,
    },
    /// The items of a list from `next` to `len`, some of which may be missing.
    Sparse {
        table: TableView<'a>,
        next: i32,
        len: i32,
    },
    Object {
        pairs: Pairs<'a>,
        is_first: bool,
    },
}

impl Open<'_> {
    /// The slots of the Lua stack that stock takes for it.
    fn slots(&self) -> usize {
        match self {
            Self::List { .. } | Self::Sparse { .. } => 1,
            Self::Object { .. } => 2,
        }
    }
}

struct Encoder<'a, 'o, 'vm> {
    output: &'o mut Output<'vm>,
    settings: &'o Settings,
    /// Significant digits of numbers.
    precision: usize,
    /// The tables around what is written, the innermost last.
    open: Vec<Open<'a>>,
    /// The slots of the Lua stack that stock would have in use.
    slots: usize,
}

impl<'a> Encoder<'a, '_, '_> {
    /// Writes more of a table: up to its end, or to the beginning of one in it.
    fn go_on(&mut self, mut open: Open<'a>) -> Encoded {
        self.slots -= open.slots();
        match &mut open {
            Open::List { items, is_first } => {
                for value in items {
                    self.comma(is_first)?;
                    if let Some(table) = self.scalar(value)? {
                        return self.nest(open, table);
                    }
                }
                self.output.write(b"]")?;
            }
            Open::Sparse { table, next, len } => {
                while *next <= *len {
                    self.comma(&mut (*next == 1))?;
                    let value = table.item(*next);
                    *next += 1;
                    if let Some(table) = self.scalar(value)? {
                        return self.nest(open, table);
                    }
                }
                self.output.write(b"]")?;
            }
            Open::Object { pairs, is_first } => {
                for (key, value) in pairs {
                    self.comma(is_first)?;
                    self.key(key)?;
                    if let Some(table) = self.scalar(value)? {
                        return self.nest(open, table);
                    }
                }
                self.output.write(b"}")?;
            }
        }
        Ok(())
    }

    /// Begins `table`, which is in the table `around`.
    fn nest(&mut self, around: Open<'a>, table: TableView<'a>) -> Encoded {
        self.slots += around.slots();
        self.open.push(around);
        self.begin(table)
    }

    /// Begins a table; an empty one is complete then.
    fn begin(&mut self, table: TableView<'a>) -> Encoded {
        let depth = i32::try_from(self.open.len()).unwrap_or(i32::MAX).saturating_add(1);
        if depth > self.settings.encode_max_depth || self.slots + 3 > MAX_SLOTS {
            let message = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(EncodeError::Message(message));
        }
        let (items, hash) = table.split();
        let len = self.list_len(&items, hash.clone())?;
        let open = match usize::try_from(len) {
            Ok(0) | Err(_) => {
                if hash.is_empty() && items.len() == 0 {
                    let is_array = table.metatable().is_some_and(is_array);
                    self.output.write(if is_array { b"[]" } else { b"{}" })?;
                    return Ok(());
                }
                self.output.write(b"{")?;
                Open::Object { pairs: table.pairs(), is_first: true }
            }
            Ok(count) => {
                self.output.write(b"[")?;
                match items.first(count) {
                    Some(items) => Open::List { items, is_first: true },
                    None => Open::Sparse { table, next: 1, len },
                }
            }
        };
        self.slots += open.slots();
        self.open.push(open);
        Ok(())
    }

    /// The number of items of a table that is a list, or no more than 0.
    ///
    /// Stock: `lua_cjson.c` `lua_array_length`.
    fn list_len(&self, items: &Items<'_>, hash: Pairs<'_>) -> Result<i32, EncodeError> {
        let (mut count, last) = items.count();
        let mut max = i32::try_from(last).unwrap_or(i32::MAX);
        for (key, _) in hash {
            match key {
                Value::Number(key) if key.floor() == key && key >= 1.0 => {
                    // As in C, where the key goes into an int.
                    if key > f64::from(max) {
                        max = number::to_int(key);
                    }
                    count += 1;
                }
                _ => return Ok(-1),
            }
        }
        let Settings { sparse_ratio, sparse_safe, sparse_convert, .. } = *self.settings;
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if sparse_ratio > 0 && max > count.wrapping_mul(sparse_ratio) && max > sparse_safe {
            if !sparse_convert {
                return Err(refused("table", "excessively sparse array"));
            }
            return Ok(-1);
        }
        Ok(max)
    }

    #[inline]
    fn comma(&mut self, is_first: &mut bool) -> Result<(), Full> {
        if std::mem::take(is_first) { Ok(()) } else { self.output.write(b",") }
    }

    /// Writes a key and its colon.
    #[inline]
    fn key(&mut self, key: Value<'a>) -> Encoded {
        match key {
            Value::String(text) => self.string(text)?,
            Value::Number(number) => {
                self.output.write(b"\"")?;
                self.number(number)?;
                self.output.write(b"\"")?;
            }
            _ => return Err(refused(key.type_name(), "table key must be a number or string")),
        }
        self.output.write(b":")?;
        Ok(())
    }

    /// Writes a value that is no table, or gives the table.
    #[inline]
    fn scalar(&mut self, value: Value<'a>) -> Result<Option<TableView<'a>>, EncodeError> {
        match value {
            Value::String(text) => self.string(text)?,
            Value::Number(number) => self.number(number)?,
            Value::Table(table) => return Ok(Some(table)),
            Value::Boolean(true) => self.output.write(b"true")?,
            Value::Boolean(false) => self.output.write(b"false")?,
            Value::Nil | Value::Pointer(0) => self.output.write(b"null")?,
            Value::Pointer(EMPTY_ARRAY) => self.output.write(b"[]")?,
            Value::Pointer(_) | Value::Function | Value::Thread | Value::Userdata => {
                return Err(refused(value.type_name(), "type not supported"));
            }
        }
        Ok(None)
    }

    #[inline]
    fn string(&mut self, mut text: &[u8]) -> Result<(), Full> {
        self.output.reserve(text.len() + 2)?;
        self.output.push(b'"');
        loop {
            let (plain, rest) = text.split_at(string::plain_to_write(text));
            self.output.write(plain)?;
            let Some((special, rest)) = rest.split_first() else { break };
            self.output.write(string::escape(*special))?;
            text = rest;
        }
        self.output.write(b"\"")
    }

    #[inline]
    fn number(&mut self, number: f64) -> Encoded {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers {
                InvalidNumbers::Refused => {
                    return Err(refused("number", "must not be NaN or Inf"));
                }
                InvalidNumbers::Written if number.is_nan() => {
                    self.output.write(b"nan")?;
                    return Ok(());
                }
                InvalidNumbers::Written => {}
                InvalidNumbers::Null => {
                    self.output.write(b"null")?;
                    return Ok(());
                }
            }
        }
        let mut buffer = NumberBuffer::default();
        self.output.write(number::format_precision(self.precision, number, &mut buffer))?;
        Ok(())
    }
}

/// Whether a table with this metatable is an array though it is empty.
fn is_array(metatable: TableView<'_>) -> bool {
    !matches!(metatable.field(ARRAY_MARK), Value::Nil | Value::Boolean(false))
}

#[cold]
fn refused(type_name: &str, reason: &str) -> EncodeError {
    EncodeError::Message(format!("Cannot serialise {type_name}: {reason}"))
}
