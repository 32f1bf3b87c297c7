//! Sessions over a run that is made up.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::{Event, Link, Paused, Place, Session, Subject, Verdict};
use crate::debugger::source::{Frame, Position};
use crate::debugger::value::{Limits, Value};
use crate::dialect::Dialect;

const TEXT: &[u8] = b"local a = 1\nlocal function f(x)\n  return x\nend\nreturn f(a)\n";

/// A client that sends these commands one after the other and then is gone.
struct Script {
    sends: VecDeque<Vec<u8>>,
    told: Rc<RefCell<Vec<u8>>>,
}

impl Link for Script {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(piece) = self.sends.pop_front() else { return 0 };
        buffer[..piece.len()].copy_from_slice(&piece);
        piece.len()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.told.borrow_mut().extend_from_slice(bytes);
    }
}

/// A run in which one variable is a number.
struct Run {
    a: i32,
}

impl Run {
    fn number(&self) -> Value {
        Value::Number(self.a.to_string().into_bytes())
    }
}

impl Paused for Run {
    fn frames(&mut self) -> Vec<Frame> {
        let frame = |line, name: Option<&str>, begins_at| Frame {
            position: Position { line, is_in_source: true },
            name: name.map(|name| name.as_bytes().to_vec()),
            is_main: begins_at == 0,
            begins_at,
            is_innermost: line == 3,
            is_outermost: begins_at == 0,
        };
        vec![frame(3, None, 2), frame(5, None, 0)]
    }

    fn variable(&mut self, name: &[u8], _: Limits) -> Option<Value> {
        (name == b"a").then(|| self.number())
    }

    fn locals(&mut self, _: Limits) -> Vec<(Vec<u8>, Value)> {
        vec![(b"a".to_vec(), self.number())]
    }

    fn evaluate(&mut self, code: &[u8], _: Limits) -> Result<Value, Vec<u8>> {
        Ok(Value::String(code.to_vec()))
    }

    fn look_at(&mut self, expression: &[u8], _: Limits) -> Result<(Value, bool), Vec<u8>> {
        match expression {
            b"a" => Ok((self.number(), true)),
            b"a > 1" => Ok((Value::Boolean(self.a > 1), self.a > 1)),
            _ => Err(b"no idea".to_vec()),
        }
    }

    fn call(&mut self, _: &[Vec<u8>]) -> bool {
        false
    }
}

