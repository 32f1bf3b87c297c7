//! The socket of a client, as a session uses it.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use redis_module::raw::{self, RedisModuleClientInfo, RedisModuleCtx};

use crate::debugger::Link;
use crate::redis::api::api;
use crate::redis::call::{errno, plain};
use crate::resp::{Token, Tokens};

/// How long a client may take to read what it is told.
///
/// Stock: `eval.c` `ldbStartSession`.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server says of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redis) struct Connection {
    /// Its descriptor.
    pub(in crate::redis) fd: c_int,
    /// Replies wait to be sent.
    pub(in crate::redis) has_unsent: bool,
}

/// The connection of a client; `None` for one that is encrypted, or has none.
pub(in crate::redis) fn connection(ctx: *mut RedisModuleCtx, client: u64) -> Option<Connection> {
    let mut info =
        RedisModuleClientInfo { version: 1, flags: 0, id: 0, addr: [0; 46], port: 0, db: 0 };
    // SAFETY: the server fills a record of this version.
    let status = unsafe { api!(GetClientInfoById((&raw mut info).cast::<c_void>(), client)) };
    if status != raw::REDISMODULE_OK as c_int
        || info.flags & u64::from(raw::REDISMODULE_CLIENTINFO_FLAG_SSL) != 0
    {
        return None;
    }
    let id = client.to_string();
    let line = |proto: &[u8]| match Tokens::new(proto).next() {
        Token::Bulk(line) => Some(line.to_vec()),
        Token::Verbatim { text, .. } => Some(text.to_vec()),
        _ => None,
    };
    let line = plain(ctx, c"CLIENT", &[b"LIST", b"ID", id.as_bytes()], line).flatten()?;
    read(&line)
}

/// Reads a line of `CLIENT LIST`.
fn read(line: &[u8]) -> Option<Connection> {
    let field = |name: &str| {
        // Names of clients have no blanks; what stands before them may be a path.
        let words = line.rsplit(|byte| matches!(byte, b' ' | b'\n'));
        let mut values = words.filter_map(|word| word.strip_prefix(name.as_bytes()));
        std::str::from_utf8(values.next()?).ok()?.parse::<i64>().ok()
    };
    let fd = c_int::try_from(field("fd=")?).ok().filter(|fd| *fd >= 0)?;
    let has_unsent = field("obl=")? != 0 || field("oll=")? != 0;
    Some(Connection { fd, has_unsent })
}

/// A socket in blocking mode; back in the mode of the server when it goes.
pub(in crate::redis) struct Socket {
    fd: c_int,
    is_broken: bool,
}

impl Socket {
    /// Takes hold of a socket of the server.
    pub(in crate::redis) fn hold(fd: c_int) -> Self {
        set_blocking(fd, true);
        set_send_timeout(fd, PATIENCE);
        Self { fd, is_broken: false }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        set_send_timeout(self.fd, Duration::ZERO);
        set_blocking(self.fd, false);
    }
}

impl Link for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            // SAFETY: the buffer is as long as it says.
            let count = unsafe { libc::read(self.fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            match usize::try_from(count) {
                Ok(count) => return count,
                Err(_) if errno() == libc::EINTR => {}
                Err(_) => return 0,
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_broken {
            // SAFETY: the bytes are as many as it says. Servers ignore the signal of a broken pipe.
            let count = unsafe { libc::write(self.fd, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(count) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(_) if errno() == libc::EINTR => {}
                Err(_) => self.is_broken = true,
            }
        }
    }
}

fn set_blocking(fd: c_int, is_blocking: bool) {
    // SAFETY: the call takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let flags = if is_blocking { flags & !libc::O_NONBLOCK } else { flags | libc::O_NONBLOCK };
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
}

fn set_send_timeout(fd: c_int, timeout: Duration) {
    let seconds = libc::time_t::try_from(timeout.as_secs()).unwrap_or_default();
    let timeout = libc::timeval { tv_sec: seconds, tv_usec: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::timeval>()).unwrap_or_default();
    // SAFETY: the value is of that size.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            (&raw const timeout).cast::<c_void>(),
            size,
        )
    };
}
