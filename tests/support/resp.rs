//! RESP frames as values and as readable text.
//!
//! Assertions on bytes stay exact; this file is for picking a frame apart and for showing it to a
//! person.

use std::fmt::{self, Display, Formatter, Write};

/// How deep a frame may be nested; a deeper one would take more than a test thread's stack.
const MAX_DEPTH: usize = 100;

/// One parsed frame. The three ways RESP says "nothing" stay apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+text`
    Status(Vec<u8>),
    /// `-text`
    Error(Vec<u8>),
    /// `:1`
    Integer(i64),
    /// `$3 foo`
    Bulk(Vec<u8>),
    /// `!3 foo`
    BulkError(Vec<u8>),
    /// `_`, RESP3's only null
    Null,
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `#t`, `#f`
    Boolean(bool),
    /// `,1.5`, kept as text because its digits matter
    Double(Vec<u8>),
    /// `(123`
    BigNumber(Vec<u8>),
    /// `=7 txt:foo`
    Verbatim {
        /// The three bytes before the colon.
        format: Vec<u8>,
        /// What follows the colon.
        text: Vec<u8>,
    },
    /// `*`
    Array(Vec<Value>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `|`, the attributes and the value they describe
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    /// Parses exactly one frame.
    ///
    /// # Errors
    /// When the bytes are not one whole frame, or are nested too deep.
    pub fn parse(frame: &[u8]) -> Result<Self, String> {
        let mut parser = Parser { rest: frame, depth: 0 };
        let value = parser.value()?;
        if parser.rest.is_empty() {
            Ok(value)
        } else {
            Err(format!("{} bytes after the frame", parser.rest.len()))
        }
    }

    /// Answers whether this is any of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    /// Returns the integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the bytes of anything that carries text: bulk, status, error, verbatim, number.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Status(text)
            | Self::Error(text)
            | Self::Bulk(text)
            | Self::BulkError(text)
            | Self::Double(text)
            | Self::BigNumber(text)
            | Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the same as [`Self::bytes`] as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns the error line without its `-`, if it is an error.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Error(_) | Self::BulkError(_) => self.text(),
            _ => None,
        }
    }

    /// Returns the elements of an array, set or push.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Looks a key up in a map, or in the flat array that RESP2 has instead of it.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let matches = |key: &Value| key.bytes() == Some(name.as_bytes());
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| matches(key)).map(|(_, value)| value),
            Self::Array(elements) => {
                elements.chunks_exact(2).find(|pair| matches(&pair[0])).map(|pair| &pair[1])
            }
            _ => None,
        }
    }
}

/// Shows a raw frame on one line; bytes that are no frame are shown as they are.
pub fn render(frame: &[u8]) -> String {
    match Value::parse(frame) {
        Ok(value) => value.to_string(),
        Err(reason) => format!("<not a frame: {reason}> {}", frame.escape_ascii()),
    }
}

impl Display for Value {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(out, "+{}", text.escape_ascii()),
            Self::Error(text) => write!(out, "-{}", text.escape_ascii()),
            Self::Integer(number) => write!(out, ":{number}"),
            Self::Bulk(text) => write!(out, "\"{}\"", text.escape_ascii()),
            Self::BulkError(text) => write!(out, "!\"{}\"", text.escape_ascii()),
            Self::Null => out.write_str("_"),
            Self::NullBulk => out.write_str("$-1"),
            Self::NullArray => out.write_str("*-1"),
            Self::Boolean(value) => out.write_str(if *value { "#t" } else { "#f" }),
            Self::Double(text) => write!(out, ",{}", text.escape_ascii()),
            Self::BigNumber(text) => write!(out, "({}", text.escape_ascii()),
            Self::Verbatim { format, text } => {
                write!(out, "={}:\"{}\"", format.escape_ascii(), text.escape_ascii())
            }
            Self::Array(elements) => list(out, "[", elements, "]"),
            Self::Set(elements) => list(out, "~[", elements, "]"),
            Self::Push(elements) => list(out, ">[", elements, "]"),
            Self::Map(pairs) => map(out, "%{", pairs),
            Self::Attribute(pairs, value) => {
                map(out, "|{", pairs)?;
                write!(out, " {value}")
            }
        }
    }
}

fn list(out: &mut Formatter<'_>, open: &str, elements: &[Value], close: &str) -> fmt::Result {
    out.write_str(open)?;
    for (index, element) in elements.iter().enumerate() {
        write!(out, "{}{element}", if index == 0 { "" } else { ", " })?;
    }
    out.write_str(close)
}

fn map(out: &mut Formatter<'_>, open: &str, pairs: &[(Value, Value)]) -> fmt::Result {
    out.write_str(open)?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        write!(out, "{}{key}: {value}", if index == 0 { "" } else { ", " })?;
    }
    out.write_char('}')
}

struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let value = self.one_value();
        self.depth -= 1;
        value
    }

    fn one_value(&mut self) -> Result<Value, String> {
        let line = self.line()?;
        let (&kind, text) = line.split_first().ok_or("an empty line")?;
        match kind {
            b'+' => Ok(Value::Status(text.to_vec())),
            b'-' => Ok(Value::Error(text.to_vec())),
            b':' => Ok(Value::Integer(number(text)?)),
            b'_' => Ok(Value::Null),
            b'#' => Ok(Value::Boolean(text == b"t")),
            b',' => Ok(Value::Double(text.to_vec())),
            b'(' => Ok(Value::BigNumber(text.to_vec())),
            b'$' => Ok(self.payload(text)?.map_or(Value::NullBulk, Value::Bulk)),
            b'!' => Ok(self.payload(text)?.map_or(Value::NullBulk, Value::BulkError)),
            b'=' => self.verbatim(text),
            b'*' => match number::<i64>(text)? {
                -1 => Ok(Value::NullArray),
                _ => Ok(Value::Array(self.values(number(text)?)?)),
            },
            b'~' => Ok(Value::Set(self.values(number(text)?)?)),
            b'>' => Ok(Value::Push(self.values(number(text)?)?)),
            b'%' => Ok(Value::Map(self.pairs(number(text)?)?)),
            b'|' => {
                let attributes = self.pairs(number(text)?)?;
                Ok(Value::Attribute(attributes, Box::new(self.value()?)))
            }
            other => Err(format!("unknown type byte '{}'", other.escape_ascii())),
        }
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let end = self.rest.windows(2).position(|pair| pair == b"\r\n").ok_or("no line end")?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        Ok(line)
    }

    fn payload(&mut self, length: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if length == b"-1" {
            return Ok(None);
        }
        let length: usize = number(length)?;
        if self.rest.get(length..length + 2) != Some(b"\r\n") {
            return Err(format!("a payload of {length} bytes is not followed by a line end"));
        }
        let payload = self.rest[..length].to_vec();
        self.rest = &self.rest[length + 2..];
        Ok(Some(payload))
    }

    fn verbatim(&mut self, length: &[u8]) -> Result<Value, String> {
        let payload = self.payload(length)?.unwrap_or_default();
        match payload.get(3) {
            Some(b':') => {
                Ok(Value::Verbatim { format: payload[..3].to_vec(), text: payload[4..].to_vec() })
            }
            _ => Err("a verbatim string without its format".to_owned()),
        }
    }

    fn values(&mut self, count: usize) -> Result<Vec<Value>, String> {
        (0..count).map(|_| self.value()).collect()
    }

    fn pairs(&mut self, count: usize) -> Result<Vec<(Value, Value)>, String> {
        (0..count).map(|_| Ok((self.value()?, self.value()?))).collect()
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, String> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("'{}' is not a number", text.escape_ascii()))
}
