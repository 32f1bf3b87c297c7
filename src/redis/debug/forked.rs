//! Sessions in a process of their own.
//!
//! The server's own way of forking would keep it from saving meanwhile, so the process is made by the system's
//! call, twice: the one in between ends at once, so that the session is nobody's child whom the server would
//! have to ask for. A pipe is its lifeline: it begins when a byte comes, once the server has closed the
//! client on its side, and ends with the pipe when the server ends, in whatever way.

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use redis_module::raw::RedisModuleCtx;

use super::link::Socket;
use crate::debugger::Link;
use crate::redis::api::api;
use crate::redis::call::errno;
use crate::redis::global::Module;

/// How long a run goes on whose client is gone, where the server has no limit.
const PATIENCE: Duration = Duration::from_secs(5);
/// What it gets to end by itself after that.
const GRACE: Duration = Duration::from_secs(1);

/// Hands the client over to a process that has `work` talk to it and sends it what comes out.
///
/// # Errors
/// The system's reason for making no process.
pub(in crate::redis) fn fork(
    ctx: *mut RedisModuleCtx,
    module: &Module,
    client: u64,
    fd: c_int,
    threshold: Option<Duration>,
    work: &mut dyn FnMut(Box<dyn Link>) -> Vec<u8>,
) -> Result<(), Vec<u8>> {
    let (reads, lifeline) = pipe().map_err(reason)?;
    // SAFETY: the child goes on in a copy of the process in which this is the only thread, and does not
    // return to the server.
    match unsafe { libc::fork() } {
        -1 => return Err(reason(errno())),
        0 => {
            // SAFETY: as above.
            match unsafe { libc::fork() } {
                -1 => exit(errno()),
                0 => session(fd, reads.as_raw_fd(), threshold.unwrap_or(PATIENCE), work),
                _ => exit(0),
            }
        }
        between => {
            let status = wait_for(between);
            if status != 0 {
                return Err(reason(status));
            }
        }
    }
    drop(reads);
    module.debuggers.set_mode(ctx, client, None);
    module.debuggers.add(client, lifeline);
    close(ctx, client);
    let data = std::ptr::without_provenance_mut(usize::try_from(client).unwrap_or_default());
    // Within its own command a client is only marked.
    // SAFETY: the context is live, and the data is no pointer.
    unsafe { api!(CreateTimer(ctx, 0, Some(close_later), data)) };
    Ok(())
}

/// Closes a client; within its own command, once that is over and its reply is sent.
pub(in crate::redis) fn close(ctx: *mut RedisModuleCtx, client: u64) {
    // SAFETY: the context is live.
    unsafe { api!(DeauthenticateAndCloseClient(ctx, client)) };
}

unsafe extern "C" fn close_later(ctx: *mut RedisModuleCtx, data: *mut c_void) {
    close(ctx, u64::try_from(data.addr()).unwrap_or_default());
}

/// What the session's process does, to its end.
fn session(
    fd: c_int,
    lifeline: c_int,
    patience: Duration,
    work: &mut dyn FnMut(Box<dyn Link>) -> Vec<u8>,
) -> ! {
    let done = catch_unwind(AssertUnwindSafe(|| {
        close_all_but([fd, lifeline]);
        // As stock: they are meant for the server.
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the call takes no pointer.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        let mut go = 0_u8;
        // SAFETY: there is room for a byte.
        if unsafe { libc::read(lifeline, (&raw mut go).cast(), 1) } != 1 {
            return;
        }
        let watcher = std::thread::Builder::new().name("redlua-session".to_owned());
        if watcher.spawn(move || watch(fd, lifeline, patience)).is_err() {
            return;
        }
        let reply = work(Box::new(Socket::hold(fd)));
        Socket::hold(fd).write(&reply);
    }));
    exit(c_int::from(done.is_err()))
}

/// Ends the process with the server, and some time after its client.
fn watch(fd: c_int, lifeline: c_int, patience: Duration) {
    let gone = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
    let mut polls = [
        libc::pollfd { fd: lifeline, events: 0, revents: 0 },
        libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 },
    ];
    // SAFETY: there are two descriptors.
    while unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) } < 0 {}
    if polls[0].revents & gone == 0 {
        let left = (patience + GRACE).as_millis();
        // SAFETY: there is at least one.
        unsafe { libc::poll(polls.as_mut_ptr(), 1, c_int::try_from(left).unwrap_or(c_int::MAX)) };
    }
    exit(1)
}

/// Closes what belongs to the server: its other clients, its files, what it listens on.
fn close_all_but(mut kept: [c_int; 2]) {
    kept.sort_unstable();
    let mut first = 3;
    for end in kept.into_iter().chain([c_int::MAX]) {
        if end > first {
            close_range(first, end - 1);
        }
        first = end.saturating_add(1);
    }
}

fn close_range(first: c_int, last: c_int) {
    // SAFETY: the call takes no pointer; nothing uses the descriptors any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // SAFETY: the call takes no pointer.
    let most = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    for fd in first..=last.min(c_int::try_from(most).unwrap_or(c_int::MAX)) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// A pipe: the end to read from and the end to write to.
fn pipe() -> Result<(OwnedFd, OwnedFd), c_int> {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(errno());
    }
    // SAFETY: the descriptors are fresh, and ours.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Waits for a child, and gives what it ended with.
fn wait_for(child: libc::pid_t) -> c_int {
    let mut status = 0;
    loop {
        // SAFETY: there is room for the status.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if ended == child {
            return libc::WEXITSTATUS(status);
        }
        if errno() != libc::EINTR {
            return 0;
        }
    }
}

/// The system's words for an error.
fn reason(error: c_int) -> Vec<u8> {
    // SAFETY: the call takes no pointer, and gives a text that nobody frees.
    let text = unsafe { libc::strerror(error) };
    // SAFETY: it is a C string.
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}

/// Ends this process as it is, without what the server does at its end.
fn exit(status: c_int) -> ! {
    // SAFETY: the call does not come back.
    unsafe { libc::_exit(status) }
}
