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

/// A command of a run is one of its slowest only if it took such a part of what makes a run slow. One that is
/// remembered costs about as much as a GET, so a run of nothing but short commands has none.
const CALLS_PER_RUN: u64 = 32;

/// What is kept of runs beside the figures, which are where the scripts and functions are.
pub(super) struct Observer {
    pace: Pace,
    slow: RefCell<SlowLog>,
    bar: Cell<Bar>,
    /// The counts of the run that is on.
    tally: Tally,
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
        Self {
            pace: Pace::of(ticks),
            slow: RefCell::default(),
            bar: Cell::new(bar),
            tally: Tally::default(),
        }
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
                None => Bar { setting: i64::MIN, run: 0, call: 0 },
            },
        };
        self.bar.set(bar);
        bar
    }
}

/// Figures for a script that had none.
#[cold]
fn begin_figures(place: &mut Option<Box<Figures>>) -> &mut Figures {
    place.insert(Box::default())
}

impl Engine {
    /// Begins to count for a run.
    #[inline(always)]
    pub(super) fn begin_tally(&self, is_sampled: bool) -> &Tally {
        let bar = self.observer.bar();
        let tally = &self.observer.tally;
        if config::keeps_stats() {
            tally.begin(bar.call, is_sampled);
        } else if bar.run != u64::MAX {
            tally.begin(bar.call, false);
        } else {
            tally.begin_for_nobody();
        }
        tally
    }

    /// Keeps what a run of a script did that ended with `outcome`, unless the script was flushed meanwhile.
    #[inline(always)]
    pub(super) fn note_script(
        &self,
        run: &RunContext<'_>,
        found: &Found,
        outcome: &Result<(), InvokeError>,
        reply_bytes: u64,
    ) {
        let Some(ran) = run.tally.end() else { return };
        if config::keeps_stats()
            && let Some(script) = self.cache.borrow_mut().at_mut(found.place, &found.sha1)
        {
            let figures = match &mut script.compiled.figures {
                Some(figures) => figures,
                none => begin_figures(none),
            };
            figures.add(Ran { reply_bytes, ..ran });
            if outcome.is_err() || run.tally.has_undeclared() {
                self.note_rare(figures, run.tally, outcome);
            }
        }
        if ran.took >= self.observer.bar.get().run {
            self.note_slow(run, ran.took);
        }
    }

    /// Keeps what a run of a function did that ended with `outcome`.
    #[inline(always)]
    pub(super) fn note_function(
        &self,
        run: &RunContext<'_>,
        function: &Function,
        outcome: &Result<(), InvokeError>,
        reply_bytes: u64,
    ) {
        let Some(ran) = run.tally.end() else { return };
        if config::keeps_stats() {
            let figures = &mut *function.figures.borrow_mut();
            figures.add(Ran { reply_bytes, ..ran });
            if outcome.is_err() || run.tally.has_undeclared() {
                self.note_rare(figures, run.tally, outcome);
            }
        }
        if ran.took >= self.observer.bar.get().run {
            self.note_slow(run, ran.took);
        }
    }

    #[cold]
    fn note_rare(&self, figures: &mut Figures, tally: &Tally, outcome: &Result<(), InvokeError>) {
        if let Err(InvokeError::Script(error) | InvokeError::Memory(error)) = outcome {
            figures.add_error(error.line(), tally.was_killed());
        }
        if tally.has_undeclared() {
            figures.add_undeclared(&tally.undeclared());
        }
    }

    /// Counts a failed run as one that was killed, if it was.
    pub(super) fn note_kill(&self) {
        if self.observer.tally.was_killed() {
            self.killed_runs.set(self.killed_runs.get() + 1);
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
