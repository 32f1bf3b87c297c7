//! What counts as equal, and how a difference is told.

use crate::allowed::{Allowed, Difference, without_encoding, without_encodings};
use crate::case::{self, Case};
use crate::runner::Outcome;
use crate::support::{Value, render};

/// Replies and commands are cut to this many characters in failure messages.
const EXCERPT: usize = 700;

/// Says what differs first, or nothing.
pub fn difference(stock: &Outcome, ours: &Outcome, case: &Case) -> Option<String> {
    for index in 0..stock.replies.len().max(ours.replies.len()) {
        let (left, right) = (stock.replies.get(index), ours.replies.get(index));
        if !left.zip(right).is_some_and(|(left, right)| is_same(left, right)) {
            let shown = |outcome: &Outcome, frame: Option<&Vec<u8>>| match frame {
                Some(frame) => render(frame),
                None => outcome.end.clone().unwrap_or_default(),
            };
            let what = format!("step {}: {}", index + 1, command(case, index, stock));
            return Some(side_by_side(&what, &shown(stock, left), &shown(ours, right)));
        }
    }
    // Not even if both end alike: a script that stock does not survive is no case.
    if stock.end.is_some() || ours.end.is_some() {
        let shown = |outcome: &Outcome| outcome.end.clone().unwrap_or_else(|| "all well".into());
        let last = stock.replies.len().min(case.steps.len() - 1);
        let what = format!("the server after {}", command(case, last, stock));
        return Some(side_by_side(&what, &shown(stock), &shown(ours)));
    }
    for index in 0..stock.data.len().max(ours.data.len()) {
        let (left, right) = (stock.data.get(index), ours.data.get(index));
        if left != right {
            let steps: Vec<String> =
                (0..case.steps.len()).map(|step| command(case, step, stock)).collect();
            let what = format!("data after {}", steps.join(" ; "));
            let shown = |line: Option<&String>| line.cloned().unwrap_or_else(|| "no key".into());
            return Some(side_by_side(&what, &shown(left), &shown(right)));
        }
    }
    None
}

/// Answers whether an allowed difference explains what was seen.
pub fn covers(entry: &Allowed, stock: &Outcome, ours: &Outcome) -> bool {
    let reduced = |outcome: &Outcome, remove: fn(Value) -> Value| -> Vec<Option<Value>> {
        let values = outcome.replies.iter().map(|frame| Value::parse(frame).ok());
        values.map(|value| value.map(|value| remove(with_stock_names(value)))).collect()
    };
    let (remove, same_data) = match entry.difference {
        Difference::Any => return true,
        Difference::Within(remove) | Difference::ByChance(remove) => {
            (remove, stock.data == ours.data)
        }
        Difference::Encodings => {
            let lines = |outcome: &Outcome| -> Vec<String> {
                outcome.data.iter().map(|line| without_encoding(line)).collect()
            };
            let remove: fn(Value) -> Value = without_encodings;
            (remove, lines(stock) == lines(ours))
        }
    };
    same_data && stock.end == ours.end && reduced(stock, remove) == reduced(ours, remove)
}

/// Compares two frames; the names of our commands count as stock's.
fn is_same(stock: &[u8], ours: &[u8]) -> bool {
    stock == ours
        || match (Value::parse(stock), Value::parse(ours)) {
            (Ok(stock), Ok(ours)) => stock == with_stock_names(ours),
            _ => false,
        }
}

/// The one place that knows how names may differ: `LUA.EVAL` is `EVAL`, `lua.script|load` is
/// `script|load`, `Try LUA.SCRIPT HELP` is `Try SCRIPT HELP`.
fn with_stock_names(value: Value) -> Value {
    const OURS: [&[u8]; 8] = [
        b"LUA.EVAL",
        b"lua.eval",
        b"LUA.SCRIPT",
        b"lua.script",
        b"LUA.FCALL",
        b"lua.fcall",
        b"LUA.FUNCTION",
        b"lua.function",
    ];
    let renamed = |text: Vec<u8>| {
        let mut rest = text.as_slice();
        let mut renamed = Vec::with_capacity(text.len());
        while let Some(&first) = rest.first() {
            if OURS.iter().any(|name| rest.starts_with(name)) {
                rest = &rest[b"LUA.".len()..];
            } else {
                renamed.push(first);
                rest = &rest[1..];
            }
        }
        renamed
    };
    let all = |values: Vec<Value>| values.into_iter().map(with_stock_names).collect();
    match value {
        Value::Status(text) => Value::Status(renamed(text)),
        Value::Error(text) => Value::Error(renamed(text)),
        Value::Bulk(text) => Value::Bulk(renamed(text)),
        Value::Array(values) => Value::Array(all(values)),
        Value::Set(values) => Value::Set(all(values)),
        Value::Push(values) => Value::Push(all(values)),
        Value::Map(pairs) => {
            let pair = |(key, value)| (with_stock_names(key), with_stock_names(value));
            Value::Map(pairs.into_iter().map(pair).collect())
        }
        other => other,
    }
}

/// Tells what differs, once if both protocols show the same.
pub fn tell(differences: &[(u8, String)]) -> String {
    match differences {
        [(_, two), (_, three)] if two == three => format!("RESP2 and RESP3, {two}"),
        _ => differences.iter().map(|(protocol, text)| format!("RESP{protocol}, {text}")).collect(),
    }
}

/// A command as a person would type it.
pub fn words(argv: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| match std::str::from_utf8(word) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        _ => word.escape_ascii().to_string(),
    };
    argv.iter().map(word).collect::<Vec<String>>().join(" ")
}

/// A step as failure messages show it.
fn command(case: &Case, step: usize, outcome: &Outcome) -> String {
    let words = words(&case::argv(&case.steps[step], "", &outcome.replies));
    excerpt(&words.replacen(&case.prelude, "", 1), 0)
}

fn side_by_side(what: &str, stock: &str, ours: &str) -> String {
    let pairs = stock.chars().zip(ours.chars());
    let same = pairs.take_while(|(left, right)| left == right).count();
    let from = if same < EXCERPT / 2 { 0 } else { same - EXCERPT / 4 };
    format!("{what}\n  stock: {}\n  ours:  {}\n", excerpt(stock, from), excerpt(ours, from))
}

fn excerpt(text: &str, from: usize) -> String {
    let length = text.chars().count();
    let part: String = text.chars().skip(from).take(EXCERPT).collect();
    let before = if from > 0 { "…" } else { "" };
    match length > from + EXCERPT {
        true => format!("{before}{part}… ({length} characters)"),
        false => format!("{before}{part}"),
    }
}
