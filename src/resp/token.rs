//! Reads raw replies without copying them.
//!
//! The bytes come from the server itself, so a form it cannot produce is [`Token::Malformed`] and
//! not an error to explain; still, no bytes may make the reader panic or claim more than there is.

/// Is one value, or the head of an aggregate whose values follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// The bulk string that is null, `$-1`.
    NullBulk,
    /// The array that is null, `*-1`.
    NullArray,
    /// The null of RESP3, `_`.
    Null,
    /// A boolean of RESP3, `#t` or `#f`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A double of RESP3.
    Double(f64),
    /// The digits of a big number of RESP3.
    BigNumber(&'a [u8]),
    /// A bulk string.
    Bulk(&'a [u8]),
    /// A text of RESP3 with its format.
    Verbatim {
        /// The name of the format, such as `txt`.
        format: [u8; 3],
        /// The text.
        text: &'a [u8],
    },
    /// A status line.
    Status(&'a [u8]),
    /// An error line without the leading `-`.
    Error(&'a [u8]),
    /// An array of this many values.
    Array(usize),
    /// A set of RESP3 of this many members.
    Set(usize),
    /// A map of RESP3 of this many pairs, each a key and a value.
    Map(usize),
    /// This many pairs of attributes of RESP3, followed by the value they describe.
    Attribute(usize),
    /// No value: the bytes are not a reply, or they are at their end.
    Malformed,
}

/// Is a reply being read, token by token.
///
/// Aggregates are heads only: who reads one reads its values by the count. A count is never larger
/// than what the remaining bytes can hold, so room may be made for it in advance.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Begins to read a reply in the form the server would send it.
    pub fn new(reply: &'a [u8]) -> Tokens<'a> {
        Tokens { rest: reply }
    }

    /// Reads the next token; after [`Token::Malformed`] there are only more of it.
    ///
    /// Stock: `resp_parser.c` `parseReply`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "replies are read by count, to no end")]
    pub fn next(&mut self) -> Token<'a> {
        match self.read() {
            Some(token) => token,
            None => {
                self.rest = &[];
                Token::Malformed
            }
        }
    }

    /// Reads the next value if it is a bulk string, and nothing otherwise.
    #[inline]
    pub fn bulk(&mut self) -> Option<&'a [u8]> {
        let [b'$', rest @ ..] = self.rest else { return None };
        let mut ahead = Tokens { rest };
        let len = ahead.integer()?;
        let payload = ahead.payload(len)?;
        *self = ahead;
        Some(payload)
    }

    /// Reads the next value if it is an integer, and nothing otherwise.
    #[inline]
    pub fn number(&mut self) -> Option<i64> {
        let [b':', rest @ ..] = self.rest else { return None };
        let mut ahead = Tokens { rest };
        let value = ahead.integer()?;
        *self = ahead;
        Some(value)
    }

    /// Skips `values` values with all they contain, and answers whether they were all there.
    pub fn skip(&mut self, values: usize) -> bool {
        let mut pending = values;
        while pending > 0 {
            let contained = match self.next() {
                Token::Malformed => return false,
                Token::Array(len) | Token::Set(len) => len,
                Token::Map(pairs) => 2 * pairs,
                Token::Attribute(pairs) => 2 * pairs + 1,
                _ => 0,
            };
            pending = (pending - 1).saturating_add(contained);
        }
        true
    }

    /// Answers whether everything is read.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn read(&mut self) -> Option<Token<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'$' => match self.integer()? {
                -1 => Some(Token::NullBulk),
                len => self.payload(len).map(Token::Bulk),
            },
            b':' => self.integer().map(Token::Integer),
            b'+' => self.line().map(Token::Status),
            b'*' => match self.integer()? {
                -1 => Some(Token::NullArray),
                len => self.count(len, 1).map(Token::Array),
            },
            b'-' => self.line().map(Token::Error),
            b'_' => self.line().map(|_| Token::Null),
            b'#' => self.line().map(|line| Token::Boolean(line.starts_with(b"t"))),
            b',' => self.line().map(|line| Token::Double(to_double(line))),
            b'(' => self.line().map(Token::BigNumber),
            b'~' => self.integer().and_then(|len| self.count(len, 1)).map(Token::Set),
            b'%' => self.integer().and_then(|len| self.count(len, 2)).map(Token::Map),
            b'|' => self.integer().and_then(|len| self.count(len, 2)).map(Token::Attribute),
            b'=' => self.verbatim(),
            _ => None,
        }
    }

    /// Reads an integer and the end of its line.
    #[inline]
    fn integer(&mut self) -> Option<i64> {
        // Nineteen decimal digits fit in 64 bits.
        const MOST_DIGITS: usize = 19;
        let (is_negative, digits) = match self.rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut value = 0_u64;
        let mut rest = digits;
        while let [byte, tail @ ..] = rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            rest = tail;
        }
        let [b'\r', _, tail @ ..] = rest else { return None };
        if !(1..=MOST_DIGITS).contains(&(digits.len() - rest.len())) {
            return None;
        }
        self.rest = tail;
        if is_negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
    }

    /// Reads up to the first carriage return, and past it and the byte after it, as stock does.
    #[inline]
    fn line(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().position(|&byte| byte == b'\r')?;
        let line = self.rest.get(..len)?;
        self.rest = self.rest.get(len + 2..)?;
        Some(line)
    }

    /// Reads `len` bytes and the end of line after them.
    #[inline]
    fn payload(&mut self, len: i64) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let (payload, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.get(2..)?;
        Some(payload)
    }

    /// Accepts the count of an aggregate whose elements are of `values` values each.
    #[inline]
    fn count(&self, len: i64, values: usize) -> Option<usize> {
        const LEAST_VALUE: &[u8] = b"_\r\n";
        let len = usize::try_from(len).ok()?;
        let least = len.checked_mul(values)?.checked_mul(LEAST_VALUE.len())?;
        (least <= self.rest.len()).then_some(len)
    }

    fn verbatim(&mut self) -> Option<Token<'a>> {
        let len = self.integer()?;
        match *self.payload(len)? {
            [a, b, c, _, ref text @ ..] => Some(Token::Verbatim { format: [a, b, c], text }),
            _ => None,
        }
    }
}

