//! What could be better about the scripts and functions there are, as advice.

use std::borrow::Cow;
use std::fmt::Write;

use hashbrown::HashMap;

use super::state::Engine;
use crate::config;
use crate::policy::time_limits::stricter;
use crate::script::{RunLimits, Script};
use crate::stats::{Figures, Scale};

use super::scripts::Kept;

/// How many scripts an advice names.
const NAMED: usize = 3;
/// Scripts that begin alike are a flood from so many on.
const FLOOD: usize = 100;
/// Bytes by which scripts are taken to begin alike.
const ALIKE: usize = 16;
/// Bytes of a common beginning that are shown.
const SHOWN: usize = 80;

/// Scripts and functions that one advice is about.
#[derive(Default)]
struct Cases {
    count: usize,
    named: Vec<String>,
}

impl Cases {
    fn add(&mut self, case: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(case());
        }
    }

    /// Adds a paragraph, if there are any.
    fn tell(&self, text: &mut String, headline: &str, advice: &str) {
        if self.count == 0 {
            return;
        }
        let more = self.count - self.named.len();
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let _ = write!(text, "* {headline}: {}{more}. {advice}\n\n", self.named.join(", "));
    }
}

/// What is looked for in figures, of scripts and of functions.
#[derive(Default)]
struct Findings {
    undeclared: Cases,
    globals: Cases,
    memory: Cases,
    time: Cases,
    killed: Cases,
}

impl Findings {
    fn look(&mut self, name: &str, figures: &Figures, own: RunLimits, scale: &Scale) {
        if let Some(key) = figures.undeclared() {
            self.undeclared.add(|| format!("{name} (key '{}')", key.escape_ascii()));
        }
        if let Some(global) = figures.global() {
            self.globals.add(|| match global {
                b"" => name.to_owned(),
                global => format!("{name} ('{}')", global.escape_ascii()),
            });
        }
        let allowed = stricter(config::memory_limit() as u64, own.memory);
        if is_near(figures.memory, allowed) {
            self.memory.add(|| format!("{name} ({} of {allowed} bytes)", figures.memory));
        }
        let longest = scale.micros(figures.longest) / 1000;
        let allowed = stricter(config::max_run_time(), own.run_time);
        let allowed = stricter(allowed, config::script_time_limit());
        if is_near(longest, allowed) {
            self.time.add(|| format!("{name} ({longest} of {allowed} milliseconds)"));
        }
        if figures.kills > 0 {
            self.killed.add(|| format!("{name} ({} times)", figures.kills));
        }
    }
}

/// Whether something is four fifths of what is allowed, or more; 0 allows anything.
fn is_near(value: u64, allowed: u64) -> bool {
    allowed > 0 && value >= allowed - allowed / 5
}

impl Engine {
    /// Advice about the scripts and functions there are.
    pub fn advice(&self) -> String {
        let scale = self.scale();
        let cache = self.cache.borrow();
        let libraries = self.libraries.borrow();
        let mut findings = Findings::default();
        let mut plain = Cases::default();
        for script in cache.iter() {
            if script.flags.is_none() {
                plain.add(|| shown(script));
            }
            if let Some(figures) = script.compiled.figures() {
                findings.look(&shown(script), figures, script.limits, &scale);
            }
        }
        for function in libraries.iter().flat_map(|library| &library.functions) {
            let name = format!("function {}", String::from_utf8_lossy(&function.name));
            findings.look(&name, &function.figures.borrow(), function.limits, &scale);
        }

        let mut text = String::new();
        if !config::keeps_stats() {
            text.push_str("* No figures are kept (redlua.stats no): most of what follows cannot be known.\n\n");
        }
        flood(cache.iter(), cache.evicted_total(), &mut text);
        findings.killed.tell(
            &mut text,
            "Killed runs",
            "Somebody, or a limit of time, ended them; LUA.SLOWLOG GET has their slowest commands.",
        );
        findings.time.tell(
            &mut text,
            "Runs near a limit of time",
            "Let them do less at once, before they make the server busy or are ended.",
        );
        findings.memory.tell(
            &mut text,
            "Runs near a limit of memory",
            "Let them work through their data in parts, before they fail.",
        );
        findings.undeclared.tell(
            &mut text,
            "Keys that were not declared",
            "Pass every key in KEYS: in a cluster such a run fails, and rights to keys are not seen beforehand.",
        );
        findings.globals.tell(
            &mut text,
            "Globals that do not exist, or cannot be made",
            "Declare variables with 'local'.",
        );
        plain.tell(
            &mut text,
            "Scripts without a first line '#!lua'",
            "With it they may say what they do, as with flags=no-writes, and are refused before they begin where \
             they could not end.",
        );
        if text.is_empty() {
            let functions = libraries.count_functions();
            return format!(
                "There is nothing to improve in {} scripts and {functions} functions.\n",
                cache.len()
            );
        }
        format!("What could be better:\n\n{}\n", text.trim_end())
    }
}

/// A script by its name, or by its digest.
fn shown(script: &Script<Kept>) -> String {
    match &script.name {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => String::from_utf8_lossy(&script.sha1.to_hex()).into_owned(),
    }
}

/// Tells of scripts that ran once and begin alike: texts with their arguments in them.
fn flood<'a>(scripts: impl Iterator<Item = &'a Script<Kept>>, evicted: u64, text: &mut String) {
    let mut groups: HashMap<&[u8], (usize, &[u8]), foldhash::fast::RandomState> =
        HashMap::default();
    for script in scripts {
        if script.compiled.figures().is_some_and(|figures| figures.calls > 1) {
            continue;
        }
        let code = code(&script.body);
        let (count, common) = groups.entry(code.get(..ALIKE).unwrap_or(code)).or_insert((0, code));
        *count += 1;
        let len = common.iter().zip(code).take_while(|(one, other)| one == other).count();
        *common = &common[..len];
    }
    let Some((count, common)) = groups.into_values().max() else { return };
    if count < FLOOD {
        return;
    }
    let cut = common.get(..SHOWN).unwrap_or(common);
    let evicted = match evicted {
        0 => Cow::Borrowed(""),
        evicted => format!("; {evicted} scripts were evicted so far").into(),
    };
    let _ = write!(
        text,
        "* Scripts that are new each time: {count} of the cached ones ran no more than once and begin with \
         '{}'{evicted}. Put what differs into KEYS and ARGV, so that one script serves all.\n\n",
        cut.escape_ascii()
    );
}

/// The text of a script behind its shebang.
fn code(body: &[u8]) -> &[u8] {
    if !body.starts_with(b"#!") {
        return body;
    }
    let end = body.iter().position(|&byte| byte == b'\n').map_or(body.len(), |end| end + 1);
    body.get(end..).unwrap_or_default()
}
