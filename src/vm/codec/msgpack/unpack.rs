//! MessagePack as Lua values.
//!
//! Nothing here recurses: values nest as deep as Lua's stack allows, far deeper than a C stack may be.

use std::num::NonZeroU32;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::vm::codec::MAX_SLOTS;
use crate::vm::native::{Full, Shape, Shapes, Shared, Spelled, Stack, grown};

/// Values read between two looks at memory and interrupts.
const BETWEEN_POLLS: u32 = 1024;
/// Places for values that are asked of Lua at once.
const ROOM: usize = 64;
/// Items of a list for which there is room before they are read.
const MAX_TRUSTED: usize = 64;
/// Keys of a map whose shape is learnt.
const MAX_SHAPE: usize = 32;
/// Bytes of a map whose shape is learnt, since they are read once more.
const MAX_BODY: usize = 4096;

/// What stands for nil.
const NIL: u8 = 0xc0;

/// Why no value can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The input ends too early.
    Missing,
    /// The input is not MessagePack, or of a kind that stock does not know.
    Format,
    /// Stock's stack has no more room, for the reason given.
    Stack(&'static str),
    /// A key is nil.
    NilKey,
    /// A key is not a number.
    NanKey,
    /// There is no more memory, or the run must end.
    Full(Full),
}

/// What is read next: a value without parts, or the head of one.
enum Head<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    List(usize),
    Map(usize),
}

/// What tells whether a value can be a key, and what a list does with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Nil,
    Nan,
    Other,
}

/// A list or map that is not complete.
enum Open<'a> {
    List {
        /// Items in it.
        len: i32,
        /// Items to come.
        left: usize,
        /// Whether no item was nil.
        dense: bool,
    },
    Map {
        /// Pairs to come.
        left: usize,
        /// The key whose value comes next.
        key: Option<Sort>,
        /// What its shape goes by, if it may be learnt.
        tag: Option<NonZeroU32>,
        /// The input from its first key on.
        body: &'a [u8],
    },
    /// A map that has had the keys of a known shape so far; the value of the key `at` comes next.
    Shaped { shape: Rc<Shape>, at: usize, tag: u32 },
}

/// Reads values one after the other and pushes them on the stack.
///
/// Stock: `lua_cmsgpack.c` `mp_decode_to_lua_type`.
pub(crate) struct Unpacker<'a, 'vm> {
    shared: &'vm Shared,
    input: Input<'a>,
    /// Values on stock's stack, which has more than ours: the position in each open list.
    slots: usize,
    /// Values that our stack has for sure room for.
    room: usize,
    open: SmallVec<[Open<'a>; 8]>,
    until_poll: u32,
    shapes: Option<Box<Shapes>>,
}

impl Drop for Unpacker<'_, '_> {
    fn drop(&mut self) {
        self.shared.msgpack_shapes.set(self.shapes.take());
    }
}

impl<'a, 'vm> Unpacker<'a, 'vm> {
    /// Begins to read `input`; stock has as many values on its stack now as we have.
    pub(crate) fn new(stack: &Stack<'vm>, input: &'a [u8]) -> Self {
        let shared = stack.shared();
        let slots = usize::try_from(stack.top()).unwrap_or_default();
        Self {
            shared,
            input: Input { rest: input },
            slots,
            room: slots,
            open: SmallVec::new(),
            until_poll: BETWEEN_POLLS,
            shapes: shared.msgpack_shapes.take(),
        }
    }

    /// How many bytes are still to be read.
    pub(crate) fn left(&self) -> usize {
        self.input.rest.len()
    }

    /// Values on stock's stack.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Reads one value and pushes it.
    ///
    /// # Errors
    /// See [`Fault`]; parts of the value are on the stack then.
    pub(crate) fn next(&mut self, stack: &mut Stack<'_>) -> Result<(), Fault> {
        self.make_room(stack);
        loop {
            while self.read_parts(stack) {
                if self.deliver(stack, Sort::Other)? {
                    self.slots += 1;
                    return Ok(());
                }
            }
            if self.input.rest.is_empty() {
                return Err(Fault::Missing);
            }
            if self.slots >= MAX_SLOTS {
                return Err(Fault::Stack(
                    "too many return values at once; use unpack_one or unpack_limit instead.",
                ));
            }
            let sort = match self.input.head()? {
                Head::Nil => {
                    stack.push_nil();
                    Sort::Nil
                }
                Head::Boolean(value) => {
                    stack.push_boolean(value);
                    Sort::Other
                }
                Head::Number(value) => {
                    stack.push_number(value);
                    if value.is_nan() { Sort::Nan } else { Sort::Other }
                }
                Head::Text(bytes) => {
                    stack.push_bytes(bytes);
                    Sort::Other
                }
                Head::List(len) => {
                    if self.slots + 1 >= MAX_SLOTS {
                        return Err(Fault::Stack("in function mp_decode_to_lua_array"));
                    }
                    stack.push_sized_table(room_for(len), 0);
                    if len > 0 {
                        self.slots += 2;
                        self.make_room(stack);
                        self.open.push(Open::List { len: 0, left: len, dense: true });
                        continue;
                    }
                    Sort::Other
                }
                Head::Map(0) => {
                    stack.push_table();
                    Sort::Other
                }
                Head::Map(len) => {
                    self.open_map(stack, len);
                    continue;
                }
            };
            if self.deliver(stack, sort)? {
                self.slots += 1;
                return Ok(());
            }
            self.until_poll -= 1;
            if self.until_poll == 0 {
                self.until_poll = BETWEEN_POLLS;
                poll(stack)?;
            }
        }
    }

