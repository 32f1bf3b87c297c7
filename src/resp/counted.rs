//! A sink that counts the bytes that pass through it.

use super::sink::ReplySink;

/// Passes a reply on and counts its bytes as RESP writes them; what only RESP3 has counts as there.
pub struct Counted<'a, S> {
    sink: &'a mut S,
    /// Bytes so far.
    pub bytes: u64,
}

impl<'a, S: ReplySink> Counted<'a, S> {
    /// Counts what goes to `sink`.
    pub fn new(sink: &'a mut S) -> Self {
        Self { sink, bytes: 0 }
    }

    /// A type, a line and its end.
    #[inline]
    fn line(&mut self, len: usize) {
        self.bytes += len as u64 + 3;
    }

    /// A type, a length, and so many bytes with an end each.
    #[inline]
    fn text(&mut self, len: usize) {
        self.line(digits(len as u64));
        self.bytes += len as u64 + 2;
    }
}

/// Bytes of an integer in RESP.
fn longer_integer(value: i64) -> u64 {
    (digits(value.unsigned_abs()) + usize::from(value < 0)) as u64 + 3
}

/// The decimal digits of a number.
#[inline]
fn digits(number: u64) -> usize {
    if number < 10 { 1 } else { number.ilog10() as usize + 1 }
}

impl<S: ReplySink> ReplySink for Counted<'_, S> {
    fn null(&mut self) {
        self.line(2);
        self.sink.null();
    }

    fn boolean(&mut self, value: bool) {
        self.line(1);
        self.sink.boolean(value);
    }

    fn integer(&mut self, value: i64) {
        self.bytes += if (0..10).contains(&value) { 4 } else { longer_integer(value) };
        self.sink.integer(value);
    }

    fn double(&mut self, value: f64) {
        // The server writes up to 17 digits; how many is its affair.
        self.line(17);
        self.sink.double(value);
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.text(bytes.len());
        self.sink.bulk(bytes);
    }

    fn status(&mut self, line: &[u8]) {
        self.line(line.len());
        self.sink.status(line);
    }

    fn error(&mut self, line: &[u8]) {
        self.line(line.len());
        self.sink.error(line);
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.line(digits.len());
        self.sink.big_number(digits);
    }

    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        self.text(text.len() + 4);
        self.sink.verbatim(format, text);
    }

    fn array(&mut self, len: usize) {
        self.line(digits(len as u64));
        self.sink.array(len);
    }

    fn map_start(&mut self) {
        self.sink.map_start();
    }

    fn map_end(&mut self, pairs: usize) {
        self.line(digits(pairs as u64));
        self.sink.map_end(pairs);
    }

    fn set_start(&mut self) {
        self.sink.set_start();
    }

    fn set_end(&mut self, len: usize) {
        self.line(digits(len as u64));
        self.sink.set_end(len);
    }

    fn forwarded(&mut self, len: usize) {
        self.bytes += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Encoder, RespVersion};

    #[test]
    fn the_count_is_that_of_the_bytes() {
        let mut encoder = Encoder::new(RespVersion::Resp3);
        let mut counted = Counted::new(&mut encoder);
        counted.array(12);
        counted.bulk(b"");
        counted.bulk(&[b'x'; 1000]);
        counted.integer(0);
        counted.integer(-99);
        counted.integer(i64::MIN);
        counted.status(b"OK");
        counted.error(b"ERR no");
        counted.boolean(true);
        counted.big_number(b"123");
        counted.verbatim(b"txt", b"text");
        counted.map_start();
        counted.bulk(b"a");
        counted.set_start();
        counted.set_end(0);
        counted.map_end(1);
        let bytes = counted.bytes;
        assert_eq!(bytes, encoder.out.len() as u64);
    }
}
