//! `cargo xtask servers`: servers newer than this machine's, from Debian's packages.
//!
//! Nothing is installed. The packages of a server, with the C library and the others it was linked
//! with, are unpacked under `target/servers/NAME`; a small script per program starts it by the
//! loader of those packages. Package lists are fetched into a folder of our own, so that the
//! machine's apt knows nothing of the other suites.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::module::target_dir;
use crate::options::{Arguments, UsageError, Verb};
use crate::process::{output, run};

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "servers",
    summary: "unpack newer servers under target/servers, installing nothing; by default all",
    flags: &[],
    operands: Some("NAME…"),
    rest: None,
    run: servers,
};

/// One server that can be had beside the machine's own.
pub struct Newer {
    /// What it is called here.
    pub name: &'static str,
    /// What its packages and programs begin with.
    pub flavour: &'static str,
    /// The line of versions that its name promises.
    line: &'static str,
    /// Debian's suite that has it.
    pub suite: &'static str,
}

/// Redis as it is now.
pub const REDIS_8_0: Newer =
    Newer { name: "redis-8.0", flavour: "redis", line: "8.0", suite: "trixie" };

/// Valkey with an engine that is a part of the server.
pub const VALKEY_8_1: Newer =
    Newer { name: "valkey-8.1", flavour: "valkey", line: "8.1", suite: "trixie" };

/// Valkey with an engine that is a module.
pub const VALKEY_9_1: Newer =
    Newer { name: "valkey-9.1", flavour: "valkey", line: "9.1", suite: "sid" };

/// All of them.
pub const NEWER: &[Newer] = &[REDIS_8_0, VALKEY_8_1, VALKEY_9_1];

fn servers(arguments: &Arguments) -> Result<()> {
    let mut wanted = Vec::new();
    for name in arguments.operands() {
        wanted.push(find(name).ok_or_else(|| {
            let names: Vec<_> = NEWER.iter().map(|server| server.name).collect();
            UsageError::new(format!("no server '{name}'; there are {}", names.join(", ")))
        })?);
    }
    if wanted.is_empty() {
        wanted.extend(NEWER);
    }
    let mut missing = Vec::new();
    for server in wanted {
        match server.ensure() {
            Ok(program) => println!("{}: {}", program.display(), server.version()?),
            Err(error) => {
                println!("{} is missing: {error:#}", server.name);
                missing.push(server.name);
            }
        }
    }
    if !missing.is_empty() {
        bail!("not there: {}", missing.join(", "));
    }
    Ok(())
}

/// What `--server` means: one of the names here, unpacked if it is not yet, or a program.
///
/// # Errors
/// The server of that name cannot be had.
pub fn program(name: &str) -> Result<PathBuf> {
    match find(name) {
        Some(server) => server.ensure(),
        None => Ok(name.into()),
    }
}

/// The server of that name.
pub fn find(name: &str) -> Option<&'static Newer> {
    NEWER.iter().find(|server| server.name == name)
}

impl Newer {
    /// Makes sure that the server is there, and tells the path of its program.
    ///
    /// # Errors
    /// Its packages cannot be had, or do not run on this machine.
    pub fn ensure(&self) -> Result<PathBuf> {
        let program = self.folder()?.join("bin").join(self.server_package());
        if self.version().is_ok() && program.is_file() {
            return Ok(program);
        }
        println!("==> unpacking {} from Debian's {}", self.name, self.suite);
        let folder = self.folder()?;
        // Made elsewhere and moved in place, so that what stands here is always whole.
        let scratch = folder.with_extension(format!("{}.tmp", std::process::id()));
        let outcome = self.unpack(&scratch);
        if outcome.is_ok() {
            let _ = fs::remove_dir_all(&folder);
            fs::rename(&scratch, &folder).context("cannot move the server in place")?;
        }
        let _ = fs::remove_dir_all(&scratch);
        let version = outcome?;
        println!("==> {}: {version}", self.name);
        if !self.is_promised(&version) {
            println!(
                "==> NOTE: Debian's {} has moved on: the name {} now stands for {version}",
                self.suite, self.name
            );
        }
        Ok(program)
    }

