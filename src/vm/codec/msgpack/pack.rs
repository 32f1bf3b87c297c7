//! Lua values as MessagePack.

use crate::vm::codec::MAX_SLOTS;
use crate::vm::native::{Full, Output, TableView, Value};

/// Depth at which a table becomes nil, which ends cycles.
const MAX_NESTING: usize = 16;
/// Places of a table looked at between two looks whether the run must end.
const BETWEEN_POLLS: usize = 64 * 1024;

const NIL: u8 = 0xc0;
const FALSE: u8 = 0xc2;
const TRUE: u8 = 0xc3;
const FLOAT: u8 = 0xca;
const DOUBLE: u8 = 0xcb;

/// Why a value cannot be packed.
#[derive(Debug)]
pub(crate) enum Unpackable {
    /// There is no more room in the output.
    Full(Full),
    /// Stock's stack has no more room, in the function named.
    Stack(&'static str),
}

impl From<Full> for Unpackable {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

/// Appends `value` to `out`; stock has `slots` values on its stack, the value included.
///
/// # Errors
/// See [`Unpackable`]; what was written so far is of no use then.
///
/// Stock: `lua_cmsgpack.c` `mp_encode_lua_type`.
pub(crate) fn pack(out: &mut Output<'_>, value: Value<'_>, slots: usize) -> Result<(), Unpackable> {
    Packer { out, seen: 0 }.value(value, slots, 0)
}

struct Packer<'a, 'vm> {
    out: &'a mut Output<'vm>,
    /// Places of tables seen since the last look whether the run must end.
    seen: usize,
}

impl Packer<'_, '_> {
    #[inline]
    fn value(&mut self, value: Value<'_>, slots: usize, level: usize) -> Result<(), Unpackable> {
        match value {
            Value::String(bytes) => self.text(bytes)?,
            Value::Number(number) => self.number(number)?,
            Value::Boolean(value) => self.byte(if value { TRUE } else { FALSE })?,
            Value::Table(table) if level < MAX_NESTING => self.table(table, slots, level)?,
            _ => self.byte(NIL)?,
        }
        Ok(())
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), Full> {
        self.out.reserve(1)?;
        self.out.push(byte);
        Ok(())
    }

    #[inline]
    fn text(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let len = bytes.len();
        self.out.reserve(len.saturating_add(5))?;
        if len < 32 {
            self.out.push(0xa0 | len as u8);
        } else if len <= 0xff {
            self.out.extend(&[0xd9, len as u8]);
        } else {
            self.sized(0xda, len);
        }
        self.out.extend(bytes);
        Ok(())
    }

    /// Writes the head of something of `len` parts: `code` with 16 bits, or the code after it with 32.
    fn sized(&mut self, code: u8, len: usize) {
        let [.., b3, b2, b1, b0] = len.to_be_bytes();
        if len <= 0xffff {
            self.out.extend(&[code, b1, b0]);
        } else {
            self.out.extend(&[code + 1, b3, b2, b1, b0]);
        }
    }

    #[inline]
    fn number(&mut self, number: f64) -> Result<(), Full> {
        self.out.reserve(9)?;
        // Beyond these bounds no number is an integer to a C cast, but the least one of 64 bits is.
        let integer = number as i64;
        if integer as f64 == number && integer != i64::MAX {
            self.integer(integer);
        } else {
            self.fraction(number);
        }
        Ok(())
    }

    fn fraction(&mut self, number: f64) {
        let short = number as f32;
        if f64::from(short) == number {
            let [a, b, c, d] = short.to_be_bytes();
            self.out.extend(&[FLOAT, a, b, c, d]);
        } else {
            let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
            self.out.extend(&[DOUBLE, a, b, c, d, e, f, g, h]);
        }
    }

    #[inline]
    fn integer(&mut self, integer: i64) {
        let [a, b, c, d, e, f, g, h] = integer.to_be_bytes();
        match integer {
            -32..=127 => self.out.push(h),
            128..=0xff => self.out.extend(&[0xcc, h]),
            0x100..=0xffff => self.out.extend(&[0xcd, g, h]),
            0x1_0000..=0xffff_ffff => self.out.extend(&[0xce, e, f, g, h]),
            0x1_0000_0000.. => self.out.extend(&[0xcf, a, b, c, d, e, f, g, h]),
            -0x80..=-33 => self.out.extend(&[0xd0, h]),
            -0x8000..=-0x81 => self.out.extend(&[0xd1, g, h]),
            -0x8000_0000..=-0x8001 => self.out.extend(&[0xd2, e, f, g, h]),
            _ => self.out.extend(&[0xd3, a, b, c, d, e, f, g, h]),
        }
    }

    /// Writes a table: as a list if its keys are the integers from 1 on without a gap.
    ///
    /// Stock: `lua_cmsgpack.c` `table_is_an_array`.
    fn table(
        &mut self,
        table: TableView<'_>,
        slots: usize,
        level: usize,
    ) -> Result<(), Unpackable> {
        if slots + 2 > MAX_SLOTS {
            return Err(Unpackable::Stack("in function table_is_an_array"));
        }
        let count = Count::of(table);
        self.seen += count.places;
        if self.seen > BETWEEN_POLLS {
            self.seen = 0;
            self.out.poll()?;
        }
        self.out.reserve(5)?;
        if count.is_list {
            self.list(table, count.pairs, slots, level)
        } else {
            self.map(table, count.pairs, slots, level)
        }
    }

    fn list(
        &mut self,
        table: TableView<'_>,
        len: usize,
        slots: usize,
        level: usize,
    ) -> Result<(), Unpackable> {
        if len <= 15 {
            self.out.push(0x90 | len as u8);
        } else {
            self.sized(0xdc, len);
        }
        let (items, _) = table.split();
        let beyond = items.len().min(len);
        for item in items.take(len) {
            self.value(item, slots + 1, level + 1)?;
        }
        for position in beyond..len {
            let item = table.item(i32::try_from(position + 1).unwrap_or(i32::MAX));
            self.value(item, slots + 1, level + 1)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        table: TableView<'_>,
        len: usize,
        slots: usize,
        level: usize,
    ) -> Result<(), Unpackable> {
        if slots + 3 > MAX_SLOTS {
            return Err(Unpackable::Stack("in function mp_encode_lua_table_as_map"));
        }
        if len <= 15 {
            self.out.push(0x80 | len as u8);
        } else {
            self.sized(0xde, len);
        }
        for (key, value) in table.pairs() {
            // Stock has key and value on its stack, and a copy of the key.
            self.value(key, slots + 3, level + 1)?;
            self.value(value, slots + 2, level + 1)?;
        }
        Ok(())
    }
}

/// What the keys of a table are.
struct Count {
    pairs: usize,
    /// Whether they are the integers from 1 to the number of pairs.
    is_list: bool,
    /// Places looked at.
    places: usize,
}

impl Count {
    fn of(table: TableView<'_>) -> Self {
        let (items, fields) = table.split();
        let mut places = items.len();
        let (mut pairs, mut last) = (0, 0);
        for (position, item) in items.enumerate() {
            if !matches!(item, Value::Nil) {
                pairs += 1;
                last = position + 1;
            }
        }
        let mut is_list = true;
        places += fields.places();
        for (key, _) in fields {
            pairs += 1;
            match key {
                Value::Number(key) if is_position(key) => last = last.max(key as usize),
                _ => is_list = false,
            }
        }
        Self { pairs, is_list: is_list && last == pairs, places }
    }
}

/// Whether a key is a positive C `int`.
fn is_position(key: f64) -> bool {
    let integer = key as i32;
    integer > 0 && f64::from(integer) == key
}
