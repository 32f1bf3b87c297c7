//! `cargo xtask conformance`: the server's own tests, with the module in the place of its engine.
//!
//! The measure is the same server without the module, on the same machine: every test that passes
//! there must pass with `takeover yes`, but for those in `conformance-skips.txt`, which name what no
//! module can do. One of those that passes is a failure too, so that the list stays true.

mod outcomes;
mod ports;
mod skips;
mod suite;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::module;
use crate::options::{Arguments, Flag, UsageError, Verb};
use crate::process::{cannot_start, ending};
use crate::server::ScratchFolder;
use crate::system;
use outcomes::Outcomes;
use ports::Ports;
use skips::Skip;
pub use suite::Suite;

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "conformance",
    summary: "run a server's own tests with the module in the place of its script engine",
    flags: &[
        Flag {
            name: "--server",
            value: Some("NAME"),
            help: "one of `cargo xtask servers` (default: the installed redis-server)",
        },
        Flag {
            name: "--suite",
            value: Some("FILE"),
            help: "a file of tests such as unit/scripting; may be repeated (default: all that use scripts)",
        },
        Flag {
            name: "--module",
            value: Some("PATH"),
            help: "another build of the module (default: the release build)",
        },
        Flag { name: "--jobs", value: Some("N"), help: "files at a time (default: 2)" },
    ],
    operands: None,
    rest: None,
    run: conformance,
};

/// What must be on the machine.
pub const REQUIREMENTS: [&system::Requirement; 2] = [&system::TCL, &system::SOURCE_TOOLS];

/// The files that use scripts, of all servers. `cargo xtask test` runs the first part.
const SCRIPTS: &[&str] = &[
    "unit/scripting",
    "integration/replication-4",
    "integration/aof",
    "unit/introspection",
    "unit/introspection-2",
    "unit/other",
    "integration/redis-cli",
    "integration/valkey-cli",
    "integration/rdb",
    "unit/functions",
    "unit/multi",
    "unit/cluster/scripting",
    "unit/cluster-scripting",
    "unit/acl",
    "unit/acl-v2",
    "unit/pause",
    "unit/tracking",
    "unit/slowlog",
    "unit/info",
];
const MORE: &[&str] = &[
    "integration/replication",
    "integration/block-repl",
    "unit/maxmemory",
    "unit/memefficiency",
    "unit/aofrw",
    "unit/expire",
    "unit/cluster",
    "unit/cluster/cli",
    "unit/cluster/misc",
    "unit/cluster/multi-slot-operations",
    "unit/cluster/sharded-pubsub",
    "unit/cluster/slot-stats",
    "unit/cluster/cluster-response-tls",
    "unit/cluster/manual-failover",
    "unit/latency-monitor",
    "unit/querybuf",
    "unit/oom-score-adj",
    "unit/client-eviction",
    "unit/commandlog",
    "unit/wait",
    "unit/auth",
    "unit/violations",
    "unit/lazyfree",
    "unit/dump",
];

/// Seconds without news after which the tests' helper gives a file up.
const PATIENCE: &str = "180";

/// What the helper prints when all tests have been tried, or given up.
const LAST_WORDS: &str = "The End";

/// What came out.
#[derive(Debug, Default)]
pub struct Summary {
    /// Tests that pass without the module.
    pub total: usize,
    /// Of those, the ones that pass with it.
    pub passed: usize,
    /// Of those, the ones that are known not to.
    pub skipped: usize,
    /// What was not as it should be, a line each.
    pub faults: Vec<String>,
}

fn conformance(arguments: &Arguments) -> Result<()> {
    let jobs = arguments.number("--jobs", 1..=8)?.unwrap_or(2);
    let server = arguments.value("--server");
    let mut required = REQUIREMENTS.to_vec();
    if server.is_none() {
        required.extend([&system::REDIS_SERVER, &system::REDIS_CLI]);
    }
    let module = arguments.value("--module").map(PathBuf::from);
    if module.is_none() {
        required.extend([&system::C_COMPILER, &system::LIBCLANG]);
    }
    system::ensure(&required)?;
    let module = module.map_or_else(module::build, |path| Ok(path.canonicalize()?))?;
    let suite = Suite::ensure(server)?;
    let chosen: Vec<&str> = arguments.values("--suite").collect();
    if let Some(unknown) = chosen.iter().find(|file| !suite.has(file)) {
        return Err(UsageError::new(format!("{} has no tests {unknown}", suite.name)).into());
    }
    let files = if chosen.is_empty() { [SCRIPTS, MORE].concat() } else { chosen };
    let summary = check(&suite, &files, &module, jobs as usize)?;
    println!("{}", summary.line(&suite));
    if !summary.faults.is_empty() {
        bail!("{} tests of {} are not as they should be", summary.faults.len(), suite.name);
    }
    Ok(())
}

