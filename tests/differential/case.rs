//! Cases and the files they are read from.
//!
//! ```toml
//! [[case]]
//! name = "a sentence, unique in the whole suite"
//! setup = [["SET", "k", "1"]]       # commands that must not fail
//! script = '''return redis.call("get", KEYS[1])'''
//! keys = ["k"]
//! args = ["a"]
//! ro = true                         # through EVAL_RO
//! sha = true                        # loaded first, then through EVALSHA
//! since = "7.2"                     # the first version of Redis that has what it needs
//! ```
//!
//! Instead of a script a case may have `steps`, a list of commands on one connection. A command
//! that begins with EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT, FCALL, FCALL_RO or FUNCTION goes to
//! the side under test; inside other arguments `<eval>` or `<function|load>` stands for that side's
//! name. Configuration and users are put back after a case, and no functions are left.
//!
//! Functions have short forms, too:
//!
//! ```toml
//! [[case]]
//! name = "a function's body, between KEYS and ARGV as parameters and the end"
//! function = '''return {KEYS, ARGV}'''
//! keys = ["k"]                      # keys, args and ro as for a script: ro registers the function
//! ro = true                         # with no-writes and calls it through FCALL_RO
//!
//! [[case]]
//! name = "a whole library, or several as libraries = [..]"
//! library = '''redis.register_function("f", function(keys, args) return args end)'''
//! call = ["f", "0", "a"]            # FCALL, or FCALL_RO with ro = true
//! ```
//!
//! `library` is the first step, a FUNCTION LOAD, then come `call` and `steps`. The first line of a
//! library that has none is `#!lua name=lib`. A `function` is called `f` and begins in the second
//! line of the library `lib`. With `show = true` both have the functions of `cases/show.lua`.
//!
//! Every case with a `script` is a case of a function as well (`parse_as_functions`), unless the
//! script has a first line of its own.
//!
//! An argument is a string, or a table where a string will not do: `{hex = "ff00"}`,
//! `{repeat = "ab", count = 1000}`, `{join = [..]}`, `{each = "k#", count = 10000}` (that many
//! arguments, numbered from 1), `{reply = 0}` (the text of an earlier step's reply).
//!
//! With `x = ["nil", "{}"]` a case stands for one case per value: `<x>` in its name, setup,
//! script, steps, keys and arguments becomes the value. `x = "numbers"` takes the values from the
//! file's table `[lists]`. A file with `show = true` has the functions of `cases/show.lua` in the
//! first line of each script.

use std::collections::HashMap;

use serde::Deserialize;

use crate::support::Value;

/// The commands that exist on both sides.
const DOORS: [&str; 8] =
    ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT", "FCALL", "FCALL_RO", "FUNCTION"];

/// Those of them that need or change functions.
const FUNCTION_DOORS: [&str; 3] = ["FCALL", "FCALL_RO", "FUNCTION"];

/// What changes the interpreter for functions that run later.
const LASTING: [&str; 2] = ["cjson.encode_", "cjson.decode_"];

/// The first version that has a fresh interpreter after FUNCTION FLUSH.
const FRESH_SINCE: &str = "7.4";

/// What a library begins with that does not say it itself.
const FIRST_LINE: &str = "#!lua name=lib\n";

/// What the names of scripts' cases end with when the scripts are run as functions.
pub const AS_FUNCTION: &str = " (as a function)";

/// What one side does.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    /// Commands that prepare the server and must succeed.
    pub setup: Vec<Vec<Text>>,
    /// The commands whose replies are compared.
    pub steps: Vec<Vec<Text>>,
    /// The first version that can run it.
    pub since: Option<String>,
    /// What its script begins with, not worth showing.
    pub prelude: String,
}

/// One argument, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Hex { hex: String },
    Repeat { repeat: Box<Text>, count: usize },
    Join { join: Vec<Text> },
    Each { each: String, count: usize },
    Reply { reply: usize },
}

