//! A small Redis client: writes commands, many at once if asked, and reads whole replies.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// A port of the loopback interface.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

/// One connection.
pub struct Client {
    reader: BufReader<Box<dyn Read>>,
    writer: Box<dyn Write>,
}

impl Client {
    /// Connects; a server that does not answer within `patience` is an error.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(address: &Address, patience: Duration) -> Result<Self> {
        match address {
            Address::Port(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_nodelay(true)?;
                Ok(Self::over(Box::new(stream.try_clone()?), Box::new(stream)))
            }
            Address::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                Ok(Self::over(Box::new(stream.try_clone()?), Box::new(stream)))
            }
        }
    }

    fn over(reader: Box<dyn Read>, writer: Box<dyn Write>) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, reader), writer }
    }

    /// Runs one command and returns its reply: the text of a simple reply, the bytes of a bulk
    /// reply, and nothing for any other kind.
    ///
    /// # Errors
    /// The connection breaks, or the reply is an error reply.
    pub fn command(&mut self, argv: &[&[u8]]) -> Result<Vec<u8>> {
        self.send(&encode(argv))?;
        self.reply()
    }

    /// Sends bytes that [`encode`] made.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).context("the server does not read")
    }

    /// Reads one whole reply.
    ///
    /// # Errors
    /// The connection breaks, or the reply is an error reply.
    pub fn reply(&mut self) -> Result<Vec<u8>> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).context("an empty reply line")?;
        match kind {
            b"+" => Ok(rest.to_vec()),
            b"-" => bail!("{}", String::from_utf8_lossy(rest)),
            b":" | b"_" | b"," | b"#" | b"(" => Ok(Vec::new()),
            b"$" | b"=" => self.bulk(length(rest)?),
            b"*" | b"~" | b">" => self.skip(length(rest)?),
            b"%" => self.skip(length(rest)? * 2),
            _ => bail!("not a reply: {}", String::from_utf8_lossy(&line)),
        }
    }

    fn bulk(&mut self, length: i64) -> Result<Vec<u8>> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).context("the reply ends early")?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn skip(&mut self, count: i64) -> Result<Vec<u8>> {
        for _ in 0..count {
            self.reply()?;
        }
        Ok(Vec::new())
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        use std::io::BufRead;
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).context("the server does not answer")?;
        if !line.ends_with(b"\r\n") {
            bail!("the server closed the connection");
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }
}

/// A command as it goes over the wire.
pub fn encode(argv: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", argv.len()).into_bytes();
    for argument in argv {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn length(text: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(text)?;
    text.parse().with_context(|| format!("not a length: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_of(bytes: &'static [u8]) -> Result<Vec<u8>> {
        Client::over(Box::new(bytes), Box::new(Vec::new())).reply()
    }

    #[test]
    fn encode_counts_words_and_bytes() {
        assert_eq!(encode(&[b"GET", b"k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }

    #[test]
    fn reply_reads_every_kind_to_its_end() {
        let frames: &[(&[u8], &[u8])] = &[
            (b"+OK\r\n", b"OK"),
            (b"$2\r\n\r\n\r\n", b"\r\n"),
            (b"$-1\r\n", b""),
            (b":12\r\n", b""),
            (b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", b""),
            (b"*-1\r\n", b""),
            (b"%1\r\n+a\r\n,1.5\r\n", b""),
        ];
        for (frame, expected) in frames {
            let twice: &'static [u8] = Box::leak([*frame, b"+next\r\n"].concat().into());
            let mut client = Client::over(Box::new(twice), Box::new(Vec::new()));
            assert_eq!(client.reply().unwrap(), *expected);
            assert_eq!(client.reply().unwrap(), b"next");
        }
    }

    #[test]
    fn reply_turns_error_replies_and_broken_ones_into_errors() {
        assert_eq!(reply_of(b"-ERR no\r\n").expect_err("error").to_string(), "ERR no");
        for broken in [&b""[..], b"+OK", b"\r\n", b"?\r\n", b"$x\r\n", b"$5\r\nab\r\n"] {
            assert!(reply_of(broken).is_err(), "{broken:?}");
        }
    }
}
