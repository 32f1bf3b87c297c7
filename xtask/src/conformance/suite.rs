//! The tests of a server: fetched with its source package, and laid out so that they start it.
//!
//! Nothing of it is part of this project or changed: the package is Debian's, of exactly the version
//! of the server, and what the tests take for the server they were built with is a script that
//! starts the one under test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::module::target_dir;
use crate::options::UsageError;
use crate::process::{find_program, output, run};
use crate::servers;

/// What the tests of all servers call beside the server itself.
const TOOLS: [&str; 4] = ["cli", "benchmark", "check-aof", "check-rdb"];

/// A server with the tests of its source package.
pub struct Suite {
    /// Flavour and line: `redis-7.0`.
    pub name: String,
    /// What the server says of itself.
    pub version: String,
    /// What packages and programs begin with.
    flavour: &'static str,
    /// The program.
    server: PathBuf,
    /// Where all of this is kept.
    folder: PathBuf,
}

impl Suite {
    /// Makes sure that the tests of a server are there: of the one that is installed, or of one of
    /// `cargo xtask servers`.
    ///
    /// # Errors
    /// There is no such server, or its source package cannot be had.
    pub fn ensure(server: Option<&str>) -> Result<Self> {
        let (flavour, release, program) = match server {
            None => {
                let program = find_program("redis-server").context("there is no redis-server")?;
                ("redis", this_release()?, program)
            }
            Some(name) => {
                let newer = servers::find(name).ok_or_else(|| {
                    UsageError::new(format!("'{name}' is not a server of `cargo xtask servers`"))
                })?;
                (newer.flavour, newer.suite.to_owned(), newer.ensure()?)
            }
        };
        let version = output(Command::new(&program).arg("--version"))?.trim().to_owned();
        let number = number(&version).with_context(|| format!("no version in '{version}'"))?;
        let line = number.rsplit_once('.').map_or(number, |(line, _)| line);
        let name = format!("{flavour}-{line}");
        let folder = target_dir()?.join("conformance").join(&name);
        let suite = Self { name, flavour, server: program, folder, version: version.clone() };
        if !suite.is_of(&version) {
            println!("==> unpacking the tests of {} {number} from Debian's {release}", suite.name);
            suite.unpack(&release, number)?;
        }
        Ok(suite)
    }

    /// Where results of the server without the module are kept.
    pub fn baseline(&self) -> PathBuf {
        self.folder.join("stock")
    }

    /// Where the output of the last run with the module is kept.
    pub fn results(&self) -> PathBuf {
        self.folder.join("module")
    }

    /// Whether there is a file of tests of that name.
    pub fn has(&self, file: &str) -> bool {
        self.source().join("tests").join(format!("{file}.tcl")).is_file()
    }

    /// Lays out a copy of the tests in `folder`, which must be new, with the programs they start.
    ///
    /// Each process needs its own: the tests keep the data of their servers below them, and clean up
    /// what they find there.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn lay_out(&self, folder: &Path) -> Result<()> {
        let source = self.source();
        let programs = folder.join("src");
        fs::create_dir_all(&programs)?;
        run(Command::new("cp").arg("-R").arg(source.join("tests")).arg(folder.join("tests")))?;
        for entry in fs::read_dir(&source)?.flatten() {
            let name = entry.file_name();
            if name != "tests" && name != "src" {
                symlink(entry.path(), folder.join(name))?;
            }
        }
        let beside = self.server.parent().unwrap_or(Path::new("/"));
        for tool in TOOLS {
            let name = format!("{}-{tool}", self.flavour);
            let program = beside.join(&name);
            if program.is_file() {
                symlink(program, programs.join(name))?;
            }
        }
        let server = programs.join(format!("{}-server", self.flavour));
        fs::write(&server, starter(&self.server))?;
        fs::set_permissions(&server, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// Whether the tests of that version are there.
    fn is_of(&self, version: &str) -> bool {
        fs::read_to_string(self.folder.join("version")).is_ok_and(|text| text.trim() == version)
            && self.source().is_dir()
    }

    fn unpack(&self, release: &str, number: &str) -> Result<()> {
        // Made elsewhere and moved in place, so that what stands here is always whole.
        let scratch = self.folder.with_extension(format!("{}.tmp", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let fetch = || {
            let apt = Apt::of_sources(&scratch.join("apt"), release)?;
            apt.source(self.flavour, number, &scratch.join("source"))?;
            fs::remove_dir_all(scratch.join("apt"))?;
            fs::write(scratch.join("version"), &self.version)?;
            let _ = fs::remove_dir_all(&self.folder);
            fs::rename(&scratch, &self.folder).context("cannot move the tests in place")
        };
        let outcome = fetch();
        let _ = fs::remove_dir_all(&scratch);
        outcome
    }
}

/// The environment variable by which the tests' server knows the module it is to load.
pub const MODULE_VARIABLE: &str = "REDLUA_CONFORMANCE_MODULE";

/// A program that starts the server under test, with the module if the environment names it.
///
/// The module goes into the configuration file, which the tests make for each server: arguments are
/// what some tests are about. A file that has it already is that of a server started again.
fn starter(server: &Path) -> String {
    let server = server.display();
    format!(
        "#!/bin/sh\n\
         module=${MODULE_VARIABLE}\n\
         if [ -n \"$module\" ] && [ -f \"$1\" ] && ! grep -qF \"$module\" \"$1\"; then\n  \
         printf '\\nloadmodule \"%s\" takeover yes\\n' \"$module\" >> \"$1\"\n\
         fi\n\
         exec \"{server}\" \"$@\"\n"
    )
}

/// The name of the Debian release that this machine runs.
fn this_release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("this is no Debian")?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    if value("ID=") != Some("debian") {
        bail!("this machine does not run Debian, whose source packages have the tests");
    }
    let name = value("VERSION_CODENAME=").context("this release of Debian has no name")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The number in what a server says of its version.
fn number(version: &str) -> Option<&str> {
    version.split_whitespace().find_map(|word| word.strip_prefix("v="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_version_is_found() {
        assert_eq!(number("Redis server v=7.0.15 sha=00000000:0 bits=64"), Some("7.0.15"));
        assert_eq!(number("Redis server"), None);
    }

    #[test]
    fn the_starter_loads_the_module_once_and_only_when_asked() {
        let folder = std::env::temp_dir().join(format!("redlua-starter-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (script, config) = (folder.join("start"), folder.join("redis.conf"));
        fs::write(&script, starter(Path::new("/bin/cat"))).unwrap();
        fs::write(&config, "port 1").unwrap();
        let start = |module: &str| {
            let mut command = Command::new("sh");
            output(command.arg(&script).arg(&config).env(MODULE_VARIABLE, module)).unwrap()
        };
        assert_eq!(start(""), "port 1");
        let loaded = "port 1\nloadmodule \"/m.so\" takeover yes\n";
        assert_eq!(start("/m.so"), loaded);
        assert_eq!(start("/m.so"), loaded);
        fs::remove_dir_all(folder).unwrap();
    }
}
