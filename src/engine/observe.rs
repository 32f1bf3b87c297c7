//! What is kept of a run that ended: figures of its script or function, and an entry of the slow log.

use std::cell::{Cell, RefCell};

use super::functions::Function;
use super::scripts::Found;
use super::state::Engine;
use crate::config;
use crate::host::Host;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::script::Sha1;
use crate::stats::{Figures, Pace, Ran, Scale, SlowLog, SlowRun, Summary};
use crate::vm::{InvokeError, RunContext, Tally, ticks};

register!(ERRORS: NO_FIGURES: ErrorSpec = ErrorSpec::module(
    "ERR",
    "No script has the digest or the name '{}', and no function the name",
    "`LUA.SCRIPT STATS` is asked for something that is neither cached nor loaded.",
));

/// A command of a run is one of its slowest only if it took a thousandth of what makes a run slow.
const CALLS_PER_RUN: u64 = 1000;

/// What ran.
pub(super) enum Subject<'a> {
    Script(&'a Found),
    Function(&'a Function),
}

/// What is kept of runs beside the figures, which are where the scripts and functions are.
pub(super) struct Observer {
    pace: Pace,
    slow: RefCell<SlowLog>,
    bar: Cell<Bar>,
}

/// How many ticks make a run slow, and a command one to remember.
#[derive(Clone, Copy)]
struct Bar {
    /// The setting that it was made for.
    setting: i64,
    run: u64,
    call: u64,
}

impl Default for Observer {
    fn default() -> Self {
        let bar = Bar { setting: i64::MIN, run: 0, call: 0 };
        Self { pace: Pace::of(ticks), slow: RefCell::default(), bar: Cell::new(bar) }
    }
}

impl Observer {
    #[inline]
    fn bar(&self) -> Bar {
        let bar = self.bar.get();
        if bar.setting == config::slowlog_slower_than() { bar } else { self.make_bar() }
    }

    #[cold]
    fn make_bar(&self) -> Bar {
        let setting = config::slowlog_slower_than();
        let bar = match u64::try_from(setting) {
            Err(_) => Bar { setting, run: u64::MAX, call: u64::MAX },
            Ok(micros) => match self.pace.ticks_in(micros) {
                Some(run) => Bar { setting, run, call: run / CALLS_PER_RUN },
                // Until the length of a tick is known, every run is looked at.
                None => return Bar { setting: i64::MIN, run: 0, call: 0 },
            },
        };
        self.bar.set(bar);
        bar
    }
}

impl Engine {
    /// Counts for a run that begins now.
    #[inline]
    pub(super) fn tally<'a>(&self, keys: &'a [&'a [u8]], is_sampled: bool) -> Tally<'a> {
        let bar = self.observer.bar();
        if bar.run == u64::MAX && !config::keeps_stats() {
            return Tally::off();
        }
        Tally::new(keys, bar.call, is_sampled && config::keeps_stats())
    }

    /// Keeps what a run did that ended with `outcome`.
    #[inline]
    pub(super) fn note(
        &self,
        run: &RunContext<'_>,
        subject: Subject<'_>,
        outcome: &Result<(), InvokeError>,
        reply_bytes: u64,
    ) {
        let tally = &run.tally;
        if tally.killed.get() {
            self.killed_runs.set(self.killed_runs.get() + 1);
        }
        if tally.began == 0 {
            return;
        }
        let took = ticks().saturating_sub(tally.began);
        if config::keeps_stats() {
            let undeclared = tally.undeclared();
            let error = match outcome {
                Ok(()) => None,
                Err(InvokeError::Script(error) | InvokeError::Memory(error)) => Some(error.line()),
            };
            let ran = Ran {
                began: tally.began,
                took,
                commands: tally.commands.get(),
                keys_read: tally.keys_read.get(),
                keys_written: tally.keys_written.get(),
                reply_bytes: error.map_or(reply_bytes, |line| line.len() as u64 + 3),
                memory: tally.memory.get() as u64,
                error,
                killed: tally.killed.get(),
                undeclared: undeclared.as_deref(),
            };
            match subject {
                Subject::Script(found) => self.add_to_script(found, &ran),
                Subject::Function(function) => function.figures.borrow_mut().add(&ran),
            }
        }
        if took >= self.observer.bar().run {
            self.note_slow(run, took);
        }
    }

    /// Adds a run to the figures of its script, unless that was flushed meanwhile.
    #[inline]
    fn add_to_script(&self, found: &Found, ran: &Ran<'_>) {
        if let Some(script) = self.cache.borrow_mut().at_mut(found.place, &found.sha1) {
            script.compiled.figures.get_or_insert_default().add(ran);
        }
    }

    #[cold]
    fn note_slow(&self, run: &RunContext<'_>, took: u64) {
        let scale = self.observer.pace.scale();
        let micros = scale.micros(took);
        let Ok(limit) = u64::try_from(config::slowlog_slower_than()) else { return };
        if micros < limit {
            return;
        }
        let mut name = Vec::new();
        run.name.write_to(&mut name);
        let inner = run.tally.slowest().into_iter();
        let slow = SlowRun {
            id: 0,
            time: scale.unix_now(),
            micros,
            words: run.host.trimmed_command(),
            caller: run.host.caller(),
            name,
            inner: inner.map(|call| (scale.micros(call.took), call.words)).collect(),
        };
        self.observer.slow.borrow_mut().push(slow, config::slowlog_max_len());
    }

    /// Gives the log of slow runs to `work`.
    pub fn with_slowlog<T>(&self, work: impl FnOnce(&mut SlowLog) -> T) -> T {
        let mut slow = self.observer.slow.borrow_mut();
        slow.limit(config::slowlog_max_len());
        work(&mut slow)
    }

    /// How ticks become time now.
    pub fn scale(&self) -> Scale {
        self.observer.pace.scale()
    }

    /// What the runs of a script or a function did, or of all of them; with `resets`, it begins anew.
    ///
    /// A digest counts before the name of a script, and that before the name of a function.
    ///
    /// # Errors
    /// There is nothing of that name.
    pub fn figures(&self, name: Option<&[u8]>, resets: bool) -> Result<Summary, ErrorReply> {
        let scale = self.scale();
        let mut all = Figures::default();
        let mut cache = self.cache.borrow_mut();
        let libraries = self.libraries.borrow();
        let mut take = |figures: &mut Option<Box<Figures>>| {
            all.merge(figures.as_deref().unwrap_or(&Figures::default()));
            if resets {
                *figures = None;
            }
        };
        let Some(name) = name else {
            cache.iter_mut().for_each(|script| take(&mut script.compiled.figures));
            for library in libraries.iter() {
                for function in &library.functions {
                    all.merge(&function.figures.borrow());
                    if resets {
                        function.figures.take();
                    }
                }
            }
            return Ok(scale.summary(&all));
        };
        let sha1 = Sha1::from_hex(name).or_else(|| cache.named(name));
        if let Some(script) = sha1.and_then(|sha1| cache.get_mut(&sha1)) {
            take(&mut script.compiled.figures);
            return Ok(scale.summary(&all));
        }
        let Some((_, function)) = libraries.find(name) else {
            return Err(ErrorReply::with(
                &NO_FIGURES,
                self.dialect,
                &[name.get(..128).unwrap_or(name)],
            ));
        };
        let summary = scale.summary(&function.figures.borrow());
        if resets {
            function.figures.take();
        }
        Ok(summary)
    }
}
