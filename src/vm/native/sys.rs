//! What this project's edits add to Lua's C API.

use std::ffi::{c_char, c_int, c_void};

use mlua::ffi::lua_State;

unsafe extern "C-unwind" {
    /// Makes the table at `idx` read-only or writable; writing to a read-only table is an error.
    pub fn lua_enablereadonlytable(l: *mut lua_State, idx: c_int, enabled: c_int);
    /// Chooses whose order `pairs` shows in all VMs of the process: 0 for Redis's, 1 for Valkey's.
    pub fn redlua_setorder(order: c_int);
    /// Sets how many bytes of source a chunk may have, however it is loaded.
    pub fn redlua_setsourcelimit(l: *mut lua_State, limit: usize);
    /// Has the collector begin its next cycle before `room` more bytes are in use.
    pub fn redlua_collectwithin(l: *mut lua_State, room: usize);
    /// Raises the error of the run again if it is one that nothing of the script may catch.
    pub fn redlua_rethrow(l: *mut lua_State);
    /// Whether the table at `idx` is read-only.
    pub fn lua_isreadonlytable(l: *mut lua_State, idx: c_int) -> c_int;
    /// Pops a value and puts it behind the `len` items of the list at `idx`, which has nothing else.
    pub fn redlua_append(l: *mut lua_State, idx: c_int, len: c_int);
    /// As `redlua_append`, with a number.
    pub fn redlua_appendnumber(l: *mut lua_State, idx: c_int, len: c_int, number: f64);
    /// As `redlua_append`, with a string.
    pub fn redlua_appendstring(
        l: *mut lua_State,
        idx: c_int,
        len: c_int,
        bytes: *const c_char,
        count: usize,
    );
    /// Gives the array part of the table at `idx` room for `room` items, which are all it has.
    pub fn redlua_fitlist(l: *mut lua_State, idx: c_int, room: c_int);
    /// Whether the table at `idx` is as one made with room for `room` items: nothing but items, no
    /// metatable, not read-only.
    pub fn redlua_isbarelist(l: *mut lua_State, idx: c_int, room: c_int) -> c_int;
    /// Clears the items behind the first `len` of such a list.
    pub fn redlua_cutlist(l: *mut lua_State, idx: c_int, len: c_int);
    /// Which of its first two parameters the function at `idx` may hand on to what outlives a call, as bits.
    pub fn redlua_handson(l: *mut lua_State, idx: c_int) -> c_int;
    /// Pushes a table that has the keys of `table` where `table` has them, with the value false.
    pub fn redlua_pushlike(l: *mut lua_State, table: *const c_void);
    /// Whether the table at `idx` has anything but items.
    pub fn redlua_hasfields(l: *mut lua_State, idx: c_int) -> c_int;
    /// Pushes the value under the string at `name` in the table at `idx` and gives its type.
    pub fn redlua_pushknown(l: *mut lua_State, idx: c_int, name: *const c_void) -> c_int;
    /// Where the string at `idx`, counted from the top, lies.
    pub fn redlua_nameat(l: *mut lua_State, idx: c_int) -> *const c_void;
    /// Pops a value, which becomes that of the pair at `place` in the table at `idx`.
    pub fn redlua_setpair(l: *mut lua_State, idx: c_int, place: c_int);
    /// As `redlua_setpair`, with a number.
    pub fn redlua_setpairnumber(l: *mut lua_State, idx: c_int, place: c_int, number: f64);
    /// As `redlua_setpair`, with a string.
    pub fn redlua_setpairstring(
        l: *mut lua_State,
        idx: c_int,
        place: c_int,
        bytes: *const c_char,
        count: usize,
    );
    /// Pushes key and value of the pair at `place` in the table at `idx`.
    pub fn redlua_pushpair(l: *mut lua_State, idx: c_int, place: c_int);
    /// Polls if the interrupt flag is set; whether the run must end. Never raises.
    pub fn redlua_pollend(l: *mut lua_State) -> c_int;
    /// Sets what decides whether a run whose interrupt flag is set must end.
    pub fn redlua_setpoll(
        l: *mut lua_State,
        poll: Option<unsafe extern "C" fn(*mut lua_State) -> c_int>,
    );
    /// Sets what is told of functions that end while the interrupt flag is set; what it returns means nothing.
    pub fn redlua_setsample(
        l: *mut lua_State,
        sample: Option<unsafe extern "C" fn(*mut lua_State) -> c_int>,
    );
    /// Has that be told of functions that end in this thread and in those it makes, or not any more.
    pub fn redlua_sampling(l: *mut lua_State, on: c_int);
    /// Whether the poll that is on stands before a call: the innermost function has not begun.
    pub fn redlua_isentering(l: *mut lua_State) -> c_int;
    /// The interrupt flag of the VM; the VM clears it.
    pub fn redlua_interruptflag(l: *mut lua_State) -> *mut c_int;
    /// Pops a value, which becomes the error of a run that the poll function ends.
    pub fn redlua_setdeath(l: *mut lua_State);
    /// Ends the run at once, as a poll would; never returns.
    pub fn redlua_die(l: *mut lua_State) -> c_int;
    /// Why the run is dying, or 0.
    pub fn redlua_isdying(l: *mut lua_State) -> c_int;
    /// Makes the VM of a run that was ended usable again.
    pub fn redlua_revive(l: *mut lua_State);
    /// The light userdata that is the running C function's first upvalue, and the allocator's data.
    pub fn redlua_native(l: *mut lua_State, data: *mut *mut c_void) -> *mut c_void;
    /// The number of arguments of the running function, and where they lie.
    pub fn redlua_frame(l: *mut lua_State, first: *mut *const Slot) -> c_int;
    /// Whether what the running C function returns is the result of what the host called.
    pub fn redlua_isresult(l: *mut lua_State) -> c_int;
    /// Where the parts of the table at `table` lie.
    pub fn redlua_tableparts(table: *const c_void, parts: *mut TableParts);
    /// The item `position` of the table, or Lua's nil.
    pub fn redlua_tableitem(table: *const c_void, position: c_int) -> *const Slot;
}

/// A value where it lies: Lua's `TValue`.
#[repr(C)]
pub struct Slot {
    pub value: SlotValue,
    pub tag: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union SlotValue {
    pub pointer: *const c_void,
    pub number: f64,
    pub boolean: c_int,
}

/// A pair in the hash part of a table: Lua's `Node`.
#[repr(C)]
pub struct Node {
    pub value: Slot,
    pub key: Slot,
    pub next: *const Node,
}

/// The parts of a table: `items` values at `array`, then `nodes` pairs at `node`.
#[repr(C)]
pub struct TableParts {
    pub array: *const Slot,
    pub node: *const Node,
    pub metatable: *const c_void,
    pub items: c_int,
    pub nodes: c_int,
}

/// What lies before the bytes of a string: Lua's `TString`.
#[repr(C)]
pub struct StringHead {
    next: *const c_void,
    tag_and_marks: [u8; 4],
    hash: u32,
    seeded: u32,
    pub len: u32,
}
