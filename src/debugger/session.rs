//! [`Session`]: one debugged run, from its first line to the end of its client's patience.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::breakpoints::Breakpoints;
use super::console::Console;
use super::input::{Input, Malformed};
use super::source::{Frame, Position, Source};
use super::value::{Limits, Value};
use super::words::{self, Flow};
use crate::dialect::{Dialect, Hosts};

/// How long a run goes on without a stop where the server has no limit.
///
/// Stock: `eval.c` `luaLdbLineHook`.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connection to the client of a session.
pub trait Link {
    /// Waits for bytes and gives how many came; 0 once the client is gone.
    fn read(&mut self, buffer: &mut [u8]) -> usize;

    /// Sends bytes; one who is gone is noticed by reading.
    fn write(&mut self, bytes: &[u8]);
}

/// A run that is stopped.
pub trait Paused {
    /// The functions that run, the innermost first; those of the coroutines that wait for this one follow.
    fn frames(&mut self) -> Vec<Frame>;

    /// The local variable, or what the function took from around it, that the name stands for.
    fn variable(&mut self, name: &[u8], limits: Limits) -> Option<Value>;

    /// The local variables of the innermost function.
    fn locals(&mut self, limits: Limits) -> Vec<(Vec<u8>, Value)>;

    /// Runs code that sees globals only, and gives its first result.
    ///
    /// # Errors
    /// Its error message.
    fn evaluate(&mut self, code: &[u8], limits: Limits) -> Result<Value, Vec<u8>>;

    /// The value of an expression that sees what the innermost function sees, and whether it counts as true.
    ///
    /// # Errors
    /// Its error message.
    fn look_at(&mut self, expression: &[u8], limits: Limits) -> Result<(Value, bool), Vec<u8>>;

    /// Calls a command as the script would, which shows it; false where there is no room for it.
    fn call(&mut self, argv: &[Vec<u8>]) -> bool;
}

/// What just happened in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line begins.
    Line,
    /// It went on for a while.
    Pace,
}

/// Where it happened.
pub type Place = Position;

/// How the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As if nothing was.
    Go,
    /// With an error of this message, which the script may catch.
    Raise(&'static [u8]),
    /// It ends with an error of this message.
    End(&'static [u8]),
}

/// What is debugged.
pub struct Subject<'a> {
    /// The text by whose lines it is.
    pub text: &'a [u8],
    /// The name of the function that is called, unless it is a script.
    pub function: Option<&'a [u8]>,
}

/// A debugged run as its client steers it.
pub struct Session {
    pub(super) console: Rc<Console>,
    pub(super) source: Source,
    pub(super) function: Option<Vec<u8>>,
    pub(super) breakpoints: Breakpoints,
    pub(super) dialect: Dialect,
    link: Box<dyn Link>,
    input: Input,
    /// How long it may go on without a stop.
    patience: Duration,
    since: Instant,
    /// A function begins in which it is to stop.
    entered: Option<Vec<u8>>,
}

impl Session {
    /// Begins a session with the client behind `link`; `threshold` is how long the server lets scripts run
    /// before it is busy.
    pub fn new(
        subject: &Subject<'_>,
        dialect: Dialect,
        threshold: Option<Duration>,
        link: Box<dyn Link>,
    ) -> Self {
        Self {
            console: Rc::default(),
            source: Source::new(subject.text),
            function: subject.function.map(<[u8]>::to_vec),
            breakpoints: Breakpoints::default(),
            dialect,
            link,
            input: Input::default(),
            patience: threshold.unwrap_or(PATIENCE),
            since: Instant::now(),
            entered: None,
        }
    }

    /// What the session tells its client.
    pub fn console(&self) -> &Rc<Console> {
        &self.console
    }

    /// Whether the session needs to hear of calls.
    pub fn wants_calls(&self) -> bool {
        !self.breakpoints.functions.is_empty()
    }

    /// A function of the text begins at line `begins_at`; its caller calls it `name`.
    pub fn enter(&mut self, name: Option<&[u8]>, begins_at: i64) {
        let own = self.source.function_at(begins_at);
        let names = || name.into_iter().chain(own);
        if self.breakpoints.stops_in(names()) {
            self.entered = names().next().map(<[u8]>::to_vec);
        }
    }

