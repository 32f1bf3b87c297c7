//! One Lua state with its environment: built, sealed, and closed.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::chunk::FunctionRef;
use super::memory::{Shared, allocate};
use super::stack::{Kind, ReplyField, Stack};
use super::sys;
use crate::dialect::Hosts;

/// A Lua state and what lives as long as it does.
pub(crate) struct State {
    l: *mut ffi::lua_State,
    shared: Box<Shared>,
    pub(super) anchors: Anchors,
}

/// Values the state keeps for the host, by registry reference.
#[derive(Default)]
pub(super) struct Anchors {
    /// The error handler of every run.
    pub(super) handler: c_int,
    /// The names `KEYS` and `ARGV`.
    pub(super) keys: c_int,
    pub(super) argv: c_int,
    /// The lists that runs get again and again.
    pub(super) lists: [c_int; 2],
    /// What a state for functions has besides.
    pub(super) functions: Option<FunctionGlobals>,
}

/// The globals of a state for functions: an empty table, behind which others stand.
#[derive(Clone, Copy)]
pub(super) struct FunctionGlobals {
    /// The metatable of the empty table.
    pub(super) metatable: c_int,
    /// What is behind it while functions run.
    pub(super) running: c_int,
    /// What is behind it while a library is loaded.
    pub(super) loading: c_int,
}

// SAFETY: a state is used by one thread at a time; nothing in it is tied to a thread. It moves to another
// thread only to be closed there.
unsafe impl Send for State {}

impl State {
    /// Makes a state with Lua's own base, string, table and math libraries, not yet sealed.
    ///
    /// # Panics
    /// When there is no memory for it, which the server's allocator never reports.
    pub(crate) fn new(shared: Shared) -> Self {
        let shared = Box::new(shared);
        let data = (&raw const *shared).cast_mut().cast::<c_void>();
        // SAFETY: a process has one server, so all its VMs show the same order.
        unsafe { sys::redlua_setorder(c_int::from(shared.dialect.is(Hosts::Valkey))) };
        shared.enter_native();
        // SAFETY: the allocator's data lives as long as the state.
        let l = unsafe { ffi::lua_newstate(allocate, data) };
        shared.leave_native();
        assert!(!l.is_null(), "the allocator does not fail while a native is on");
        // SAFETY: the state is live.
        shared.flag.set(unsafe { sys::redlua_interruptflag(l) });
        shared.main.set(l);
        // SAFETY: as above.
        unsafe { sys::redlua_setsample(l, Some(super::sample::sample)) };
        // SAFETY: as above.
        #[cfg(not(fuzzing))]
        unsafe {
            sys::redlua_setpoll(l, Some(super::interrupt::poll));
        };
        // SAFETY: as above.
        #[cfg(fuzzing)]
        unsafe {
            super::steps::count(l);
        };
        let mut state = Self { l, shared, anchors: Anchors::default() };
        state.open(&[
            (c"", ffi::luaopen_base),
            (c"table", ffi::luaopen_table),
            (c"string", ffi::luaopen_string),
            (c"math", ffi::luaopen_math),
        ]);
        state.replace_builtins();
        let text = state.anchor_bytes(b"");
        state.shared.text.set(text);
        state.keep_reply_fields();
        state.anchors.keys = state.anchor_bytes(b"KEYS");
        state.anchors.argv = state.anchor_bytes(b"ARGV");
        state.anchors.lists = [(); 2].map(|()| {
            // With room for a field it is no list yet, so the first run makes one.
            state.with_stack(|stack| stack.push_sized_table(0, 1));
            state.anchor()
        });
        state.change_limit(state.shared.limit());
        state
    }

    pub(super) fn raw(&self) -> *mut ffi::lua_State {
        self.l
    }

    /// What the state shares with its natives.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sets how many bytes the VM may hold; takes effect with the next allocation.
    #[inline]
    pub(crate) fn set_limit(&self, limit: usize) {
        if self.shared.limit() != limit {
            self.change_limit(limit);
        }
    }

    fn change_limit(&self, limit: usize) {
        self.shared.set_limit(limit);
        let room = limit.saturating_sub(self.shared.used());
        // SAFETY: the state is live.
        unsafe { sys::redlua_collectwithin(self.l, room) };
    }

    /// Lets the VM hold no more than `room` bytes beyond what it holds now.
    pub(crate) fn set_room(&self, room: usize) {
        // What an earlier run left would be room for this one.
        if self.shared.used_since_collection() > room / 4 {
            self.with_stack(|stack| stack.collect());
        }
        self.change_limit(self.shared.limit().min(self.shared.used().saturating_add(room)));
    }

    /// Sets how many bytes of source a chunk may have, however it is loaded.
    pub(crate) fn set_source_limit(&self, limit: usize) {
        // SAFETY: the state is live.
        unsafe { sys::redlua_setsourcelimit(self.l, limit) };
    }

