//! [`Engine`]: the scripting subsystem's state between runs.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::failures::FailureLog;
use super::functions::Libraries;
use super::observe::Observer;
use super::scripts::Kept;
use crate::config;
use crate::dialect::Dialect;
use crate::script::{RunLimits, ScriptCache};
use crate::stats::held_bytes;
use crate::vm::{BusySlot, FunctionRef, Purpose, Random, Ticker, Vm};

/// Whether a flush frees memory before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Before it answers.
    Sync,
    /// In a thread.
    Async,
}

/// Figures for `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Scripts in the cache.
    pub cached_scripts: usize,
    /// Scripts in the cache that came only by EVAL and may be evicted.
    pub evictable_scripts: usize,
    /// Scripts evicted from the cache since the server started.
    pub evicted_scripts: u64,
    /// Bytes of the cached scripts' texts and of the cache itself.
    pub scripts_memory: usize,
    /// Bytes the VM of scripts holds.
    pub vm_memory: usize,
    /// Libraries that are loaded.
    pub libraries: usize,
    /// Functions they registered.
    pub functions: usize,
    /// Bytes the VM of functions holds.
    pub function_vm_memory: usize,
    /// Runs started since the server started.
    pub runs: u64,
    /// Runs that ended with an error.
    pub failed_runs: u64,
    /// Runs among these that a client or a limit ended.
    pub killed_runs: u64,
    /// Runs in the log of slow ones.
    pub slow_runs: usize,
    /// Bytes of the figures kept of runs.
    pub figures_memory: usize,
    /// VMs thrown away after an error they cannot survive.
    pub rebuilt_vms: u64,
}

/// Drops `garbage` in a thread.
fn free_in_background<T: Send + 'static>(garbage: T) {
    let thread = thread::Builder::new().name("redlua-flush".to_owned());
    // Without a thread the closure is dropped here, and what it holds with it.
    drop(thread.spawn(move || drop(garbage)));
}

/// A compiled script and the VM it belongs to, by generation.
#[derive(Clone, Copy)]
pub(super) struct Compiled {
    pub(super) generation: u64,
    pub(super) function: FunctionRef,
}

/// Everything scripts need between runs. Lives on the server's main thread.
///
/// Commands of other clients may reach it while a run is on, so no borrow is kept across a run.
pub struct Engine {
    pub(super) dialect: Dialect,
    pub(super) cache: RefCell<ScriptCache<Kept>>,
    vm: RefCell<Rc<Vm>>,
    /// Counts VMs, so that what was compiled in an earlier one is known.
    pub(super) generation: Cell<u64>,
    pub(super) libraries: RefCell<Libraries>,
    /// The VM of functions, once there are any.
    function_vm: RefCell<Option<Rc<Vm>>>,
    /// Counts those VMs.
    pub(super) function_generation: Cell<u64>,
    random: Arc<Random>,
    pub(super) ticker: Arc<Ticker>,
    /// The run that keeps the server busy.
    pub(super) busy: BusySlot,
    /// What is kept of runs that ended.
    pub(super) observer: Observer,
    /// What was logged of late of runs that failed.
    pub(super) failures: FailureLog,
    /// Evictions in caches that were flushed.
    evicted_before: Cell<u64>,
    pub(super) runs: Cell<u64>,
    pub(super) failed_runs: Cell<u64>,
    pub(super) killed_runs: Cell<u64>,
    rebuilt_vms: Cell<u64>,
}

impl Engine {
    /// Makes the engine of a server of `dialect`.
    ///
    /// # Errors
    /// The system has no thread to give, without which no run could be interrupted.
    pub fn new(dialect: Dialect) -> io::Result<Self> {
        let random = Arc::new(Random::default());
        let ticker = Arc::new(Ticker::start()?);
        let limit = config::memory_limit();
        let vm =
            Vm::new(Purpose::Scripts, dialect, Arc::clone(&random), Arc::clone(&ticker), limit);
        Ok(Self {
            dialect,
            cache: RefCell::default(),
            vm: RefCell::new(Rc::new(vm)),
            generation: Cell::new(0),
            libraries: RefCell::default(),
            function_vm: RefCell::default(),
            function_generation: Cell::new(0),
            random,
            ticker,
            busy: BusySlot::default(),
            observer: Observer::default(),
            failures: FailureLog::default(),
            evicted_before: Cell::new(0),
            runs: Cell::new(0),
            failed_runs: Cell::new(0),
            killed_runs: Cell::new(0),
            rebuilt_vms: Cell::new(0),
        })
    }

