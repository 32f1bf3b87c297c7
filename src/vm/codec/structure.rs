//! The formats of the library `struct`: what their options mean, and numbers as bytes.
//!
//! The sizes are those of C on 64-bit Linux. Where stock leaves the outcome to the compiler, this is
//! what stock does on x86-64: shifts by more than 63 bits, numbers that no integer can hold.
#![forbid(unsafe_code)]

use crate::vm::number;

/// Bytes of the widest integer.
pub(crate) const MAX_INTEGER: usize = 32;
/// The alignment that `!` stands for.
const NATIVE_ALIGNMENT: i32 = 8;

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// What an option of a format stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer with or without a sign.
    Integer {
        signed: bool,
    },
    /// One zero byte that stands for no value.
    Padding,
    Float,
    Double,
    /// So many bytes; none stands for the length of a string, or for a number read before.
    Bytes,
    /// A string up to its zero byte.
    Text,
    /// Anything else: see [`Format::control`].
    Control,
}

/// One option of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) letter: u8,
    pub(crate) kind: Kind,
    /// Bytes the value takes, as far as the format says.
    pub(crate) size: usize,
    /// Bytes to leave out before it.
    pub(crate) padding: usize,
}

/// Why a format cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A number in it is beyond a C `int`.
    Overflow,
    /// An integer of so many bytes.
    Size(i32),
    /// An alignment that is not a power of 2.
    Alignment(i32),
    /// No option.
    Unknown(u8),
}

/// How far a format was read, and the settings made on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    at: usize,
    pub(crate) order: Order,
    alignment: usize,
}

impl Default for Format {
    fn default() -> Self {
        Self { at: 0, order: Order::Little, alignment: 1 }
    }
}

impl Format {
    /// Reads the next option of `text`, for a value at `position`; `None` at the end, which is also at
    /// a zero byte.
    ///
    /// # Errors
    /// See [`Problem`].
    ///
    /// Stock: `lua_struct.c` `optsize`, `gettoalign`.
    pub(crate) fn next(&mut self, text: &[u8], position: usize) -> Result<Option<Item>, Problem> {
        let letter = match text.get(self.at) {
            None | Some(0) => return Ok(None),
            Some(letter) => *letter,
        };
        self.at += 1;
        let signed = letter.is_ascii_lowercase();
        let (kind, size) = match letter {
            b'b' | b'B' => (Kind::Integer { signed }, 1),
            b'h' | b'H' => (Kind::Integer { signed }, 2),
            b'l' | b'L' | b'T' => (Kind::Integer { signed }, 8),
            b'i' | b'I' => {
                let size = self.number(text, 4)?;
                if size > MAX_INTEGER as i32 {
                    return Err(Problem::Size(size));
                }
                (Kind::Integer { signed }, size.unsigned_abs() as usize)
            }
            b'x' => (Kind::Padding, 1),
            b'f' => (Kind::Float, 4),
            b'd' => (Kind::Double, 8),
            b'c' => (Kind::Bytes, self.number(text, 1)?.unsigned_abs() as usize),
            b's' => (Kind::Text, 0),
            _ => (Kind::Control, 0),
        };
        let padding = if kind == Kind::Bytes { 0 } else { self.padding(position, size) };
        Ok(Some(Item { letter, kind, size, padding }))
    }

    /// Follows the option `letter` that stands for no value.
    ///
    /// # Errors
    /// See [`Problem`].
    ///
    /// Stock: `lua_struct.c` `controloptions`.
    pub(crate) fn control(&mut self, text: &[u8], letter: u8) -> Result<(), Problem> {
        match letter {
            b' ' => {}
            b'<' => self.order = Order::Little,
            b'>' => self.order = Order::Big,
            b'!' => {
                let alignment = self.number(text, NATIVE_ALIGNMENT)?;
                if alignment.count_ones() != 1 {
                    return Err(Problem::Alignment(alignment));
                }
                self.alignment = alignment.unsigned_abs() as usize;
            }
            _ => return Err(Problem::Unknown(letter)),
        }
        Ok(())
    }

