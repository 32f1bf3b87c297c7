//! The commands of a session: their names, what they need, what they do.

use super::breakpoints::{MOST, Watched};
use super::help;
use super::session::{Paused, Session, watched_value};
use super::source::Frame;
use super::text::{leading_integer, until_nul, whole_integer};
use super::value::{Limits, Value};
use crate::dialect::Hosts;

/// How a session goes on after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It waits for the next.
    Stay,
    /// The run goes on.
    Resume,
    /// The run ends.
    Abort,
    /// The client is gone.
    Gone,
}

type Handler = fn(&mut Session, &mut dyn Paused, &[&[u8]]) -> Flow;

/// One command.
struct Command {
    /// Its names, in any letter case.
    names: &'static [&'static str],
    /// The servers that have it.
    on: Option<Hosts>,
    /// How many words it needs.
    least: usize,
    run: Handler,
}

const fn command(names: &'static [&'static str], run: Handler) -> Command {
    Command { names, on: None, least: 1, run }
}

/// All commands, in stock's order; those that stock has not follow.
const COMMANDS: &[Command] = &[
    command(&["h", "help"], help),
    command(&["s", "step", "n", "next"], step),
    command(&["c", "continue"], |_, _, _| Flow::Resume),
    command(&["t", "trace"], trace),
    command(&["m", "maxlen"], maxlen),
    Command { on: Some(Hosts::Valkey91), ..command(&["max"], maxlen) },
    command(&["b", "break"], breakpoints),
    command(&["e", "eval"], eval),
    command(&["a", "abort"], |_, _, _| Flow::Abort),
    Command { least: 2, ..command(&["r", "redis"], call) },
    Command { least: 2, on: Some(Hosts::Valkey), ..command(&["v", "valkey", "server"], call) },
    command(&["p", "print"], print),
    command(&["l", "list"], list),
    command(&["w", "whole"], whole),
    command(&["watch"], watch),
    command(&["unwatch"], unwatch),
];

/// Executes a command.
///
/// Stock: `eval.c` `ldbRepl`.
pub(super) fn execute(session: &mut Session, vm: &mut dyn Paused, words: &[Vec<u8>]) -> Flow {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let name = until_nul(words.first().copied().unwrap_or_default());
    let found = COMMANDS.iter().find(|command| {
        command.names.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name))
            && command.on.is_none_or(|hosts| session.dialect.is(hosts))
            && words.len() >= command.least
    });
    match found {
        Some(command) => (command.run)(session, vm, &words),
        None => {
            session.console.log(match session.dialect {
                it if it.is(Hosts::Valkey91) => {
                    "<error> Unknown debugger command or wrong number of arguments."
                }
                it if it.is(Hosts::Valkey) => {
                    "<error> Unknown Lua debugger command or wrong number of arguments."
                }
                _ => "<error> Unknown Redis Lua debugger command or wrong number of arguments.",
            });
            Flow::Stay
        }
    }
}

fn help(session: &mut Session, _: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let lines = match words {
        [_, more] if more.eq_ignore_ascii_case(b"more") => help::more(),
        _ => help::stock(session.dialect),
    };
    for line in lines.lines() {
        session.console.log(line);
    }
    Flow::Stay
}

fn step(session: &mut Session, _: &mut dyn Paused, _: &[&[u8]]) -> Flow {
    session.console.steps.set(true);
    Flow::Resume
}

/// Stock: `eval.c` `ldbTrace`.
fn trace(session: &mut Session, vm: &mut dyn Paused, _: &[&[u8]]) -> Flow {
    let frames = vm.frames();
    if frames.is_empty() {
        session.console.log("<error> Can't retrieve Lua stack.");
    }
    for frame in frames.iter().filter(|frame| frame.position.is_in_source) {
        let relation: &[u8] = if frame.is_innermost { b"In " } else { b"From " };
        session.console.log([relation, &called(session, frame), b":"].concat());
        session.show_line(frame.position.line);
    }
    Flow::Stay
}

