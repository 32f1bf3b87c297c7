//! A reply sink that writes the bytes a server sends.
//!
//! It serves tests, listings and debugging sessions; other replies are written by the server itself. Doubles
//! have the text of Redis 7.0, `%.17g`, unless it is told another.

use crate::resp::RespVersion;
use crate::resp::sink::ReplySink;

/// Writes replies for clients of one protocol version.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    /// The version the clients speak.
    pub version: RespVersion,
    /// Lines end at a NUL, and have blanks for what would end them on the wire, as where the server writes them.
    pub cleans_lines: bool,
    /// The text of a double, where it is not that of Redis 7.0.
    pub doubles: Option<fn(f64) -> String>,
    /// What was written so far; complete when every map and set has ended.
    pub out: Vec<u8>,
    /// Where the sizes of the maps and sets that have not ended belong.
    open: Vec<usize>,
}

impl Encoder {
    /// Makes an encoder with nothing written.
    pub fn new(version: RespVersion) -> Encoder {
        Encoder { version, cleans_lines: false, doubles: None, out: Vec::new(), open: Vec::new() }
    }

    fn is_resp3(&self) -> bool {
        self.version == RespVersion::Resp3
    }

    fn line(&mut self, kind: u8, line: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(line);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A line of text, which a producer may have taken from a script as it was.
    fn text(&mut self, kind: u8, text: &[u8]) {
        if !self.cleans_lines {
            return self.line(kind, text);
        }
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let blank = |&byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
        let text: Vec<u8> = text.iter().map(blank).collect();
        self.line(kind, &text);
    }

    /// Puts the size of the innermost open aggregate where it began.
    fn end(&mut self, kind: u8, len: usize) {
        if let Some(start) = self.open.pop().filter(|&start| start <= self.out.len()) {
            let content = self.out.split_off(start);
            self.line(kind, len.to_string().as_bytes());
            self.out.extend_from_slice(&content);
        }
    }
}

impl ReplySink for Encoder {
    fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    fn boolean(&mut self, value: bool) {
        match self.version {
            RespVersion::Resp2 => self.integer(value.into()),
            RespVersion::Resp3 => self.line(b'#', if value { b"t" } else { b"f" }),
        }
    }

    fn integer(&mut self, value: i64) {
        self.line(b':', value.to_string().as_bytes());
    }