    /// Reads a number; `default` if there is none.
    fn number(&mut self, text: &[u8], default: i32) -> Result<i32, Problem> {
        let mut number: Option<i32> = None;
        while let Some(digit @ b'0'..=b'9') = text.get(self.at) {
            let tens = number.unwrap_or_default().checked_mul(10);
            let sum = tens.and_then(|tens| tens.checked_add(i32::from(digit - b'0')));
            number = Some(sum.ok_or(Problem::Overflow)?);
            self.at += 1;
        }
        Ok(number.unwrap_or(default))
    }

    /// How many bytes lie between `position` and a value of `size` bytes. For sizes that are not powers
    /// of 2 the answer is what masking gives.
    fn padding(&self, position: usize, size: usize) -> usize {
        let Some(mask) = size.min(self.alignment).checked_sub(1) else {
            return 0;
        };
        (mask + 1).wrapping_sub(position & mask) & mask
    }
}

/// An integer of `size` bytes; what `value` does not fill is zero, also below zero.
///
/// Stock: `lua_struct.c` `putinteger`.
pub(crate) fn write_integer(value: f64, size: usize, order: Order) -> [u8; MAX_INTEGER] {
    let mut bytes = [0; MAX_INTEGER];
    if let Some(low) = bytes.first_chunk_mut() {
        *low = to_unsigned(value).to_le_bytes();
    }
    if order == Order::Big
        && let Some(used) = bytes.get_mut(..size)
    {
        used.reverse();
    }
    bytes
}

/// The bytes of a number in the given order.
pub(crate) fn ordered<const N: usize>(mut little: [u8; N], order: Order) -> [u8; N] {
    if order == Order::Big {
        little.reverse();
    }
    little
}

/// Reads a number of `kind`; `None` if that is no number.
pub(crate) fn read_number(bytes: &[u8], kind: Kind, order: Order) -> Option<f64> {
    match kind {
        Kind::Integer { signed } => Some(read_integer(bytes, signed, order)),
        Kind::Float => {
            let bytes = ordered(bytes.try_into().ok()?, order);
            Some(f64::from(f32::from_le_bytes(bytes)))
        }
        Kind::Double => Some(f64::from_le_bytes(ordered(bytes.try_into().ok()?, order))),
        _ => None,
    }
}

/// Reads an integer; of more than 8 bytes the low ones count.
///
/// Stock: `lua_struct.c` `getinteger`.
fn read_integer(bytes: &[u8], signed: bool, order: Order) -> f64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = match order {
        Order::Big => bytes.iter().fold(0, add),
        Order::Little => bytes.iter().rev().fold(0, add),
    };
    if !signed {
        return value as f64;
    }
    // The shift takes its amount modulo 64, which shows in integers of no or more than 8 bytes.
    let sign = (bytes.len() as u32).wrapping_mul(8).wrapping_sub(1);
    let mask = u64::MAX.wrapping_shl(sign);
    let value = if value & mask == 0 { value } else { value | mask };
    value as i64 as f64
}