/// Runs the tests that use scripts most.
///
/// # Errors
/// They cannot be run; tests that fail are in the summary.
pub fn check_scripts(suite: &Suite, module: &Path) -> Result<Summary> {
    check(suite, SCRIPTS, module, 2)
}

fn check(suite: &Suite, files: &[&str], module: &Path, jobs: usize) -> Result<Summary> {
    let files: Vec<&str> = files.iter().copied().filter(|file| suite.has(file)).collect();
    let skips = skips::of(&suite.name).context("conformance-skips.txt")?;
    let runner = Runner { suite, module, skips: &skips };
    fs::create_dir_all(suite.baseline())?;
    fs::create_dir_all(suite.results())?;
    let missing = files.iter().filter(|file| !log(&suite.baseline(), file).exists());
    let stock = missing.map(|file| Job { file, with_module: false });
    let ours = files.iter().map(|file| Job { file, with_module: true });
    let scratch = ScratchFolder::new("conformance")?;
    runner.run_all(stock.chain(ours).collect(), jobs, &scratch.0)?;

    let mut results = Vec::new();
    for file in &files {
        let read = |folder| Ok::<_, anyhow::Error>(Outcomes::read(&fs::read(log(folder, file))?));
        results.push((*file, read(&suite.baseline())?, read(&suite.results())?));
    }
    let mut summary = Summary::default();
    for (file, stock, mut ours) in results {
        let skips = runner.skips_of(file);
        let mut comparison = Comparison::of(&stock, &ours, &skips);
        // A machine that is busy fails tests that count seconds.
        if !comparison.failed.is_empty() {
            println!("==> once more: {file}");
            let worker = scratch.0.join(format!("again-{}", file.replace('/', "-")));
            suite.lay_out(&worker)?;
            runner.run(&Job { file, with_module: true }, &worker, &Ports::claim()?)?;
            ours.add_passed(&Outcomes::read(&fs::read(log(&suite.results(), file))?));
            comparison = Comparison::of(&stock, &ours, &skips);
        }
        println!("{file}: {}", comparison.line());
        summary.add(file, comparison);
    }
    Ok(summary)
}

/// Where the output of a file of tests is.
fn log(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!("{}.log", file.replace('/', "_")))
}

/// One file to run, with the module or without.
struct Job<'a> {
    file: &'a str,
    with_module: bool,
}

struct Runner<'a> {
    suite: &'a Suite,
    module: &'a Path,
    skips: &'a [Skip],
}

impl Runner<'_> {
    fn skips_of(&self, file: &str) -> Vec<&Skip> {
        self.skips.iter().filter(|skip| skip.file == file).collect()
    }

    /// Runs all jobs, so many at a time.
    fn run_all(&self, jobs: VecDeque<Job<'_>>, workers: usize, scratch: &Path) -> Result<()> {
        let jobs = Mutex::new(jobs);
        let next = || jobs.lock().ok().and_then(|mut jobs| jobs.pop_front());
        let work = |worker: usize| -> Result<()> {
            let folder = scratch.join(format!("{worker}"));
            self.suite.lay_out(&folder)?;
            let ports = Ports::claim()?;
            while let Some(job) = next() {
                self.run(&job, &folder, &ports)?;
            }
            Ok(())
        };
        let work = &work;
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            for thread in threads {
                thread.join().map_err(|_| anyhow!("a worker failed"))??;
            }
            Ok(())
        })
    }

    /// Runs one file of tests.
    fn run(&self, job: &Job<'_>, folder: &Path, ports: &Ports) -> Result<()> {
        let skipped = folder.join("skipped");
        let hanging = self.skips_of(job.file).into_iter().filter(|it| job.with_module && it.hangs);
        let names: Vec<&str> = hanging.map(|skip| skip.test.as_str()).collect();
        fs::write(&skipped, names.join("\n"))?;
        let mut command = Command::new("tclsh");
        command.arg("tests/test_helper.tcl").current_dir(folder);
        // What a test did not expect shall not end the others of the file.
        command.args(["--durable", "--clients", "1", "--timeout", PATIENCE, "--single", job.file]);
        command.args(ports.arguments());
        command.arg("--skipfile").arg(&skipped);
        let results = if job.with_module {
            command.env(suite::MODULE_VARIABLE, self.module);
            self.suite.results()
        } else {
            command.env_remove(suite::MODULE_VARIABLE);
            self.suite.baseline()
        };
        let what = if job.with_module { "with the module" } else { "without" };
        println!("==> {} {what}", job.file);
        // Seen as a whole or not at all: what the baseline has is not run again.
        let partial = folder.join("output");
        let output = fs::File::create(&partial)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Tests that fail are seen in what it prints.
        let status = command.status().with_context(|| cannot_start(&command))?;
        let is_whole = String::from_utf8_lossy(&fs::read(&partial)?).contains(LAST_WORDS);
        if !is_whole && !job.with_module {
            bail!("the tests {} did not come to an end: {}", job.file, ending(status));
        }
        fs::copy(partial, log(&results, job.file))?;
        Ok(())
    }
}