/// A `[[case]]` as it is written.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    setup: Vec<Vec<Text>>,
    script: Option<Text>,
    #[serde(default)]
    keys: Vec<Text>,
    #[serde(default)]
    args: Vec<Text>,
    #[serde(default)]
    ro: bool,
    #[serde(default)]
    sha: bool,
    #[serde(default)]
    steps: Vec<Vec<Text>>,
    since: Option<String>,
    x: Option<Values>,
    function: Option<Text>,
    library: Option<Text>,
    #[serde(default)]
    libraries: Vec<Text>,
    #[serde(default)]
    call: Vec<Text>,
}

/// What `<x>` stands for.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Values {
    Listed(String),
    Given(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    show: bool,
    #[serde(default)]
    lists: HashMap<String, Vec<String>>,
    case: Vec<Entry>,
}

/// Reads a file of cases.
///
/// # Panics
/// When it is not well formed; `topic` names it in the message.
pub fn parse(topic: &str, text: &str) -> Vec<Case> {
    let (prelude, entries) = entries(topic, text);
    entries.into_iter().map(|entry| entry.into_case(&prelude)).collect()
}

/// Reads a file of cases and makes functions of the scripts in it that can be functions.
///
/// # Panics
/// When it is not well formed; `topic` names it in the message.
pub fn parse_as_functions(topic: &str, text: &str) -> Vec<Case> {
    let (prelude, entries) = entries(topic, text);
    let functions = entries.into_iter().filter_map(Entry::into_function);
    functions.map(|entry| entry.into_case(&prelude)).collect()
}

/// Reads a file: what its scripts begin with, and its entries without `<x>`.
fn entries(topic: &str, text: &str) -> (String, Vec<Entry>) {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{topic}.toml: {error}"));
    let File { show, lists, case } = file;
    let prelude = if show { show_functions() } else { String::new() };
    let entries = case
        .into_iter()
        .flat_map(|entry| match &entry.x {
            None => vec![entry],
            Some(Values::Given(values)) => entry.variants(values),
            Some(Values::Listed(list)) => {
                let values = lists.get(list);
                entry.variants(values.unwrap_or_else(|| panic!("{topic}.toml: no list '{list}'")))
            }
        })
        .collect();
    (prelude, entries)
}

/// The helper functions in one line, so that a case's own lines are counted from 1.
fn show_functions() -> String {
    let lines = include_str!("cases/show.lua").lines().map(str::trim);
    lines.filter(|line| !line.starts_with("--")).flat_map(|line| [line, " "]).collect()
}

impl Entry {
    fn variants(&self, values: &[String]) -> Vec<Self> {
        values.iter().map(|value| self.with(value)).collect()
    }

    fn with(&self, value: &str) -> Self {
        let line = |line: &Vec<Text>| line.iter().map(|text| text.with(value)).collect();
        let name = if self.name.contains("<x>") {
            self.name.replace("<x>", value)
        } else {
            format!("{}: {value}", self.name)
        };
        Self {
            name,
            script: self.script.as_ref().map(|script| script.with(value)),
            function: self.function.as_ref().map(|function| function.with(value)),
            library: self.library.as_ref().map(|library| library.with(value)),
            libraries: line(&self.libraries),
            call: line(&self.call),
            keys: line(&self.keys),
            args: line(&self.args),
            steps: self.steps.iter().map(line).collect(),
            setup: self.setup.iter().map(line).collect(),
            ..self.clone()
        }
    }

    /// The same script as a function's body, where that is possible.
    fn into_function(mut self) -> Option<Self> {
        let script = self.script.take()?;
        if script.begins_with("#") {
            return None;
        }
        if LASTING.iter().any(|change| script.has(change)) {
            let fresh = Some(FRESH_SINCE.to_owned());
            self.since = self.since.into_iter().chain(fresh).max_by_key(|since| numbers(since));
        }
        Some(Self { name: format!("{}{AS_FUNCTION}", self.name), function: Some(script), ..self })
    }

