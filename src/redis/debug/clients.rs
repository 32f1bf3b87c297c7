//! [`Debuggers`]: which clients want their runs debugged, and which sessions have a process of their own.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};

use hashbrown::HashMap;
use redis_module::raw::{self, RedisModuleClientInfo, RedisModuleCtx, RedisModuleEvent};

use crate::debugger::Mode;
use crate::redis::entry::subscribe;
use crate::redis::persistence::guard;

/// The clients and sessions of a server.
#[derive(Default)]
pub(in crate::redis) struct Debuggers {
    /// Someone wants debugging: every run asks.
    is_used: Cell<bool>,
    modes: RefCell<HashMap<u64, Mode, foldhash::quality::RandomState>>,
    /// The sessions with a process of their own.
    sessions: RefCell<Vec<Session>>,
    /// The server tells of clients that go.
    hears_of_clients: Cell<bool>,
}

/// A session in a process of its own.
struct Session {
    /// Whose client it took over.
    client: u64,
    /// What it reads from: a byte once the server has closed its side of the connection, the end of the pipe
    /// when the server ends.
    lifeline: OwnedFd,
}

impl Debuggers {
    /// Whether anyone wants debugging at all.
    #[inline]
    pub(in crate::redis) fn is_used(&self) -> bool {
        self.is_used.get()
    }

    /// How a client wants its runs debugged.
    pub(in crate::redis) fn mode(&self, client: u64) -> Option<Mode> {
        self.modes.borrow().get(&client).copied()
    }

    /// Sets how a client wants its runs debugged.
    pub(in crate::redis) fn set_mode(
        &self,
        ctx: *mut RedisModuleCtx,
        client: u64,
        mode: Option<Mode>,
    ) {
        let mut modes = self.modes.borrow_mut();
        match mode {
            Some(mode) => {
                modes.insert(client, mode);
            }
            None => {
                modes.remove(&client);
            }
        }
        self.is_used.set(!modes.is_empty());
        if mode.is_some() && !self.hears_of_clients.replace(true) {
            subscribe(ctx, raw::REDISMODULE_EVENT_CLIENT_CHANGE, client_changed);
        }
    }

    /// Notes that a process took a client over.
    pub(super) fn add(&self, client: u64, lifeline: OwnedFd) {
        self.sessions.borrow_mut().push(Session { client, lifeline });
    }

    /// Closes what belongs to sessions that ended.
    pub(in crate::redis) fn tick(&self) {
        if !self.sessions.borrow().is_empty() {
            self.sessions.borrow_mut().retain(|session| !has_ended(session));
        }
    }

    /// A client is gone: a session that took it over has the connection to itself.
    fn forget(&self, client: u64) {
        let mut modes = self.modes.borrow_mut();
        modes.remove(&client);
        self.is_used.set(!modes.is_empty());
        for session in self.sessions.borrow().iter().filter(|it| it.client == client) {
            let go: u8 = 1;
            let fd = session.lifeline.as_raw_fd();
            // SAFETY: the descriptor is open, and the byte lives.
            unsafe { libc::write(fd, (&raw const go).cast(), 1) };
        }
    }
}

/// Whether nobody reads from the session's pipe any more.
fn has_ended(session: &Session) -> bool {
    let mut poll = libc::pollfd { fd: session.lifeline.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: there is one descriptor.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    count > 0 && poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
}

/// A client came or went.
unsafe extern "C" fn client_changed(
    _ctx: *mut RedisModuleCtx,
    _event: RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    if subevent != raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED {
        return;
    }
    // SAFETY: this kind of event comes with this.
    if let Some(client) = unsafe { data.cast::<RedisModuleClientInfo>().as_ref() } {
        guard((), |module| module.debuggers.forget(client.id));
    }
}