/// The tests of one file, without the module and with it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Comparison {
    total: usize,
    passed: usize,
    skipped: usize,
    /// Tests that are not listed and fail.
    failed: Vec<String>,
    /// Tests that are listed and pass.
    stale: Vec<String>,
}

impl Comparison {
    fn of(stock: &Outcomes, ours: &Outcomes, skips: &[&Skip]) -> Self {
        let mut comparison = Self::default();
        for (name, expected) in stock.passed() {
            let passed = ours.passed_as(name).min(expected);
            let missed = expected - passed;
            comparison.total += expected;
            comparison.passed += passed;
            let skip = skips.iter().find(|skip| skip.test == name);
            match skip {
                Some(skip) if missed == 0 && !skip.hangs => comparison.stale.push(name.to_owned()),
                Some(_) => comparison.skipped += missed,
                None if missed > 0 => comparison.failed.push(name.to_owned()),
                None => {}
            }
        }
        comparison
    }

    fn line(&self) -> String {
        let mut line = format!("{}/{} passed", self.passed, self.total);
        for (count, what) in [
            (self.skipped, "skipped"),
            (self.failed.len(), "FAILED"),
            (self.stale.len(), "listed and passed"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line
    }
}

impl Summary {
    fn add(&mut self, file: &str, comparison: Comparison) {
        self.total += comparison.total;
        self.passed += comparison.passed;
        self.skipped += comparison.skipped;
        let failed = comparison.failed.iter().map(|name| format!("{file}: failed: {name}"));
        let stale = comparison.stale.iter();
        let stale = stale.map(|name| format!("{file}: passes, but is listed: {name}"));
        self.faults.extend(failed.chain(stale));
    }

    /// The faults, and the count.
    pub fn line(&self, suite: &Suite) -> String {
        let mut text = String::new();
        for fault in &self.faults {
            text.push_str(fault);
            text.push('\n');
        }
        let share = self.passed as f64 * 100.0 / self.total.max(1) as f64;
        text.push_str(&format!(
            "{}: of {} tests that pass without the module {} pass with it ({share:.1} %), {} are known not to",
            suite.name, self.total, self.passed, self.skipped
        ));
        if !self.faults.is_empty() {
            text.push_str(&format!("; the output is in {}", suite.results().display()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_tells_failures_skips_and_stale_entries_apart() {
        let stock = Outcomes::read(
            b"[ok]: a (1 ms)\n[ok]: a (1 ms)\n[ok]: b (1 ms)\n[ok]: c (1 ms)\n\
            [ok]: d (1 ms)\n[err]: e in tests/x.tcl\n",
        );
        let ours = Outcomes::read(
            b"[ok]: a (1 ms)\n[err]: a in tests/x.tcl\n[ok]: c (1 ms)\n\
            [skip]: d\n[ok]: e (1 ms)\n",
        );
        let skips = skips::parse("[r]\n* f b\n* f c\nhangs * f d\n").unwrap();
        let comparison = Comparison::of(&stock, &ours, &skips.iter().collect::<Vec<_>>());
        assert_eq!(
            comparison,
            Comparison {
                total: 5,
                passed: 2,
                skipped: 2,
                failed: vec!["a".to_owned()],
                stale: vec!["c".to_owned()],
            }
        );
        assert_eq!(comparison.line(), "2/5 passed, 2 skipped, 1 FAILED, 1 listed and passed");
    }
}
