//! [`Engine`]: the scripting subsystem's state between runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::config;
use crate::dialect::Dialect;
use crate::script::ScriptCache;
use crate::vm::{FunctionRef, Random, Vm};

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
    /// Bytes the VM holds.
    pub vm_memory: usize,
    /// Runs started since the server started.
    pub runs: u64,
    /// Runs that ended with an error.
    pub failed_runs: u64,
    /// VMs thrown away after an error they cannot survive.
    pub rebuilt_vms: u64,
}

/// Flushes that go on in threads.
static BACKGROUND_FLUSHES: AtomicUsize = AtomicUsize::new(0);

/// Whether a flush goes on in a thread: the module's code must stay until it ends.
pub fn flushes_in_background() -> bool {
    BACKGROUND_FLUSHES.load(Ordering::Acquire) > 0
}

/// Counts one flush that goes on.
struct BackgroundFlush;

impl BackgroundFlush {
    fn begin() -> Self {
        BACKGROUND_FLUSHES.fetch_add(1, Ordering::AcqRel);
        Self
    }
}

impl Drop for BackgroundFlush {
    fn drop(&mut self) {
        BACKGROUND_FLUSHES.fetch_sub(1, Ordering::AcqRel);
    }
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
    pub(super) cache: RefCell<ScriptCache<Cell<Compiled>>>,
    vm: RefCell<Rc<Vm>>,
    /// Counts VMs, so that what was compiled in an earlier one is known.
    pub(super) generation: Cell<u64>,
    random: Arc<Random>,
    /// Evictions in caches that were flushed.
    evicted_before: Cell<u64>,
    pub(super) runs: Cell<u64>,
    pub(super) failed_runs: Cell<u64>,
    rebuilt_vms: Cell<u64>,
}

impl Engine {
    /// Makes the engine of a server of `dialect`.
    pub fn new(dialect: Dialect) -> Self {
        let random = Arc::new(Random::default());
        Self {
            dialect,
            cache: RefCell::default(),
            vm: RefCell::new(Self::make_vm(dialect, &random)),
            generation: Cell::new(0),
            random,
            evicted_before: Cell::new(0),
            runs: Cell::new(0),
            failed_runs: Cell::new(0),
            rebuilt_vms: Cell::new(0),
        }
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
            let going = BackgroundFlush::begin();
            let thread = thread::Builder::new().name("redlua-flush".to_owned());
            // Without a thread the closure is dropped here, and what it holds with it.
            drop(thread.spawn(move || {
                drop((cache, vm));
                drop(going);
            }));
        }
    }

    /// Throws the VM away after an error it cannot survive; scripts are compiled anew when needed.
    pub(super) fn rebuild(&self) {
        self.rebuilt_vms.set(self.rebuilt_vms.get() + 1);
        drop(self.replace_vm());
    }

    /// The VM, kept alive by the caller whatever happens to the engine's.
    pub(super) fn vm(&self) -> Rc<Vm> {
        let poisoned = self.vm.borrow().is_poisoned();
        if poisoned {
            self.rebuild();
        }
        let vm = Rc::clone(&self.vm.borrow());
        vm.set_limits(config::memory_limit(), config::max_script_size());
        vm
    }

    fn replace_vm(&self) -> Rc<Vm> {
        self.generation.set(self.generation.get() + 1);
        self.vm.replace(Self::make_vm(self.dialect, &self.random))
    }

    fn make_vm(dialect: Dialect, random: &Arc<Random>) -> Rc<Vm> {
        Rc::new(Vm::new(dialect, Arc::clone(random), config::memory_limit()))
    }

    /// Figures for `INFO`.
    pub fn stats(&self) -> EngineStats {
        let cache = self.cache.borrow();
        EngineStats {
            cached_scripts: cache.len(),
            evictable_scripts: cache.evictable_len(),
            evicted_scripts: self.evicted_before.get() + cache.evicted_total(),
            scripts_memory: cache.memory_bytes(),
            vm_memory: self.vm.borrow().memory(),
            runs: self.runs.get(),
            failed_runs: self.failed_runs.get(),
            rebuilt_vms: self.rebuilt_vms.get(),
        }
    }
}
