//! The one global: what the module keeps between commands.

use std::cell::{Cell, UnsafeCell};
use std::ffi::CString;

use super::debug::Debuggers;
use super::facts::FactsCache;
use super::persistence::Loading;
use super::takeover::Counterparts;
use super::user::StockCommands;
use crate::engine::Engine;

/// What the module keeps between commands.
pub(super) struct Module {
    /// The scripting subsystem.
    pub(super) engine: Engine,
    /// What the server said of its commands.
    pub(super) facts: FactsCache,
    /// The stock commands whose permission a caller needs too.
    pub(super) stock: StockCommands,
    /// The stock commands that lead to the module's during a takeover.
    pub(super) counterparts: Counterparts,
    /// The name of the command that tells whether writes are allowed.
    pub(super) probe: CString,
    /// What is known of whether the server takes writes.
    pub(super) writes: Writes,
    /// Who debugs.
    pub(super) debuggers: Debuggers,
    /// The load of a dataset that goes on.
    pub(super) loading: Loading,
}

/// Whether the server takes writes now.
#[derive(Default)]
pub(super) struct Writes {
    /// They were allowed when the server was last asked, and nothing happened since that could change it, as
    /// far as events tell.
    pub(super) allowed: Cell<bool>,
    /// The server wants replicas for them; `None` when it was not asked since its settings changed.
    pub(super) need_replicas: Cell<Option<bool>>,
    /// The turns of the server's event loop are reported.
    pub(super) hears_of_turns: Cell<bool>,
}

struct Slot(UnsafeCell<Option<Module>>);

// SAFETY: the slot is touched by the server's main thread only: at load, and in callbacks, which
// the server makes on that thread.
unsafe impl Sync for Slot {}

static MODULE: Slot = Slot(UnsafeCell::new(None));

/// The module's state; `None` before it is loaded.
///
/// # Safety
/// Only on the server's main thread, and not kept across the end of the callback.
pub(super) unsafe fn module<'a>() -> Option<&'a Module> {
    // SAFETY: writes happen only in `install`, when no callback is running.
    unsafe { (*MODULE.0.get()).as_ref() }
}

/// Sets the module's state.
///
/// # Safety
/// Only while the module is loaded, on the server's main thread.
pub(super) unsafe fn install(module: Module) {
    // SAFETY: no reference to the state exists yet.
    unsafe { *MODULE.0.get() = Some(module) };
}
