//! A server under a gauge: of its main thread's processor time, or of its instructions.
//!
//! Instructions are counted by callgrind, which is told after each block to write a dump; that holds the
//! count since the one before.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::report::Unit;
use super::runner::{Prepared, info_field};
use crate::client::{Address, Client};
use crate::process::run;
use crate::server::Server;

/// A running server and what measures it.
pub struct Machine {
    server: Server,
    folder: PathBuf,
    /// None for processor time.
    counter: Option<Counter>,
}

/// What one block cost per run.
#[derive(Clone, Copy)]
pub struct Block {
    /// In the machine's unit.
    pub cost: f64,
    /// Wall time in microseconds, where it means something.
    pub wall: Option<f64>,
}

impl Machine {
    /// Starts a server in a folder of its own: on a socket, saving nothing, and idle when it is not asked.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        unit: Unit,
        program: &Path,
        module: Option<&Path>,
        folder: PathBuf,
    ) -> Result<Self> {
        std::fs::create_dir(&folder)?;
        let counts = folder.join("counts");
        let mut command = match unit {
            Unit::Microseconds => Command::new(program),
            Unit::Instructions => {
                let mut valgrind = Command::new("valgrind");
                valgrind
                    .arg("--tool=callgrind")
                    .arg(format!("--callgrind-out-file={}", counts.display()))
                    .arg(format!("--log-file={}", folder.join("valgrind.log").display()))
                    // A server that is unpacked is started by a script.
                    .args(["--trace-children=yes", "--trace-children-skip=*dirname,*readlink"])
                    .arg(program);
                valgrind
            }
        };
        let socket = folder.join("redis.sock");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--hz", "1"])
            .args(["--dynamic-hz", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&folder)
            .arg("--logfile")
            .arg(folder.join("redis.log"))
            .stdout(Stdio::null());
        if let Some(module) = module {
            command.arg("--loadmodule").arg(module);
        }
        let server = Server::start(&mut command, Address::Socket(socket))?;
        let counter = (unit == Unit::Instructions).then(|| Counter {
            server: server.id(),
            counts,
            dumps: Cell::new(0),
        });
        let mut machine = Self { server, folder, counter };
        let ready = machine.server.wait_ready(Duration::from_secs(300), || false);
        machine.explain(ready)?;
        Ok(machine)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The server is gone.
    pub fn connect(&self) -> Result<Client> {
        self.server.connect()
    }

    /// Runs a workload `runs` times.
    ///
    /// # Errors
    /// The server answers with an error, or the gauge cannot be read.
    pub fn block(&self, client: &mut Client, prepared: &Prepared, runs: u32) -> Result<Block> {
        let per_run = |sum: f64| sum / f64::from(runs);
        let Some(counter) = &self.counter else {
            let before = processor_time(client)?;
            let start = Instant::now();
            prepared.run(client, runs)?;
            let wall = start.elapsed().as_secs_f64() * 1e6;
            let cost = processor_time(client)? - before;
            return Ok(Block { cost: per_run(cost), wall: Some(per_run(wall)) });
        };
        counter.since_last()?;
        prepared.run(client, runs)?;
        Ok(Block { cost: per_run(counter.since_last()?), wall: None })
    }

    /// Kilobytes of memory that the process holds.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn resident(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.server.id());
        let text = std::fs::read_to_string(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("the system does not tell the server's memory")?.parse()?)
    }

    /// The server and its version, as it tells them.
    ///
    /// # Errors
    /// It does not.
    pub fn version(&self) -> Result<String> {
        let info = self.connect()?.command(&[b"INFO", b"server"])?;
        let info = String::from_utf8_lossy(&info);
        let field = |name: &str| info_field(&info, name).map(str::to_owned);
        let version = field("valkey_version").map(|version| format!("Valkey {version}"));
        let version = version.or_else(|| field("redis_version").map(|v| format!("Redis {v}")));
        version.context("the server does not tell its version")
    }

    /// Adds the end of the server's own log to an error; the log is gone with the folder otherwise.
    ///
    /// # Errors
    /// The one given.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let log = std::fs::read_to_string(self.folder.join("redis.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let (_, last) = lines.split_at(lines.len().saturating_sub(15));
            anyhow!("{error:#}; the server's last words:\n{}", last.join("\n"))
        })
    }
}

/// Microseconds. User and system time together: the kernel splits their sum by samples, but knows it exactly.
fn processor_time(client: &mut Client) -> Result<f64> {
    let info = client.command(&[b"INFO", b"cpu"])?;
    let info = String::from_utf8_lossy(&info);
    let field = |name: &str| -> Result<f64> {
        let text = info_field(&info, name).with_context(|| format!("INFO cpu has no {name}"))?;
        Ok(text.parse()?)
    };
    Ok((field("used_cpu_user_main_thread")? + field("used_cpu_sys_main_thread")?) * 1e6)
}

/// Reads callgrind's count.
struct Counter {
    server: u32,
    counts: PathBuf,
    dumps: Cell<u32>,
}

impl Counter {
    /// The instructions since the last call.
    fn since_last(&self) -> Result<f64> {
        run(Command::new("vgdb")
            .arg(format!("--pid={}", self.server))
            .arg("dump")
            .stdout(Stdio::null())
            .stderr(Stdio::null()))?;
        self.dumps.set(self.dumps.get() + 1);
        let file = PathBuf::from(format!("{}.{}", self.counts.display(), self.dumps.get()));
        let count = read_total(&file);
        // A dump is some megabytes, and a whole run makes a hundred of them.
        let _ = std::fs::remove_file(&file);
        count
    }
}

fn read_total(file: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("callgrind wrote no {}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.with_context(|| format!("{} has no total", file.display()))?;
    Ok(total.trim().parse()?)
}
