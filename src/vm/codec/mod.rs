//! Formats of the libraries that scripts share with Redis, between Lua values and bytes.
#![forbid(unsafe_code)]

pub(crate) mod json;
pub(crate) mod msgpack;
pub(crate) mod structure;

/// Values a C function may have on Lua's stack: where stock's recursion ends.
pub(crate) const MAX_SLOTS: usize = 8000;
