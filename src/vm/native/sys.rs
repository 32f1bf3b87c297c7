//! What this project's edits add to Lua's C API.

use mlua::ffi::lua_State;
use std::ffi::c_int;

unsafe extern "C-unwind" {
    /// Makes the table at `idx` read-only or writable; writing to a read-only table is an error.
    pub fn lua_enablereadonlytable(l: *mut lua_State, idx: c_int, enabled: c_int);
    /// Chooses whose order `pairs` shows in all VMs of the process: 0 for Redis's, 1 for Valkey's.
    pub fn redlua_setorder(order: c_int);
    /// Sets how many bytes of source a chunk may have, however it is loaded.
    pub fn redlua_setsourcelimit(l: *mut lua_State, limit: usize);
    /// Raises the error of the run again if it is one that nothing of the script may catch.
    pub fn redlua_rethrow(l: *mut lua_State);
    /// Whether the table at `idx` is read-only.
    pub fn lua_isreadonlytable(l: *mut lua_State, idx: c_int) -> c_int;
}