    fn into_case(self, prelude: &str) -> Case {
        let Self { name, setup, since, script, keys, args, ro, sha, .. } = self;
        let (call, mut steps) = (self.call, self.steps);
        let mut libraries = self.libraries;
        libraries.extend(self.library);
        let (mut made, target) = match (script, self.function) {
            (Some(_), Some(_)) => panic!("'{name}' has both script and function"),
            (Some(script), None) => evaluation(with_prelude(script, prelude), ro, sha),
            (None, Some(function)) => invocation(&function, prelude, ro),
            (None, None) => (Vec::new(), Vec::new()),
        };
        if target.is_empty() {
            let prelude = if libraries.is_empty() { "" } else { prelude };
            let loads = libraries.into_iter().map(|library| load(library, prelude));
            let call = match &call[..] {
                [] => None,
                _ => Some([vec![Text::from(fcall(ro))], call].concat()),
            };
            steps = loads.chain(call).chain(steps).collect();
            assert!(!steps.is_empty(), "'{name}' has neither script nor steps");
            return Case { name, setup, steps, since, prelude: prelude.to_owned() };
        }
        let alone = libraries.is_empty() && call.is_empty();
        assert!(steps.is_empty() && alone, "'{name}' has both a script and steps");
        let numkeys: usize = keys.iter().map(Text::count).sum();
        let numkeys = vec![Text::Plain(numkeys.to_string())];
        made.push([target, numkeys, keys, args].concat());
        Case { name, setup, steps: made, since, prelude: prelude.to_owned() }
    }
}

fn with_prelude(script: Text, prelude: &str) -> Text {
    match prelude {
        "" => script,
        _ => Text::Join { join: vec![Text::from(prelude), script] },
    }
}

/// The steps before the one that runs a script, and what that one begins with.
fn evaluation(script: Text, ro: bool, sha: bool) -> (Vec<Vec<Text>>, Vec<Text>) {
    let name = match (sha, ro) {
        (false, false) => "EVAL",
        (false, true) => "EVAL_RO",
        (true, false) => "EVALSHA",
        (true, true) => "EVALSHA_RO",
    };
    match sha {
        false => (Vec::new(), vec![Text::from(name), script]),
        true => {
            let load = vec![Text::from("SCRIPT"), Text::from("LOAD"), script];
            (vec![load], vec![Text::from(name), Text::Reply { reply: 0 }])
        }
    }
}

/// The same for a function of which the body is given.
fn invocation(body: &Text, prelude: &str, ro: bool) -> (Vec<Vec<Text>>, Vec<Text>) {
    let parameters = if body.has("...") { "KEYS, ARGV, ..." } else { "KEYS, ARGV" };
    let (before, after) = match ro {
        false => ("redis.register_function('f', ", ")"),
        true => ("redis.register_function{function_name='f', flags={'no-writes'}, callback=", "}"),
    };
    let before = format!("{FIRST_LINE}{before}function({parameters}) {prelude}");
    let after = format!("\nend{after}");
    let library = Text::Join { join: vec![Text::Plain(before), body.clone(), Text::Plain(after)] };
    (vec![load(library, "")], vec![Text::from(fcall(ro)), Text::from("f")])
}

/// A step that loads a library.
fn load(library: Text, prelude: &str) -> Vec<Text> {
    let library = match library.begins_with("#!") {
        true => library,
        false => Text::Join { join: vec![Text::from(FIRST_LINE), Text::from(prelude), library] },
    };
    vec![Text::from("FUNCTION"), Text::from("LOAD"), library]
}

fn fcall(ro: bool) -> &'static str {
    if ro { "FCALL_RO" } else { "FCALL" }
}

/// The parts of a version.
pub fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

impl Case {
    /// Whether a step needs or changes functions, on either side.
    pub fn uses_functions(&self) -> bool {
        let uses = |step: &Vec<Text>| match step.first() {
            Some(Text::Plain(name)) => {
                FUNCTION_DOORS.iter().any(|door| door.eq_ignore_ascii_case(name))
            }
            _ => false,
        };
        self.setup.iter().chain(&self.steps).any(uses)
    }
}

