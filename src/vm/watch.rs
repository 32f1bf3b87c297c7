//! Time and a run: when others are let in, and when the run must end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::context::{RunContext, RunName};
use crate::dialect::{Dialect, Hosts};
use crate::host::{Host, LogLevel};
use crate::names;
use crate::policy::time_limits::{Overrun, TimeLimits};
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};

register!(ERRORS: BUSY: ErrorSpec = ErrorSpec::stock(
    "BUSY",
    "Redis is busy running a script. You can only call {} or SHUTDOWN NOSAVE.",
    "A script or a function has been running for longer than `busy-reply-threshold`.",
).on(&[(
    Hosts::Valkey,
    "Valkey is busy running a script. You can only call {} or SHUTDOWN NOSAVE.",
)]));
register!(ERRORS: KILLED_SCRIPT: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script killed by user with SCRIPT KILL.",
    "The script was ended by `LUA.SCRIPT KILL`.",
).on(&[(Hosts::Redis, "Script killed by user with SCRIPT KILL...")]));
register!(ERRORS: KILLED_FUNCTION: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Script killed by user with FUNCTION KILL.",
    "The function was ended by `LUA.FUNCTION KILL`.",
).on(&[(Hosts::Redis, "Script killed by user with SCRIPT KILL...")]));
register!(ERRORS: DATA_REPLACED: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Script killed: the master sent a new dataset",
    "A replica began to load a dataset while the script was running.",
));
register!(ERRORS: TIME_IS_UP: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Script killed: it ran longer than {}, which is {} milliseconds",
    "A run took longer than a setting, or an option of the script, allows.",
));
register!(ERRORS: LOAD_TIMEOUT: ErrorSpec = ErrorSpec::stock(
    "ERR", "FUNCTION LOAD timeout", "The code of a library ran for longer than 500 milliseconds.",
));

/// What time may do to a run.
#[derive(Clone, Copy)]
pub enum Watch<'a> {
    /// The code of a library that is loaded: nobody is let in, and it may take so long.
    Load(Option<Duration>),
    /// A script or a function.
    Run {
        /// Where commands that come in meanwhile find the run.
        slot: &'a BusySlot,
        /// How long it may take.
        limits: TimeLimits,
    },
}

/// Why a run must end.
pub(crate) enum End {
    /// Only this error is to be seen.
    Bare(ErrorReply),
    /// This error, and where the run was.
    Placed(ErrorReply),
}

/// The two kinds of runs that a client may kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// By `LUA.SCRIPT KILL`.
    Script,
    /// By `LUA.FUNCTION KILL`.
    Function,
}

impl RunKind {
    /// The reply to other clients' commands while such a run is on.
    pub fn busy(self, dialect: Dialect) -> ErrorReply {
        ErrorReply::with(&BUSY, dialect, &[self.kill_command().as_bytes()])
    }

    fn killed(self) -> &'static ErrorSpec {
        match self {
            Self::Script => &KILLED_SCRIPT,
            Self::Function => &KILLED_FUNCTION,
        }
    }

    fn kill_command(self) -> String {
        names::shown(match self {
            Self::Script => "LUA.SCRIPT KILL",
            Self::Function => "LUA.FUNCTION KILL",
        })
    }
}

/// A run that keeps the server busy, as the commands that come in meanwhile see it.
pub struct BusyRun {
    /// What it is.
    pub kind: RunKind,
    /// Its digest or name.
    pub name: Vec<u8>,
    /// The command that started it.
    pub command: Vec<Vec<u8>>,
    /// It has written: it cannot be killed any more.
    pub has_written: bool,
    /// The master sent it: it cannot be killed.
    pub is_obeyed: bool,
    /// When it began.
    pub since: Instant,
    /// What it ends with, once it must.
    pub end: Cell<Option<&'static ErrorSpec>>,
}

/// The run that keeps the server busy, if one does.
#[derive(Default)]
pub struct BusySlot {
    run: RefCell<Option<Rc<BusyRun>>>,
    /// The run that is on has been called slow in the log.
    is_logged: Cell<bool>,
}

impl BusySlot {
    /// The run that others are let in to: `None` but while they are.
    pub fn get(&self) -> Option<Rc<BusyRun>> {
        self.run.borrow().clone()
    }

