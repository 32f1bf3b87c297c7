//! Replies to the client.

use std::ffi::{c_char, c_long};

use redis_module::raw::RedisModuleCtx;
use smallvec::SmallVec;

use super::api::api;
use crate::resp::ReplySink;

/// Sends one reply to the client behind a context.
///
/// The server knows which protocol its client speaks.
pub struct ClientReply {
    ctx: *mut RedisModuleCtx,
}

/// The length of an aggregate that is told at its end.
const LATER: c_long = -1;

impl ClientReply {
    /// Replies to the client of `ctx`.
    ///
    /// # Safety
    /// `ctx` is the context of a command that is running and outlives the value.
    pub(super) unsafe fn new(ctx: *mut RedisModuleCtx) -> Self {
        Self { ctx }
    }
}

/// Bytes with a NUL after them, and CR and LF as blanks: what the server takes for a line.
fn line(bytes: &[u8]) -> SmallVec<[u8; 128]> {
    let blank = |&byte: &u8| {
        if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
    };
    bytes.iter().map(blank).chain([0]).collect()
}

fn length(len: usize) -> c_long {
    c_long::try_from(len).unwrap_or(c_long::MAX)
}

impl ReplySink for ClientReply {
    fn null(&mut self) {
        // SAFETY: the context is valid; so in all functions below.
        unsafe { api!(ReplyWithNull(self.ctx)) };
    }

    fn boolean(&mut self, value: bool) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithBool(self.ctx, i32::from(value))) };
    }

    fn integer(&mut self, value: i64) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithLongLong(self.ctx, value)) };
    }

    fn double(&mut self, value: f64) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithDouble(self.ctx, value)) };
    }

    fn bulk(&mut self, bytes: &[u8]) {
        // SAFETY: see `null`; the server copies the bytes.
        unsafe {
            api!(ReplyWithStringBuffer(self.ctx, bytes.as_ptr().cast::<c_char>(), bytes.len()))
        };
    }

    fn status(&mut self, bytes: &[u8]) {
        let line = line(bytes);
        // SAFETY: see `null`; the line ends with a NUL.
        unsafe { api!(ReplyWithSimpleString(self.ctx, line.as_ptr().cast())) };
    }

    fn error(&mut self, bytes: &[u8]) {
        let line = line(trim(bytes));
        // SAFETY: see `null`; the line ends with a NUL.
        unsafe { api!(ReplyWithError(self.ctx, line.as_ptr().cast())) };
    }

    fn big_number(&mut self, digits: &[u8]) {
        let digits = line(digits);
        let len = digits.len() - 1;
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithBigNumber(self.ctx, digits.as_ptr().cast(), len)) };
    }

    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        // The server reads three bytes, or up to a NUL.
        let mut extension = line(format);
        extension.resize(4, 0);
        // SAFETY: see `null`.
        unsafe {
            api!(ReplyWithVerbatimStringType(
                self.ctx,
                text.as_ptr().cast(),
                text.len(),
                extension.as_ptr().cast()
            ))
        };
    }

    fn array(&mut self, len: usize) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithArray(self.ctx, length(len))) };
    }

    fn map_start(&mut self) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithMap(self.ctx, LATER)) };
    }

    fn map_end(&mut self, pairs: usize) {
        // SAFETY: see `null`; a map was started.
        unsafe { api!(ReplySetMapLength(self.ctx, length(pairs))) };
    }

    fn set_start(&mut self) {
        // SAFETY: see `null`.
        unsafe { api!(ReplyWithSet(self.ctx, LATER)) };
    }

    fn set_end(&mut self, len: usize) {
        // SAFETY: see `null`; a set was started.
        unsafe { api!(ReplySetSetLength(self.ctx, length(len))) };
    }
}

/// Without the CR and LF at its ends: the server drops them from an error, in place of blanks.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}
