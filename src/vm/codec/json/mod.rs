//! JSON as `cjson` 2.1.0 understands it.
//!
//! No parser of the ecosystem takes what this one must take: invalid UTF-8, control characters in
//! strings, NaN, infinities and hexadecimal numbers, a NUL as the end; nor does it word its errors by
//! token and position.

mod decode;
mod encode;
mod number;
mod spot;
mod string;

pub(crate) use decode::{DecodeError, decode};
pub(crate) use encode::{EncodeError, encode};

/// What becomes of numbers that JSON has no text for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidNumbers {
    /// They are an error.
    Refused,
    /// They are written as C prints them.
    Written,
    /// They are written as `null`.
    Null,
}

/// The settings of one instance of `cjson`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A table with too few of its items is written as an object, instead of being an error.
    pub(crate) sparse_convert: bool,
    /// How many times more items than it has a list may span; 0 for any number.
    pub(crate) sparse_ratio: i32,
    /// Up to which item any list is written as an array.
    pub(crate) sparse_safe: i32,
    pub(crate) encode_max_depth: i32,
    pub(crate) decode_max_depth: i32,
    pub(crate) encode_invalid_numbers: InvalidNumbers,
    /// NaN, infinities and hexadecimal numbers are read.
    pub(crate) decode_invalid_numbers: bool,
    /// Significant digits of written numbers.
    pub(crate) encode_number_precision: i32,
    /// Without meaning here; scripts can read what they set.
    pub(crate) encode_keep_buffer: bool,
    /// Arrays are read as tables that remember that they are.
    pub(crate) decode_array_with_array_mt: bool,
    /// Integers that a Lua number cannot hold are read as strings.
    pub(crate) decode_big_numbers_as_strings: bool,
    /// Numbers are written with the 17 digits that tell them from all others.
    pub(crate) encode_full_precision: bool,
}

impl Settings {
    /// What every instance starts with.
    pub(crate) const DEFAULT: Self = Self {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_max_depth: 1000,
        decode_max_depth: 1000,
        encode_invalid_numbers: InvalidNumbers::Refused,
        decode_invalid_numbers: true,
        encode_number_precision: 14,
        encode_keep_buffer: true,
        decode_array_with_array_mt: false,
        decode_big_numbers_as_strings: false,
        encode_full_precision: false,
    };
}

/// The field of a metatable that makes a table an array, as in Redis 8.4.
pub(crate) const ARRAY_MARK: &[u8] = b"__is_cjson_array";

/// The light userdata that is written as an empty array.
pub(crate) const EMPTY_ARRAY: usize = 1;
