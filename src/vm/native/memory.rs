//! What a VM and its native functions share: the memory account, and the run that is on.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use mlua::ffi;

use super::debug::Debugging;
use super::load::Loading;
use super::pool::{LARGEST, Pool};
use super::sample;
use super::shape::Shapes;
use super::sys;
use super::ticker::{Outer, Ticker};
use crate::dialect::Dialect;
use crate::vm::context::RunContext;
use crate::vm::random::Random;

/// Lua wants memory aligned as `malloc` does for its largest basic type.
const ALIGN: usize = 8;

/// The state one VM shares with its allocator and its native functions.
pub(crate) struct Shared {
    /// Bytes the VM holds now.
    used: Cell<usize>,
    /// The most it held since [`Shared::watch_memory`].
    peak: Cell<usize>,
    /// Bytes it may hold.
    limit: Cell<usize>,
    /// The blocks of most of its values.
    pool: UnsafeCell<Pool>,
    /// How many native functions are on the C stack and must not be jumped over.
    natives: Cell<u32>,
    /// Bytes in use after the last full collection.
    floor: Cell<usize>,
    /// A buffer of a native function could not grow: the native's end is Lua's memory error.
    exhausted: Cell<bool>,
    /// A buffer for the next native function that needs one.
    pub(super) spare: Cell<Vec<u8>>,
    /// The shapes of what `cjson` and `cmsgpack` have read; a function that uses them takes them out.
    pub(crate) json_shapes: Cell<Option<Box<Shapes>>>,
    pub(crate) msgpack_shapes: Cell<Option<Box<Shapes>>>,
    /// The server to answer as.
    pub(crate) dialect: Dialect,
    /// The generator behind `math.random`, shared by all VMs as on stock.
    pub(crate) random: Arc<Random>,
    /// A native function panicked: the VM must not be used again.
    pub(crate) poisoned: Cell<bool>,
    /// The script changed the collector's parameters.
    pub(crate) collector_touched: Cell<bool>,
    /// The registry reference that keeps the text a native function reads.
    pub(super) text: Cell<c_int>,
    /// Where the names of [`super::stack::ReplyField`] lie, which the VM keeps.
    pub(super) reply_fields: Cell<[*const c_void; 7]>,
    /// A table with the one field `ok`, which the VM keeps.
    pub(super) status_model: Cell<*const c_void>,
    /// What a library registered that is being loaded.
    pub(crate) loading: RefCell<Option<Loading>>,
    /// A script changed settings that other scripts share.
    pub(crate) settings_touched: Cell<bool>,
    /// Registry references of what `cjson` keeps: the settings of the global one, and the metatable of
    /// arrays.
    pub(crate) json: Cell<[c_int; 2]>,
    /// How the run that failed came to its error; see [`super::traceback`].
    pub(crate) traceback: Cell<Option<String>>,
    /// Globals that exist by name though the host's own engine lacks them: name and registry reference.
    pub(crate) extras: RefCell<Vec<(&'static str, c_int)>>,
    run: Cell<Option<NonNull<RunContext<'static>>>>,
    /// The session that follows the VM's runs, if they are debugged.
    pub(crate) debugging: OnceCell<Debugging>,
    /// The thread that interrupts runs.
    ticker: Arc<Ticker>,
    /// The VM's main thread, once there is a VM.
    pub(super) main: Cell<*mut ffi::lua_State>,
    /// The VM's interrupt flag, once there is a VM.
    pub(super) flag: Cell<*mut c_int>,
}

impl Shared {
    pub(crate) fn new(
        dialect: Dialect,
        random: Arc<Random>,
        ticker: Arc<Ticker>,
        limit: usize,
    ) -> Self {
        Self {
            used: Cell::new(0),
            peak: Cell::new(0),
            limit: Cell::new(limit),
            pool: UnsafeCell::new(Pool::new()),
            natives: Cell::new(0),
            floor: Cell::new(0),
            exhausted: Cell::new(false),
            spare: Cell::default(),
            json_shapes: Cell::default(),
            msgpack_shapes: Cell::default(),
            dialect,
            random,
            poisoned: Cell::new(false),
            collector_touched: Cell::new(false),
            text: Cell::default(),
            reply_fields: Cell::new([ptr::null(); 7]),
            status_model: Cell::new(ptr::null()),
            loading: RefCell::default(),
            settings_touched: Cell::new(false),
            json: Cell::default(),
            traceback: Cell::default(),
            extras: RefCell::default(),
            run: Cell::new(None),
            debugging: OnceCell::new(),
            ticker,
            main: Cell::new(ptr::null_mut()),
            flag: Cell::new(ptr::null_mut()),
        }
    }

    /// Bytes the VM holds now.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Notes from now on how much the VM holds at most; gives what it holds now.
    #[inline]
    pub(super) fn watch_memory(&self) -> usize {
        self.peak.set(self.used.get());
        self.used.get()
    }

    /// The most bytes the VM held since then.
    #[inline]
    pub(super) fn peak(&self) -> usize {
        self.peak.get()
    }

    /// Sets how many bytes the VM holds.
    #[inline]
    fn set_used(&self, used: usize) {
        self.used.set(used);
        if used > self.peak.get() {
            self.peak.set(used);
        }
    }

    /// Sets how many bytes the VM may hold.
    pub(super) fn set_limit(&self, limit: usize) {
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

    /// Whether a block of `new` bytes, with which the VM would use `used`, is too much.
    #[inline]
    fn refuses(&self, used: usize, new: usize, pool: &Pool) -> bool {
        let limit = self.limit.get();
        used > limit || (is_small(new) && !pool.has(new) && pool.held() / 2 > limit)
    }

    /// Whether the VM may hold `bytes` more than it does.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit.get()
    }