    /// Reads numbers and strings of the innermost open list or map of a known shape, with less ado than
    /// [`Unpacker::next`] does, to which everything else is left. True if that completes it.
    #[inline]
    fn read_parts(&mut self, stack: &mut Stack<'_>) -> bool {
        match self.open.last_mut() {
            Some(Open::List { len, left, dense: true }) if self.slots < MAX_SLOTS => {
                while self.until_poll > 1 {
                    let mut input = Input { rest: self.input.rest };
                    match input.scalar() {
                        Some(Head::Number(value)) => stack.append_number(-1, *len, value),
                        Some(Head::Text(bytes)) => stack.append_bytes(-1, *len, bytes),
                        _ => return false,
                    }
                    self.input = input;
                    self.until_poll -= 1;
                    *len += 1;
                    *left -= 1;
                    if *left == 0 {
                        self.slots -= 2;
                        self.open.pop();
                        return true;
                    }
                }
                false
            }
            Some(Open::Shaped { shape, at, .. }) => {
                while self.until_poll > 1 {
                    let mut input = Input { rest: self.input.rest };
                    if shape.is_nil(*at) {
                        match input.rest.split_first() {
                            Some((&NIL, rest)) => input.rest = rest,
                            _ => return false,
                        }
                    } else {
                        match input.scalar() {
                            Some(Head::Number(value)) => shape.set_number(stack, *at, value),
                            Some(Head::Text(bytes)) => shape.set_bytes(stack, *at, bytes),
                            _ => return false,
                        }
                    }
                    self.input = input;
                    self.until_poll -= 1;
                    *at += 1;
                    if *at == shape.len() {
                        self.slots -= 2;
                        self.open.pop();
                        return true;
                    }
                    match self.input.rest.strip_prefix(shape.spelled(*at)) {
                        Some(rest) => self.input.rest = rest,
                        None => {
                            self.slots -= 1;
                            self.leave_shape(stack);
                            return false;
                        }
                    }
                }
                false
            }
            _ => false,
        }
    }

    fn open_map(&mut self, stack: &mut Stack<'_>, len: usize) {
        let body = self.input.rest;
        let tag =
            if len <= MAX_SHAPE && self.slots + 3 < MAX_SLOTS { tag(len, body) } else { None };
        self.slots += 1;
        if let (Some(tag), Some(shapes)) = (tag, &mut self.shapes)
            && let Some(shape) = shapes.push(stack, tag.get())
        {
            self.make_room(stack);
            if shape.len() == len {
                self.open.push(Open::Shaped { shape, at: 0, tag: tag.get() });
                self.meet_key(stack);
                return;
            }
            stack.pop(1);
        }
        stack.push_table();
        self.make_room(stack);
        self.open.push(Open::Map { left: len, key: None, tag, body });
    }

    /// Passes over the key that the open map of a known shape must have next, or makes it a map whose
    /// keys come as they may.
    #[inline]
    fn meet_key(&mut self, stack: &mut Stack<'_>) {
        if let Some(Open::Shaped { shape, at, .. }) = self.open.last() {
            match self.input.rest.strip_prefix(shape.spelled(*at)) {
                Some(rest) => {
                    self.input.rest = rest;
                    self.slots += 1;
                }
                None => self.leave_shape(stack),
            }
        }
    }

    #[cold]
    fn leave_shape(&mut self, stack: &mut Stack<'_>) {
        if let Some(Open::Shaped { shape, at, tag }) = self.open.pop() {
            shape.undo(stack, at);
            if let Some(shapes) = &mut self.shapes {
                shapes.miss(stack, tag);
            }
            let left = shape.len() - at;
            self.open.push(Open::Map { left, key: None, tag: None, body: &[] });
        }
    }

