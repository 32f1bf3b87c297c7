//! A reply as a stream of events.

/// Receives one reply, value by value, and gives it the form its client understands.
///
/// An array is announced by its length and followed by that many values. A map or a set is
/// enclosed, because its size is known only at its end: the producer may skip some of its values.
/// Producers see to it that lines hold no carriage return and no line feed.
///
/// Stock: `networking.c` `addReplyNull` and its neighbours.
pub trait ReplySink {
    /// Adds a null: `$-1` on RESP2, `_` on RESP3.
    fn null(&mut self);

    /// Adds a boolean: `:1` or `:0` on RESP2, `#t` or `#f` on RESP3.
    fn boolean(&mut self, value: bool);

    /// Adds an integer: `:…`.
    fn integer(&mut self, value: i64);

    /// Adds a double: its text as a bulk string on RESP2, `,…` on RESP3.
    fn double(&mut self, value: f64);

    /// Adds a bulk string: `$…`.
    fn bulk(&mut self, bytes: &[u8]);

    /// Adds a status: `+…`.
    fn status(&mut self, line: &[u8]);

    /// Adds an error, given as its line without the leading `-`.
    fn error(&mut self, line: &[u8]);

    /// Adds a big number: its digits as a bulk string on RESP2, `(…` on RESP3.
    fn big_number(&mut self, digits: &[u8]);

    /// Adds a text of a format: a bulk string of the text alone on RESP2, `=…` on RESP3.
    ///
    /// The format is cut or filled with spaces to three bytes, and ends at a NUL byte.
    fn verbatim(&mut self, format: &[u8], text: &[u8]);

    /// Begins an array of the next `len` values: `*…`.
    fn array(&mut self, len: usize);

    /// Begins a map: its keys and values follow in turn, then [`ReplySink::map_end`].
    fn map_start(&mut self);

    /// Ends the innermost map, which got `pairs` keys with their values: an array of twice that
    /// length on RESP2, `%…` on RESP3.
    fn map_end(&mut self, pairs: usize);

    /// Begins a set: its members follow, then [`ReplySink::set_end`].
    fn set_start(&mut self);

    /// Ends the innermost set, which got `len` members: an array on RESP2, `~…` on RESP3.
    fn set_end(&mut self, len: usize);

    /// A whole reply of `len` bytes went to the client past this sink.
    fn forwarded(&mut self, len: usize) {
        let _ = len;
    }
}
