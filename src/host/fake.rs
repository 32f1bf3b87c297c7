//! A host for tests without a server: scripted replies, recorded calls.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::port::{CallOutcome, Host, KeySlots, LogLevel, Permission};
use crate::debugger::{Link, Mode};
use crate::dialect::Dialect;
use crate::policy::call_errors::Refusal;
use crate::policy::call_rules::{CallMode, CommandFacts, KeyPlaces, Traits};
use crate::policy::{Demand, ServerState};
use crate::resp::ErrorReply;
use crate::stats::Caller;

/// Answers each call with the next scripted reply, `+OK` when there is none.
pub struct FakeHost {
    /// The server to answer as.
    pub dialect: Dialect,
    /// Raw replies still to give, last first.
    pub replies: RefCell<Vec<Vec<u8>>>,
    /// The calls made, arguments joined by blanks.
    pub calls: RefCell<Vec<(Vec<u8>, CallMode)>>,
    /// Lines logged.
    pub lines: RefCell<Vec<(LogLevel, Vec<u8>)>>,
    /// The database selected last.
    pub db: Cell<i32>,
    /// How long a run goes on before others are let in.
    pub threshold: Cell<Option<Duration>>,
    /// Called when others are let in; without it, nobody can be.
    pub visitor: Option<Box<dyn Fn()>>,
    /// How the client wants its runs debugged.
    pub debugging: Cell<Option<Mode>>,
    /// What the client of a session sends, one piece after the other.
    pub commands: RefCell<Vec<Vec<u8>>>,
    /// What it is told.
    pub told: Rc<RefCell<Vec<u8>>>,
}

struct FakeLink {
    sends: VecDeque<Vec<u8>>,
    told: Rc<RefCell<Vec<u8>>>,
}

impl Link for FakeLink {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(mut piece) = self.sends.pop_front() else { return 0 };
        let rest = piece.split_off(piece.len().min(buffer.len()));
        for (place, byte) in buffer.iter_mut().zip(&piece) {
            *place = *byte;
        }
        if !rest.is_empty() {
            self.sends.push_front(rest);
        }
        piece.len()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.told.borrow_mut().extend_from_slice(bytes);
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self {
            dialect: Dialect::redis(7, 0, 15),
            replies: RefCell::default(),
            calls: RefCell::default(),
            lines: RefCell::default(),
            db: Cell::new(0),
            threshold: Cell::default(),
            visitor: None,
            debugging: Cell::default(),
            commands: RefCell::default(),
            told: Rc::default(),
        }
    }
}

impl FakeHost {
    /// A host whose calls are answered by `replies`, first to last.
    pub fn replying(replies: &[&[u8]]) -> Self {
        let replies = replies.iter().rev().map(|reply| reply.to_vec()).collect();
        Self { replies: RefCell::new(replies), ..Self::default() }
    }
}

impl Host for FakeHost {
    type Reply = Vec<u8>;

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn server_state(&self) -> ServerState {
        ServerState::default()
    }

    fn unmet(&self, _: Demand) -> Option<ErrorReply> {
        None
    }

    fn facts(&self, argv: &[&[u8]]) -> Option<CommandFacts> {
        let traits = match argv.first()?.to_ascii_lowercase().as_slice() {
            b"get" | b"hgetall" => Traits::empty(),
            b"set" => Traits::WRITE | Traits::DENY_OOM,
            b"del" => Traits::WRITE,
            b"multi" => Traits::NO_SCRIPT,
            b"select" => Traits::QUIRK,
            _ => return None,
        };
        Some(CommandFacts { arity: -1, traits, keys: KeyPlaces::default() })
    }

    fn call(&self, argv: &[&[u8]], mode: CallMode) -> CallOutcome<Vec<u8>> {
        self.calls.borrow_mut().push((argv.join(&b' '), mode));
        CallOutcome::Reply(self.replies.borrow_mut().pop().unwrap_or_else(|| b"+OK\r\n".to_vec()))
    }

    fn forward(&self, _: &Vec<u8>) -> bool {
        false
    }

    fn would_refuse(&self, _: &[&[u8]], _: CallMode) -> Option<(Refusal, Vec<u8>)> {
        None
    }

    fn speaks_resp3(&self) -> bool {
        false
    }

    fn select(&self, db: i32) {
        self.db.set(db);
    }

    fn permission(&self, argv: &[&[u8]]) -> Permission {
        if self.facts(argv).is_some() { Permission::Granted } else { Permission::NoSuchCommand }
    }

    fn acl_refusal(&self, _: &[&[u8]]) -> Option<Vec<u8>> {
        None
    }

    fn key_slots(&self, _: &[&[u8]]) -> KeySlots {
        KeySlots::None
    }

    fn serves_keys(&self, _: &[&[u8]]) -> bool {
        true
    }

    fn serves_some_key(&self, _: &[&[u8]]) -> bool {
        true
    }

    fn is_slot_assigned(&self, _: u16) -> bool {
        true
    }

    fn flushes_lazily(&self) -> bool {
        false
    }

    fn packs_strings(&self) -> bool {
        true
    }

    fn replicate(&self) {}

    fn replicate_as(&self, _: &[&[u8]]) {}

    fn stock_libraries(&self) -> Result<Vec<u8>, ErrorReply> {
        Ok(Vec::new())
    }

    fn drop_stock_libraries(&self, _: Option<&[u8]>) {}

    fn command(&self) -> Vec<Vec<u8>> {
        vec![b"LUA.EVAL".to_vec()]
    }

    fn trimmed_command(&self) -> Vec<Vec<u8>> {
        self.command()
    }

    fn caller(&self) -> Caller {
        Caller::default()
    }

    fn busy_threshold(&self) -> Option<Duration> {
        self.threshold.get()
    }

    fn can_let_others_in(&self) -> bool {
        self.visitor.is_some()
    }

    fn let_others_in(&self, _: &ErrorReply) {
        if let Some(visitor) = &self.visitor {
            visitor();
        }
    }

    fn wants_tracebacks(&self) -> bool {
        true
    }

    fn debugging(&self) -> Option<Mode> {
        self.debugging.get()
    }

    fn is_pipelined(&self) -> bool {
        false
    }

    fn set_debugging(&self, mode: Option<Mode>) -> Result<(), ErrorReply> {
        self.debugging.set(mode);
        Ok(())
    }

    fn hold_client(&self) -> Result<Box<dyn Link>, ErrorReply> {
        Ok(Box::new(FakeLink { sends: self.commands.take().into(), told: Rc::clone(&self.told) }))
    }

    fn let_client_go(&self) {
        self.debugging.set(None);
    }

    fn fork(&self, work: &mut dyn FnMut(Box<dyn Link>) -> Vec<u8>) -> Result<(), ErrorReply> {
        let reply = work(self.hold_client()?);
        self.told.borrow_mut().extend_from_slice(&reply);
        Ok(())
    }

    fn flush_other_databases(&self) {
        self.calls.borrow_mut().push((b"(other databases)".to_vec(), CallMode::empty()));
    }

    fn log(&self, level: LogLevel, line: &[u8]) {
        self.lines.borrow_mut().push((level, line.to_vec()));
    }
}