    /// Runs `work` on the main stack; nothing in it can raise.
    pub(crate) fn with_stack<T>(&self, work: impl FnOnce(&mut Stack<'_>) -> T) -> T {
        let _on = self.shared.native();
        // SAFETY: the state is live and a native counts as on.
        let mut stack = unsafe { Stack::new(self.l, &self.shared) };
        work(&mut stack)
    }

    /// Pops the function on top and makes it the error handler of every run.
    pub(crate) fn set_handler(&mut self) {
        self.anchors.handler = self.anchor();
    }

    /// Pops the value on top and keeps it; [`State::push_anchored`] brings it back.
    pub(crate) fn anchor(&mut self) -> c_int {
        self.with_stack(|stack| stack.anchor())
    }

    fn anchor_bytes(&mut self, bytes: &[u8]) -> c_int {
        self.with_stack(|stack| stack.push_bytes(bytes));
        self.anchor()
    }

    /// Keeps the names that replies are known by, and a model of a status.
    fn keep_reply_fields(&self) {
        self.with_stack(|stack| {
            let names = ReplyField::NAMES.map(|name| {
                stack.push_bytes(name);
                // SAFETY: a string is on top.
                let place = unsafe { sys::redlua_nameat(stack.raw(), -1) };
                stack.anchor();
                place
            });
            self.shared.reply_fields.set(names);
            stack.push_table();
            stack.push_boolean(false);
            stack.set_field(-2, b"ok");
            // SAFETY: a table is on top.
            self.shared.status_model.set(unsafe { ffi::lua_topointer(stack.raw(), -1) });
            stack.anchor();
        });
    }

    /// Keeps every global whose name `keeps` accepts and drops the others.
    pub(crate) fn retain_globals(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        self.with_stack(|stack| {
            stack.push_copy(ffi::LUA_GLOBALSINDEX);
            retain(stack, &keeps);
            stack.pop(1);
        });
    }

    /// Keeps every member of the library `table` whose name `keeps` accepts and drops the others.
    pub(crate) fn retain_members(&mut self, table: &str, keeps: impl Fn(&[u8]) -> bool) {
        self.with_stack(|stack| {
            if stack.push_field(ffi::LUA_GLOBALSINDEX, table.as_bytes()) == Kind::Table {
                retain(stack, &keeps);
            }
            stack.pop(1);
        });
    }

    /// Makes everything reachable from the globals, and the metatables of the basic types, read-only.
    ///
    /// Stock: `script_lua.c` `luaSetTableProtectionRecursively`, `luaSetTableProtectionForBasicTypes`.
    pub(crate) fn seal(&mut self) {
        self.with_stack(|stack| {
            stack.push_copy(ffi::LUA_GLOBALSINDEX);
            protect(stack);
            stack.pop(1);
            // Of the basic types only strings have a metatable in a fresh state.
            stack.push_bytes(b"");
            protect_metatable(stack);
            stack.pop(1);
        });
    }

    /// Puts an empty table in the place of the globals. Behind it stand the globals there were, and while
    /// a library is loaded the table on top, which is popped.
    ///
    /// Stock: `function_lua.c` `luaEngineInitEngine`.
    pub(crate) fn hide_globals(&mut self) {
        let globals = self.with_stack(|stack| {
            let loading = stack.anchor();
            stack.push_copy(ffi::LUA_GLOBALSINDEX);
            let running = stack.anchor();
            stack.push_table();
            stack.push_table();
            stack.push_copy(ffi::LUA_GLOBALSINDEX);
            stack.set_field(-2, b"__index");
            stack.push_copy(-1);
            let metatable = stack.anchor();
            stack.set_metatable(-2);
            // The globals behind it are sealed already.
            stack.seal();
            // SAFETY: a table is on top.
            unsafe { ffi::lua_replace(stack.raw(), ffi::LUA_GLOBALSINDEX) };
            FunctionGlobals { metatable, running, loading }
        });
        self.anchors.functions = Some(globals);
    }

    /// Makes the table on top read-only, with everything reachable from it.
    pub(crate) fn seal_top(&mut self) {
        self.with_stack(|stack| stack.seal());
    }

    fn open(&mut self, libraries: &[(&CStr, ffi::lua_CFunction)]) {
        self.with_stack(|stack| {
            for (name, open) in libraries {
                // SAFETY: the state is live; the allocator does not fail, so nothing raises.
                unsafe { ffi::lua_pushcclosure(stack.raw(), *open, 0) };
                stack.push_bytes(name.to_bytes());
                // SAFETY: the function and its argument are on the stack.
                unsafe { ffi::lua_call(stack.raw(), 1, 0) };
            }
        });
    }

    /// Puts the module's `pcall` and `collectgarbage` in the place of Lua's.
    fn replace_builtins(&mut self) {
        let shared = (&raw const *self.shared).cast_mut().cast::<c_void>();
        self.with_stack(|stack| {
            // SAFETY: the state is live and has room; the allocator does not fail.
            unsafe { ffi::lua_pushcclosure(stack.raw(), pcall, 0) };
            stack.set_field(ffi::LUA_GLOBALSINDEX, b"pcall");

            // SAFETY: what is shared lives as long as the state.
            unsafe { ffi::lua_pushlightuserdata(stack.raw(), shared) };
            stack.push_field(ffi::LUA_GLOBALSINDEX, b"collectgarbage");
            // SAFETY: both upvalues are on the stack.
            unsafe { ffi::lua_pushcclosure(stack.raw(), collectgarbage, 2) };
            stack.set_field(ffi::LUA_GLOBALSINDEX, b"collectgarbage");
        });
    }

    /// Whether `function` was compiled here and is still kept.
    pub(crate) fn owns(&self, function: FunctionRef) -> bool {
        self.with_stack(|stack| {
            let kind = stack.push_item(ffi::LUA_REGISTRYINDEX, function.0);
            stack.pop(1);
            kind == Kind::Function
        })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.shared.forget_flag();
        self.shared.enter_native();
        // SAFETY: the state is live and not used after this.
        unsafe { ffi::lua_close(self.l) };
        self.shared.leave_native();
        debug_assert_eq!(self.shared.used(), 0, "memory the state did not give back");
    }
}

/// Drops the members of the table on top whose names `keeps` refuses.
fn retain(stack: &mut Stack<'_>, keeps: &impl Fn(&[u8]) -> bool) {
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        if !stack.bytes(-1).is_some_and(keeps) {
            // Clearing a field while walking the table is allowed.
            stack.push_copy(-1);
            stack.push_nil();
            stack.raw_set(-4);
        }
    }
}

