//! What a VM and its native functions share: the memory account, and the run that is on.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::dialect::Dialect;
use crate::vm::context::RunContext;
use crate::vm::random::Random;

/// Lua wants memory aligned as `malloc` does for its largest basic type.
const ALIGN: usize = 8;

/// The state one VM shares with its allocator and its native functions.
pub(crate) struct Shared {
    /// Bytes the VM holds now.
    used: Cell<usize>,
    /// Bytes it may hold.
    limit: Cell<usize>,
    /// How many native functions are on the C stack and must not be jumped over.
    natives: Cell<u32>,
    /// Bytes in use after the last full collection.
    floor: Cell<usize>,
    /// The server to answer as.
    pub(crate) dialect: Dialect,
    /// The generator behind `math.random`, shared by all VMs as on stock.
    pub(crate) random: Arc<Random>,
    /// A native function panicked: the VM must not be used again.
    pub(crate) poisoned: Cell<bool>,
    /// The script changed the collector's parameters.
    pub(crate) collector_touched: Cell<bool>,
    /// Globals that exist by name though the host's own engine lacks them: name and registry reference.
    pub(crate) extras: RefCell<Vec<(&'static str, c_int)>>,
    run: Cell<Option<NonNull<RunContext<'static>>>>,
}

impl Shared {
    pub(crate) fn new(dialect: Dialect, random: Arc<Random>, limit: usize) -> Self {
        Self {
            used: Cell::new(0),
            limit: Cell::new(limit),
            natives: Cell::new(0),
            floor: Cell::new(0),
            dialect,
            random,
            poisoned: Cell::new(false),
            collector_touched: Cell::new(false),
            extras: RefCell::default(),
            run: Cell::new(None),
        }
    }

    /// Bytes the VM holds now.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Sets how many bytes the VM may hold; takes effect with the next allocation.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Bytes the VM may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Whether the VM holds more than it may, as it can after a native function.
    #[inline]
    pub(crate) fn is_over_limit(&self) -> bool {
        self.used.get() > self.limit.get()
    }

    /// Whether so much of the memory may be garbage that it is time to collect all of it.
    #[inline]
    pub(crate) fn wants_collection(&self) -> bool {
        let used = self.used.get();
        used > self.limit.get() / 8 && used / 2 > self.floor.get()
    }

    /// Notes that everything in use is needed.
    pub(crate) fn note_collected(&self) {
        self.floor.set(self.used.get());
    }

    /// Marks that a native function is on, until the guard goes.
    #[inline]
    pub(crate) fn enter_native(&self) {
        self.natives.set(self.natives.get() + 1);
    }

    /// Ends what [`Shared::enter_native`] began.
    #[inline]
    pub(crate) fn leave_native(&self) {
        self.natives.set(self.natives.get() - 1);
    }

    /// Counts a native as on as long as the guard lives; a panic meanwhile poisons the VM.
    pub(crate) fn native(&self) -> NativeGuard<'_> {
        self.enter_native();
        NativeGuard { shared: self }
    }

    /// The run that is on, if one is.
    #[inline]
    pub(crate) fn run(&self) -> Option<&RunContext<'_>> {
        let run = self.run.get()?;
        // SAFETY: `RunGuard` clears the pointer before the context it points to goes, and the borrow
        // cannot outlive a native function, which ends before the run does.
        Some(unsafe { run.as_ref() })
    }

    /// Makes `run` the run that is on, until the guard goes.
    pub(crate) fn begin<'a>(&'a self, run: &'a RunContext<'_>) -> RunGuard<'a> {
        let pointer = NonNull::from(run).cast::<RunContext<'static>>();
        let previous = self.run.replace(Some(pointer));
        debug_assert!(previous.is_none(), "a run inside a run");
        RunGuard { shared: self }
    }
}

/// Counts one native as on; made by [`Shared::native`].
pub(crate) struct NativeGuard<'a> {
    shared: &'a Shared,
}

impl Drop for NativeGuard<'_> {
    fn drop(&mut self) {
        self.shared.leave_native();
        // What the panic interrupted may have left anything on the stack.
        if std::thread::panicking() {
            self.shared.poisoned.set(true);
        }
    }
}

/// Ends the run it was made for when it goes.
pub(crate) struct RunGuard<'a> {
    shared: &'a Shared,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.shared.run.set(None);
    }
}

/// Lua's allocator: Rust's global one, which in the server is the module API's, plus the account.
///
/// # Safety
/// As `lua_Alloc` promises: `data` is the [`Shared`] of the VM, `block` came from this function with size
/// `old`.
pub(super) unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: the VM was made with its `Shared` as data and goes before it.
    let shared = unsafe { &*data.cast::<Shared>() };
    let block = block.cast::<u8>();
    if new == 0 {
        if !block.is_null() {
            shared.used.set(shared.used.get() - old);
            // SAFETY: the block was allocated here with this size.
            unsafe { dealloc(block, layout(old)) };
        }
        return ptr::null_mut();
    }
    let old = if block.is_null() { 0 } else { old };
    let used = shared.used.get() - old + new;
    if new > old && used > shared.limit.get() && shared.natives.get() == 0 {
        return ptr::null_mut();
    }
    let fresh = if block.is_null() {
        // SAFETY: the size is not zero.
        unsafe { alloc(layout(new)) }
    } else {
        // SAFETY: the block was allocated here with the old size; the new one is not zero.
        unsafe { realloc(block, layout(old), new) }
    };
    if !fresh.is_null() {
        shared.used.set(used);
    }
    fresh.cast()
}

fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and Lua never asks for more than half the address
    // space.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}