/// What a trace calls a function.
fn called(session: &Session, frame: &Frame) -> Vec<u8> {
    if frame.is_main {
        return b"top level".to_vec();
    }
    if let Some(name) = &frame.name {
        return name.clone();
    }
    match &session.function {
        Some(function) if frame.is_outermost => function.clone(),
        _ => match session.source.function_at(frame.begins_at) {
            Some(name) => name.to_vec(),
            None => format!("function at line {}", frame.begins_at).into_bytes(),
        },
    }
}

/// Stock: `eval.c` `ldbMaxlen`.
fn maxlen(session: &mut Session, _: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    if let [_, length] = words {
        let length = leading_integer(until_nul(length));
        // Stock takes any negative number for 60, too.
        let length = if length != 0 && length <= 60 { 60 } else { length };
        session.console.set_length(usize::try_from(length).unwrap_or_default());
    }
    session.console.log(match session.console.length() {
        0 => "<value> replies are unlimited.".to_owned(),
        length => format!("<value> replies are truncated at {length} bytes."),
    });
    Flow::Stay
}

/// Stock: `eval.c` `ldbBreak`; conditions and functions are beyond it.
fn breakpoints(session: &mut Session, _: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    match words {
        [_] => list_breakpoints(session),
        [_, kind, names @ ..] if *kind == b"function" && !names.is_empty() => {
            for name in names {
                break_in(session, name);
            }
        }
        [_, line, word, condition @ ..] if *word == b"if" && !condition.is_empty() => {
            break_at(session, line, Some(condition.join(&b' ')));
        }
        [_, lines @ ..] => {
            for line in lines {
                break_at(session, line, None);
            }
        }
        [] => {}
    }
    Flow::Stay
}

fn list_breakpoints(session: &Session) {
    let breakpoints = &session.breakpoints;
    if breakpoints.len() == 0 {
        session.console.log("No breakpoints set. Use 'b <line>' to add one.");
        return;
    }
    session.console.log(format!("{} breakpoints set:", breakpoints.len()));
    for breakpoint in &breakpoints.lines {
        session.show_line(breakpoint.line);
        if let Some(condition) = &breakpoint.condition {
            session.console.log([&b"       if "[..], condition].concat());
        }
    }
    for function in &breakpoints.functions {
        session.console.log([&b"  # function "[..], function].concat());
    }
}

fn break_in(session: &mut Session, name: &[u8]) {
    if session.breakpoints.is_full() {
        session.console.log("Too many breakpoints set.");
    } else if session.breakpoints.functions.iter().any(|it| it == name) {
        session.console.log("Breakpoint already set.");
    } else {
        session.breakpoints.functions.push(name.to_vec());
        session.console.log([&b"Breakpoint set in function "[..], name].concat());
    }
}

fn break_at(session: &mut Session, word: &[u8], condition: Option<Vec<u8>>) {
    let Some(line) = whole_integer(word) else {
        session.console.log([b"Invalid argument:'", until_nul(word), b"'"].concat());
        return;
    };
    match line {
        0 => {
            session.breakpoints.clear();
            session.console.log("All breakpoints removed.");
        }
        1.. => {
            let is_known = session.breakpoints.at(line).is_some();
            if session.breakpoints.len() == MOST && !(is_known && condition.is_some()) {
                session.console.log("Too many breakpoints set.");
            } else if line <= session.source.len() && session.breakpoints.add(line, condition) {
                show_around(session, line, 1);
            } else {
                session.console.log("Wrong line number.");
            }
        }
        _ => {
            let is_removed = session.breakpoints.remove(line.saturating_neg());
            session.console.log(match is_removed {
                true => "Breakpoint removed.",
                false => "No breakpoint in the specified line.",
            });
        }
    }
}

/// Stock: `eval.c` `ldbEval`.
fn eval(session: &mut Session, vm: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let code = words.get(1..).unwrap_or_default().join(&b' ');
    match vm.evaluate(&code, session.limits()) {
        Ok(value) => session.console.log_cut([&b"<retval> "[..], &value.line()].concat()),
        Err(message) => session.console.log([b"<error> ", until_nul(&message)].concat()),
    }
    Flow::Stay
}

