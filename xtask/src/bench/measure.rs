//! Measuring workloads by pairs of blocks, one on each side.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Plan;
use super::machine::{Block, Machine};
use super::memory;
use super::report::{Pair, Report, Row, Unit};
use super::runner::{Prepared, Side};
use super::workload::{Door, Workload};
use crate::client::Client;
use crate::server::ScratchFolder;

/// Long enough that asking the server for its processor time is no part of the figure, short enough
/// that both blocks of a pair see the same machine.
const BLOCK: Duration = Duration::from_millis(25);

/// Measures workloads, those of scripts all in one server.
///
/// # Errors
/// A server does not start, refuses a script, or cannot be measured.
pub fn measure(plan: &Plan, chosen: &[&Workload]) -> Result<Report> {
    let folder = ScratchFolder::new("bench")?;
    let start = |name: &str, with_module: bool| {
        let module = plan.module.as_deref().filter(|_| with_module);
        Machine::start(plan.unit, &plan.program, module, folder.0.join(name))
    };
    let machine = start("module", true)?;
    let mut rows = Vec::new();
    for workload in chosen {
        let row = match workload.door {
            Door::Beside => beside(plan, workload, &start(workload.name, false)?, &machine),
            _ => within(plan, workload, &machine),
        };
        let row = machine.explain(row)?;
        eprintln!("==> {}: {:.2}", workload.name, row.ratio());
        rows.push(row);
    }
    let mut memory = None;
    if plan.module.is_some() && plan.unit == Unit::Microseconds && plan.is_whole {
        eprintln!("==> memory");
        memory = Some(memory::per_script(|side| {
            start(if side == Side::Stock { "few" } else { "many" }, side == Side::Module)
        })?);
    }
    Ok(Report {
        unit: plan.unit,
        server: machine.version()?,
        rounds: plan.rounds,
        workloads: rows,
        memory,
    })
}

/// Both sides in one server.
fn within(plan: &Plan, workload: &Workload, machine: &Machine) -> Result<Row> {
    let mut client = machine.connect()?;
    let stock = Prepared::new(&mut client, workload, Side::Stock)?;
    let other = Prepared::new(&mut client, workload, plan.other)?;
    let stock = Party { machine, client, prepared: stock };
    pairs(plan, workload, stock, Party { machine, client: machine.connect()?, prepared: other })
}

/// A command on a server without the module and on one whose engine it is.
fn beside(plan: &Plan, workload: &Workload, bare: &Machine, machine: &Machine) -> Result<Row> {
    let party = |machine| {
        let mut client = Machine::connect(machine)?;
        let prepared = Prepared::new(&mut client, workload, Side::Stock)?;
        Ok::<_, anyhow::Error>(Party { machine, client, prepared })
    };
    let mut switch = machine.connect()?;
    let mut take_over = |value: &[u8]| match plan.module {
        Some(_) => switch.command(&[b"CONFIG", b"SET", b"redlua.takeover", value]).map(drop),
        None => Ok(()),
    };
    take_over(b"yes")?;
    let row = pairs(plan, workload, party(bare)?, party(machine)?);
    take_over(b"no")?;
    row
}

/// One side: where a workload runs.
struct Party<'a> {
    machine: &'a Machine,
    client: Client,
    prepared: Prepared,
}

impl Party<'_> {
    fn block(&mut self, runs: u32) -> Result<Block> {
        self.machine.block(&mut self.client, &self.prepared, runs)
    }
}

fn pairs(
    plan: &Plan,
    workload: &Workload,
    mut stock: Party<'_>,
    mut other: Party<'_>,
) -> Result<Row> {
    let runs = match plan.unit {
        Unit::Microseconds => runs_per_block(&mut stock)?,
        Unit::Instructions => workload.counted_runs,
    };
    // The first block on each side only warms caches up.
    stock.block(runs)?;
    other.block(runs)?;
    let mut row = Row::new(workload, runs);
    for round in 0..plan.rounds {
        // Whoever comes first in a pair changes, so that neither side always runs on the other's
        // warm or dirty caches.
        let (stock, other) = if round % 2 == 0 {
            let first = stock.block(runs)?;
            (first, other.block(runs)?)
        } else {
            let first = other.block(runs)?;
            (stock.block(runs)?, first)
        };
        row.cost.push(Pair { stock: stock.cost, module: other.cost });
        if let (Some(stock), Some(module)) = (stock.wall, other.wall) {
            row.wall.push(Pair { stock, module });
        }
    }
    Ok(row)
}

fn runs_per_block(party: &mut Party<'_>) -> Result<u32> {
    let mut runs: u32 = 1;
    loop {
        let start = Instant::now();
        party.prepared.run(&mut party.client, runs).context("a block to find the length of one")?;
        if start.elapsed() >= BLOCK {
            return Ok(runs);
        }
        runs = (runs * 2).min(1 << 20);
    }
}
