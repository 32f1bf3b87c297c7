//! The two servers of a torture: the one under attack and its replica.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::wire::{Answer, Trouble, Wire};
use crate::client::Address;
use crate::server::Server;

/// What is run.
pub struct Programs {
    /// The server.
    pub server: PathBuf,
    /// The module.
    pub module: PathBuf,
}

/// Both servers.
pub struct Arena {
    /// The one that is attacked.
    pub master: Node,
    /// The one that follows it at times.
    pub replica: Node,
}

/// A server with a folder of its own.
pub struct Node {
    server: Server,
    /// Where clients connect.
    pub socket: PathBuf,
    port: u16,
    log: PathBuf,
}

impl Arena {
    /// Starts both, in folders under `folder`.
    ///
    /// # Errors
    /// A server does not start.
    pub fn start(programs: &Programs, folder: &Path) -> Result<Self> {
        let master = Node::start(programs, &folder.join("master"), &["--appendonly", "yes"])?;
        let replica = Node::start(programs, &folder.join("replica"), &[])?;
        Ok(Self { master, replica })
    }

    /// Makes the replica follow the master.
    ///
    /// # Errors
    /// It does not answer.
    pub fn attach(&self) -> Result<Answer, Trouble> {
        let port = self.master.port.to_string();
        Wire::connect(&self.replica.socket)?.ask(&["REPLICAOF", "127.0.0.1", &port])
    }

    /// Makes the replica go its own way.
    ///
    /// # Errors
    /// It does not answer.
    pub fn detach(&self) -> Result<Answer, Trouble> {
        Wire::connect(&self.replica.socket)?.ask(&["REPLICAOF", "NO", "ONE"])
    }
}

impl Node {
    /// Starts a server that keeps no statistics that grow, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(programs: &Programs, folder: &Path, options: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let socket = folder.join("redis.sock");
        let log = folder.join("server.log");
        let port = free_port()?;
        let mut command = Command::new(&programs.server);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"])
            .args(["--latency-tracking", "no", "--slowlog-max-len", "0"])
            // A client that sends much and reads nothing must not take the machine's memory.
            .args(["--client-output-buffer-limit", "normal", "256mb", "0", "0"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .arg("--logfile")
            .arg(&log)
            .args(options)
            .arg("--loadmodule")
            .arg(&programs.module)
            .stdout(Stdio::null());
        let mut server = Server::start(&mut command, Address::Socket(socket.clone()))?.guarded()?;
        server
            .wait_ready(Duration::from_secs(60), || false)
            .with_context(|| format!("the log is {}", log.display()))?;
        Ok(Self { server, socket, port, log })
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.server.wait(|| true), Ok(None))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The server is gone.
    pub fn wire(&self) -> Result<Wire> {
        Wire::connect(&self.socket).with_context(|| format!("{}", self.socket.display()))
    }

    /// The value of a field of `INFO`.
    ///
    /// # Errors
    /// The server is gone, or has no such field.
    pub fn info(&self, name: &str) -> Result<String> {
        let info = self.wire()?.text("INFO everything")?;
        let info = String::from_utf8_lossy(&info);
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(field, _)| *field == name);
        found.map(|(_, value)| value.to_owned()).with_context(|| format!("INFO has no {name}"))
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
