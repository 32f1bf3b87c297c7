//! A connection that takes whatever comes back: replies of any kind, depth and size, and none.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::client::encode;

/// How long the server may leave a request unanswered before it counts as hung. Every client waits
/// for the scripts of all others, and each of those may take seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection.
pub struct Wire {
    stream: BufReader<UnixStream>,
}

/// A whole reply, as far as anybody here wants to know it.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The byte that tells its type.
    pub kind: u8,
    /// The first text in it: of a list, the first element that has one.
    pub text: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Trouble {
    /// The server closed the connection, as it does to a client it kills.
    Closed,
    /// Nothing came for as long as [`PATIENCE`].
    Silent,
    /// What came is no reply.
    Garbled(String),
}

impl Answer {
    /// Whether this is an error whose line begins with the code.
    pub fn is_error(&self, code: &str) -> bool {
        self.kind == b'-' && self.text.starts_with(code.as_bytes())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => out.write_str("the server closed the connection"),
            Self::Silent => write!(out, "no reply in {} seconds", PATIENCE.as_secs()),
            Self::Garbled(what) => write!(out, "not the reply that is due: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Closed,
        }
    }
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends requests without waiting for their replies.
    ///
    /// # Errors
    /// The connection breaks, or the server does not read.
    pub fn send(&mut self, requests: &[u8]) -> Result<(), Trouble> {
        Ok(self.stream.get_mut().write_all(requests)?)
    }

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// There is no whole reply.
    pub fn ask<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Result<Answer, Trouble> {
        let argv: Vec<&[u8]> = argv.iter().map(AsRef::as_ref).collect();
        self.send(&encode(&argv))?;
        self.answer()
    }

    /// Sends one request, given as words between blanks, and returns the text of its reply.
    ///
    /// # Errors
    /// There is no whole reply, or it is an error.
    pub fn text(&mut self, words: &str) -> Result<Vec<u8>> {
        let argv: Vec<&str> = words.split_whitespace().collect();
        self.text_of(&argv)
    }

    /// Does what [`Self::text`] does, for arguments with blanks in them.
    ///
    /// # Errors
    /// There is no whole reply, or it is an error.
    pub fn text_of(&mut self, argv: &[&str]) -> Result<Vec<u8>> {
        match self.ask(argv) {
            Ok(Answer { kind: b'-', text }) => {
                bail!("{}: {}", argv.join(" "), String::from_utf8_lossy(&text))
            }
            Ok(answer) => Ok(answer.text),
            Err(trouble) => bail!("{}: {trouble}", argv.join(" ")),
        }
    }

    /// Reads the next reply to its end.
    ///
    /// # Errors
    /// There is no whole reply.
    pub fn answer(&mut self) -> Result<Answer, Trouble> {
        read_answer(&mut self.stream)
    }
}

/// Counts what is still open instead of recursing: replies may be thousands of lists deep.
fn read_answer(reader: &mut impl BufRead) -> Result<Answer, Trouble> {
    let mut answer: Option<Answer> = None;
    let mut open = 1_u64;
    while open > 0 {
        open -= 1;
        let (kind, rest) = read_line(reader)?;
        let mut text = Vec::new();
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => text = rest,
            b'$' | b'=' | b'!' => text = read_bulk(reader, length(&rest)?)?,
            b'*' | b'~' | b'>' => open += length(&rest)?.unwrap_or(0),
            b'%' => open += 2 * length(&rest)?.unwrap_or(0),
            b'|' => open += 2 * length(&rest)?.unwrap_or(0) + 1,
            _ => return Err(garbled(kind, &rest)),
        }
        let answer = answer.get_or_insert(Answer { kind, text: Vec::new() });
        if answer.text.is_empty() {
            answer.text = text;
        }
    }
    answer.ok_or(Trouble::Closed)
}

fn read_line(reader: &mut impl BufRead) -> Result<(u8, Vec<u8>), Trouble> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    match line.as_slice() {
        [kind, rest @ .., b'\r', b'\n'] if !rest.contains(&b'\r') => Ok((*kind, rest.to_vec())),
        [.., b'\n'] => Err(garbled(b'?', &line)),
        _ => Err(Trouble::Closed),
    }
}

fn read_bulk(reader: &mut impl BufRead, length: Option<u64>) -> Result<Vec<u8>, Trouble> {
    let Some(length) = length else { return Ok(Vec::new()) };
    let mut text = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut text)?;
    let mut end = [0; 2];
    reader.read_exact(&mut end)?;
    if end == *b"\r\n" { Ok(text) } else { Err(garbled(b'$', &end)) }
}

/// The length in a header line; that of a null is none.
fn length(digits: &[u8]) -> Result<Option<u64>, Trouble> {
    if digits == b"-1" {
        return Ok(None);
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or_else(|| garbled(b'*', digits))
}

fn garbled(kind: u8, rest: &[u8]) -> Trouble {
    let shown = &rest[..rest.len().min(200)];
    Trouble::Garbled(format!("{}{}", kind.escape_ascii(), shown.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> Result<Answer, Trouble> {
        let answer = read_answer(&mut bytes)?;
        assert!(bytes.is_empty(), "{} are left", bytes.escape_ascii());
        Ok(answer)
    }

    #[test]
    fn whole_replies_are_read_and_their_first_text_is_kept() {
        let frames: &[(&[u8], u8, &[u8])] = &[
            (b"+OK\r\n", b'+', b"OK"),
            (b"-ERR no\r\n", b'-', b"ERR no"),
            (b"$-1\r\n", b'$', b""),
            (b"$2\r\n\r\n\r\n", b'$', b"\r\n"),
            (b"*2\r\n*1\r\n$1\r\na\r\n:1\r\n", b'*', b"a"),
            (b"%1\r\n+a\r\n_\r\n", b'%', b"a"),
            (b"|1\r\n+a\r\n:1\r\n+b\r\n", b'|', b"a"),
        ];
        for (frame, kind, text) in frames {
            let expected = Answer { kind: *kind, text: text.to_vec() };
            assert_eq!(read(frame).unwrap(), expected);
        }
        assert!(read(&b"*1\r\n".repeat(100_000)).is_err());
    }

    #[test]
    fn what_is_no_reply_is_told_from_a_closed_connection() {
        for frame in [&b"+O\rK\r\n"[..], b"+OK\n", b"x\r\n", b"$x\r\n", b"$1\r\nabc"] {
            assert!(matches!(read(frame), Err(Trouble::Garbled(_))), "{}", frame.escape_ascii());
        }
        for frame in [&b""[..], b"+OK", b"$5\r\nab", b"*2\r\n:1\r\n"] {
            assert!(matches!(read(frame), Err(Trouble::Closed)), "{}", frame.escape_ascii());
        }
    }
}