    /// The server the engine answers as.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Drops all scripts and the VM they were compiled in.
    ///
    /// Stock: `eval.c` `scriptingReset`.
    pub fn flush(&self, mode: FlushMode) {
        let cache = self.cache.take();
        self.evicted_before.set(self.evicted_before.get() + cache.evicted_total());
        // A VM that a run still holds goes with that run.
        let vm = Rc::into_inner(self.replace_vm());
        if mode == FlushMode::Async {
            free_in_background((cache, vm));
        }
    }

    /// Throws the VM away after an error it cannot survive; scripts are compiled anew when needed.
    pub(super) fn rebuild(&self) {
        self.rebuilt_vms.set(self.rebuilt_vms.get() + 1);
        drop(self.replace_vm());
    }

    /// The VM for a run with these limits of its own, kept alive by the caller whatever happens to the
    /// engine's.
    pub(super) fn vm(&self, own: RunLimits) -> Rc<Vm> {
        let poisoned = self.vm.borrow().is_poisoned();
        if poisoned {
            self.rebuild();
        }
        let vm = Rc::clone(&self.vm.borrow());
        vm.set_limits(config::memory_limit(), config::max_script_size());
        vm.set_own_limit(own.memory);
        vm
    }

    fn replace_vm(&self) -> Rc<Vm> {
        self.generation.set(self.generation.get() + 1);
        self.vm.replace(self.make_vm(Purpose::Scripts))
    }

    pub(super) fn make_vm(&self, purpose: Purpose) -> Rc<Vm> {
        let (random, ticker) = (Arc::clone(&self.random), Arc::clone(&self.ticker));
        Rc::new(Vm::new(purpose, self.dialect, random, ticker, config::memory_limit()))
    }

    /// The VM of functions for a run with these limits of its own, kept alive by the caller whatever happens
    /// to the engine's.
    pub(super) fn function_vm(&self, own: RunLimits) -> Rc<Vm> {
        if self.function_vm.borrow().as_ref().is_some_and(|vm| vm.is_poisoned()) {
            self.rebuild_function_vm();
        }
        // While a function lets others in, a master may send its libraries.
        if self.function_vm.borrow().as_ref().is_some_and(|vm| vm.is_running()) {
            drop(self.take_function_vm());
        }
        let mut present = self.function_vm.borrow_mut();
        let vm = present.get_or_insert_with(|| self.make_vm(Purpose::Functions));
        vm.set_limits(config::memory_limit(), config::max_script_size());
        vm.set_own_limit(own.memory);
        Rc::clone(vm)
    }

    /// The VM of functions, if there is one now.
    pub(super) fn present_function_vm(&self) -> Option<Rc<Vm>> {
        self.function_vm.borrow().clone()
    }

    /// Throws the VM of functions away; libraries are loaded anew when needed.
    pub(super) fn rebuild_function_vm(&self) {
        self.rebuilt_vms.set(self.rebuilt_vms.get() + 1);
        drop(self.take_function_vm());
    }

    /// Drops all libraries and the VM their functions are in.
    ///
    /// Stock: `functions.c` `functionsLibCtxClearCurrent`.
    pub fn flush_libraries(&self, mode: FlushMode) {
        // Libraries refer to their functions by number, so only the texts are left of them without it.
        drop(self.libraries.take());
        let vm = self.take_function_vm().and_then(Rc::into_inner);
        if mode == FlushMode::Async {
            free_in_background(vm);
        }
    }

    fn take_function_vm(&self) -> Option<Rc<Vm>> {
        self.function_generation.set(self.function_generation.get() + 1);
        self.function_vm.take()
    }

    /// Figures for `INFO`.
    pub fn stats(&self) -> EngineStats {
        let cache = self.cache.borrow();
        let libraries = self.libraries.borrow();
        EngineStats {
            cached_scripts: cache.len(),
            evictable_scripts: cache.evictable_len(),
            evicted_scripts: self.evicted_before.get() + cache.evicted_total(),
            scripts_memory: cache.memory_bytes(),
            vm_memory: self.vm.borrow().memory(),
            libraries: libraries.iter().len(),
            functions: libraries.count_functions(),
            function_vm_memory: self.function_vm.borrow().as_ref().map_or(0, |vm| vm.memory()),
            runs: self.runs.get(),
            failed_runs: self.failed_runs.get(),
            killed_runs: self.killed_runs.get(),
            slow_runs: self.with_slowlog(|log| log.iter().len()),
            figures_memory: held_bytes(),
            rebuilt_vms: self.rebuilt_vms.get(),
        }
    }
}