    /// Bytes the VM may hold more than it does.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.limit.get().saturating_sub(self.used.get())
    }

    /// Adds `bytes` that a native function holds outside the VM to the account; false, and nothing is
    /// added, where the limit would be passed.
    pub(super) fn charge(&self, bytes: usize) -> bool {
        let used = self.used.get().saturating_add(bytes);
        let fits = used <= self.limit.get();
        if fits {
            self.set_used(used);
        }
        fits
    }

    /// Takes back what [`Shared::charge`] added.
    pub(super) fn discharge(&self, bytes: usize) {
        self.used.set(self.used.get() - bytes);
    }

    /// Makes the native that is on end with Lua's memory error.
    pub(super) fn exhaust(&self) {
        self.exhausted.set(true);
    }

    /// Whether the native that just ended took more memory than there is.
    #[inline]
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.exhausted.replace(false) || self.is_over_limit()
    }

    /// Whether so much of the memory may be garbage that it is time to collect all of it.
    #[inline]
    pub(crate) fn wants_collection(&self) -> bool {
        let used = self.used.get();
        used > self.limit.get() / 8 && used / 2 > self.floor.get()
    }

    /// Bytes that came into use after the last full collection, and may be garbage.
    pub(crate) fn used_since_collection(&self) -> usize {
        self.used.get().saturating_sub(self.floor.get())
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

    /// The thread that interrupts runs.
    #[inline]
    pub(super) fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    /// How long the run that is on has been going on; `None` when nobody looked yet.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.ticker.elapsed()
    }

    /// Waits until nobody writes to the interrupt flag: the VM is about to go.
    pub(super) fn forget_flag(&self) {
        self.ticker.let_go();
    }

    /// Makes `run` the run that is on, until the guard goes.
    pub(crate) fn begin<'a>(&'a self, run: &'a RunContext<'_>) -> RunGuard<'a> {
        let pointer = NonNull::from(run).cast::<RunContext<'static>>();
        let previous = self.run.replace(Some(pointer));
        debug_assert!(previous.is_none(), "a run inside a run");
        let outer = self.ticker.begin(self.flag.get());
        if !outer.is_nothing() && outer.is_sampled() {
            self.sample(true);
        }
        RunGuard { shared: self, outer }
    }

    /// Ends a run of which samples were taken, or that was within another.
    #[cold]
    fn end(&self, outer: Outer) {
        if outer.is_sampled() {
            self.sample(false);
        }
        self.ticker.end(outer);
    }

    /// Has functions that end tell so, or not any more.
    #[cold]
    fn sample(&self, on: bool) {
        if !on {
            sample::take_at_end(self);
        }
        // SAFETY: the state lives as long as this.
        unsafe { sys::redlua_sampling(self.main.get(), c_int::from(on)) };
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
    /// What the ticker wants back.
    outer: Outer,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        if self.outer.is_nothing() {
            self.shared.ticker.end_plainly();
        } else {
            self.shared.end(self.outer);
        }
        self.shared.run.set(None);
    }
}

/// Lua's allocator: the pool for small blocks, Rust's global one for the others, and the account.
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
    // SAFETY: one thread at a time uses a VM, and nothing below comes back here.
    let pool = unsafe { &mut *shared.pool.get() };
    let block = block.cast::<u8>();
    let old = if block.is_null() { 0 } else { old };
    let used = shared.used.get() - old + new;
    if new > old && shared.natives.get() == 0 && shared.refuses(used, new, pool) {
        return ptr::null_mut();
    }
    shared.set_used(used);
    let fresh = if new == 0 {
        ptr::null_mut()
    } else if old == 0 {
        // SAFETY: the size is not 0.
        unsafe { obtain(pool, new) }
    } else if is_small(old) && is_small(new) && Pool::fits(old, new) {
        return block.cast();
    } else if !is_small(old) && !is_small(new) {
        // SAFETY: the block was allocated with this layout, and the new size is not 0.
        return expect(unsafe { realloc(block, layout(old), new) }, new).cast();
    } else {
        // SAFETY: the size is not 0.
        let fresh = unsafe { obtain(pool, new) };
        // SAFETY: both blocks have that many bytes, and they are apart.
        unsafe { ptr::copy_nonoverlapping(block, fresh, old.min(new)) };
        fresh
    };
    if old != 0 {
        // SAFETY: the block is of that size, and Lua does not use it any more.
        unsafe { release(pool, block, old) };
    }
    fresh.cast()
}

/// Whether a block is one for the pool. A sanitizer sees only those of the global allocator.
#[inline]
fn is_small(size: usize) -> bool {
    size <= LARGEST && !cfg!(fuzzing)
}

/// A block of `size` bytes.
///
/// # Safety
/// `size` is not 0.
#[inline]
unsafe fn obtain(pool: &mut Pool, size: usize) -> *mut u8 {
    if is_small(size) {
        // SAFETY: the size is within the bounds.
        unsafe { pool.take(size) }
    } else {
        // SAFETY: the size is not 0.
        expect(unsafe { alloc(layout(size)) }, size)
    }
}

/// Gives a block back.
///
/// # Safety
/// `block` came from [`obtain`] with that size, and nothing uses it any more.
#[inline]
unsafe fn release(pool: &mut Pool, block: *mut u8, size: usize) {
    if is_small(size) {
        // SAFETY: the block came from the pool.
        unsafe { pool.give(block) };
    } else {
        // SAFETY: the block was allocated with this layout.
        unsafe { dealloc(block, layout(size)) };
    }
}

/// A block that the global allocator gave; that of a server aborts where it has none.
fn expect(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        handle_alloc_error(layout(size));
    }
    block
}

fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and Lua never asks for more than half the address
    // space.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}
