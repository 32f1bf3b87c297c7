//! `cargo xtask test`: every check of the project, in the order in which a failure is cheapest.
//!
//! The last line is always `N passed, N failed` alone, summed over what the test programs report, so
//! that a machine can read the outcome. A step that fails before the tests counts as one failure.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clients;
use crate::conformance::{self, Suite};
use crate::module;
use crate::options::{Arguments, Verb};
use crate::process::{cannot_start, cargo, ending, line, run};
use crate::servers::{Newer, REDIS_8_0, VALKEY_8_1, VALKEY_9_1};
use crate::system;
use crate::torture;

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "test",
    summary: "install what is missing, then run every check: format, lints, docs, build, tests",
    flags: &[],
    operands: None,
    rest: None,
    run: test,
};

/// The topics of the integration tests where newer servers behave so differently from the oldest
/// that they are tried every time: long runs on Redis, and on Valkey, which is like it there, what the
/// server says of commands and refuses.
const ON_NEWER_SERVERS: [(Newer, &[&str]); 3] = [
    (REDIS_8_0, &["busy::", "command_docs::", "limits::"]),
    (VALKEY_8_1, SERVERS_SAY),
    (VALKEY_9_1, SERVERS_SAY),
];
const SERVERS_SAY: &[&str] =
    &["cluster::", "command_docs::", "commands::", "debug::", "refusals::", "takeover::"];

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// The checks ran, and some of them failed; the terminal has been told.
#[derive(Debug)]
pub struct ChecksFailed;

impl fmt::Display for ChecksFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the checks did not pass")
    }
}

impl std::error::Error for ChecksFailed {}

