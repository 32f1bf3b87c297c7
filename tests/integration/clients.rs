//! Client libraries and what is built on them, unmodified, on servers whose stock names lead here.
//!
//! The programs are in `tests/clients`, a folder for each language; those of this language are here.
//! What they do is what an application does; this side owns the servers and sees to it that the
//! scripts ran on the module and not on the server's own engine.

mod node;
mod python;
mod redis_rs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::doors::Scripts as _;
use crate::support::{Server, ServerBuilder};

/// Begins a server that every client can reach.
fn taken_over() -> ServerBuilder {
    Server::new().module_arg("takeover").module_arg("yes").tcp()
}

/// Checks that scripts ran on the server, and none by its own engine.
fn expect_runs(server: &Server, at_least: i64) {
    let mut client = server.client();
    let runs = client.figure("redlua_runs");
    assert!(runs >= at_least, "{runs} runs on the module");
    // The server's section has these names for its own engine.
    for figure in ["number_of_cached_scripts", "number_of_functions", "number_of_libraries"] {
        assert_eq!(client.figure(figure), 0, "{figure} of the server's own engine");
    }
    let calls = client.value(&["INFO", "COMMANDSTATS"]).text().expect("INFO answers text");
    let is_own =
        |line: &&str| line.starts_with("cmdstat_eval") || line.starts_with("cmdstat_fcall");
    let own: Vec<_> = calls.lines().filter(is_own).collect();
    assert!(own.is_empty(), "the server's own engine was called: {own:?}");
}

/// The folder of the programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where the client libraries of a language are: under the folder that `REDLUA_CLIENTS` names, or
/// under `target`. They are installed unless they are there.
fn installed(language: &str) -> PathBuf {
    let folder = std::env::var_os("REDLUA_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"),
        PathBuf::from,
    );
    let folder = folder.join(language);
    let script = programs().join("install.sh");
    let status = Command::new("sh").arg(script).arg(language).arg(&folder).status();
    assert!(status.is_ok_and(|status| status.success()), "no client libraries for {language}");
    folder
}

/// Runs a program to its end, and `answer`s what it requests meanwhile.
///
/// Each program ends by itself when it hangs.
fn run(command: &mut Command, mut answer: impl FnMut(&str)) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut input = child.stdin.take().expect("a pipe");
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        match line.strip_prefix("request: ") {
            Some(request) => {
                answer(request);
                // A program that ended meanwhile tells why by its exit code.
                let _ = writeln!(input, "done");
            }
            None => println!("{line}"),
        }
    }
    let status = child.wait().expect("it is our own child");
    assert!(status.success(), "{command:?}: {status}");
}

/// Answers for programs that have nothing to request.
fn nothing(request: &str) {
    panic!("what is {request:?}?");
}
