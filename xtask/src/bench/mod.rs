//! `cargo xtask bench`: what the same script costs by stock Redis and by the module.
//!
//! Both sides run in one server, in many small alternating blocks, so that whatever the machine does
//! meanwhile touches both alike. The figure is the ratio stock / module: above 1 the module is
//! faster. Processor time is what users feel; counted instructions repeat within some percent and
//! are the figure to steer by.

mod codec;
mod document;
mod machine;
mod measure;
mod memory;
mod page;
mod report;
mod runner;
mod scripts;
mod workload;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::module;
use crate::options::{Arguments, Flag, UsageError, Verb};
use crate::servers;
use crate::system;

use report::{Report, Unit};
use runner::Side;
use workload::{GROUPS, Group, Workload};

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "bench",
    summary: "measure scripts against stock Redis in the same server; above 1 the module is faster",
    flags: &[
        Flag { name: "--only", value: Some("NAME"), help: "one workload; may be given again" },
        Flag { name: "--list", value: None, help: "list the groups and their workloads" },
        Flag {
            name: "--rounds",
            value: Some("N"),
            help: "pairs of blocks (default: 30, or 5 counted)",
        },
        Flag { name: "--instructions", value: None, help: "count instructions, under valgrind" },
        Flag {
            name: "--noise",
            value: None,
            help: "stock on both sides: shows how far 1.00 strays",
        },
        Flag {
            name: "--server",
            value: Some("NAME"),
            help: "one of `cargo xtask servers`, or the path of a server",
        },
        Flag { name: "--module", value: Some("PATH"), help: "a module built before" },
        Flag {
            name: "--page",
            value: None,
            help: "measure in both ways on every server, and write docs/performance.md anew",
        },
    ],
    operands: Some("GROUP"),
    rest: None,
    run: bench,
};

fn bench(arguments: &Arguments) -> Result<()> {
    let group = choose_group(arguments)?;
    if arguments.has("--list") {
        list(group);
        return Ok(());
    }
    let group = group.unwrap_or(&GROUPS[0]);
    let workloads = choose(group, arguments)?;
    let counts = arguments.has("--instructions");
    let module = find_module(arguments)?;
    require_tools(arguments, counts)?;
    let plan = |server: &str, unit| {
        let rounds = arguments.number("--rounds", 1..=10_000)?;
        Ok::<_, anyhow::Error>(Plan {
            program: servers::program(server)?,
            unit,
            other: if module.is_some() { Side::Module } else { Side::Stock },
            module: module.clone(),
            rounds: rounds.unwrap_or(if unit == Unit::Instructions { 5 } else { 30 }),
            is_whole: !arguments.has("--only") && group.name == GROUPS[0].name,
        })
    };
    let measure = |server: &str, unit| {
        let report = measure::measure(&plan(server, unit)?, &workloads)?;
        println!("{}", report.to_markdown());
        let file = write_json(group, server, &report)?;
        eprintln!("also in {}", file.display());
        Ok::<_, anyhow::Error>(report)
    };
    if arguments.has("--page") {
        return page::write(measure);
    }
    let unit = if counts { Unit::Instructions } else { Unit::Microseconds };
    measure(arguments.value("--server").unwrap_or(INSTALLED), unit).map(drop)
}

/// The server that is measured when none is named.
const INSTALLED: &str = "redis-server";

/// What to measure and how.
struct Plan {
    program: PathBuf,
    unit: Unit,
    module: Option<PathBuf>,
    other: Side,
    rounds: u32,
    /// Everything of the first group, what is no workload included.
    is_whole: bool,
}

fn choose_group(arguments: &Arguments) -> Result<Option<&'static Group>, UsageError> {
    let Some(name) = arguments.operand() else {
        return Ok(None);
    };
    let group = GROUPS.iter().find(|group| group.name == name);
    group.map(Some).ok_or_else(|| {
        let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        UsageError::new(format!("no group '{name}'; there are {}", names.join(", ")))
    })
}

fn list(chosen: Option<&'static Group>) {
    for group in GROUPS.iter().filter(|group| chosen.is_none_or(|one| one.name == group.name)) {
        println!("{}:", group.name);
        for workload in group.workloads {
            println!("  {:<20} {}", workload.name, workload.title);
        }
    }
}

fn choose(group: &Group, arguments: &Arguments) -> Result<Vec<&'static Workload>, UsageError> {
    let mut chosen = Vec::new();
    for name in arguments.values("--only") {
        let workload = group.workloads.iter().find(|workload| workload.name == name);
        chosen.push(workload.ok_or_else(|| {
            let names: Vec<_> = group.workloads.iter().map(|workload| workload.name).collect();
            let (group, names) = (group.name, names.join(", "));
            UsageError::new(format!("no workload '{name}' in '{group}'; there are {names}"))
        })?);
    }
    if chosen.is_empty() {
        chosen.extend(group.workloads);
    }
    Ok(chosen)
}

fn find_module(arguments: &Arguments) -> Result<Option<PathBuf>> {
    if arguments.has("--noise") {
        return Ok(None);
    }
    if let Some(path) = arguments.value("--module") {
        let path = std::path::absolute(path)?;
        return Ok(Some(path));
    }
    system::ensure(&[&system::C_COMPILER, &system::LIBCLANG])?;
    module::build().map(Some)
}

fn require_tools(arguments: &Arguments, counts: bool) -> Result<()> {
    let mut required = Vec::new();
    if !arguments.has("--server") {
        required.push(&system::REDIS_SERVER);
    }
    if counts || arguments.has("--page") {
        required.push(&system::VALGRIND);
    }
    system::ensure(&required)
}

fn write_json(group: &Group, server: &str, report: &Report) -> Result<PathBuf> {
    let folder = module::target_dir()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    let server = Path::new(server).file_name().unwrap_or_default().display();
    let file = folder.join(format!("{}-{}-{server}.json", group.name, report.unit.name()));
    let text = serde_json::to_string_pretty(&report.to_json())? + "\n";
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