fn test(_: &Arguments) -> Result<()> {
    let start = Instant::now();
    let (mut tally, mut skipped) = (Tally::default(), Vec::new());
    let outcome = all_steps(&mut tally, &mut skipped);
    if outcome.is_err() && tally.failed == 0 {
        tally.failed = 1;
    }
    for reason in skipped {
        println!("\n==> skipped: {reason}");
    }
    match &outcome {
        Ok(()) => println!("\n==> everything passed in {}", seconds(start.elapsed())),
        Err(error) => println!("\n==> FAILED: {error:#}"),
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    outcome.map_err(|_| ChecksFailed.into())
}

fn all_steps(tally: &mut Tally, skipped: &mut Vec<String>) -> Result<()> {
    step("system packages", || {
        system::ensure(&[
            &system::C_COMPILER,
            &system::LIBCLANG,
            &system::REDIS_SERVER,
            &system::REDIS_CLI,
            &system::PYTHON,
        ])
    })?;
    let mut arguments = vec!["--workspace", "--no-fail-fast", "--"];
    let libraries = step("client libraries", || {
        for language in &clients::LANGUAGES {
            // A machine without the language or without a network is no fault of the project.
            if let Err(error) = language.install() {
                skipped.push(format!("{}: {error:#}", language.tests));
                arguments.extend(["--skip", language.tests]);
            }
        }
        clients::folder()
    })?;
    step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("lints", || {
        run(cargo()
            .args(["clippy", "--workspace", "--all-targets", "--"])
            .args(["--deny", "warnings"]))?;
        // What only fuzz targets use; the fuzzer itself is not needed for that.
        run(cargo()
            .args(["check", "--package", "redlua", "--lib"])
            .env("RUSTFLAGS", "--cfg fuzzing")
            .env("CARGO_TARGET_DIR", module::target_dir()?.join("fuzzing")))
    })?;
    step("docs", || {
        run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    let module = step("build", module::build)?;
    let tests = |words: &[&str]| {
        let mut command = cargo();
        command.arg("test").args(words);
        command.env("REDLUA_MODULE", &module).env("REDLUA_CLIENTS", &libraries);
        command
    };
    step("tests", || run_tests(&mut tests(&arguments), tally))?;
    for (newer, topics) in &ON_NEWER_SERVERS {
        let name = format!("tests on {}", newer.name);
        match newer.ensure() {
            Ok(server) => step(&name, || {
                let mut command = tests(&["--package", "redlua", "--test", "integration", "--"]);
                command.args(*topics).env("REDLUA_SERVER", server);
                run_tests(&mut command, tally)
            })?,
            // Debian's packages are not everywhere, and are no fault of the project.
            Err(error) => skipped.push(format!("{name}: {error:#}")),
        }
    }
    step("torture", || {
        let outcome = torture::usual(&module);
        let count = if outcome.is_ok() { &mut tally.passed } else { &mut tally.failed };
        *count += 1;
        outcome
    })?;
    step("the server's own tests", || server_tests(&module, tally, skipped))
}

/// Runs those of the server's own tests that use scripts, with the module in the place of its engine.
fn server_tests(module: &Path, tally: &mut Tally, skipped: &mut Vec<String>) -> Result<()> {
    let suite = system::ensure(&conformance::REQUIREMENTS).and_then(|()| Suite::ensure(None));
    let suite = match suite {
        Ok(suite) => suite,
        // As above.
        Err(error) => {
            skipped.push(format!("the server's own tests: {error:#}"));
            return Ok(());
        }
    };
    let summary = match conformance::check_scripts(&suite, module) {
        Ok(summary) => summary,
        // The server alone did not get through them on this machine, so nothing is known of the module.
        Err(error) => {
            skipped.push(format!("the server's own tests: {error:#}"));
            return Ok(());
        }
    };
    println!("{}", summary.line(&suite));
    tally.passed += summary.passed as u64;
    tally.failed += summary.faults.len() as u64;
    if !summary.faults.is_empty() {
        bail!("{} of the server's own tests", summary.faults.len());
    }
    Ok(())
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n==> {name}");
    let start = Instant::now();
    let value = work().with_context(|| format!("the step '{name}'"))?;
    println!("==> {name}: done in {}", seconds(start.elapsed()));
    Ok(value)
}

/// Runs the test programs, shows what they print, and adds up their results.
fn run_tests(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let what = line(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let output = child.stdout.take().context("the tests have no output")?;
    copy_and_count(BufReader::new(output), std::io::stdout(), tally)?;
    let status = child.wait()?;
    if !status.success() {
        // A test program that died has no result line of its own.
        tally.failed = tally.failed.max(1);
        bail!("{what} failed: {}", ending(status));
    }
    if tally.passed == 0 {
        bail!("{what} ran no test");
    }
    Ok(())
}

fn copy_and_count(
    mut reader: impl BufRead,
    mut writer: impl Write,
    tally: &mut Tally,
) -> Result<()> {
    let mut bytes = Vec::new();
    // Bytes and not text: a test that fails on strange bytes may print them.
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        writer.write_all(&bytes)?;
        if let Some(found) = result_line(&String::from_utf8_lossy(&bytes)) {
            tally.passed += found.passed;
            tally.failed += found.failed;
        }
        bytes.clear();
    }
    Ok(())
}

/// Reads the line with which the test harness ends each test program.
fn result_line(text: &str) -> Option<Tally> {
    let rest = text.trim().strip_prefix("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    let mut words = counts.split([' ', ';']).filter(|word| !word.is_empty());
    let passed = words.next()?.parse().ok()?;
    if words.next()? != "passed" {
        return None;
    }
    let failed = words.next()?.parse().ok()?;
    Some(Tally { passed, failed })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_everything_is_shown() {
        let output = b"running 2 tests\n\xff\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: nonsense\nlast line without an end";
        let (mut shown, mut tally) = (Vec::new(), Tally::default());
        copy_and_count(&output[..], &mut shown, &mut tally).unwrap();
        assert_eq!(shown, output);
        assert_eq!(tally, Tally { passed: 7, failed: 3 });
    }

    #[test]
    fn a_failing_test_program_counts_even_without_a_result_line() {
        let mut tally = Tally::default();
        let outcome = run_tests(Command::new("sh").args(["-c", "exit 101"]), &mut tally);
        assert!(outcome.is_err());
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        assert!(run_tests(&mut Command::new("true"), &mut Tally::default()).is_err());
    }

    #[test]
    fn a_failing_step_names_itself() {
        let outcome: Result<()> = step("lints", || bail!("too long"));
        assert_eq!(format!("{:#}", outcome.expect_err("fails")), "the step 'lints': too long");
    }
}
