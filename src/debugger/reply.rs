//! Replies of commands, for people.

use super::text::push_quoted;

/// Nesting beyond which a reply is cut.
const DEEPEST: usize = 100;

/// Appends the raw reply `proto` as people read it, and stops once `most` bytes are there.
///
/// Stock: `eval.c` `ldbRedisProtocolToHuman`, which does not know every type of RESP3.
pub(super) fn push(out: &mut Vec<u8>, proto: &[u8], most: usize) {
    let mut reader = Reader { out, rest: proto, most, is_lost: false };
    reader.value(0);
}

struct Reader<'a> {
    out: &'a mut Vec<u8>,
    rest: &'a [u8],
    most: usize,
    /// A type that stock does not know is never passed.
    is_lost: bool,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) {
        let Some(&kind) = self.rest.first() else { return };
        if self.is_lost || depth > DEEPEST || self.out.len() > self.most {
            self.is_lost = true;
            return;
        }
        match kind {
            b':' => {
                let line = self.line();
                self.out.extend_from_slice(&line[1..]);
            }
            b'$' => match self.length() {
                Some(len) => self.bulk(len),
                None => self.out.extend_from_slice(b"NULL"),
            },
            b'+' | b'-' => {
                let line = self.line();
                push_quoted(self.out, line);
            }
            b'*' => match self.length() {
                Some(len) => self.items(b"[", b"]", len, depth),
                None => self.out.extend_from_slice(b"NULL"),
            },
            b'~' => {
                let len = self.length().unwrap_or_default();
                self.items(b"~(", b")", len, depth);
            }
            b'%' => self.map(depth),
            b'_' => {
                self.line();
                self.out.extend_from_slice(b"(null)");
            }
            b'#' => {
                let is_true = self.line().get(1) == Some(&b't');
                self.out.extend_from_slice(if is_true { b"#true" } else { b"#false" });
            }
            b',' => {
                let line = self.line();
                self.out.extend_from_slice(b"(double) ");
                self.out.extend_from_slice(&line[1..]);
            }
            _ => self.is_lost = true,
        }
    }

    fn bulk(&mut self, len: usize) {
        let bytes = self.rest.get(..len).unwrap_or(self.rest);
        let room = self.most.saturating_sub(self.out.len()).saturating_add(1);
        push_quoted(self.out, bytes.get(..room).unwrap_or(bytes));
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
    }

    fn items(&mut self, open: &[u8], close: &[u8], len: usize, depth: usize) {
        self.out.extend_from_slice(open);
        for at in 0..len {
            if self.out.len() > self.most {
                return;
            }
            self.value(depth + 1);
            if at + 1 < len {
                self.out.push(b',');
            }
        }
        self.out.extend_from_slice(close);
    }

    fn map(&mut self, depth: usize) {
        let len = self.length().unwrap_or_default();
        self.out.push(b'{');
        for at in 0..len {
            if self.out.len() > self.most {
                return;
            }
            self.value(depth + 1);
            self.out.extend_from_slice(b" => ");
            self.value(depth + 1);
            if at + 1 < len {
                self.out.push(b',');
            }
        }
        self.out.push(b'}');
    }

    /// The next line with its type.
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'\r').unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    /// The length the next line tells; `None` for a null.
    fn length(&mut self) -> Option<usize> {
        let line = self.line();
        std::str::from_utf8(&line[1..]).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    fn shown(proto: &[u8]) -> String {
        let mut out = Vec::new();
        super::push(&mut out, proto, 1000);
        String::from_utf8(out).expect("a test's reply is text")
    }

    #[test]
    fn every_type_that_stock_knows_is_shown_as_stock_shows_it() {
        let cases: [(&[u8], &str); 14] = [
            (b":12\r\n", "12"),
            (b"$-1\r\n", "NULL"),
            (b"$2\r\na\n\r\n", r#""a\n""#),
            (b"+OK\r\n", r#""+OK""#),
            (b"-ERR no\r\n", r#""-ERR no""#),
            (b"*-1\r\n", "NULL"),
            (b"*0\r\n", "[]"),
            (b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n", r#"[1,[""]]"#),
            (b"~2\r\n:1\r\n:2\r\n", "~(1,2)"),
            (b"%2\r\n:1\r\n:2\r\n:3\r\n_\r\n", "{1 => 2,3 => (null)}"),
            (b"#t\r\n", "#true"),
            (b"#f\r\n", "#false"),
            (b",1.5\r\n", "(double) 1.5"),
            (b"", ""),
        ];
        for (proto, expected) in cases {
            assert_eq!(shown(proto), expected);
        }
    }

    #[test]
    fn what_stock_does_not_know_shows_nothing_and_broken_replies_hurt_nobody() {
        assert_eq!(shown(b"*3\r\n:1\r\n=5\r\ntxt:a\r\n:2\r\n"), "[1,,]");
        for proto in [&b"*5\r\n"[..], b"$9\r\nab", b"%1", b"*", b"$", b":", b"-", b"max lua"] {
            shown(proto);
        }
        shown(&b"*1\r\n".repeat(10_000));
    }

    #[test]
    fn a_long_reply_is_not_read_to_its_end() {
        let proto = [&b"*1000000\r\n"[..], &b":1\r\n".repeat(1_000_000)].concat();
        assert!(shown(&proto).len() < 1010);
    }
}
