//! MessagePack as stock's `cmsgpack` writes and reads it.

mod pack;
mod unpack;

pub(crate) use pack::{Unpackable, pack};
pub(crate) use unpack::{Fault, Unpacker};