    /// Puts the complete value on top into what is open; true if nothing is.
    #[inline]
    fn deliver(&mut self, stack: &mut Stack<'_>, mut sort: Sort) -> Result<bool, Fault> {
        loop {
            match self.open.last_mut() {
                None => return Ok(true),
                Some(Open::List { len, left, dense }) => {
                    if sort == Sort::Nil && *dense {
                        *dense = false;
                        // The room that the list has where it grows by assignments.
                        let room = grown(usize::try_from(*len).unwrap_or_default());
                        stack.fit_list(-2, i32::try_from(room).unwrap_or(i32::MAX));
                    }
                    if *dense {
                        stack.append(-2, *len);
                    } else {
                        // As an assignment: it may make room for a nil, too.
                        stack.set_item(-2, *len + 1);
                    }
                    *len += 1;
                    *left -= 1;
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.slots -= 2;
                }
                Some(Open::Shaped { shape, at, .. })
                    if shape.is_nil(*at) == (sort == Sort::Nil) =>
                {
                    match sort {
                        Sort::Nil => stack.pop(1),
                        _ => shape.set(stack, *at),
                    }
                    *at += 1;
                    self.slots -= 1;
                    if *at < shape.len() {
                        self.meet_key(stack);
                        return Ok(false);
                    }
                    self.slots -= 1;
                }
                Some(Open::Shaped { shape, at, .. }) => {
                    // A value for a key that should have none, or the other way round.
                    let (shape, at) = (Rc::clone(shape), *at);
                    stack.insert(-2);
                    self.leave_shape(stack);
                    stack.insert(-2);
                    stack.push_bytes(shape.name(at));
                    stack.insert(-2);
                    if let Some(Open::Map { key, .. }) = self.open.last_mut() {
                        *key = Some(Sort::Other);
                    }
                    continue;
                }
                Some(Open::Map { left, key, tag, body }) => match key.replace(sort) {
                    None => {
                        self.slots += 1;
                        return Ok(false);
                    }
                    Some(Sort::Nil) => return Err(Fault::NilKey),
                    Some(Sort::Nan) => return Err(Fault::NanKey),
                    Some(Sort::Other) => {
                        stack.raw_set(-3);
                        *key = None;
                        *left -= 1;
                        self.slots -= 1;
                        if *left > 0 {
                            return Ok(false);
                        }
                        self.slots -= 1;
                        if let Some(tag) = *tag {
                            let len = body.len() - self.input.rest.len();
                            let body = body.get(..len).unwrap_or_default();
                            consider(&mut self.shapes, stack, tag.get(), body);
                        }
                    }
                },
            }
            self.open.pop();
            sort = Sort::Other;
        }
    }

    /// Sees to it that a table, a key and a value can be pushed, as far as stock can push them.
    #[inline]
    fn make_room(&mut self, stack: &mut Stack<'_>) {
        let top = usize::try_from(stack.top()).unwrap_or_default();
        if top + 3 > self.room {
            let more = ROOM.min(MAX_SLOTS - top.min(MAX_SLOTS));
            stack.reserve(i32::try_from(more).unwrap_or_default());
            self.room = top + more;
        }
    }
}

/// Room for a list of `len` items: what it has in the end, as far as the head alone can be trusted.
fn room_for(len: usize) -> i32 {
    i32::try_from(grown(len.min(MAX_TRUSTED))).unwrap_or_default()
}

/// What the shape of a map of `len` pairs goes by, whose first key is the first value of `body`.
///
/// `None` if that is no short string.
#[inline]
fn tag(len: usize, body: &[u8]) -> Option<NonZeroU32> {
    let start = u64::from_le_bytes(*body.first_chunk()?);
    let size = match start as u8 {
        code @ 0xa0..=0xbf => u32::from(code & 0x1f) + 1,
        _ => return None,
    };
    let start = start & (u64::MAX >> (64 - 8 * size.min(8)));
    let mixed = (start ^ ((len as u64) << 58)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    NonZeroU32::new((mixed >> 32) as u32)
}

/// Learns the shape of the map on top, which is complete, if that may pay. `body` is what it was read from.
fn consider(shapes: &mut Option<Box<Shapes>>, stack: &mut Stack<'_>, tag: u32, body: &[u8]) {
    let shapes = shapes.get_or_insert_default();
    if body.len() > MAX_BODY || !shapes.wants(stack, tag) {
        return;
    }
    let mut input = Input { rest: body };
    let mut keys = SmallVec::<[_; MAX_SHAPE]>::new();
    while !input.rest.is_empty() {
        let start = input.rest;
        let Ok(Head::Text(name)) = input.head() else {
            return;
        };
        // Only keys of less than 32 bytes are spelled with one byte before them, and in no other way.
        match start.get(..=name.len()) {
            Some(text) if start.len() - input.rest.len() == text.len() => {
                let is_nil = input.rest.first() == Some(&NIL);
                keys.push(Spelled { text, lead: 1, len: name.len(), is_nil });
            }
            _ => return,
        }
        if input.skip().is_err() {
            return;
        }
    }
    shapes.learn(stack, tag, keys.into_iter());
}

/// The input that is still to be read.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Passes over one value.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut values = 1_usize;
        while values > 0 {
            values -= 1;
            values += match self.head()? {
                Head::List(len) => len,
                Head::Map(len) => 2 * len,
                _ => 0,
            };
        }
        Ok(())
    }