    fn double(&mut self, value: f64) {
        let text = self.doubles.unwrap_or(double_text)(value);
        match self.version {
            RespVersion::Resp2 => self.bulk(text.as_bytes()),
            RespVersion::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.line(b'$', bytes.len().to_string().as_bytes());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    fn status(&mut self, line: &[u8]) {
        self.text(b'+', line);
    }

    fn error(&mut self, line: &[u8]) {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let trimmed = &line[..end.map_or(0, |last| last + 1)];
        self.text(b'-', if self.cleans_lines { trimmed } else { line });
    }

    fn big_number(&mut self, digits: &[u8]) {
        match self.version {
            RespVersion::Resp2 => self.bulk(digits),
            RespVersion::Resp3 => self.text(b'(', digits),
        }
    }

    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(text);
        }
        let mut head = [b' ', b' ', b' ', b':'];
        let format = format.iter().take(3).take_while(|&&byte| byte != 0);
        for (place, &byte) in head.iter_mut().zip(format) {
            *place = byte;
        }
        self.line(b'=', (head.len() + text.len()).to_string().as_bytes());
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn array(&mut self, len: usize) {
        self.line(b'*', len.to_string().as_bytes());
    }

    fn map_start(&mut self) {
        self.open.push(self.out.len());
    }

    fn map_end(&mut self, pairs: usize) {
        match self.version {
            RespVersion::Resp2 => self.end(b'*', pairs.saturating_mul(2)),
            RespVersion::Resp3 => self.end(b'%', pairs),
        }
    }

    fn set_start(&mut self) {
        self.open.push(self.out.len());
    }

    fn set_end(&mut self, len: usize) {
        self.end(if self.is_resp3() { b'~' } else { b'*' }, len);
    }
}

/// Gives the text `printf` makes of a double with `%.17g`.
///
/// Stock: `networking.c` `addReplyDouble` of Redis 7.0.
fn double_text(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "nan" } else { "inf" };
        return if value.is_sign_negative() { format!("-{name}") } else { name.to_owned() };
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..17).contains(&exponent) {
        // That many digits after the point make 17 significant ones.
        let decimals = usize::try_from(16 - exponent).unwrap_or_default();
        return trim_fraction(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_fraction(mantissa), exponent.unsigned_abs())
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(version: RespVersion, tell: impl Fn(&mut Encoder)) -> String {
        let mut encoder = Encoder::new(version);
        tell(&mut encoder);
        assert!(encoder.open.is_empty());
        encoder.out.escape_ascii().to_string()
    }

    #[test]
    fn every_value_has_its_form_on_both_versions() {
        type Tell = fn(&mut Encoder);
        let cases: [(Tell, &str, &str); 24] = [
            (|e| e.null(), "$-1\r\n", "_\r\n"),
            (|e| e.boolean(true), ":1\r\n", "#t\r\n"),
            (|e| e.boolean(false), ":0\r\n", "#f\r\n"),
            (|e| e.integer(0), ":0\r\n", ":0\r\n"),
            (|e| e.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|e| e.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|e| e.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|e| e.status(b"OK"), "+OK\r\n", "+OK\r\n"),
            (|e| e.error(b"ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (|e| e.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
            (|e| e.double(3.0), "$1\r\n3\r\n", ",3\r\n"),
            (|e| e.double(-0.0), "$2\r\n-0\r\n", ",-0\r\n"),
            (|e| e.double(1e20), "$5\r\n1e+20\r\n", ",1e+20\r\n"),
            (|e| e.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (|e| e.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|e| e.double(-f64::NAN), "$4\r\n-nan\r\n", ",-nan\r\n"),
            (|e| e.big_number(b"12"), "$2\r\n12\r\n", "(12\r\n"),
            (|e| e.verbatim(b"txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|e| e.verbatim(b"m", b"hi"), "$2\r\nhi\r\n", "=6\r\nm  :hi\r\n"),
            (|e| e.verbatim(b"m\0d", b""), "$0\r\n\r\n", "=4\r\nm  :\r\n"),
            (|e| e.verbatim(b"markdown", b""), "$0\r\n\r\n", "=4\r\nmar:\r\n"),
            (|e| e.array(0), "*0\r\n", "*0\r\n"),
            (
                |e| {
                    e.map_start();
                    e.map_end(0)
                },
                "*0\r\n",
                "%0\r\n",
            ),
            (
                |e| {
                    e.set_start();
                    e.set_end(0)
                },
                "*0\r\n",
                "~0\r\n",
            ),
        ];
        for (tell, resp2, resp3) in cases {
            assert_eq!(encode(RespVersion::Resp2, tell), resp2.escape_default().to_string());
            assert_eq!(encode(RespVersion::Resp3, tell), resp3.escape_default().to_string());
        }
    }

    #[test]
    fn aggregates_nest() {
        let tell = |e: &mut Encoder| {
            e.array(2);
            e.map_start();
            e.bulk(b"k");
            e.set_start();
            e.integer(1);
            e.integer(2);
            e.set_end(2);
            e.status(b"s");
            e.null();
            e.map_end(2);
            e.boolean(true);
        };
        let resp2 = r"*2\r\n*4\r\n$1\r\nk\r\n*2\r\n:1\r\n:2\r\n+s\r\n$-1\r\n:1\r\n";
        let resp3 = r"*2\r\n%2\r\n$1\r\nk\r\n~2\r\n:1\r\n:2\r\n+s\r\n_\r\n#t\r\n";
        assert_eq!(encode(RespVersion::Resp2, tell), resp2);
        assert_eq!(encode(RespVersion::Resp3, tell), resp3);
    }

    #[test]
    fn an_end_without_start_changes_nothing() {
        assert_eq!(encode(RespVersion::Resp3, |e| e.map_end(1)), "");
        assert_eq!(encode(RespVersion::Resp2, |e| e.set_end(1)), "");
    }
}