    /// Stops the run where it is to stop.
    ///
    /// Stock: `eval.c` `luaLdbLineHook`.
    pub fn pass(&mut self, event: Event, place: Place, vm: &mut dyn Paused) -> Verdict {
        self.console.line.set(place.line);
        if !place.is_in_source {
            return Verdict::Go;
        }
        let is_asked = self.console.is_asked.get();
        let is_breakpoint = is_asked || self.is_breakpoint(place.line, vm);
        let mut is_overdue = false;
        if event == Event::Pace && !self.console.steps.get() && !is_breakpoint {
            is_overdue = self.since.elapsed() >= self.patience;
            if !is_overdue {
                return Verdict::Go;
            }
        }
        let changes = if event == Event::Line { self.changes(vm) } else { Vec::new() };
        let entered = self.entered.take();
        let is_stop = self.console.steps.get()
            || is_breakpoint
            || is_overdue
            || entered.is_some()
            || !changes.is_empty();
        if !is_stop {
            return Verdict::Go;
        }
        let is_valkey = self.dialect.is(Hosts::Valkey);
        let reason: &[u8] = match () {
            () if is_asked && is_valkey => b"server.breakpoint() called",
            () if is_asked => b"redis.breakpoint() called",
            () if is_breakpoint => b"break point",
            () if is_overdue => b"timeout reached, infinite loop?",
            () if entered.is_some() => b"function entered",
            () if !changes.is_empty() => b"watch point",
            () => b"step over",
        };
        self.console.steps.set(false);
        self.console.is_asked.set(false);
        let mut line = format!("* Stopped at {}, stop reason = ", place.line).into_bytes();
        line.extend_from_slice(reason);
        self.console.log(line);
        for change in changes {
            self.console.log(change);
        }
        self.show_line(place.line);
        self.flush();
        let verdict = match self.prompt(vm) {
            Ok(Flow::Abort) => Verdict::End(b"script aborted for user request"),
            Ok(Flow::Gone) if is_overdue => {
                Verdict::End(b"timeout during Lua debugging with client closing connection")
            }
            Ok(_) => Verdict::Go,
            Err(malformed) => Verdict::Raise(malformed.message()),
        };
        self.since = Instant::now();
        verdict
    }

    /// Tells the client that the session is over.
    ///
    /// Stock: `eval.c` `ldbEndSession`.
    pub fn end(&mut self) {
        self.console.log("<endsession>");
        self.flush();
    }

    /// Sends what there is to tell.
    pub(super) fn flush(&mut self) {
        let frame = self.console.take();
        self.link.write(&frame);
    }

    /// Adds a line of the text, with marks.
    ///
    /// Stock: `eval.c` `ldbLogSourceLine`.
    pub(super) fn show_line(&self, line: i64) {
        let is_here = self.console.line.get() == line;
        let mark = match (is_here, self.breakpoints.at(line).is_some()) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let mut shown = format!("{mark}{line:<3} ").into_bytes();
        shown.extend_from_slice(self.source.line(line));
        self.console.log(shown);
    }

    /// How much of a value the client sees in one line.
    pub(super) fn limits(&self) -> Limits {
        match self.console.length() {
            0 => Limits::line(4 << 20),
            length => Limits::line(length + 1),
        }
    }

    /// Executes commands until one lets the run go on.
    fn prompt(&mut self, vm: &mut dyn Paused) -> Result<Flow, Malformed> {
        loop {
            let words = loop {
                if let Some(words) = self.input.take()? {
                    break words;
                }
                let mut buffer = [0; 1024];
                let count = self.link.read(&mut buffer);
                if count == 0 {
                    // The rest goes without anybody who could say anything.
                    self.breakpoints = Breakpoints::default();
                    return Ok(Flow::Gone);
                }
                self.input.add(&buffer[..count])?;
            };
            let flow = words::execute(self, vm, &words);
            if flow != Flow::Stay {
                return Ok(flow);
            }
            self.flush();
        }
    }

    fn is_breakpoint(&self, line: i64, vm: &mut dyn Paused) -> bool {
        let Some(breakpoint) = self.breakpoints.at(line) else { return false };
        let Some(condition) = &breakpoint.condition else { return true };
        match vm.look_at(condition, Limits::line(1)) {
            Ok((_, is_true)) => is_true,
            Err(message) => {
                // Better one stop too many than a breakpoint that is never reached.
                self.console.log([&b"<error> condition: "[..], &message].concat());
                true
            }
        }
    }

    /// The watched expressions whose value changed, as lines.
    fn changes(&mut self, vm: &mut dyn Paused) -> Vec<Vec<u8>> {
        let limits = self.limits();
        let mut changes = Vec::new();
        for watched in &mut self.breakpoints.watches {
            let value = watched_value(vm, &watched.expression, limits);
            if value != watched.value {
                let parts =
                    [&b"<watch> "[..], &watched.expression, b": ", &watched.value, b" -> ", &value];
                changes.push(parts.concat());
                watched.value = value;
            }
        }
        changes
    }
}

/// What a watched expression is now.
pub(super) fn watched_value(vm: &mut dyn Paused, expression: &[u8], limits: Limits) -> Vec<u8> {
    match vm.look_at(expression, limits) {
        Ok((value, _)) => value.line(),
        Err(message) => [&b"<error> "[..], &message].concat(),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