    /// Reads a value without parts that is frequent; `None` for any other, and for one cut short.
    #[inline(always)]
    fn scalar(&mut self) -> Option<Head<'a>> {
        let (&code, rest) = self.rest.split_first()?;
        self.rest = rest;
        let number = match code {
            0x00..=0x7f => f64::from(code),
            0xa0..=0xbf => return Some(Head::Text(self.take(usize::from(code & 0x1f)).ok()?)),
            0xca => f64::from(f32::from_be_bytes(self.chunk().ok()?)),
            0xcb => f64::from_be_bytes(self.chunk().ok()?),
            0xcc => f64::from(u8::from_be_bytes(self.chunk().ok()?)),
            0xcd => f64::from(u16::from_be_bytes(self.chunk().ok()?)),
            0xce => f64::from(u32::from_be_bytes(self.chunk().ok()?)),
            0xe0..=0xff => f64::from(code as i8),
            _ => return None,
        };
        Some(Head::Number(number))
    }

    #[inline]
    fn head(&mut self) -> Result<Head<'a>, Fault> {
        let (&code, rest) = self.rest.split_first().ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(match code {
            0x00..=0x7f => Head::Number(f64::from(code)),
            0x80..=0x8f => Head::Map(usize::from(code & 0xf)),
            0x90..=0x9f => Head::List(usize::from(code & 0xf)),
            0xa0..=0xbf => Head::Text(self.take(usize::from(code & 0x1f))?),
            NIL => Head::Nil,
            0xc2 => Head::Boolean(false),
            0xc3 => Head::Boolean(true),
            0xca => Head::Number(f64::from(f32::from_be_bytes(self.chunk()?))),
            0xcb => Head::Number(f64::from_be_bytes(self.chunk()?)),
            0xcc => Head::Number(f64::from(u8::from_be_bytes(self.chunk()?))),
            0xcd => Head::Number(f64::from(u16::from_be_bytes(self.chunk()?))),
            0xce => Head::Number(f64::from(u32::from_be_bytes(self.chunk()?))),
            // Stock reads unsigned integers of 64 bits as signed ones.
            0xcf | 0xd3 => Head::Number(i64::from_be_bytes(self.chunk()?) as f64),
            0xd0 => Head::Number(f64::from(i8::from_be_bytes(self.chunk()?))),
            0xd1 => Head::Number(f64::from(i16::from_be_bytes(self.chunk()?))),
            0xd2 => Head::Number(f64::from(i32::from_be_bytes(self.chunk()?))),
            0xd9 => {
                let [len] = self.chunk()?;
                Head::Text(self.take(usize::from(len))?)
            }
            0xda => {
                let len = self.len16()?;
                Head::Text(self.take(len)?)
            }
            0xdb => {
                let len = self.len32()?;
                Head::Text(self.take(len)?)
            }
            0xdc => Head::List(self.len16()?),
            0xdd => Head::List(self.len32()?),
            0xde => Head::Map(self.len16()?),
            0xdf => Head::Map(self.len32()?),
            0xe0..=0xff => Head::Number(f64::from(code as i8)),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return Err(Fault::Format),
        })
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn len16(&mut self) -> Result<usize, Fault> {
        Ok(usize::from(u16::from_be_bytes(self.chunk()?)))
    }

    #[inline]
    fn len32(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_be_bytes(self.chunk()?) as usize)
    }
}

/// Looks whether the run must end or has taken more memory than it may.
#[cold]
fn poll(stack: &mut Stack<'_>) -> Result<(), Fault> {
    if stack.is_interrupted() {
        return Err(Fault::Full(Full::Interrupted));
    }
    if stack.shared().is_over_limit() {
        stack.collect();
        if stack.shared().is_over_limit() {
            return Err(Fault::Full(Full::Memory));
        }
    }
    Ok(())
}