fn command(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

struct Played {
    session: Session,
    told: Rc<RefCell<Vec<u8>>>,
}

impl Played {
    fn new(commands: &[&str]) -> Self {
        Self::raw(commands.iter().map(|words| command(words)).collect())
    }

    fn raw(sends: VecDeque<Vec<u8>>) -> Self {
        let told = Rc::new(RefCell::default());
        let link = Script { sends, told: Rc::clone(&told) };
        let subject = Subject { text: TEXT, function: None };
        let limit = Some(Duration::ZERO);
        let session = Session::new(&subject, Dialect::redis(7, 0, 15), limit, Box::new(link));
        Self { session, told }
    }

    fn at(&mut self, event: Event, line: i64, a: i32) -> Verdict {
        self.session.pass(event, Place { line, is_in_source: true }, &mut Run { a })
    }

    fn line(&mut self, line: i64, a: i32) -> Verdict {
        self.at(Event::Line, line, a)
    }

    fn told(&self) -> String {
        String::from_utf8(self.told.take()).expect("a test's session is text")
    }
}

#[test]
fn a_run_stops_at_its_first_line_and_where_it_is_to() {
    let mut played = Played::new(&["b 3", "c", "c", "s"]);
    assert_eq!(played.line(1, 1), Verdict::Go);
    assert_eq!(
        played.told(),
        "*2\r\n+* Stopped at 1, stop reason = step over\r\n+-> 1   local a = 1\r\n\
         *3\r\n+   2   local function f(x)\r\n+  #3     return x\r\n+   4   end\r\n"
    );
    played.line(2, 1);
    assert_eq!(played.told(), "");
    played.line(3, 1);
    assert_eq!(
        played.told(),
        "*2\r\n+* Stopped at 3, stop reason = break point\r\n+->#3     return x\r\n"
    );
    played.session.console().stop_at_next_line();
    played.line(5, 1);
    assert!(played.told().contains("+* Stopped at 5, stop reason = redis.breakpoint() called\r\n"));
    played.session.end();
    assert_eq!(played.told(), "*1\r\n+<endsession>\r\n");
}

#[test]
fn lines_of_other_texts_are_passed() {
    let mut played = Played::new(&[]);
    let place = Place { line: 1, is_in_source: false };
    assert_eq!(played.session.pass(Event::Line, place, &mut Run { a: 1 }), Verdict::Go);
    assert_eq!(played.told(), "");
}

#[test]
fn a_breakpoint_may_have_a_condition() {
    let mut played = Played::new(&["break 3 if a > 1", "b", "c", "b 5 if what", "c", "c"]);
    played.line(1, 1);
    assert!(
        played
            .told()
            .ends_with("*3\r\n+1 breakpoints set:\r\n+  #3     return x\r\n+       if a > 1\r\n")
    );
    played.line(3, 1);
    assert_eq!(played.told(), "", "it does not hold");
    played.line(3, 2);
    assert!(played.told().starts_with("*2\r\n+* Stopped at 3, stop reason = break point\r\n"));
    played.line(5, 2);
    let told = played.told();
    assert!(told.starts_with("*3\r\n+<error> condition: no idea\r\n"), "{told}");
}

#[test]
fn a_watched_value_stops_the_run_when_it_changes() {
    let mut played = Played::new(&["watch a", "c", "unwatch", "c"]);
    played.line(1, 1);
    assert!(played.told().ends_with("*1\r\n+<watch> a = 1\r\n"));
    played.line(2, 1);
    assert_eq!(played.told(), "");
    played.line(3, 2);
    assert_eq!(
        played.told(),
        "*3\r\n+* Stopped at 3, stop reason = watch point\r\n+<watch> a: 1 -> 2\r\n\
         +-> 3     return x\r\n*1\r\n+1 watch points removed.\r\n"
    );
    played.line(5, 3);
    assert_eq!(played.told(), "");
}

#[test]
fn a_function_is_a_breakpoint_by_any_of_its_names() {
    let mut played = Played::new(&["break function f", "c", "c"]);
    played.line(1, 1);
    assert!(played.told().ends_with("+Breakpoint set in function f\r\n"));
    assert!(played.session.wants_calls());
    played.session.enter(None, 2);
    played.line(3, 1);
    assert!(played.told().contains("stop reason = function entered"));
    played.session.enter(Some(b"g"), 1);
    played.line(3, 1);
    assert_eq!(played.told(), "");
}

#[test]
fn a_trace_names_functions() {
    let mut played = Played::new(&["t", "c"]);
    played.line(3, 1);
    assert!(played.told().ends_with(
        "*4\r\n+In f:\r\n+-> 3     return x\r\n+From top level:\r\n+   5   return f(a)\r\n"
    ));
}

#[test]
fn whoever_goes_lets_the_run_go_on_until_it_takes_too_long() {
    let mut played = Played::new(&["b 3"]);
    assert_eq!(played.line(1, 1), Verdict::Go);
    assert_eq!(played.line(3, 1), Verdict::Go, "its breakpoints went with it");
    let verdict = played.at(Event::Pace, 3, 1);
    let message = b"timeout during Lua debugging with client closing connection";
    assert_eq!(verdict, Verdict::End(message));
    assert!(played.told().contains("stop reason = timeout reached, infinite loop?\r\n"));
}

#[test]
fn aborting_and_breaking_the_protocol_end_a_stop() {
    let mut played = Played::new(&["a"]);
    assert_eq!(played.line(1, 1), Verdict::End(b"script aborted for user request"));
    let mut played = Played::raw([b"s\r\n".to_vec()].into());
    assert_eq!(played.line(1, 1), Verdict::Raise(b"protocol error"));
}

#[test]
fn no_command_is_too_odd() {
    let words = [
        "p",
        "p x y",
        "print a 0",
        "print a 101",
        "print a 3",
        "l -5",
        "l 99999999999999999999",
        "l 1 -1",
        "b 99999999999999999999",
        "b -9223372036854775808",
        "b function",
        "b 3 if",
        "watch",
        "unwatch",
        "unwatch x",
        "m -1",
        "m x",
        "m 99999999999999",
        "r",
        "r x",
        "e",
        "v x",
        "help more",
        "H",
        "nosuch",
    ];
    let mut played = Played::new(&words);
    assert_eq!(played.line(1, 1), Verdict::Go);
    let told = played.told();
    assert_eq!(told.matches("\r\n*").count(), words.len(), "one answer each: {told}");
}

#[test]
fn breakpoints_are_limited() {
    let commands: Vec<String> = (0..70).map(|at| format!("b function f{at}")).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let mut played = Played::new(&commands);
    played.line(1, 1);
    assert_eq!(played.told().matches("+Too many breakpoints set.").count(), 6);
}
