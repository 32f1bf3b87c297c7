//! A client library as applications use it, on the names of this module.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Server;

/// The release of the client library that is fetched when no environment is given.
const REDIS_PY: &str = "redis==5.2.1";

/// A Python with the client library: the one `REDLUA_PYTHON` names, or one made under `target`.
fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("REDLUA_PYTHON") {
        return path.into();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py");
    let python = folder.join("bin/python");
    if succeeds(Command::new(&python).args(["-c", "import redis"])) {
        return python;
    }
    let interpreters = ["python3", "/usr/bin/python3"];
    let usable = |name: &&str| succeeds(Command::new(name).args(["-c", "import venv, ensurepip"]));
    let interpreter = interpreters.into_iter().find(usable);
    let interpreter = interpreter.expect("a Python 3 that can make environments");
    expect_success(Command::new(interpreter).args(["-m", "venv", "--clear"]).arg(&folder));
    expect_success(Command::new(&python).args(["-m", "pip", "install", "--quiet", REDIS_PY]));
    python
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn expect_success(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn redis_py_loads_runs_misses_and_reloads_scripts() {
    let server = Server::new().tcp().start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/redis_py.py");
    expect_success(
        Command::new(python()).arg(script).arg(server.socket()).arg(server.port().to_string()),
    );
}
