//! JSON text as Lua values, built on the stack while it is read.

use std::rc::Rc;

use super::spot::Spot;
use super::{Settings, number, string};
use crate::vm::codec::MAX_SLOTS;
use crate::vm::native::{Full, Output, Shape, Shapes, Spelled, Stack};

/// Bytes of text between two looks at whether the run must end.
const BETWEEN_POLLS: usize = 32 * 1024;
/// Keys of an object whose shape is learnt.
const MAX_KEYS: usize = 48;
/// Bytes that they may take together.
const MAX_KEY_BYTES: usize = 2048;

/// Why a text is no value.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// The message for the script.
    Message(String),
    /// See [`Full`].
    Full(Full),
}

impl From<Full> for DecodeError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

type Decoded<T> = Result<T, DecodeError>;

/// Pushes the value that `text` stands for. The stack holds one value, the argument.
///
/// `push_array_metatable` pushes what marks an empty array as one, if the settings want that.
///
/// After an error anything may lie on the stack.
///
/// # Errors
/// See [`DecodeError`].
///
/// Stock: `lua_cjson.c` `json_decode`.
pub(crate) fn decode(
    stack: &mut Stack<'_>,
    text: &[u8],
    settings: &Settings,
    push_array_metatable: fn(&mut Stack<'_>),
) -> Decoded<()> {
    if let [0, _, ..] | [_, 0, ..] = text {
        let message = "JSON parser does not support UTF-16 or UTF-32";
        return Err(DecodeError::Message(message.to_owned()));
    }
    let shapes = stack.shared().json_shapes.take().unwrap_or_default();
    let mut decoder = Decoder {
        stack,
        text,
        settings,
        shapes,
        push_array_metatable,
        at: 0,
        next_poll: BETWEEN_POLLS,
        open: Vec::new(),
        keys: Vec::new(),
        slots: 1,
        unescaped: None,
    };
    let decoded = decoder.document();
    let shapes = decoder.shapes;
    stack.shared().json_shapes.set(Some(shapes));
    decoded
}

/// A table that is not complete yet, and where in the text it stands.
struct Open {
    spot: Spot,
    /// Items or members that were begun.
    count: usize,
    kind: Kind,
}

enum Kind {
    Array,
    /// An object; its keys are noted from that one of the decoder's on, if at all.
    Object {
        noted: Option<usize>,
    },
    /// An object that was made by a shape.
    Shaped {
        shape: Rc<Shape>,
    },
}

struct Decoder<'a, 'vm> {
    stack: &'a mut Stack<'vm>,
    text: &'a [u8],
    settings: &'a Settings,
    shapes: Box<Shapes>,
    push_array_metatable: fn(&mut Stack<'_>),
    at: usize,
    next_poll: usize,
    /// The tables around the place that is read, the innermost last.
    open: Vec<Open>,
    /// The keys of open objects that may become shapes.
    keys: Vec<&'a [u8]>,
    /// The slots of the Lua stack that stock would have in use.
    slots: usize,
    /// Room for a string with escapes.
    unescaped: Option<Output<'vm>>,
}

impl<'a, 'vm> Decoder<'a, 'vm> {
    /// Reads one value and the end.
    fn document(&mut self) -> Decoded<()> {
        self.blanks();
        loop {
            if !self.value()? {
                // A table was opened whose first value comes now.
                continue;
            }
            // A value is complete; so may be the tables around it.
            while self.complete()? {}
            if self.open.is_empty() {
                self.blanks();
                return match self.byte() {
                    0 => Ok(()),
                    _ => Err(self.unexpected("the end")),
                };
            }
        }
    }

    /// Puts the value on top into the table around it and reads what comes next: true if that ends the
    /// table, which is a complete value itself then.
    #[inline]
    fn complete(&mut self) -> Decoded<bool> {
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        match &open.kind {
            Kind::Array => {
                self.stack.append(-2, open.count as i32);
                open.count += 1;
                self.blanks();
                match self.byte() {
                    b',' => {
                        self.at += 1;
                        self.blanks();
                        return Ok(false);
                    }
                    b']' => {
                        self.slots -= 1;
                        self.open.pop();
                    }
                    _ => return Err(self.unexpected("comma or array end")),
                }
            }
            Kind::Object { .. } => {
                self.stack.raw_set(-3);
                if self.another_member()? {
                    self.key()?;
                    return Ok(false);
                }
                self.close_object();
            }
            Kind::Shaped { shape } => {
                shape.set(self.stack, open.count - 1);
                if self.another_member()? {
                    self.shaped_key()?;
                    return Ok(false);
                }
                self.close_shaped();
            }
        }
        self.at += 1;
        Ok(true)
    }

    /// Whether a comma is here, after a member, and no end.
    #[inline]
    fn another_member(&mut self) -> Decoded<bool> {
        self.blanks();
        match self.byte() {
            b',' => {
                self.at += 1;
                self.blanks();
                Ok(true)
            }
            b'}' => Ok(false),
            _ => Err(self.unexpected("comma or object end")),
        }
    }

    /// Reads a value, or the beginning of one: false if a table was opened that is not empty.
    #[inline]
    fn value(&mut self) -> Decoded<bool> {
        match self.byte() {
            b'"' => self.string("value")?,
            b'{' => return self.open_object(),
            b'[' => return self.open_array(),
            b'0'..=b'9' | b'-' => self.number()?,
            b't' if self.follows(b"true") => {
                self.stack.push_boolean(true);
                self.at += 4;
            }
            b'f' if self.follows(b"false") => {
                self.stack.push_boolean(false);
                self.at += 5;
            }
            b'n' if self.follows(b"null") => {
                self.stack.push_pointer(0);
                self.at += 4;
            }
            _ => match self.unusual_number() {
                Some(_) => self.number()?,
                None => return Err(self.unexpected("value")),
            },
        }
        Ok(true)
    }

    /// Where in the text the value stands that begins here.
    #[inline]
    fn spot(&self) -> Spot {
        match self.open.last() {
            None => Spot::ROOT,
            Some(Open { spot, kind: Kind::Array, .. }) => spot.item(),
            Some(Open { spot, count, .. }) => spot.member(*count),
        }
    }

    fn open_array(&mut self) -> Decoded<bool> {
        self.at += 1;
        self.descend(2)?;
        self.stack.push_table();
        self.blanks();
        if self.byte() == b']' {
            self.at += 1;
            if self.settings.decode_array_with_array_mt {
                (self.push_array_metatable)(self.stack);
                self.stack.set_metatable(-2);
            }
            return Ok(true);
        }
        let open = Open { spot: self.spot(), count: 0, kind: Kind::Array };
        self.open.push(open);
        self.slots += 1;
        Ok(false)
    }

    fn open_object(&mut self) -> Decoded<bool> {
        self.at += 1;
        self.descend(3)?;
        self.blanks();
        if self.byte() == b'}' {
            self.at += 1;
            self.stack.push_table();
            return Ok(true);
        }
        self.slots += 2;
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let spot = self.spot().object(rest);
        // Taking a shape back needs a few slots.
        let has_room = self.slots + 8 <= MAX_SLOTS && self.stack.reserve(4);
        if has_room && let Some(shape) = self.shapes.push(self.stack, spot.tag()) {
            self.open.push(Open { spot, count: 0, kind: Kind::Shaped { shape } });
            self.shaped_key()?;
            return Ok(false);
        }
        let is_wanted = has_room && self.shapes.wants_next(spot.tag());
        let noted = is_wanted.then_some(self.keys.len());
        self.stack.push_table();
        self.open.push(Open { spot, count: 0, kind: Kind::Object { noted } });
        self.key()?;
        Ok(false)
    }

    /// Ends the innermost table, an object, which is on top.
    fn close_object(&mut self) {
        self.slots -= 2;
        if let Some(Open { spot, kind: Kind::Object { noted }, .. }) = self.open.pop() {
            match noted {
                Some(first) => self.learn(spot, first),
                None => drop(self.shapes.wants(self.stack, spot.tag())),
            }
        }
    }

    /// Learns the shape of the object on top, whose keys were noted from the one `first` on.
    fn learn(&mut self, spot: Spot, first: usize) {
        let keys = self.keys.get(first..).unwrap_or_default();
        // A key is written in one way only if it has no escapes.
        let is_plain =
            |key: &&[u8]| string::plain_to_read(key.get(1..).unwrap_or_default()) + 2 == key.len();
        if keys.len() <= MAX_KEYS
            && keys.iter().map(|key| key.len()).sum::<usize>() <= MAX_KEY_BYTES
            && keys.iter().all(is_plain)
        {
            let spelled =
                |key: &&'a [u8]| Spelled { text: key, lead: 1, len: key.len() - 2, is_nil: false };
            self.shapes.learn(self.stack, spot.tag(), keys.iter().map(spelled));
        }
        self.keys.truncate(first);
    }

    /// Ends the innermost table, which has a shape, and is on top.
    fn close_shaped(&mut self) {
        if let Some(Open { count, kind: Kind::Shaped { shape }, .. }) = self.open.last()
            && *count < shape.len()
        {
            self.unshape();
        }
        self.slots -= 2;
        self.open.pop();
    }

    /// Reads a key of the innermost table, which should be the next one of its shape.
    #[inline]
    fn shaped_key(&mut self) -> Decoded<()> {
        if let Some(Open { count, kind: Kind::Shaped { shape }, .. }) = self.open.last_mut()
            && *count < shape.len()
            && let Some(rest) = self.text.get(self.at..)
            && let Some(rest) = rest.strip_prefix(shape.spelled(*count))
        {
            self.at += shape.spelled(*count).len();
            *count += 1;
            if rest.first() != Some(&b':') {
                self.blanks();
                if self.byte() != b':' {
                    return Err(self.unexpected("colon"));
                }
            }
            self.at += 1;
            self.blanks();
            return Ok(());
        }
        self.unshape();
        self.key()
    }

    /// Makes the innermost table, which is on top, an ordinary one with the members it has by now.
    #[cold]
    fn unshape(&mut self) {
        if let Some(open) = self.open.last_mut()
            && let Kind::Shaped { shape } = &open.kind
        {
            shape.undo(self.stack, open.count);
            self.shapes.miss(self.stack, open.spot.tag());
            open.kind = Kind::Object { noted: None };
        }
    }

    /// Sees to it that one more table may be opened, for which stock asks for `slots`.
    fn descend(&mut self, slots: u8) -> Decoded<()> {
        let depth = i32::try_from(self.open.len()).unwrap_or(i32::MAX).saturating_add(1);
        if depth > self.settings.decode_max_depth
            || self.slots + usize::from(slots) > MAX_SLOTS
            || !self.stack.reserve(slots.into())
        {
            return Err(DecodeError::Message(format!(
                "Found too many nested data structures ({depth}) at character {}",
                self.at
            )));
        }
        if self.at >= self.next_poll {
            self.poll()?;
        }
        Ok(())
    }

    #[cold]
    fn poll(&mut self) -> Decoded<()> {
        self.next_poll = self.at + BETWEEN_POLLS;
        if self.stack.shared().is_over_limit() {
            self.stack.collect();
            if self.stack.shared().is_over_limit() {
                return Err(DecodeError::Full(Full::Memory));
            }
        }
        if self.stack.is_interrupted() { Err(DecodeError::Full(Full::Interrupted)) } else { Ok(()) }
    }

    /// Reads a key and the colon after it.
    #[inline]
    fn key(&mut self) -> Decoded<()> {
        if self.byte() != b'"' {
            return Err(self.unexpected("object key string"));
        }
        let start = self.at;
        self.string("object key string")?;
        if let Some(open) = self.open.last_mut() {
            open.count += 1;
            if let Kind::Object { noted: Some(_) } = open.kind {
                self.keys.extend(self.text.get(start..self.at));
            }
        }
        self.blanks();
        if self.byte() != b':' {
            return Err(self.unexpected("colon"));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// Reads a string where `expected` is, and pushes it.
    #[inline]
    fn string(&mut self, expected: &str) -> Decoded<()> {
        let start = self.at + 1;
        let rest = self.text.get(start..).unwrap_or_default();
        let len = string::plain_to_read(rest);
        if rest.get(len) == Some(&b'"') {
            self.stack.push_bytes(rest.get(..len).unwrap_or_default());
            self.at = start + len + 1;
            if self.at >= self.next_poll {
                self.poll()?;
            }
            return Ok(());
        }
        self.escaped_string(expected)
    }

    fn escaped_string(&mut self, expected: &str) -> Decoded<()> {
        let mut output = self.unescaped.take().unwrap_or_else(|| Output::new(self.stack));
        output.clear();
        match unescape(self.text, self.at, &mut output)? {
            Ok(end) => self.at = end,
            Err(_) => return Err(self.unexpected(expected)),
        }
        self.stack.push_bytes(output.bytes());
        self.unescaped = Some(output);
        if self.at >= self.next_poll {
            self.poll()?;
        }
        Ok(())
    }

    /// Reads a number, which may begin here, and pushes it.
    #[inline]
    fn number(&mut self) -> Decoded<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_refused = !self.settings.decode_invalid_numbers && is_invalid_number(rest);
        match number::read(rest) {
            Some(number) if !is_refused => {
                if number.is_big && self.settings.decode_big_numbers_as_strings {
                    self.stack.push_bytes(rest.get(..number.len).unwrap_or_default());
                } else {
                    self.stack.push_number(number.value);
                }
                self.at += number.len;
                Ok(())
            }
            _ => Err(self.unexpected("value")),
        }
    }

    /// The number that begins here with a sign or a letter, if such are read.
    fn unusual_number(&self) -> Option<number::Number> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let may = matches!(rest.first(), Some(b'+' | b'i' | b'I' | b'n' | b'N'));
        if may && self.settings.decode_invalid_numbers && is_invalid_number(rest) {
            number::read(rest)
        } else {
            None
        }
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    #[inline]
    fn follows(&self, word: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word))
    }

    /// Skips blanks.
    #[inline]
    fn blanks(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// The error that something else than `expected` is here.
    #[cold]
    fn unexpected(&mut self, expected: &str) -> DecodeError {
        let (found, at) = match self.found() {
            Ok(found) => found,
            Err(full) => return DecodeError::Full(full),
        };
        let position = at + 1;
        DecodeError::Message(format!(
            "Expected {expected} but found {found} at character {position}"
        ))
    }

    /// What is here, as stock names it, and where that is.
    fn found(&mut self) -> Result<(&'static str, usize), Full> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let name = match self.byte() {
            b'{' => "T_OBJ_BEGIN",
            b'}' => "T_OBJ_END",
            b'[' => "T_ARR_BEGIN",
            b']' => "T_ARR_END",
            b',' => "T_COMMA",
            b':' => "T_COLON",
            0 => "T_END",
            b'"' => {
                let mut output = Output::new(self.stack);
                return Ok(match unescape(self.text, self.at, &mut output)? {
                    Ok(_) => ("T_STRING", self.at),
                    Err(wrong) => wrong,
                });
            }
            b'-' | b'0'..=b'9' => {
                let refused = !self.settings.decode_invalid_numbers && is_invalid_number(rest);
                if refused || number::read(rest).is_none() { "invalid number" } else { "T_NUMBER" }
            }
            b't' if rest.starts_with(b"true") => "T_BOOLEAN",
            b'f' if rest.starts_with(b"false") => "T_BOOLEAN",
            b'n' if rest.starts_with(b"null") => "T_NULL",
            b't' | b'f' | b'n' | b'N' | b'i' | b'I' | b'+'
                if self.settings.decode_invalid_numbers && is_invalid_number(rest) =>
            {
                if number::read(rest).is_none() {
                    "invalid number"
                } else {
                    "T_NUMBER"
                }
            }
            _ => "invalid token",
        };
        Ok((name, self.at))
    }
}

/// Writes the string that begins at `at` to `output`: the place behind it, or what is wrong, and where.
///
/// # Errors
/// See [`Full`].
fn unescape(
    text: &[u8],
    at: usize,
    output: &mut Output<'_>,
) -> Result<Result<usize, (&'static str, usize)>, Full> {
    let mut at = at + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let plain = string::plain_to_read(rest);
        output.write(rest.get(..plain).unwrap_or_default())?;
        at += plain;
        let rest = rest.get(plain..).unwrap_or_default();
        match rest {
            [b'"', ..] => return Ok(Ok(at + 1)),
            [b'\\', b'u', ..] => match string::unicode_escape(rest) {
                Some((letter, len)) => {
                    output.write(letter.encode_utf8(&mut [0; 4]).as_bytes())?;
                    at += len;
                }
                None => return Ok(Err(("invalid unicode escape code", at))),
            },
            [b'\\', letter, ..] if let Some(byte) = string::unescaped(*letter) => {
                output.write(&[byte])?;
                at += 2;
            }
            [b'\\', ..] => return Ok(Err(("invalid escape code", at))),
            _ => return Ok(Err(("unexpected end of string", at))),
        }
    }
}

/// Whether what is here may be a number to C, and is none in JSON.
///
/// Stock: `lua_cjson.c` `json_is_invalid_number`.
fn is_invalid_number(text: &[u8]) -> bool {
    if text.first() == Some(&b'+') {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        _ => ["inf", "nan"].iter().any(|word| {
            text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        }),
    }
}
