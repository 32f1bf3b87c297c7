//! A redis-server process of our own: started, waited for, and stopped.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::{Address, Client};
use crate::process::{cannot_start, ending, succeeds};

const POLL: Duration = Duration::from_millis(50);

/// A running server; it is killed when this value goes out of scope before it was waited for.
pub struct Server {
    child: Child,
    /// A shell that waits for its input to end, which happens when this program ends in whatever
    /// way, and then kills the server.
    guard: Option<Child>,
    address: Address,
}

impl Server {
    /// Starts the server that `command` describes; it must listen at `address`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command, address: Address) -> Result<Self> {
        let child = command.spawn().with_context(|| cannot_start(command))?;
        Ok(Self { child, guard: None, address })
    }

    /// Makes sure that the server does not outlive this program.
    ///
    /// # Errors
    /// There is no shell.
    pub fn guarded(mut self) -> Result<Self> {
        let script = "trap '' INT TERM HUP; read -r end; kill -KILL \"$0\"";
        let mut guard = Command::new("sh");
        guard.args(["-c", script, &self.id().to_string()]).stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        self.guard = Some(guard.spawn().with_context(|| cannot_start(&guard))?);
        Ok(self)
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The server does not listen.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.address, Duration::from_secs(120))
    }

    /// Waits until the server answers commands, or until `give_up` says so; tells whether it does.
    ///
    /// # Errors
    /// The server ends, or does not answer within `patience`.
    pub fn wait_ready(&mut self, patience: Duration, give_up: impl Fn() -> bool) -> Result<bool> {
        let start = Instant::now();
        while !self.answers() {
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended before it was ready: {}", ending(status));
            }
            if give_up() {
                return Ok(false);
            }
            if start.elapsed() > patience {
                bail!("redis-server does not answer after {} seconds", patience.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }

    /// Waits until the server has ended by itself, or until `give_up` says so.
    ///
    /// # Errors
    /// The process cannot be watched.
    pub fn wait(&mut self, give_up: impl Fn() -> bool) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if give_up() {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks the server to save and end, and waits for it as long as it takes.
    ///
    /// SIGTERM, because it does no harm to a server that already ends by the terminal's Ctrl-C; a
    /// second SIGINT would make it leave without saving.
    ///
    /// # Errors
    /// The process cannot be watched.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        // The shell's own `kill` is there on machines without the procps package. That it finds
        // nobody any more is the usual case after Ctrl-C.
        let _ = succeeds(Command::new("sh").args(["-c", &format!("kill -TERM {}", self.id())]));
        Ok(self.child.wait()?)
    }

    fn answers(&self) -> bool {
        let Ok(mut client) = Client::connect(&self.address, Duration::from_secs(2)) else {
            return false;
        };
        match client.command(&[b"PING"]) {
            Ok(reply) => reply == b"PONG",
            // Whoever set a password still has a server that is up.
            Err(error) => error.to_string().starts_with("NOAUTH"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard first: once the server is reaped its id may belong to somebody else.
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A folder of our own under the system's temporary one, removed with everything in it at the end.
/// A socket lies in it, and a socket's path may have only 107 bytes, which rules the target folder
/// out.
pub struct ScratchFolder(pub PathBuf);

impl ScratchFolder {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made, or is already there.
    pub fn new(purpose: &str) -> Result<Self> {
        let name = format!("redlua-{purpose}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Leaves the folder where it is, for somebody to look at.
    pub fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
