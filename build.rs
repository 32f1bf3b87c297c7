//! Builds the Lua 5.1 that the crate links: the sources of the pinned `lua-src` crate with this
//! project's edits, so that no Lua source lives in the tree and every difference is data.
//!
//! An `.edit` file in [`EDITS`] is a list of edits. `@` names the file an edit changes, `#` says
//! why, the `-` lines are the anchor and the `+` lines are what replaces it. An anchor is a line,
//! several, or part of one, and must occur exactly once: a different Lua fails the build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The edits, and the C sources of our own that they call.
const EDITS: &str = "src/vm/native/edits";

/// Everything of Lua but what reaches outside the VM (files, processes, modules, debugging), and
/// what the edits call.
#[rustfmt::skip]
const UNITS: [&str; 27] = [
    "lapi", "lauxlib", "lbaselib", "lcode", "ldebug", "ldo", "ldump", "lfunc", "lgc", "llex",
    "lmathlib", "lmem", "lobject", "lopcodes", "lparser", "lstate", "lstring", "lstrlib", "ltable",
    "ltablib", "ltm", "lundump", "lvm", "lzio", "redlua", "redlua_hash",
    "redlua_hooked",
];

/// The C part of calling commands.
const VARIADIC_CALLS: &str = "src/redis/call.c";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={EDITS}");
    println!("cargo:rerun-if-env-changed=CFLAGS");
    println!("cargo:rustc-env=REDLUA_BUILD={}", build_name());

    let sources = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("lua");
    copy(&lua_sources(), &sources);
    copy(Path::new(EDITS), &sources);
    for edit in edits() {
        edit.apply(&sources);
    }
    compile(&sources);

    // A build for a fuzzer has no server's edge, and finds the sanitizers only in the whole program.
    if is_fuzzed() {
        return;
    }
    // The server would report a symbol that is missing only when it loads the module.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,defs");

    println!("cargo:rerun-if-changed={VARIADIC_CALLS}");
    cc::Build::new().file(VARIADIC_CALLS).flag("-fvisibility=hidden").compile("redlua_call");
}

/// Whether the build is for a fuzzer.
fn is_fuzzed() -> bool {
    env::var_os("CARGO_CFG_FUZZING").is_some()
}

/// Compiles `sources` into an archive that is linked whole: the crates that use Lua come after
/// this one on the linker's line, when a linker that reads archives once has passed it.
fn compile(sources: &Path) {
    let mut build = cc::Build::new();
    build
        .files(UNITS.iter().map(|unit| sources.join(unit).with_extension("c")))
        .include(sources)
        .define("LUA_USE_ULONGJMP", None)
        .flag("-fvisibility=hidden")
        .opt_level(2)
        .warnings(false)
        .cargo_metadata(false);
    if is_fuzzed() || env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        build.define("LUA_USE_APICHECK", None);
    }
    build.compile("redlua_vm");
    println!("cargo:rustc-link-search=native={}", env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rustc-link-lib=static:+whole-archive=redlua_vm");
    println!("cargo:rustc-link-lib=m");
}

/// The directory of Lua 5.1 in the `lua-src` package, wherever cargo unpacked it.
///
/// Asking without the network comes first; in a fresh clone that answer can lack packages of
/// targets nobody has built yet, and then cargo may fetch them.
fn lua_sources() -> PathBuf {
    let ask = |network: &[&str]| {
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--filter-platform"])
            .arg(env::var_os("HOST").expect("cargo sets HOST"))
            .args(network)
            .output()
            .expect("cargo runs");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        package_dir(&answer, "lua-src")
            .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let package = ask(&["--offline", "--frozen"]).or_else(|_| ask(&[]));
    let package = package.unwrap_or_else(|error| panic!("cannot find the lua-src crate: {error}"));
    package.join("lua-5.1.5")
}

/// The directory of the package `name` in an answer of `cargo metadata`.
///
/// Only a package has its version right behind its name; a dependency has its source there.
fn package_dir(metadata: &str, name: &str) -> Option<PathBuf> {
    let (_, package) = metadata.split_once(&format!(r#"{{"name":"{name}","version":"#))?;
    let (_, path) = package.split_once(r#""manifest_path":""#)?;
    let (path, _) = path.split_once('"')?;
    Path::new(&path.replace(r"\\", r"\")).parent().map(Path::to_path_buf)
}

/// Copies the C sources and headers of `from` into `to`.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("OUT_DIR is writable");
    for path in files(from, &["c", "h"]) {
        let target = to.join(path.file_name().expect("a file has a name"));
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(target, text).expect("OUT_DIR is writable");
    }
}

/// The files of `dir` with one of `extensions`, in the order of their names.
fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a directory can be read").path())
        .filter(|path| path.extension().is_some_and(|e| extensions.iter().any(|&x| e == x)))
        .collect();
    files.sort();
    files
}

/// One change to one of Lua's files.
#[derive(Default)]
struct Edit {
    /// Where the edit is written, for messages.
    origin: String,
    file: String,
    reason: Vec<String>,
    anchor: Vec<String>,
    text: Vec<String>,
}

impl Edit {
    fn apply(&self, sources: &Path) {
        let path = sources.join(&self.file);
        let source = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", self.origin));
        let (anchor, text) = (self.anchor.join("\n"), self.text.join("\n"));
        assert!(!self.reason.is_empty(), "{}: an edit says why", self.origin);
        assert!(!anchor.is_empty(), "{}: an edit has an anchor", self.origin);
        let times = source.matches(&anchor).count();
        assert!(times == 1, "{}: the anchor is {times} times in {}", self.origin, self.file);
        fs::write(&path, source.replacen(&anchor, &text, 1)).expect("OUT_DIR is writable");
    }
}

/// Every edit, in the order of the files' names.
fn edits() -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for path in files(Path::new(EDITS), &["edit"]) {
        let text = fs::read_to_string(&path).expect("an edit file can be read");
        let mut edit = None;
        for (number, line) in text.lines().enumerate() {
            let origin = format!("{}:{}", path.display(), number + 1);
            let rest = line.get(1..).map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
            let rest = rest.unwrap_or_default().to_owned();
            match (line.chars().next(), &mut edit) {
                (None, _) => {}
                (Some('@'), edit) => {
                    let file = rest;
                    edits.extend(edit.replace(Edit { origin, file, ..Edit::default() }));
                }
                (Some('#'), Some(edit)) => edit.reason.push(rest),
                (Some('-'), Some(edit)) => edit.anchor.push(rest),
                (Some('+'), Some(edit)) => edit.text.push(rest),
                _ => panic!("{origin}: a line of an edit begins with one of @ # - +"),
            }
        }
        edits.extend(edit);
    }
    edits
}

/// The commit this build is made from, or `unknown` where git or its history is missing.
fn build_name() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    // The log of HEAD changes with every commit and checkout. Cargo takes a missing file for a
    // changed one, so it is named only where it exists.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}
