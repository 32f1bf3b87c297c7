//! A client that returns what the server sent, byte for byte.
//!
//! Client libraries normalise replies, and the difference between `$-1` and `*-1` is exactly what
//! the tests are about.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::resp::{Value, render};

/// How long a read or a write may take before it counts as hung.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One connection.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the server that listens on `socket`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Replaces the read timeout of ten seconds.
    pub fn set_timeout(&mut self, timeout: Duration) {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(timeout)).expect("a timeout above zero is accepted");
    }

    /// Sends a command and returns its reply, one raw frame.
    ///
    /// # Panics
    /// When the connection breaks or the reply does not come in time.
    pub fn cmd<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Vec<u8> {
        self.try_cmd(argv).unwrap_or_else(|error| panic!("{}: {error}", shown(argv)))
    }

    /// Does what [`Self::cmd`] does, for a server that may be going away.
    ///
    /// # Errors
    /// When the connection breaks or the reply does not come in time.
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> io::Result<Vec<u8>> {
        self.try_send(argv)?;
        self.try_read_frame()
    }

    /// Sends a command and parses its reply.
    ///
    /// # Panics
    /// Like [`Self::cmd`], and when the reply is not RESP.
    pub fn value<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Value {
        let frame = self.cmd(argv);
        Value::parse(&frame).unwrap_or_else(|_| panic!("{}: {}", shown(argv), render(&frame)))
    }

    /// Sends a command given as words between blanks and shows its reply as [`render`] does:
    /// `client.text("SET a 1")` is `"+OK"`.
    ///
    /// # Panics
    /// Like [`Self::cmd`].
    pub fn text(&mut self, words: &str) -> String {
        let argv: Vec<&str> = words.split_whitespace().collect();
        render(&self.cmd(&argv))
    }

    /// Sends a command that has to answer `+OK`.
    ///
    /// # Panics
    /// Like [`Self::cmd`], and on any other reply.
    pub fn ok<A: AsRef<[u8]>>(&mut self, argv: &[A]) {
        let frame = self.cmd(argv);
        assert_eq!(frame, b"+OK\r\n", "{}: {}", shown(argv), render(&frame));
    }

    /// Sends a command without waiting for its reply.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send<A: AsRef<[u8]>>(&mut self, argv: &[A]) {
        self.try_send(argv).unwrap_or_else(|error| panic!("{}: {error}", shown(argv)));
    }

    /// Sends bytes as they are, for requests that no argument vector can express.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads requests");
    }

    /// Does what [`Self::send_raw`] does, for a server that may be going away.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads the next frame, whatever it belongs to.
    ///
    /// # Panics
    /// When the connection breaks or nothing comes in time.
    pub fn read_frame(&mut self) -> Vec<u8> {
        self.try_read_frame().unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// Does what [`Self::read_frame`] does, for a server that may be going away.
    ///
    /// # Errors
    /// When the connection breaks or nothing comes in time.
    pub fn try_read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        // Counting what is still open instead of recursing: nested replies may be thousands deep.
        let mut open = 1_usize;
        while open > 0 {
            let start = frame.len();
            if self.stream.read_until(b'\n', &mut frame)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"));
            }
            open -= 1;
            let length = frame.get(start + 1..frame.len() - 2).and_then(length);
            match (frame[start], length) {
                (b'$' | b'=' | b'!', Some(length)) => {
                    let from = frame.len();
                    frame.resize(from + length + 2, 0);
                    self.stream.read_exact(&mut frame[from..])?;
                }
                (b'*' | b'~' | b'>', Some(length)) => open += length,
                (b'%', Some(length)) => open += 2 * length,
                (b'|', Some(length)) => open += 2 * length + 1,
                _ => {}
            }
        }
        Ok(frame)
    }

    /// Does what [`Self::send`] does, for a server that may be going away.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn try_send<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", argv.len()).into_bytes();
        for argument in argv {
            let argument = argument.as_ref();
            request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }
}

/// The length in a header line; a null's `-1` has none.
fn length(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A command as failure messages show it.
fn shown<A: AsRef<[u8]>>(argv: &[A]) -> String {
    let words: Vec<String> = argv
        .iter()
        .map(|argument| {
            let text = argument.as_ref();
            let cut = &text[..text.len().min(200)];
            format!("{}{}", cut.escape_ascii(), if cut.len() < text.len() { "…" } else { "" })
        })
        .collect();
    words.join(" ")
}