    /// Forgets the run, which ended.
    #[inline]
    pub fn leave(&self) {
        self.is_logged.set(false);
    }
}

impl RunContext<'_> {
    fn kind(&self) -> RunKind {
        match self.name {
            RunName::Script(_) | RunName::Named(..) => RunKind::Script,
            RunName::Function(_) => RunKind::Function,
        }
    }

    /// Looks at a run that has been going on for `elapsed`: lets others in when they have waited long enough,
    /// and gives the error with which the run must end, if it must.
    ///
    /// Stock: `script.c` `scriptInterrupt`.
    pub(crate) fn look(&self, elapsed: Duration) -> Option<End> {
        let dialect = self.host.dialect();
        let (slot, limits) = match self.watch {
            Watch::Load(limit) => {
                let is_over = limit.is_some_and(|limit| elapsed >= limit);
                return is_over.then(|| End::Bare(ErrorReply::new(&LOAD_TIMEOUT, dialect)));
            }
            Watch::Run { slot, limits } => (slot, limits),
        };
        let is_reachable = self.host.can_let_others_in();
        if self.host.busy_threshold().is_some_and(|threshold| elapsed >= threshold) {
            if !slot.is_logged.replace(true) {
                self.log_slowness(elapsed);
            }
            if is_reachable && let Some(end) = self.let_others_in(slot, elapsed) {
                return Some(End::Placed(ErrorReply::new(end, dialect)));
            }
        }
        if self.server.obeyed {
            return None;
        }
        let (overrun, limit) =
            limits.overrun(milliseconds(elapsed), self.state.dirty.get(), is_reachable)?;
        let setting: &[u8] = match overrun {
            Overrun::Run => b"max-run-time",
            Overrun::AfterWrite => b"max-run-time-after-write",
            Overrun::Unreachable => b"exec-time-limit",
        };
        let limit = limit.to_string();
        let details: [&[u8]; 2] = [setting, limit.as_bytes()];
        let error = ErrorReply::with(&TIME_IS_UP, dialect, &details);
        self.host.log(LogLevel::Warning, error.line().get(4..).unwrap_or_default());
        Some(End::Placed(error))
    }

    /// Has the server look at its clients for a moment; gives the error with which one of them ended the run.
    fn let_others_in(&self, slot: &BusySlot, elapsed: Duration) -> Option<&'static ErrorSpec> {
        let mut name = Vec::new();
        self.name.write_to(&mut name);
        let now = Instant::now();
        let run = Rc::new(BusyRun {
            kind: self.kind(),
            name,
            command: self.host.command(),
            has_written: self.state.dirty.get(),
            is_obeyed: self.server.obeyed,
            since: now.checked_sub(elapsed).unwrap_or(now),
            end: Cell::new(None),
        });
        slot.run.replace(Some(Rc::clone(&run)));
        self.host.let_others_in(&self.kind().busy(self.host.dialect()));
        slot.run.replace(None);
        let end = run.end.get()?;
        if std::ptr::eq(end, self.kind().killed()) {
            self.log_kill(end);
        }
        Some(end)
    }

    /// Stock: `script_lua.c` `luaMaskCountHook`.
    fn log_kill(&self, error: &ErrorSpec) {
        let dialect = self.host.dialect();
        let level = if dialect.is(Hosts::Redis70) { LogLevel::Warning } else { LogLevel::Notice };
        let line = match dialect.is(Hosts::Valkey) {
            true => error.text(dialect),
            false => "Lua script killed by user with SCRIPT KILL.",
        };
        self.host.log(level, line.as_bytes());
    }

    fn log_slowness(&self, elapsed: Duration) {
        let mut line = format!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the script using \
             the {} command. Script name is: ",
            elapsed.as_millis(),
            self.kind().kill_command()
        )
        .into_bytes();
        self.name.write_to(&mut line);
        line.push(b'.');
        self.host.log(LogLevel::Warning, &line);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl BusyRun {
    /// Has the run end as one that a client killed.
    pub fn kill(&self) {
        self.end.set(Some(self.kind.killed()));
    }

    /// Has the run end because the data it works on goes.
    pub fn lose_data(&self) {
        self.end.set(Some(&DATA_REPLACED));
    }
}