/// Stock: `eval.c` `ldbRedis`.
fn call(session: &mut Session, vm: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let argv: Vec<Vec<u8>> = words.iter().skip(1).map(|word| word.to_vec()).collect();
    session.console.steps.set(true);
    if !vm.call(&argv) {
        // What stock makes of its own message, which is no reply.
        session.console.log("<reply> ");
    }
    session.console.steps.set(false);
    Flow::Stay
}

/// Stock: `eval.c` `ldbPrint`, `ldbPrintAll`; trees are beyond it.
fn print(session: &mut Session, vm: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    match words {
        [_, name] => {
            match vm.variable(until_nul(name), session.limits()) {
                Some(value) => {
                    session.console.log_cut([&b"<value> "[..], &value.line()].concat());
                }
                None => session.console.log("No such variable."),
            }
            return Flow::Stay;
        }
        [_, expression @ .., depth] if let Some(depth @ 1..=100) = whole_integer(depth) => {
            let depth = usize::try_from(depth).unwrap_or_default();
            print_tree(session, vm, &expression.join(&b' '), depth);
            return Flow::Stay;
        }
        _ => {}
    }
    let locals = vm.locals(session.limits());
    if locals.is_empty() {
        session.console.log("No local variables in the current context.");
    }
    for (name, value) in locals {
        let shown = [&b"<value> "[..], &name, b" = ", &value.line()].concat();
        session.console.log_cut(shown);
    }
    Flow::Stay
}

fn print_tree(session: &Session, vm: &mut dyn Paused, expression: &[u8], depth: usize) {
    let (value, _): (Value, bool) = match vm.look_at(expression, Limits::tree(depth)) {
        Ok(found) => found,
        Err(message) => {
            session.console.log([b"<error> ", until_nul(&message)].concat());
            return;
        }
    };
    let mut lines = Vec::new();
    value.push_tree(&[expression, b" = "].concat(), 0, &mut lines);
    for line in lines {
        session.console.log_cut([&b"<value> "[..], &line].concat());
    }
}

fn list(session: &mut Session, _: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let number = |at: usize| words.get(at).map(|word| leading_integer(until_nul(word)));
    let around = number(1).filter(|line| *line > 0).unwrap_or(session.console.line.get());
    show_around(session, around, number(2).unwrap_or(5));
    Flow::Stay
}

fn whole(session: &mut Session, _: &mut dyn Paused, _: &[&[u8]]) -> Flow {
    show_around(session, 1, 1_000_000);
    Flow::Stay
}

/// Stock: `eval.c` `ldbList`.
fn show_around(session: &Session, around: i64, context: i64) {
    for line in 1..=session.source.len() {
        if around == 0 || (around - line).abs() <= context {
            session.show_line(line);
        }
    }
}

fn watch(session: &mut Session, vm: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let expression = words.get(1..).unwrap_or_default().join(&b' ');
    if !expression.is_empty() {
        if session.breakpoints.watches.len() >= MOST {
            session.console.log("Too many watch points set.");
            return Flow::Stay;
        }
        let value = watched_value(vm, &expression, session.limits());
        session.breakpoints.watches.retain(|it| it.expression != expression);
        session.breakpoints.watches.push(Watched { expression, value });
    } else if session.breakpoints.watches.is_empty() {
        session.console.log("No watch points set. Use 'watch <expression>' to add one.");
    }
    for watched in &session.breakpoints.watches {
        let shown = [&b"<watch> "[..], &watched.expression, b" = ", &watched.value].concat();
        session.console.log_cut(shown);
    }
    Flow::Stay
}

fn unwatch(session: &mut Session, _: &mut dyn Paused, words: &[&[u8]]) -> Flow {
    let expression = words.get(1..).unwrap_or_default().join(&b' ');
    let watches = &mut session.breakpoints.watches;
    let before = watches.len();
    watches.retain(|it| !expression.is_empty() && it.expression != expression);
    let removed = before - watches.len();
    session.console.log(match removed {
        0 => "No such watch point.".to_owned(),
        count => format!("{count} watch points removed."),
    });
    Flow::Stay
}