/// Converts a number to an unsigned integer as C code of stock does: below zero by way of a signed one.
pub(crate) fn to_unsigned(value: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    if value >= HALF {
        number::to_integer(value - HALF) as u64 ^ 1 << 63
    } else {
        number::to_integer(value) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The letters, sizes and paddings of a format whose values lie one behind the other.
    fn items(text: &[u8]) -> Result<Vec<(char, usize, usize)>, Problem> {
        let mut format = Format::default();
        let mut position = 0;
        let mut items = Vec::new();
        while let Some(item) = format.next(text, position)? {
            match item.kind {
                Kind::Control => format.control(text, item.letter)?,
                _ => items.push((char::from(item.letter), item.size, item.padding)),
            }
            position += item.padding + item.size;
        }
        Ok(items)
    }

    #[test]
    fn options_have_the_sizes_of_c() {
        let read = items(b"bBhHlLTiIi3I32i0xfdsc c7c0").unwrap();
        let sizes: Vec<usize> = read.into_iter().map(|(_, size, _)| size).collect();
        assert_eq!(sizes, [1, 1, 2, 2, 8, 8, 8, 4, 4, 3, 32, 0, 1, 4, 8, 0, 1, 7, 0]);
    }

    #[test]
    fn values_are_aligned_only_as_far_as_asked() {
        let padding = |format: &[u8]| items(format).unwrap().last().unwrap().2;
        assert_eq!(padding(b"bd"), 0);
        assert_eq!(padding(b"!bd"), 7);
        assert_eq!(padding(b"!4bd"), 3);
        assert_eq!(padding(b"!2bd"), 1);
        assert_eq!(padding(b"!1bd"), 0);
        assert_eq!(padding(b"!bc4"), 0, "strings are not aligned");
        assert_eq!(padding(b"!16bi16"), 15);
        // 3 - (1 & 2) is 3, of which 2 is left.
        assert_eq!(padding(b"!4bi3"), 2);
        assert_eq!(padding(b"!4bbi3"), 0);
    }

    #[test]
    fn bad_formats_are_found() {
        assert_eq!(items(b"i33"), Err(Problem::Size(33)));
        assert_eq!(items(b"c2147483647"), Ok(vec![('c', 2_147_483_647, 0)]));
        assert_eq!(items(b"c2147483648"), Err(Problem::Overflow));
        assert_eq!(items(b"!0"), Err(Problem::Alignment(0)));
        assert_eq!(items(b"!6"), Err(Problem::Alignment(6)));
        assert_eq!(items(b"!1073741824"), Ok(vec![]));
        assert_eq!(items(b"\xff"), Err(Problem::Unknown(0xff)));
        assert_eq!(items(b"b\0z"), Ok(vec![('b', 1, 0)]), "a format ends at a zero byte");
    }

    #[test]
    fn wide_integers_are_filled_with_zeros() {
        let bytes = write_integer(-2.0, 10, Order::Little);
        assert_eq!(bytes[..10], [0xfe, 255, 255, 255, 255, 255, 255, 255, 0, 0]);
        let bytes = write_integer(258.0, 3, Order::Big);
        assert_eq!(bytes[..4], [0, 1, 2, 0]);
    }

    #[test]
    fn integers_are_read_modulo_two_to_the_64th() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(read_integer(&bytes, false, Order::Little), 1.0);
        assert_eq!(read_integer(&bytes, false, Order::Big), 9.0);
        assert_eq!(read_integer(&[], true, Order::Big), 0.0);
        assert_eq!(read_integer(&[0xff; 8], false, Order::Big), 18_446_744_073_709_551_616.0);
        assert_eq!(read_integer(&[0xff; 8], true, Order::Big), -1.0);
        assert_eq!(read_integer(&[0x80, 0], true, Order::Big), -32768.0);
    }

    #[test]
    fn numbers_become_unsigned_integers() {
        assert_eq!(to_unsigned(-1.0), u64::MAX);
        assert_eq!(to_unsigned(9_223_372_036_854_775_808.0), 1 << 63);
        assert_eq!(to_unsigned(18_446_744_073_709_549_568.0), u64::MAX - 2047);
    }

    #[test]
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    fn numbers_out_of_range_become_what_the_processor_gives() {
        assert_eq!(to_unsigned(18_446_744_073_709_551_616.0), 0);
        assert_eq!(to_unsigned(f64::INFINITY), 0);
        assert_eq!(to_unsigned(f64::NAN), 1 << 63);
        assert_eq!(to_unsigned(f64::NEG_INFINITY), 1 << 63);
    }

    proptest! {
        #[test]
        fn numbers_read_back(value: i64, size in 1..9_usize, big: bool, signed: bool) {
            let order = if big { Order::Big } else { Order::Little };
            // Doubles hold no more than this many bits.
            let unused = (64 - 8 * size as u32).max(11);
            let value = if signed { value >> unused } else { (value as u64 >> unused) as i64 };
            let bytes = write_integer(value as f64, size, order);
            let kind = Kind::Integer { signed };
            prop_assert_eq!(read_number(&bytes[..size], kind, order), Some(value as f64));
        }

        #[test]
        fn formats_end(text: Vec<u8>, position: usize) {
            let mut format = Format::default();
            for _ in 0..=text.len() {
                match format.next(&text, position) {
                    Ok(Some(item)) => {
                        prop_assert!(item.padding < MAX_INTEGER);
                        let _ = format.control(&text, item.letter);
                    }
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
            prop_assert!(false, "there are no more options than letters");
        }
    }
}
