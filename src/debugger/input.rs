//! What the client of a session sends: commands as arrays of bulk strings.

use super::text::leading_integer;

/// The most bytes a command may have.
///
/// Stock: `eval.c` `ldbRepl`.
const MOST_BYTES: usize = 1 << 20;
/// The most words a command may have, and the most bytes a word may.
const MOST: i64 = 1024;

/// What is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It breaks the protocol.
    Protocol,
    /// It is too long.
    TooLong,
}

impl Malformed {
    /// The message for the script.
    pub(super) fn message(self) -> &'static [u8] {
        match self {
            Self::Protocol => b"protocol error",
            Self::TooLong => b"max client buffer reached",
        }
    }
}

/// The bytes that came and are no whole command yet.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
}

impl Input {
    /// Adds what came.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > MOST_BYTES {
            self.bytes.clear();
            return Err(Malformed::TooLong);
        }
        Ok(())
    }

    /// The words of a command, once one is whole. What came behind it is dropped, as stock drops it.
    pub(super) fn take(&mut self) -> Result<Option<Vec<Vec<u8>>>, Malformed> {
        let words = parse(&self.bytes);
        if words != Ok(None) {
            self.bytes.clear();
        }
        words
    }
}

/// Reads a command as forgivingly as stock does: whatever is before the first `*` does not count.
///
/// Stock: `eval.c` `ldbReplParseCommand`, which reads the bytes as a C string.
fn parse(bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let star = bytes.iter().position(|byte| matches!(byte, b'*' | 0));
    let star = star.filter(|&at| bytes[at] == b'*').ok_or(Malformed::Protocol)?;
    let Some((count, mut rest)) = line(&bytes[star + 1..]) else { return Ok(None) };
    let count = leading_integer(count);
    if !(1..=MOST).contains(&count) {
        return Err(Malformed::Protocol);
    }
    let mut words = Vec::new();
    for _ in 0..count {
        match rest.first() {
            // The end of a C string.
            None | Some(0) => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Malformed::Protocol),
        }
        let Some((len, after)) = line(&rest[1..]) else { return Ok(None) };
        let len = leading_integer(len);
        if !(1..=MOST).contains(&len) {
            return Err(Malformed::Protocol);
        }
        let len = usize::try_from(len).unwrap_or_default();
        let Some(word) = after.get(..len + 2) else { return Ok(None) };
        let (word, end) = word.split_at(len);
        if end != b"\r\n" {
            return Err(Malformed::Protocol);
        }
        words.push(word.to_vec());
        rest = &after[len + 2..];
    }
    Ok(Some(words))
}

/// What is before the next CR LF, and what is behind it; `None` where a C string ends before.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| matches!(byte, b'\r' | 0))?;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => return Some((&bytes[..at], &bytes[at + 2..])),
            Some([b'\r', _]) => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_once_it_is_whole() {
        let whole = b"*2\r\n$1\r\np\r\n$3\r\na\0b\r\n";
        for end in 1..whole.len() {
            let part = parse(&whole[..end]);
            assert_eq!(part, Ok(None), "{}", whole[..end].escape_ascii());
        }
        assert_eq!(parse(whole), Ok(Some(vec![b"p".to_vec(), b"a\0b".to_vec()])));
        assert_eq!(parse(b"junk*1\r\n$1\r\ns\r\ntail"), Ok(Some(vec![b"s".to_vec()])));
        assert_eq!(parse(b"*1\rx\r\n$1\r\ns\r\n"), Ok(Some(vec![b"s".to_vec()])));
        assert_eq!(parse(b"*1x\r\n$1y\r\ns\r\n"), Ok(Some(vec![b"s".to_vec()])));
    }

    #[test]
    fn what_breaks_the_protocol_is_an_error() {
        let broken: [&[u8]; 12] = [
            b"s\r\n",
            b"\0*1\r\n$1\r\ns\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*1025\r\n",
            b"*99999999999999999999\r\n",
            b"*\r\n",
            b"*1\r\n+s\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*1\r\n$1025\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$1\r\nss\r\n",
        ];
        for bytes in broken {
            assert_eq!(parse(bytes), Err(Malformed::Protocol), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_client_cannot_make_the_input_grow_without_end() {
        let mut input = Input::default();
        let mut added = Ok(());
        let mut total = 0;
        while added.is_ok() {
            added = input.add(&[b'*'; 1024]);
            total += 1024;
        }
        assert_eq!((added, total), (Err(Malformed::TooLong), MOST_BYTES + 1024));
        assert_eq!(input.take(), Ok(None), "nothing is left of it");
    }
}
