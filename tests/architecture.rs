//! The layers and the fences around `unsafe`, kept true by reading the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of the crate may import. Imports only go down.
const LAYERS: &[(&str, &[&str])] = &[
    ("dialect", &[]),
    ("units", &[]),
    ("stats", &[]),
    ("config", &["units"]),
    ("names", &["config"]),
    ("resp", &["dialect"]),
    ("script", &["units"]),
    ("policy", &["dialect", "resp", "script"]),
    ("debugger", &["dialect", "resp"]),
    ("host", &["debugger", "dialect", "policy", "resp", "stats"]),
    ("vm", &["debugger", "dialect", "host", "names", "policy", "resp", "script", "stats"]),
    (
        "engine",
        &["config", "debugger", "dialect", "host", "policy", "resp", "script", "stats", "vm"],
    ),
    (
        "commands",
        &[
            "config", "debugger", "dialect", "engine", "host", "names", "policy", "resp", "script",
            "stats",
        ],
    ),
    (
        "redis",
        &[
            "commands", "config", "debugger", "dialect", "engine", "host", "names", "policy",
            "resp", "script", "stats",
        ],
    ),
    (
        "fuzzing",
        &["config", "dialect", "engine", "host", "policy", "resp", "script", "stats", "vm"],
    ),
    ("reference", &["commands", "config", "dialect", "resp", "script", "vm"]),
];

/// The one import that goes up: a build has one host, and this names it.
const HOST_OF_THE_BUILD: (&str, &str) = ("src/host/mod.rs", "redis");

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["src/redis/", "src/vm/native/"];

/// Words that own nothing and so name no file.
const VAGUE: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "types", "manager"];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines of code outside comments and unit tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let code = self.text.get(..end).unwrap_or(&self.text);
        code.lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }

    /// The part of the crate the file belongs to.
    fn part(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    assert!(found.len() > 40, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            let path = path.strip_prefix(root()).expect("sources lie below the root");
            found.push(Source { path: path.to_string_lossy().into_owned(), text });
        }
    }
}

/// The parts of the crate a line names by `crate::part`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).filter_map(|rest| {
        rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
    })
}

#[test]
fn imports_only_go_down() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let Some(allowed) = layers.get(source.part()) else {
            continue;
        };
        for (line, code) in source.code() {
            for part in imports(code) {
                let known = layers.contains_key(part) && part != source.part();
                let exempt = (source.path.as_str(), part) == HOST_OF_THE_BUILD;
                if known && !allowed.contains(&part) && !exempt {
                    broken.push(format!(
                        "{}:{line}: {} imports {part}",
                        source.path,
                        source.part()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_part_has_a_layer() {
    for source in sources() {
        let part = source.part();
        let known = LAYERS.iter().any(|(layer, _)| *layer == part);
        assert!(known || matches!(part, "lib" | "register"), "{} has no layer", source.path);
    }
}

#[test]
fn unsafe_stays_behind_its_fence() {
    let mut broken = Vec::new();
    for source in sources() {
        if UNSAFE.iter().any(|fence| source.path.starts_with(fence)) {
            continue;
        }
        for (line, code) in source.code() {
            let unsafe_word = code
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .any(|word| word == "unsafe");
            if unsafe_word || code.contains("extern \"C") {
                broken.push(format!("{}:{line}: {}", source.path, code.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_server_and_lua_are_touched_in_one_folder_each() {
    let mut broken = Vec::new();
    for source in sources() {
        for (line, code) in source.code() {
            for (word, home) in [("redis_module::", "src/redis/"), ("mlua::", "src/vm/")] {
                if code.contains(word) && !source.path.starts_with(home) {
                    broken.push(format!("{}:{line}: {}", source.path, code.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{} does not open with its purpose", source.path);
        let name = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        assert!(!VAGUE.contains(&name), "{} is named after nothing", source.path);
    }
}
