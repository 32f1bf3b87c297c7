//! `cargo xtask torture`: hostile scripts from many clients, while another client changes everything
//! around them; then a look at what is left.
//!
//! Scripts and the order of actions follow from the seed; how they meet does not. A failure leaves
//! the folder with the logs, the data and what each client sent last.

mod arena;
mod chaos;
mod client;
mod dice;
mod grammar;
mod hostile;
mod scene;
mod script;
mod verdict;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::module;
use crate::options::{Arguments, Flag, UsageError, Verb};
use crate::process::listen_for_end;
use crate::server::ScratchFolder;
use crate::{servers, system};

use arena::{Arena, Programs};
use client::Replies;
use scene::Scene;
use script::Scripts;

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "torture",
    summary: "run hostile scripts from many clients amid chaos, then see whether all is well",
    flags: &[
        Flag { name: "--minutes", value: Some("N"), help: "how long (default: 2)" },
        Flag { name: "--seed", value: Some("S"), help: "that of an earlier run, to repeat it" },
        Flag {
            name: "--server",
            value: Some("NAME"),
            help: "one of `cargo xtask servers`, or the path of a server",
        },
        Flag { name: "--module", value: Some("PATH"), help: "a module built before" },
    ],
    operands: None,
    rest: None,
    run: torture,
};

/// How long it takes where nobody says otherwise, as in `cargo xtask test`.
const USUAL_LENGTH: Duration = Duration::from_secs(120);

/// How many clients attack at a time.
const CLIENTS: usize = 6;

fn torture(arguments: &Arguments) -> Result<()> {
    let minutes = arguments.number("--minutes", 1..=10_000)?;
    let seed = match arguments.value("--seed") {
        None => None,
        Some(seed) => {
            Some(seed.parse().map_err(|_| UsageError::new(format!("'{seed}' is no seed")))?)
        }
    };
    let mut required = vec![&system::C_COMPILER, &system::LIBCLANG];
    if !arguments.has("--server") {
        required.push(&system::REDIS_SERVER);
    }
    system::ensure(&required)?;
    let module = match arguments.value("--module") {
        Some(path) => std::path::absolute(path)?,
        None => module::build()?,
    };
    let server = servers::program(arguments.value("--server").unwrap_or("redis-server"))?;
    let length = minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes)));
    run(&Programs { server, module }, length.unwrap_or(USUAL_LENGTH), seed)
}

/// Tortures the module in the machine's own server for the usual time.
///
/// # Errors
/// Something did not go well; the terminal has been told where to look.
pub fn usual(module: &Path) -> Result<()> {
    let programs = Programs { server: PathBuf::from("redis-server"), module: module.to_owned() };
    run(&programs, USUAL_LENGTH, None)
}

fn run(programs: &Programs, length: Duration, seed: Option<u64>) -> Result<()> {
    let seed = seed.unwrap_or_else(random_seed);
    println!("==> torture with seed {seed} for {} seconds", length.as_secs());
    let is_interrupted = listen_for_end()?;
    let folder = ScratchFolder::new("torture")?;
    let failures = attack(programs, length, seed, &folder.0, &is_interrupted)?;
    if is_interrupted.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    if failures.is_empty() {
        return Ok(());
    }
    let kept = folder.keep();
    for failure in &failures {
        println!("==> torture: {failure}");
    }
    bail!("torture with seed {seed}: {} failures; see {}", failures.len(), kept.display())
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)
}

/// The whole torture; returns what went wrong.
fn attack(
    programs: &Programs,
    length: Duration,
    seed: u64,
    folder: &Path,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<Vec<String>> {
    let mut arena = Arena::start(programs, folder)?;
    let scripts = Scripts { may_hang: can_end_scripts(&arena)? };
    if !scripts.may_hang {
        println!("==> the module cannot end scripts: only those that end by themselves are run");
    }
    let memory = level_at_start(&arena)?;
    let run_id = arena.master.info("run_id")?;
    let scene = Scene::new(arena.master.socket.clone());

    let start = Instant::now();
    let (replies, actions) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let (scene, scripts) = (&scene, &scripts);
                    move || client::attack(scene, scripts, seed, number)
                })
            })
            .collect();
        let chaos = scope.spawn(|| chaos::reign(&scene, &arena, &scripts, seed));
        while !scene.is_over() {
            std::thread::sleep(Duration::from_millis(100));
            if start.elapsed() > length || is_interrupted.load(Ordering::Relaxed) {
                scene.end();
            }
        }
        // Clients wait for their last replies, and somebody has to end what they started.
        let actions = chaos.join().unwrap_or_default();
        while clients.iter().any(|client| !client.is_finished()) {
            if chaos::calm(&arena).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let replies: Vec<Replies> =
            clients.into_iter().map(|client| client.join().unwrap_or_default()).collect();
        (replies, actions)
    });
    print_tally("replies", sum(replies));
    print_tally("actions", actions);

    let mut failures = scene.failures();
    if !failures.is_empty() || !arena.master.is_running() {
        scene.write_last_sent(folder)?;
    }
    failures.extend(judge(&mut arena, programs, folder, &run_id, memory));
    Ok(failures)
}

/// Everything that must be true at the end; those that are not, in words.
fn judge(
    arena: &mut Arena,
    programs: &Programs,
    folder: &Path,
    run_id: &str,
    memory: u64,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut check =
        |outcome: Result<()>| failures.extend(outcome.err().map(|error| format!("{error:#}")));
    check(verdict::log_is_clean(&arena.master));
    check(verdict::log_is_clean(&arena.replica));
    if !arena.master.is_running() {
        check(Err(anyhow::anyhow!("the server has ended")));
        return failures;
    }
    if let Err(error) = chaos::calm(arena) {
        // Whatever else is asked would wait as long.
        failures.push(format!("{error:#}"));
        return failures;
    }
    let mut check =
        |outcome: Result<()>| failures.extend(outcome.err().map(|error| format!("{error:#}")));
    check(match arena.master.info("run_id") {
        Ok(now) if now == run_id => Ok(()),
        Ok(_) => Err(anyhow::anyhow!("the server was replaced")),
        Err(error) => Err(error),
    });
    check(verdict::replica_is_equal(arena));
    check(verdict::environment_is_clean(arena, programs, folder));
    check(verdict::memory_is_back(&arena.master, memory));
    failures
}

/// Whether the module can be told to end a script: it has a limit of time for them then.
fn can_end_scripts(arena: &Arena) -> Result<bool> {
    Ok(!arena.master.wire()?.text("CONFIG GET redlua.max-run-time")?.is_empty())
}

/// The memory in use once everything that stays has been made: a replica, both virtual machines.
fn level_at_start(arena: &Arena) -> Result<u64> {
    chaos::calm(arena)?;
    verdict::replica_is_equal(arena).context("before anything happened")?;
    verdict::canary(&arena.master).context("before anything happened")?;
    verdict::forget_everything(&arena.master)?;
    verdict::memory_in_use(&arena.master)
}

fn sum(all: Vec<Replies>) -> Replies {
    let mut total = Replies::new();
    for (kind, count) in all.into_iter().flatten() {
        *total.entry(kind).or_default() += count;
    }
    total
}

fn print_tally<K: std::fmt::Display>(what: &str, tally: BTreeMap<K, u64>) {
    let parts: Vec<_> = tally.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("==> {what}: {}", parts.join(", "));
}