/// Bytes as `{hex = ".."}` holds them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl Text {
    fn with(&self, value: &str) -> Self {
        match self {
            Self::Plain(text) => Self::Plain(text.replace("<x>", value)),
            Self::Hex { hex } => Self::Hex { hex: hex.replace("<x>", value) },
            Self::Repeat { repeat, count } => {
                Self::Repeat { repeat: Box::new(repeat.with(value)), count: *count }
            }
            Self::Join { join } => {
                Self::Join { join: join.iter().map(|text| text.with(value)).collect() }
            }
            Self::Each { .. } | Self::Reply { .. } => self.clone(),
        }
    }

    /// Answers whether the text, as far as it is spelt out, begins with something.
    fn begins_with(&self, start: &str) -> bool {
        match self {
            Self::Plain(text) => text.starts_with(start),
            Self::Hex { hex } => unhex(hex).starts_with(start.as_bytes()),
            Self::Repeat { repeat, .. } => repeat.begins_with(start),
            Self::Join { join } => join.first().is_some_and(|first| first.begins_with(start)),
            Self::Each { .. } | Self::Reply { .. } => false,
        }
    }

    /// Answers whether something is spelt out in the text.
    fn has(&self, part: &str) -> bool {
        match self {
            Self::Plain(text) => text.contains(part),
            Self::Repeat { repeat, .. } => repeat.has(part),
            Self::Join { join } => join.iter().any(|text| text.has(part)),
            Self::Hex { .. } | Self::Each { .. } | Self::Reply { .. } => false,
        }
    }

    /// How many arguments this stands for.
    fn count(&self) -> usize {
        match self {
            Self::Each { count, .. } => *count,
            _ => 1,
        }
    }

    /// Appends what this stands for to an argument vector.
    fn write(&self, prefix: &str, replies: &[Vec<u8>], argv: &mut Vec<Vec<u8>>) {
        match self {
            Self::Each { each, count } => argv.extend(
                (1..=*count).map(|number| each.replace('#', &number.to_string()).into_bytes()),
            ),
            _ => argv.push(self.bytes(prefix, replies)),
        }
    }

    fn bytes(&self, prefix: &str, replies: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Plain(text) => named(text, prefix).into_bytes(),
            Self::Hex { hex } => unhex(hex),
            Self::Repeat { repeat, count } => repeat.bytes(prefix, replies).repeat(*count),
            Self::Join { join } => {
                join.iter().flat_map(|text| text.bytes(prefix, replies)).collect()
            }
            Self::Each { .. } => panic!("'each' stands for several arguments"),
            Self::Reply { reply } => {
                let frame = replies.get(*reply).expect("'reply' names an earlier step");
                let value = Value::parse(frame).expect("replies are frames");
                value.bytes().unwrap_or_default().to_vec()
            }
        }
    }
}

/// Turns a step into arguments. `prefix` is what the side under test puts before the names of its
/// commands, in upper case.
pub fn argv(step: &[Text], prefix: &str, replies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut argv = Vec::new();
    for text in step {
        text.write(prefix, replies, &mut argv);
    }
    if let Some(Text::Plain(name)) = step.first()
        && DOORS.iter().any(|door| door.eq_ignore_ascii_case(name))
    {
        argv[0] = prefixed(name, prefix).into_bytes();
    }
    argv
}

/// Replaces `<eval>`, `<script|load>` and their like.
fn named(text: &str, prefix: &str) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        named.push_str(before);
        match after.split_once('>') {
            Some((name, tail)) if is_door(name) => {
                named.push_str(&prefixed(name, prefix));
                rest = tail;
            }
            _ => {
                named.push('<');
                rest = after;
            }
        }
    }
    named + rest
}

fn is_door(name: &str) -> bool {
    let command = name.split('|').next().unwrap_or_default();
    DOORS.iter().any(|door| *door == command || door.to_lowercase() == command)
}

/// Puts the prefix before a name, in the name's case.
fn prefixed(name: &str, prefix: &str) -> String {
    if name.chars().any(char::is_lowercase) {
        format!("{}{name}", prefix.to_lowercase())
    } else {
        format!("{prefix}{name}")
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "odd number of hex digits: {digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits"))
        .collect()
}