/// Makes the table on top, the tables in it and their metatables read-only.
pub(super) fn protect(stack: &mut Stack<'_>) {
    if stack.is_read_only(-1) {
        return;
    }
    // SAFETY: a table is on top.
    unsafe { sys::lua_enablereadonlytable(stack.raw(), -1, 1) };
    stack.reserve(4);
    stack.push_nil();
    while stack.next(-2) {
        if stack.kind(-1) == Kind::Table {
            protect(stack);
        }
        stack.pop(1);
    }
    protect_metatable(stack);
}

/// Makes the metatable of the value on top read-only, if it has one.
fn protect_metatable(stack: &mut Stack<'_>) {
    // SAFETY: a value is on top and there is room for one more.
    if unsafe { ffi::lua_getmetatable(stack.raw(), -1) } != 0 {
        protect(stack);
        stack.pop(1);
    }
}

/// The global `pcall`: an error table with a string in `err` comes back as that string.
///
/// What ends a run for good, as running out of memory does, is not caught. Owns nothing, so errors may jump
/// over it.
///
/// Stock: `script_lua.c` `luaRedisPcall`.
unsafe extern "C-unwind" fn pcall(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it with a live state and room for 20 values; each operation keeps to the values
    // that the one before left.
    unsafe {
        // Below the function lies the place for the result, which is called when there is no function.
        if ffi::lua_gettop(l) == 0 {
            ffi::lua_pushboolean(l, 1);
        }
        ffi::lua_pushboolean(l, 1);
        ffi::lua_insert(l, 1);
        if ffi::lua_pcall(l, ffi::lua_gettop(l) - 2, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
            sys::redlua_rethrow(l);
            ffi::lua_remove(l, 1);
            if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                // A field that is no text stays as a third result, as on stock.
                ffi::lua_getfield_(l, -1, c"err".as_ptr());
                if ffi::lua_isstring(l, -1) != 0 {
                    ffi::lua_replace(l, -2);
                }
            }
            ffi::lua_pushboolean(l, 0);
            ffi::lua_insert(l, 1);
        }
        ffi::lua_gettop(l)
    }
}

/// The global `collectgarbage`: Lua's own, but what it changes ends with the run.
///
/// Owns nothing, so errors may jump over it.
unsafe extern "C-unwind" fn collectgarbage(l: *mut ffi::lua_State) -> c_int {
    // SAFETY: the first upvalue is the VM's shared part.
    let shared = unsafe { ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)) }.cast::<Shared>();
    // SAFETY: it lives as long as the VM.
    unsafe { &*shared }.collector_touched.set(true);
    // SAFETY: the second upvalue is Lua's own function.
    match unsafe { ffi::lua_tocfunction(l, ffi::lua_upvalueindex(2)) } {
        // SAFETY: it gets the arguments it expects.
        Some(own) => unsafe { own(l) },
        None => 0,
    }
}
