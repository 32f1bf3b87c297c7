//! The client libraries of other languages, which tests use as applications do.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::module::{target_dir, top};
use crate::process::run;
use crate::system::{self, Requirement};

/// A language whose client libraries `tests/clients/install.sh` installs.
pub struct Language {
    /// What the script calls it.
    name: &'static str,
    /// What runs its programs.
    needs: &'static Requirement,
    /// The tests that cannot run without its libraries.
    pub tests: &'static str,
}

/// Every language there are tests in, apart from this one.
pub const LANGUAGES: [Language; 2] = [
    Language { name: "python", needs: &system::PYTHON, tests: "clients::python" },
    Language { name: "node", needs: &system::NODE, tests: "clients::node" },
];

impl Language {
    /// Makes sure that the libraries are under the target folder.
    ///
    /// # Errors
    /// The language is not on this machine, or the libraries cannot be fetched.
    pub fn install(&self) -> Result<()> {
        system::ensure(&[self.needs])?;
        let script = top().join("tests/clients/install.sh");
        run(Command::new("sh").arg(script).arg(self.name).arg(folder()?.join(self.name)))
            .with_context(|| format!("no libraries for {}; is there a network?", self.name))
    }
}

/// Where the libraries are, a folder for each language.
///
/// # Errors
/// The target folder is unknown.
pub fn folder() -> Result<PathBuf> {
    Ok(target_dir()?.join("clients"))
}
