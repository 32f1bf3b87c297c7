//! The Python environment for tests that use a client library.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::module::target_dir;
use crate::process::{run, succeeds};

/// The client library the tests use.
const REDIS_PY: &str = "redis>=5,<9";

/// A Python that can make virtual environments.
///
/// The first `python3` of the path may be one without `venv`; Debian's own gets it by a package.
pub fn interpreter() -> Option<&'static str> {
    let may_make_environments =
        |python: &&str| succeeds(Command::new(python).args(["-c", "import venv, ensurepip"]));
    ["python3", "/usr/bin/python3"].into_iter().find(may_make_environments)
}

/// Makes sure that a Python with redis-py is under the target folder, and tells its path.
///
/// # Errors
/// The environment cannot be made, or the package cannot be fetched.
pub fn environment() -> Result<PathBuf> {
    let folder = target_dir()?.join("py");
    let python = folder.join("bin/python");
    if succeeds(Command::new(&python).args(["-c", "import redis"])) {
        return Ok(python);
    }
    let Some(interpreter) = interpreter() else { bail!("there is no Python 3 with venv") };
    run(Command::new(interpreter).args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", REDIS_PY]))
        .context("cannot fetch redis-py; is there a network?")?;
    Ok(python)
}
