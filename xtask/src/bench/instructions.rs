//! Counts the instructions of paired blocks by running the server under callgrind.
//!
//! After each block callgrind is told to write a dump, which holds the count since the one before.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::{Pair, Report, Row, Unit};
use super::runner::{Prepared, Side};
use super::workload::Workload;
use super::{Plan, server_version};
use crate::client::Client;
use crate::process::run;
use crate::server::{ScratchFolder, Server};

/// Measures every workload in one server.
///
/// # Errors
/// The server does not start under valgrind, refuses a script, or no count can be read.
pub fn measure(plan: &Plan, folder: &ScratchFolder, chosen: &[&Workload]) -> Result<Report> {
    let counts = folder.0.join("counts");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(format!("--log-file={}", folder.0.join("valgrind.log").display()))
        .arg(&plan.program);
    let (mut command, address) = plan.server_command(valgrind, folder);
    let mut server = Server::start(&mut command, address)?;
    let ready = server.wait_ready(Duration::from_secs(300), || false);
    plan.explain(ready, folder)?;
    let mut counter = Counter { server: server.id(), counts, dumps: 0 };
    let mut rows = Vec::new();
    for workload in chosen {
        eprintln!("==> {}", workload.name);
        let mut client = server.connect()?;
        let row = measure_one(&mut client, &mut counter, plan, workload);
        rows.push(plan.explain(row, folder)?);
    }
    let server_version = server_version(&server)?;
    server.stop()?;
    Ok(Report { unit: Unit::Instructions, server_version, rounds: plan.rounds, rows })
}

fn measure_one(
    client: &mut Client,
    counter: &mut Counter,
    plan: &Plan,
    workload: &Workload,
) -> Result<Row> {
    let runs = workload.counted_runs;
    let stock = Prepared::new(client, workload, Side::Stock)?;
    let other = Prepared::new(client, workload, plan.other)?;
    stock.run(client, runs)?;
    other.run(client, runs)?;
    counter.since_last()?;
    let mut row = Row::new(workload, runs);
    for _ in 0..plan.rounds {
        stock.run(client, runs)?;
        let stock = counter.since_last()? / f64::from(runs);
        other.run(client, runs)?;
        let module = counter.since_last()? / f64::from(runs);
        row.cost.push(Pair { stock, module });
    }
    Ok(row)
}

/// Reads callgrind's count.
struct Counter {
    server: u32,
    counts: PathBuf,
    dumps: u32,
}

impl Counter {
    /// The instructions since the last call.
    fn since_last(&mut self) -> Result<f64> {
        run(Command::new("vgdb")
            .arg(format!("--pid={}", self.server))
            .arg("dump")
            .stdout(Stdio::null())
            .stderr(Stdio::null()))?;
        self.dumps += 1;
        let file = PathBuf::from(format!("{}.{}", self.counts.display(), self.dumps));
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
