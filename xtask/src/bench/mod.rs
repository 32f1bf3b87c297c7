//! `cargo xtask bench`: what the same script costs by stock Redis and by the module.
//!
//! Both sides run in one server, in many small alternating blocks, so that whatever the machine does
//! meanwhile touches both alike. The figure is the ratio stock / module: above 1 the module is
//! faster. Processor time is what users feel; counted instructions repeat within some percent and
//! are the figure to steer by.

mod codec;
mod document;
mod instructions;
mod processor_time;
mod report;
mod runner;
mod workload;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

use crate::client::Address;
use crate::module;
use crate::options::{Arguments, Flag, UsageError, Verb};
use crate::server::{ScratchFolder, Server};
use crate::servers;
use crate::system;

use report::Report;
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
    if counts && arguments.value("--server").is_some_and(servers::is_known) {
        return Err(UsageError::new("--instructions needs a server that is installed").into());
    }
    let rounds = arguments.number("--rounds", 1..=10_000)?.unwrap_or(if counts { 5 } else { 30 });
    let module = find_module(arguments)?;
    require_tools(arguments, counts)?;

    let folder = ScratchFolder::new("bench")?;
    let plan = Plan {
        program: servers::program(arguments.value("--server").unwrap_or("redis-server"))?,
        other: if module.is_some() { Side::Module } else { Side::Stock },
        module,
        rounds,
    };
    let report = if counts {
        instructions::measure(&plan, &folder, &workloads)?
    } else {
        processor_time::measure(&plan, &folder, &workloads)?
    };
    println!("{}", report.to_markdown());
    let file = write_json(group, &report)?;
    eprintln!("also in {}", file.display());
    Ok(())
}

/// What to measure and how.
struct Plan {
    program: PathBuf,
    module: Option<PathBuf>,
    other: Side,
    rounds: u32,
}

impl Plan {
    /// A server for measuring: on a socket, saving nothing, and idle when it is not asked.
    fn server_command(&self, mut command: Command, folder: &ScratchFolder) -> (Command, Address) {
        let socket = folder.0.join("redis.sock");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--hz", "1"])
            .args(["--dynamic-hz", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&folder.0)
            .arg("--logfile")
            .arg(folder.0.join("redis.log"))
            .stdout(Stdio::null());
        if let Some(module) = &self.module {
            command.arg("--loadmodule").arg(module);
        }
        (command, Address::Socket(socket))
    }

    /// Adds the end of the server's own log to an error; the log is gone with the folder otherwise.
    fn explain<T>(&self, result: Result<T>, folder: &ScratchFolder) -> Result<T> {
        result.map_err(|error| {
            let log = std::fs::read_to_string(folder.0.join("redis.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let (_, last) = lines.split_at(lines.len().saturating_sub(15));
            anyhow!("{error:#}; the server's last words:\n{}", last.join("\n"))
        })
    }
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
    if counts {
        required.push(&system::VALGRIND);
    }
    system::ensure(&required)
}

fn write_json(group: &Group, report: &Report) -> Result<PathBuf> {
    let folder = module::target_dir()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    let unit = report.unit.name();
    let name = match group.name {
        name if name == GROUPS[0].name => format!("{unit}.json"),
        name => format!("{name}-{unit}.json"),
    };
    let file = folder.join(name);
    std::fs::write(&file, report.to_json())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The version of the server, as it tells it.
fn server_version(server: &Server) -> Result<String> {
    let info = server.connect()?.command(&[b"INFO", b"server"])?;
    let info = String::from_utf8_lossy(&info);
    let field = |name: &str| runner::info_field(&info, name).map(str::to_owned);
    let version = field("valkey_version").map(|version| format!("Valkey {version}"));
    let version = version.or_else(|| field("redis_version").map(|v| format!("Redis {v}")));
    version.context("the server does not tell its version")
}
