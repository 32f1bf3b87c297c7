//! What the machine must have, and installing what it lacks.
//!
//! Only the finding is here. `install-packages.sh` beside this folder installs: it needs root, and
//! a user without it can read and type the same line that is run here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process::{find_program, run, succeeds};

/// One thing that must be on the machine.
pub struct Requirement {
    /// What it is, in words.
    pub what: &'static str,
    /// The Debian packages that bring it.
    pub packages: &'static [&'static str],
    /// Whether it is there.
    pub is_present: fn() -> bool,
}

/// Links Rust programs and compiles the Lua sources.
pub const C_COMPILER: Requirement = Requirement {
    what: "a C compiler with the C library's headers",
    packages: &["gcc", "libc6-dev"],
    is_present: has_c_compiler,
};

/// Reads the module API's header at build time.
pub const LIBCLANG: Requirement = Requirement {
    what: "libclang with its headers",
    packages: &["libclang-dev"],
    is_present: has_libclang,
};

/// Loads the module.
pub const REDIS_SERVER: Requirement = Requirement {
    what: "redis-server",
    packages: &["redis-server"],
    is_present: || find_program("redis-server").is_some(),
};

/// Talks to the server.
pub const REDIS_CLI: Requirement = Requirement {
    what: "redis-cli",
    packages: &["redis-tools"],
    is_present: || find_program("redis-cli").is_some(),
};

/// Runs the tests that use a client library.
pub const PYTHON: Requirement = Requirement {
    what: "Python 3 with venv",
    packages: &["python3", "python3-venv"],
    is_present: has_python,
};

/// The same for those in JavaScript.
pub const NODE: Requirement = Requirement {
    what: "Node 18 or newer with npm",
    packages: &["nodejs", "npm"],
    is_present: has_node,
};

/// Runs the tests of a server's source package.
pub const TCL: Requirement = Requirement {
    what: "tclsh",
    packages: &["tcl"],
    is_present: || find_program("tclsh").is_some(),
};

/// Unpacks source packages.
pub const SOURCE_TOOLS: Requirement = Requirement {
    what: "dpkg-source",
    packages: &["dpkg-dev"],
    is_present: || find_program("dpkg-source").is_some(),
};

/// Counts instructions.
pub const VALGRIND: Requirement = Requirement {
    what: "valgrind",
    packages: &["valgrind"],
    is_present: || find_program("valgrind").is_some() && find_program("vgdb").is_some(),
};

/// Makes sure that everything required is there, and installs what is not.
///
/// # Errors
/// Something is missing and this user may not install it: the line to type is on the terminal then.
pub fn ensure(requirements: &[&Requirement]) -> Result<()> {
    let missing = missing(requirements);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|requirement| requirement.what).collect();
    println!("==> this machine lacks {}", names.join(", "));
    let script = crate::module::top().join("xtask/install-packages.sh");
    let packages = missing.iter().flat_map(|requirement| requirement.packages);
    // The script has said why it stopped and what to type; the command line would only repeat it.
    if run(Command::new("sh").arg(script).args(packages)).is_err() {
        bail!("not installed: {}", names.join(", "));
    }
    let missing = self::missing(requirements);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|requirement| requirement.what).collect();
        bail!("the packages were installed, but these are still not found: {}", names.join(", "));
    }
    Ok(())
}

fn missing<'a>(requirements: &[&'a Requirement]) -> Vec<&'a Requirement> {
    requirements.iter().copied().filter(|requirement| !(requirement.is_present)()).collect()
}

/// A compiler without the C library's headers passes `cc --version` and fails the build much later.
fn has_c_compiler() -> bool {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let child = Command::new(compiler)
        .args(["-E", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut input) = child.stdin.take() {
        // A compiler that does not read says so by its exit code.
        let _ = input.write_all(b"#include <stdio.h>\n");
    }
    child.wait().is_ok_and(|status| status.success())
}

/// The first `python3` of the path may be one without `venv`; Debian's own gets it by a package.
fn has_python() -> bool {
    let may_make_environments =
        |python: &str| succeeds(Command::new(python).args(["-c", "import venv, ensurepip"]));
    ["python3", "/usr/bin/python3"].into_iter().any(may_make_environments)
}

fn has_node() -> bool {
    let is_new = "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)";
    find_program("npm").is_some() && succeeds(Command::new("node").args(["-e", is_new]))
}

/// Bindgen loads the library when it runs and needs Clang's own headers beside it.
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let folders = library_folders();
    let has_library = folders.iter().any(|folder| {
        entries(folder).iter().any(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libclang.so") || (name.starts_with("libclang-") && is_shared(&name))
        })
    });
    let has_headers = folders.iter().flat_map(|folder| entries(&folder.join("clang"))).any(
        // Some distributions keep only the runtime library in a folder of this shape.
        |version| version.join("include/stddef.h").is_file(),
    );
    has_library && has_headers
}

fn is_shared(name: &str) -> bool {
    // `libclang-cpp.so` is the C++ library, which is not what bindgen loads.
    name.contains(".so") && !name.starts_with("libclang-cpp")
}

/// The folders where distributions put shared libraries, LLVM's own ones included.
fn library_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for base in ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new) {
        folders.push(base.to_owned());
        for entry in entries(base) {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.contains("-linux-") {
                folders.push(entry);
            } else if name.starts_with("llvm") {
                folders.push(entry.join("lib"));
            }
        }
    }
    folders
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Requirement = Requirement { what: "air", packages: &["air"], is_present: || true };
    const GONE: Requirement =
        Requirement { what: "gold", packages: &["gold"], is_present: || false };

    #[test]
    fn missing_keeps_what_is_not_present() {
        let names: Vec<_> = missing(&[&THERE, &GONE]).iter().map(|found| found.what).collect();
        assert_eq!(names, ["gold"]);
    }

    #[test]
    fn ensure_asks_nobody_when_nothing_is_missing() {
        assert!(ensure(&[&THERE]).is_ok());
    }

    #[test]
    fn the_compiler_that_built_this_is_found() {
        assert!(has_c_compiler());
    }

    #[test]
    fn only_the_c_library_counts_as_libclang() {
        assert!(is_shared("libclang-14.so.1"));
        assert!(!is_shared("libclang-cpp.so.14"));
        assert!(!is_shared("libclang-14.a"));
    }
}
