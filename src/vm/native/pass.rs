//! Replies that are a run's result and go to the client as they came, past the VM.
//!
//! That is right only where the way through Lua would send the same bytes.

use crate::host::{Host, ServerHost};
use crate::resp::{ReplySink, Token, Tokens};

/// Lua's numbers hold integers up to here.
const LARGEST_EXACT: u64 = 1 << 53;

/// How deep arrays may lie in each other; deeper ones may be more than Lua's stack has room for.
const DEEPEST: usize = 16;

/// More bytes than a value takes in the VM besides its text: a table with one pair, and two places in a list.
const VALUE: usize = 192;

/// What a reply has.
#[derive(Default)]
struct Seen {
    values: usize,
    null: bool,
}

/// Whether a script that returns the RESP2 reply `proto` answers its client with these very bytes.
///
/// Errors, null arrays, and integers that are no exact numbers come out of Lua otherwise, and so do nulls
/// where the client speaks RESP3. What might not fit into the `room` that the VM has is not for this way either,
/// since the script would fail.
pub(super) fn is_plain(proto: &[u8], room: usize, speaks_resp3: impl FnOnce() -> bool) -> bool {
    let mut tokens = Tokens::new(proto);
    let mut seen = Seen::default();
    are_plain(&mut tokens, 1, DEEPEST, &mut seen)
        && tokens.is_at_end()
        && proto.len().saturating_add(seen.values.saturating_mul(VALUE)) <= room
        && !(seen.null && speaks_resp3())
}

fn are_plain(tokens: &mut Tokens<'_>, count: usize, depth: usize, seen: &mut Seen) -> bool {
    seen.values += count;
    for _ in 0..count {
        if tokens.bulk().is_some() {
            continue;
        }
        let is_plain = match tokens.next() {
            Token::Integer(value) => value.unsigned_abs() <= LARGEST_EXACT,
            Token::Status(line) => !line.contains(&0),
            Token::NullBulk => {
                seen.null = true;
                true
            }
            Token::Array(len) => depth > 0 && are_plain(tokens, len, depth - 1, seen),
            _ => false,
        };
        if !is_plain {
            return false;
        }
    }
    true
}

/// Sends a plain reply.
pub(super) fn send<S: ReplySink>(
    host: &ServerHost,
    reply: &<ServerHost as Host>::Reply,
    sink: &mut S,
) {
    let proto: &[u8] = reply.as_ref();
    if host.forward(reply) {
        sink.forwarded(proto.len());
        return;
    }
    let mut tokens = Tokens::new(proto);
    loop {
        match tokens.next() {
            Token::Bulk(bytes) => sink.bulk(bytes),
            Token::Integer(value) => sink.integer(value),
            Token::Status(line) => sink.status(line),
            Token::NullBulk => sink.null(),
            Token::Array(len) => sink.array(len),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lua_would_not_change_is_plain() {
        let deep = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
        let plain: [&[u8]; 9] = [
            b"$0\r\n\r\n",
            b"$4\r\na\0\r\n\r\n",
            b"+OK\r\n",
            b"+\r\n",
            b":0\r\n",
            b":-9007199254740992\r\n",
            b"*0\r\n",
            b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n+b\r\n*0\r\n",
            &deep(16),
        ];
        for proto in plain {
            assert!(is_plain(proto, 10_000, || true), "{}", proto.escape_ascii());
        }
        let other: [&[u8]; 14] = [
            b"",
            b"-ERR no\r\n",
            b"*2\r\n:1\r\n-ERR no\r\n",
            b"*-1\r\n",
            b"*1\r\n*-1\r\n",
            b":9007199254740993\r\n",
            b":-9223372036854775808\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1\r\n",
            b"%1\r\n:1\r\n:2\r\n",
            b"+a\0b\r\n",
            b"+OK\r\n+OK\r\n",
            &deep(17),
        ];
        for proto in other {
            assert!(!is_plain(proto, 10_000, || false), "{}", proto.escape_ascii());
        }
        for null in [&b"$-1\r\n"[..], b"*2\r\n$-1\r\n:1\r\n"] {
            assert!(is_plain(null, 10_000, || false) && !is_plain(null, 10_000, || true));
        }
    }

    #[test]
    fn what_might_not_fit_is_not_plain() {
        let statuses = [&b"*100\r\n"[..], &b"+\r\n".repeat(100)].concat();
        assert!(is_plain(&statuses, 20_000, || false));
        assert!(!is_plain(&statuses, 19_000, || false));
        assert!(!is_plain(b"$5\r\nhello\r\n", 200, || false));
    }
}
