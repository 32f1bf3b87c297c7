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
//! that begins with EVAL, EVALSHA, EVAL_RO, EVALSHA_RO or SCRIPT goes to the side under test;
//! inside other arguments `<eval>` or `<script|load>` stands for that side's name. Configuration
//! and users are put back after a case.
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
const DOORS: [&str; 5] = ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT"];

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
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{topic}.toml: {error}"));
    let File { show, lists, case } = file;
    let prelude = if show { show_functions() } else { String::new() };
    case.into_iter()
        .flat_map(|entry| match &entry.x {
            None => vec![entry],
            Some(Values::Given(values)) => entry.variants(values),
            Some(Values::Listed(list)) => {
                let values = lists.get(list);
                entry.variants(values.unwrap_or_else(|| panic!("{topic}.toml: no list '{list}'")))
            }
        })
        .map(|entry| entry.into_case(&prelude))
        .collect()
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
            keys: line(&self.keys),
            args: line(&self.args),
            steps: self.steps.iter().map(line).collect(),
            setup: self.setup.iter().map(line).collect(),
            ..self.clone()
        }
    }

    fn into_case(self, prelude: &str) -> Case {
        let Some(script) = self.script else {
            assert!(!self.steps.is_empty(), "'{}' has neither script nor steps", self.name);
            return Case {
                name: self.name,
                setup: self.setup,
                steps: self.steps,
                since: self.since,
                prelude: String::new(),
            };
        };
        assert!(self.steps.is_empty(), "'{}' has both script and steps", self.name);
        let script = match prelude {
            "" => script,
            _ => Text::Join { join: vec![Text::from(prelude), script] },
        };
        let mut steps = Vec::new();
        let name = match (self.sha, self.ro) {
            (false, false) => "EVAL",
            (false, true) => "EVAL_RO",
            (true, false) => "EVALSHA",
            (true, true) => "EVALSHA_RO",
        };
        let body = if self.sha {
            steps.push(vec![Text::from("SCRIPT"), Text::from("LOAD"), script]);
            Text::Reply { reply: 0 }
        } else {
            script
        };
        let numkeys: usize = self.keys.iter().map(Text::count).sum();
        let mut command = vec![Text::from(name), body, Text::Plain(numkeys.to_string())];
        command.extend(self.keys);
        command.extend(self.args);
        steps.push(command);
        Case {
            name: self.name,
            setup: self.setup,
            steps,
            since: self.since,
            prelude: prelude.to_owned(),
        }
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
