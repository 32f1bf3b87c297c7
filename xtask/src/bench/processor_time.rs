//! Measures processor time of the server's main thread, and wall time, of paired blocks.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::report::{Pair, Report, Row, Unit};
use super::runner::{Prepared, Side, info_field};
use super::workload::Workload;
use super::{Plan, server_version};
use crate::client::Client;
use crate::server::{ScratchFolder, Server};

/// Long enough that asking the server for its processor time is no part of the figure, short enough
/// that both blocks of a pair see the same machine.
const BLOCK: Duration = Duration::from_millis(25);

/// Measures every workload in one server.
///
/// # Errors
/// The server does not start, or refuses a script.
pub fn measure(plan: &Plan, folder: &ScratchFolder, chosen: &[&Workload]) -> Result<Report> {
    let (mut command, address) = plan.server_command(Command::new(&plan.program), folder);
    let mut server = Server::start(&mut command, address)?;
    let ready = server.wait_ready(Duration::from_secs(60), || false);
    plan.explain(ready, folder)?;
    let mut rows = Vec::new();
    for workload in chosen {
        eprintln!("==> {}", workload.name);
        let mut client = server.connect()?;
        let row = measure_one(&mut client, plan, workload);
        rows.push(plan.explain(row, folder)?);
    }
    let server_version = server_version(&server)?;
    server.stop()?;
    Ok(Report { unit: Unit::Microseconds, server_version, rounds: plan.rounds, rows })
}

fn measure_one(client: &mut Client, plan: &Plan, workload: &Workload) -> Result<Row> {
    let stock = Prepared::new(client, workload, Side::Stock)?;
    let other = Prepared::new(client, workload, plan.other)?;
    let runs = runs_per_block(client, &stock)?;
    // The first block on each side only warms caches up.
    other.run(client, runs)?;
    let mut row = Row::new(workload, runs);
    for round in 0..plan.rounds {
        // Whoever comes first in a pair changes, so that neither side always runs on the other's
        // warm or dirty caches.
        let (stock, other) = if round % 2 == 0 {
            let first = block(client, &stock, runs)?;
            (first, block(client, &other, runs)?)
        } else {
            let first = block(client, &other, runs)?;
            (block(client, &stock, runs)?, first)
        };
        row.cost.push(Pair { stock: stock.processor, module: other.processor });
        row.wall.push(Pair { stock: stock.wall, module: other.wall });
    }
    Ok(row)
}

/// Microseconds per run.
struct Block {
    processor: f64,
    wall: f64,
}

fn block(client: &mut Client, prepared: &Prepared, runs: u32) -> Result<Block> {
    let before = processor_seconds(client)?;
    let start = Instant::now();
    prepared.run(client, runs)?;
    let wall = start.elapsed().as_secs_f64();
    let processor = processor_seconds(client)? - before;
    let per_run = 1e6 / f64::from(runs);
    Ok(Block { processor: processor * per_run, wall: wall * per_run })
}

fn runs_per_block(client: &mut Client, prepared: &Prepared) -> Result<u32> {
    let mut runs = 1;
    loop {
        let start = Instant::now();
        prepared.run(client, runs)?;
        if start.elapsed() >= BLOCK {
            return Ok(runs);
        }
        runs = (runs * 2).min(1 << 20);
    }
}

/// User and system time together: the kernel splits their sum by samples, but knows it exactly.
fn processor_seconds(client: &mut Client) -> Result<f64> {
    let info = client.command(&[b"INFO", b"cpu"])?;
    let info = String::from_utf8_lossy(&info);
    let field = |name: &str| -> Result<f64> {
        let text = info_field(&info, name).with_context(|| format!("INFO cpu has no {name}"))?;
        Ok(text.parse()?)
    };
    Ok(field("used_cpu_user_main_thread")? + field("used_cpu_sys_main_thread")?)
}