    /// What the unpacked server says of itself.
    ///
    /// # Errors
    /// It is not unpacked.
    pub fn version(&self) -> Result<String> {
        let file = self.folder()?.join("version");
        Ok(fs::read_to_string(file)?.trim().to_owned())
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(target_dir()?.join("servers").join(self.name))
    }

    fn server_package(&self) -> String {
        format!("{}-server", self.flavour)
    }

    fn is_promised(&self, version: &str) -> bool {
        version.contains(&format!("v={}.", self.line))
    }

    fn unpack(&self, folder: &Path) -> Result<String> {
        let packages = [self.server_package(), format!("{}-tools", self.flavour)];
        let apt = Apt::new(&folder.join("apt"), self.suite)?;
        let mut wanted = apt.closure(&packages)?;
        wanted.retain(|package| packages.contains(package) || is_library(package));
        let root = folder.join("root");
        fs::create_dir_all(&root)?;
        for archive in apt.download(&wanted)? {
            run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&root))?;
        }
        let programs = files(&root.join("usr/bin"), |name| name.starts_with(self.flavour))?;
        write_starters(folder, &root, &programs)?;
        fs::remove_dir_all(folder.join("apt"))?;

        let program = folder.join("bin").join(self.server_package());
        let version = output(Command::new(program).arg("--version").stderr(Stdio::null()))
            .context("the unpacked server does not run here")?;
        fs::write(folder.join("version"), &version)?;
        Ok(version.trim().to_owned())
    }
}

/// Whether a package holds libraries. The others of the closure are the base system, whose programs
/// nobody here needs, and some of them run as root whoever starts them; so do those of PAM.
fn is_library(package: &str) -> bool {
    (package.starts_with("lib") && !package.starts_with("libpam"))
        || package.starts_with("lua-")
        || package.starts_with("zlib")
}

/// Writes a script for each program that starts it by the loader and with the libraries unpacked
/// beside it. The folder may be moved: the script looks where it lies.
fn write_starters(folder: &Path, root: &Path, programs: &[PathBuf]) -> Result<()> {
    let libraries = library_folder(root)?;
    let loader = files(&libraries, |name| name.starts_with("ld-linux"))?;
    let loader = loader.first().context("the packages hold no loader")?;
    let inside = |path: &Path| path.strip_prefix(root).map(|path| path.display().to_string());
    let (libraries, loader) = (inside(&libraries)?, inside(loader)?);
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let script = format!(
            "#!/bin/sh\n\
             here=$(dirname \"$(readlink -f \"$0\")\")\n\
             root=$here/../root\n\
             exec \"$root/{loader}\" --argv0 \"$here/{name}\" --library-path \"$root/{libraries}\" \
             \"$root/usr/bin/{name}\" \"$@\"\n"
        );
        let starter = bin.join(&*name);
        fs::write(&starter, script)?;
        fs::set_permissions(&starter, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The folder of the architecture, where Debian's packages keep every library.
fn library_folder(root: &Path) -> Result<PathBuf> {
    let folders = fs::read_dir(root.join("usr/lib")).context("the packages hold no libraries")?;
    let mut folders = folders.flatten().map(|entry| entry.path());
    folders
        .find(|folder| folder.join("libc.so.6").exists())
        .context("the packages hold no C library")
}

fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("there is no {}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(&is_wanted))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_own_line_of_versions_only() {
        assert!(REDIS_8_0.is_promised("Redis server v=8.0.2 sha=00000000:0 bits=64"));
        assert!(!REDIS_8_0.is_promised("Redis server v=8.2.0 sha=00000000:0 bits=64"));
    }

    #[test]
    fn a_program_is_taken_as_it_is() {
        assert_eq!(
            program("/opt/redis/redis-server").unwrap(),
            Path::new("/opt/redis/redis-server")
        );
        assert!(find("redis-8.0").is_some() && find("redis-server").is_none());
    }

    #[test]
    fn only_libraries_are_unpacked_beside_a_server() {
        for package in ["libc6", "libgcc-s1", "zlib1g", "lua-cjson", "libssl3t64"] {
            assert!(is_library(package), "{package}");
        }
        for package in ["passwd", "libpam-modules-bin", "adduser", "debconf"] {
            assert!(!is_library(package), "{package}");
        }
    }
}