/// Reads a double as C's `strtod` does: as much as is a number, and zero for nothing.
///
/// Stock: `resp_parser.c` `parseDouble`.
fn to_double(text: &[u8]) -> f64 {
    // Beyond it stock gives up. Stock: `util.h` `MAX_LONG_DOUBLE_CHARS`.
    const LONGEST: usize = 5 * 1024;
    if text.len() > LONGEST {
        return 0.0;
    }
    match parse_double(text) {
        Some(value) => value,
        None => parse_double(number_prefix(text)).unwrap_or(0.0),
    }
}

fn parse_double(text: &[u8]) -> Option<f64> {
    let value: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        // The sign of a parsed not-a-number is left open by the language.
        let sign = if text.starts_with(b"-") { -1.0 } else { 1.0 };
        return Some(value.copysign(sign));
    }
    Some(value)
}

/// Gives the longest beginning of `text` that is a decimal number.
fn number_prefix(text: &[u8]) -> &[u8] {
    let at = |place: usize| text.get(place).copied().unwrap_or_default();
    let digits_end = |mut place: usize| {
        while at(place).is_ascii_digit() {
            place += 1;
        }
        place
    };
    let sign_end = |place: usize| place + usize::from(matches!(at(place), b'+' | b'-'));

    let start = sign_end(0);
    let mut end = digits_end(start);
    let mut digits = end - start;
    if at(end) == b'.' {
        let fraction_end = digits_end(end + 1);
        digits += fraction_end - (end + 1);
        end = fraction_end;
    }
    if digits == 0 {
        return &[];
    }
    if matches!(at(end), b'e' | b'E') {
        let exponent = sign_end(end + 1);
        let exponent_end = digits_end(exponent);
        if exponent_end > exponent {
            end = exponent_end;
        }
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resp::{Encoder, ReplySink, RespVersion};

    #[test]
    fn every_form_is_one_token() {
        let cases: [(&[u8], Token<'_>); 32] = [
            (b"$-1\r\n", Token::NullBulk),
            (b"*-1\r\n", Token::NullArray),
            (b"_\r\n", Token::Null),
            (b"#t\r\n", Token::Boolean(true)),
            (b"#f\r\n", Token::Boolean(false)),
            (b":0\r\n", Token::Integer(0)),
            (b":-1\r\n", Token::Integer(-1)),
            (b":9223372036854775807\r\n", Token::Integer(i64::MAX)),
            (b":-9223372036854775808\r\n", Token::Integer(i64::MIN)),
            (b",1.5\r\n", Token::Double(1.5)),
            (b",-0\r\n", Token::Double(-0.0)),
            (b",0.10000000000000001\r\n", Token::Double(0.1)),
            (b",1e+20\r\n", Token::Double(1e20)),
            (b",4.9406564584124654e-324\r\n", Token::Double(5e-324)),
            (b",1e999\r\n", Token::Double(f64::INFINITY)),
            (b",inf\r\n", Token::Double(f64::INFINITY)),
            (b",-inf\r\n", Token::Double(f64::NEG_INFINITY)),
            (
                b"(123456789012345678901234567890\r\n",
                Token::BigNumber(b"123456789012345678901234567890"),
            ),
            (b"$0\r\n\r\n", Token::Bulk(b"")),
            (b"$4\r\na\r\nb\r\n", Token::Bulk(b"a\r\nb")),
            (b"=7\r\ntxt:a\r\n\r\n", Token::Verbatim { format: *b"txt", text: b"a\r\n" }),
            (b"=4\r\nmkd:\r\n", Token::Verbatim { format: *b"mkd", text: b"" }),
            (b"+OK\r\n", Token::Status(b"OK")),
            (b"+\r\n", Token::Status(b"")),
            (b"-ERR no\r\n", Token::Error(b"ERR no")),
            (b"*0\r\n", Token::Array(0)),
            (b"*2\r\n:1\r\n:2\r\n", Token::Array(2)),
            (b"~1\r\n:1\r\n", Token::Set(1)),
            (b"%1\r\n:1\r\n:2\r\n", Token::Map(1)),
            (b"|1\r\n:1\r\n:2\r\n:3\r\n", Token::Attribute(1)),
            // Stock looks at one byte of the two that end a line.
            (b"+a\rb+c\r\n", Token::Status(b"a")),
            (b"+a\0b\r\n", Token::Status(b"a\0b")),
        ];
        for (reply, token) in cases {
            let mut tokens = Tokens::new(reply);
            let (bulk, number) = match token {
                Token::Bulk(bytes) => (Some(bytes), None),
                Token::Integer(value) => (None, Some(value)),
                _ => (None, None),
            };
            assert_eq!(Tokens::new(reply).bulk(), bulk);
            assert_eq!(Tokens::new(reply).number(), number);
            assert_eq!(tokens.next(), token, "{}", reply.escape_ascii());
            assert_eq!(Tokens::new(reply).next(), token);
            assert!(Tokens::new(reply).skip(1));
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        let cases: [&[u8]; 34] = [
            b"",
            b"\r\n",
            b"x\r\n",
            b">0\r\n",
            b":",
            b":\r\n",
            b":-\r\n",
            b":1",
            b":1\r",
            b":1\n\r",
            b":+1\r\n",
            b": 1\r\n",
            b":1 \r\n",
            b":--1\r\n",
            b":9223372036854775808\r\n",
            b":-9223372036854775809\r\n",
            b":00000000000000000001\r\n",
            b":99999999999999999999\r\n",
            b"+",
            b"+OK",
            b"+OK\r",
            b"$-2\r\n",
            b"$1\r\n",
            b"$1\r\na",
            b"$1\r\na\r",
            b"$9223372036854775807\r\na\r\n",
            b"*-2\r\n",
            b"*1\r\n",
            b"*9223372036854775807\r\n",
            b"%1\r\n:1\r\n",
            b"~-1\r\n",
            b"=3\r\ntxt\r\n",
            b"=5\r\ntxt:",
            b"|9999999999999999999\r\n",
        ];
        for reply in cases {
            let mut tokens = Tokens::new(reply);
            assert_eq!((tokens.bulk(), tokens.number()), (None, None));
            assert_eq!(tokens.next(), Token::Malformed, "{}", reply.escape_ascii());
            assert_eq!(tokens.next(), Token::Malformed);
            assert!(tokens.is_at_end());
            assert!(!Tokens::new(reply).skip(1));
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_reads_them() {
        let cases: [(&[u8], f64); 18] = [
            (b"", 0.0),
            (b"x", 0.0),
            (b".", 0.0),
            (b"-", 0.0),
            (b"e5", 0.0),
            (b"\xff", 0.0),
            (b"+1", 1.0),
            (b"1.", 1.0),
            (b".5", 0.5),
            (b"-.5e1z", -5.0),
            (b"1e", 1.0),
            (b"1e+", 1.0),
            (b"1e-2x", 0.01),
            (b"12abc", 12.0),
            (b"1.5.5", 1.5),
            (b"1\xff", 1.0),
            (b"INF", f64::INFINITY),
            (b"-infinity", f64::NEG_INFINITY),
        ];
        for (text, value) in cases {
            assert_eq!(to_double(text).to_bits(), value.to_bits(), "{}", text.escape_ascii());
        }
        assert!(to_double(b"nan").is_nan() && to_double(b"nan").is_sign_positive());
        assert!(to_double(b"-nan").is_nan() && to_double(b"-nan").is_sign_negative());
        assert_eq!(to_double(&[b'1'; 5120]), f64::INFINITY);
        assert_eq!(to_double(&[b'1'; 5121]), 0.0);
    }

    #[test]
    fn values_are_skipped_with_their_content() {
        let reply = b"|1\r\n+k\r\n*2\r\n:1\r\n$1\r\na\r\n%1\r\n+k\r\n~2\r\n_\r\n#t\r\n:7\r\n";
        let mut tokens = Tokens::new(reply);
        assert!(tokens.skip(1));
        assert_eq!(tokens.next(), Token::Integer(7));
        assert!(tokens.is_at_end() && tokens.skip(0) && !tokens.skip(1));
    }

    #[derive(Clone, Debug)]
    enum Value {
        Null,
        Boolean(bool),
        Integer(i64),
        Double(u64),
        BigNumber(String),
        Bulk(Vec<u8>),
        Verbatim([u8; 3], Vec<u8>),
        Status(String),
        Error(String),
        Array(Vec<Value>),
        Set(Vec<Value>),
        Map(Vec<(Value, Value)>),
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            any::<u64>().prop_map(Value::Double),
            "-?[0-9]{1,40}".prop_map(Value::BigNumber),
            any::<Vec<u8>>().prop_map(Value::Bulk),
            ("[a-z]{3}", any::<Vec<u8>>()).prop_map(|(format, text)| {
                Value::Verbatim(format.as_bytes().try_into().unwrap(), text)
            }),
            "[^\r\n]{0,20}".prop_map(Value::Status),
            "[^\r\n]{0,20}".prop_map(Value::Error),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Set),
                prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Map),
            ]
        })
    }

    fn tell(value: &Value, sink: &mut impl ReplySink) {
        match value {
            Value::Null => sink.null(),
            Value::Boolean(value) => sink.boolean(*value),
            Value::Integer(value) => sink.integer(*value),
            Value::Double(bits) => sink.double(f64::from_bits(*bits)),
            Value::BigNumber(digits) => sink.big_number(digits.as_bytes()),
            Value::Bulk(bytes) => sink.bulk(bytes),
            Value::Verbatim(format, text) => sink.verbatim(format, text),
            Value::Status(line) => sink.status(line.as_bytes()),
            Value::Error(line) => sink.error(line.as_bytes()),
            Value::Array(values) => {
                sink.array(values.len());
                values.iter().for_each(|value| tell(value, sink));
            }
            Value::Set(values) => {
                sink.set_start();
                values.iter().for_each(|value| tell(value, sink));
                sink.set_end(values.len());
            }
            Value::Map(pairs) => {
                sink.map_start();
                for (key, value) in pairs {
                    tell(key, sink);
                    tell(value, sink);
                }
                sink.map_end(pairs.len());
            }
        }
    }

    fn check(value: &Value, tokens: &mut Tokens<'_>) {
        let token = tokens.next();
        match value {
            Value::Double(bits) => {
                let (value, Token::Double(read)) = (f64::from_bits(*bits), token) else {
                    panic!("{token:?}");
                };
                if value.is_nan() {
                    assert!(read.is_nan());
                    assert_eq!(read.is_sign_negative(), value.is_sign_negative());
                } else {
                    assert_eq!(read.to_bits(), *bits);
                }
            }
            Value::Null => assert_eq!(token, Token::Null),
            Value::Boolean(value) => assert_eq!(token, Token::Boolean(*value)),
            Value::Integer(value) => assert_eq!(token, Token::Integer(*value)),
            Value::BigNumber(digits) => assert_eq!(token, Token::BigNumber(digits.as_bytes())),
            Value::Bulk(bytes) => assert_eq!(token, Token::Bulk(bytes)),
            Value::Verbatim(format, text) => {
                assert_eq!(token, Token::Verbatim { format: *format, text });
            }
            Value::Status(line) => assert_eq!(token, Token::Status(line.as_bytes())),
            Value::Error(line) => assert_eq!(token, Token::Error(line.as_bytes())),
            Value::Array(values) => {
                assert_eq!(token, Token::Array(values.len()));
                values.iter().for_each(|value| check(value, tokens));
            }
            Value::Set(values) => {
                assert_eq!(token, Token::Set(values.len()));
                values.iter().for_each(|value| check(value, tokens));
            }
            Value::Map(pairs) => {
                assert_eq!(token, Token::Map(pairs.len()));
                for (key, value) in pairs {
                    check(key, tokens);
                    check(value, tokens);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn encoded_replies_are_read_back(value in any_value()) {
            let mut encoder = Encoder::new(RespVersion::Resp3);
            tell(&value, &mut encoder);
            let mut tokens = Tokens::new(&encoder.out);
            check(&value, &mut tokens);
            prop_assert!(tokens.is_at_end());
            let mut tokens = Tokens::new(&encoder.out);
            prop_assert!(tokens.skip(1) && tokens.is_at_end());
        }

        #[test]
        fn degraded_replies_are_one_value(value in any_value()) {
            let mut encoder = Encoder::new(RespVersion::Resp2);
            tell(&value, &mut encoder);
            let mut tokens = Tokens::new(&encoder.out);
            prop_assert!(tokens.skip(1) && tokens.is_at_end());
        }

        #[test]
        fn any_bytes_end_in_malformed(bytes in "[-$*:+,(~%|=_#0-9a\r\n]{0,60}|\\PC{0,30}") {
            let mut tokens = Tokens::new(bytes.as_bytes());
            let mut count = 0;
            while tokens.next() != Token::Malformed {
                count += 1;
            }
            prop_assert!(count <= bytes.len());
            Tokens::new(bytes.as_bytes()).skip(usize::MAX);
        }
    }
}
