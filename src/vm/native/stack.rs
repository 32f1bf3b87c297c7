//! The Lua stack as native functions see it: operations that neither raise nor run Lua code.

use std::ffi::{CStr, c_int};
use std::slice;

use mlua::ffi;

use super::entry::{NativeResult, Raised};
use super::memory::Shared;
use super::sys;
use crate::vm::context::RunContext;

/// The type of a Lua value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value at that index.
    None,
    Nil,
    Boolean,
    Number,
    String,
    Table,
    Function,
    Thread,
    Userdata,
}

impl Kind {
    fn of(tag: c_int) -> Self {
        match tag {
            ffi::LUA_TNIL => Self::Nil,
            ffi::LUA_TBOOLEAN => Self::Boolean,
            ffi::LUA_TNUMBER => Self::Number,
            ffi::LUA_TSTRING => Self::String,
            ffi::LUA_TTABLE => Self::Table,
            ffi::LUA_TFUNCTION => Self::Function,
            ffi::LUA_TTHREAD => Self::Thread,
            ffi::LUA_TNONE => Self::None,
            _ => Self::Userdata,
        }
    }
}

/// The stack of the Lua thread that called a native function.
///
/// It exists only while the allocator is told that a native is on, so nothing here can raise. Callers keep
/// within the room Lua guarantees (20 values) or ask for more with [`Stack::reserve`].
pub(crate) struct Stack<'vm> {
    l: *mut ffi::lua_State,
    shared: &'vm Shared,
}

impl<'vm> Stack<'vm> {
    /// Takes hold of a stack.
    ///
    /// # Safety
    /// 1. `l` is a live thread of the VM that `shared` belongs to.
    /// 2. The VM counts a native as on while the value lives.
    #[inline]
    pub(super) unsafe fn new(l: *mut ffi::lua_State, shared: &'vm Shared) -> Self {
        Self { l, shared }
    }

    #[inline]
    pub(super) fn raw(&self) -> *mut ffi::lua_State {
        self.l
    }

    /// What the VM shares with its natives.
    #[inline]
    pub(crate) fn shared(&self) -> &'vm Shared {
        self.shared
    }

    /// The run the native belongs to; `None` outside a run.
    #[inline]
    pub(crate) fn run(&self) -> Option<&'vm RunContext<'vm>> {
        self.shared.run()
    }

    /// The number of arguments, or of values pushed on top of them.
    #[inline]
    pub(crate) fn top(&self) -> c_int {
        // SAFETY: the state is live.
        unsafe { ffi::lua_gettop(self.l) }
    }

    /// Cuts the stack to `top` values, or fills it up with nil.
    #[inline]
    pub(crate) fn set_top(&mut self, top: c_int) {
        // SAFETY: the state is live; callers keep within the reserved room.
        unsafe { ffi::lua_settop(self.l, top) };
    }

    /// Removes `count` values from the top.
    #[inline]
    pub(crate) fn pop(&mut self, count: c_int) {
        self.set_top(-count - 1);
    }

    /// Makes room for `count` more values; false when Lua's limit is reached.
    #[inline]
    pub(crate) fn reserve(&mut self, count: c_int) -> bool {
        // SAFETY: the state is live; the allocator does not fail.
        unsafe { ffi::lua_checkstack(self.l, count) != 0 }
    }

    /// The type of the value at `index`.
    #[inline]
    pub(crate) fn kind(&self, index: c_int) -> Kind {
        // SAFETY: the state is live.
        Kind::of(unsafe { ffi::lua_type(self.l, index) })
    }

    /// The name of the type of the value at `index`, as Lua's messages say it.
    pub(crate) fn type_name(&self, index: c_int) -> &'static str {
        match self.kind(index) {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
            Kind::Userdata => "userdata",
        }
    }

    /// The bytes of the string at `index`; `None` for any other type.
    #[inline]
    pub(crate) fn bytes(&self, index: c_int) -> Option<&[u8]> {
        (self.kind(index) == Kind::String).then(|| self.string(index))
    }

    /// The text of the string or number at `index`; a number becomes a string in place.
    pub(crate) fn text(&mut self, index: c_int) -> Option<&[u8]> {
        matches!(self.kind(index), Kind::String | Kind::Number).then(|| self.string(index))
    }

    #[inline]
    fn string(&self, index: c_int) -> &[u8] {
        let mut len = 0;
        // SAFETY: the value is a string or a number, so the result is not null.
        let start = unsafe { ffi::lua_tolstring(self.l, index, &mut len) };
        // SAFETY: the string lives as long as it is on the stack, which `self` borrows.
        unsafe { slice::from_raw_parts(start.cast(), len) }
    }

    /// The number at `index`, strings that read as numbers included; `None` for anything else.
    pub(crate) fn number(&self, index: c_int) -> Option<f64> {
        // SAFETY: the state is live.
        let is_number = unsafe { ffi::lua_isnumber(self.l, index) } != 0;
        // SAFETY: as above.
        is_number.then(|| unsafe { ffi::lua_tonumber(self.l, index) })
    }

    /// Whether the value at `index` is neither nil nor false.
    pub(crate) fn truth(&self, index: c_int) -> bool {
        // SAFETY: the state is live.
        unsafe { ffi::lua_toboolean(self.l, index) != 0 }
    }

    /// Pushes nil.
    #[inline]
    pub(crate) fn push_nil(&mut self) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushnil(self.l) };
    }

    /// Pushes a boolean.
    #[inline]
    pub(crate) fn push_boolean(&mut self, value: bool) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushboolean(self.l, c_int::from(value)) };
    }

    /// Pushes a number.
    #[inline]
    pub(crate) fn push_number(&mut self, value: f64) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushnumber(self.l, value) };
    }

    /// Pushes a string.
    #[inline]
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        // SAFETY: the state is live and has room; the allocator does not fail.
        unsafe { ffi::lua_pushlstring_(self.l, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// Pushes a copy of the value at `index`.
    #[inline]
    pub(crate) fn push_copy(&mut self, index: c_int) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushvalue(self.l, index) };
    }

    /// Pushes an empty table.
    #[inline]
    pub(crate) fn push_table(&mut self) {
        self.push_sized_table(0, 0);
    }

    /// Pushes an empty table with room for `items` list items and `fields` other ones.
    #[inline]
    pub(crate) fn push_sized_table(&mut self, items: c_int, fields: c_int) {
        // SAFETY: the state is live and has room; the allocator does not fail.
        unsafe { ffi::lua_createtable(self.l, items, fields) };
    }

    /// Pushes the value under the string `name` in the table at `table`; metatables play no part.
    pub(crate) fn push_field(&mut self, table: c_int, name: &[u8]) -> Kind {
        let table = self.absolute(table);
        self.push_bytes(name);
        // SAFETY: callers name a table.
        unsafe { ffi::lua_rawget_(self.l, table) };
        self.kind(-1)
    }

    /// Pops a value and stores it under the string `name` in the table at `table`, which must not be
    /// read-only.
    pub(crate) fn set_field(&mut self, table: c_int, name: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(name);
        // SAFETY: swaps the two topmost values.
        unsafe { ffi::lua_insert(self.l, -2) };
        self.raw_set(table);
    }

    /// Pops a value and a key below it and stores them in the table at `table`, which must not be
    /// read-only; the key must not be nil or NaN.
    #[inline]
    pub(crate) fn raw_set(&mut self, table: c_int) {
        debug_assert!(!self.is_read_only(table), "writes to a read-only table");
        // SAFETY: callers name a writable table and a proper key.
        unsafe { ffi::lua_rawset(self.l, table) };
    }

    /// Pops a value and stores it as item `position` of the table at `table`, which must not be
    /// read-only.
    #[inline]
    pub(crate) fn set_item(&mut self, table: c_int, position: c_int) {
        // SAFETY: callers name a writable table.
        unsafe { ffi::lua_rawseti_(self.l, table, position) };
    }

    /// Pushes item `position` of the table at `table`.
    #[inline]
    pub(crate) fn push_item(&mut self, table: c_int, position: c_int) -> Kind {
        // SAFETY: callers name a table.
        unsafe { ffi::lua_rawgeti_(self.l, table, position) };
        self.kind(-1)
    }

    /// Pops a key and pushes the pair after it in the table at `table`; false and nothing at the end.
    pub(crate) fn next(&mut self, table: c_int) -> bool {
        // SAFETY: callers name a table and a key it gave, so the key is found.
        unsafe { ffi::lua_next(self.l, table) != 0 }
    }

    /// Pops a table and makes it the metatable of the table at `table`, which must not be read-only.
    pub(crate) fn set_metatable(&mut self, table: c_int) {
        // SAFETY: callers name a writable table and have a table on top.
        unsafe { ffi::lua_setmetatable(self.l, table) };
    }

    /// Whether the table at `index` is read-only.
    pub(crate) fn is_read_only(&self, index: c_int) -> bool {
        // SAFETY: callers name a table.
        unsafe { sys::lua_isreadonlytable(self.l, index) != 0 }
    }

    /// Pushes the position (`chunk:line: `) of the function at `level` of the call stack.
    pub(crate) fn push_position(&mut self, level: c_int) {
        // SAFETY: the state is live; the allocator does not fail.
        unsafe { ffi::luaL_where(self.l, level) };
    }

    /// Collects all garbage.
    pub(crate) fn collect(&mut self) {
        self.collector(ffi::LUA_GCCOLLECT, 0);
        self.shared.note_collected();
    }

    /// The collector's service `what` with `data`, as `lua_gc` knows them.
    pub(crate) fn collector(&mut self, what: c_int, data: c_int) -> c_int {
        // SAFETY: no Lua finalizer exists, so nothing can raise.
        unsafe { ffi::lua_gc(self.l, what, data) }
    }

    /// Raises `message` with the caller's position before it, as Lua's own functions do.
    pub(crate) fn raise(&mut self, message: &[u8]) -> NativeResult {
        self.push_position(1);
        let mut text = self.bytes(-1).unwrap_or_default().to_vec();
        text.extend_from_slice(message);
        self.push_bytes(&text);
        Err(Raised)
    }

    /// Raises the error for argument `position`, as `luaL_argerror` words it.
    pub(crate) fn raise_argument(&mut self, position: c_int, problem: &str) -> NativeResult {
        let name = self.function_name();
        let message = format!("bad argument #{position} to '{name}' ({problem})");
        self.raise(message.as_bytes())
    }

    /// The name by which the running function was called.
    fn function_name(&self) -> String {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: level 0 is the running function.
        let found = unsafe { ffi::lua_getstack(self.l, 0, &mut record) } != 0;
        // SAFETY: the record was just filled.
        let found = found && unsafe { ffi::lua_getinfo(self.l, c"n".as_ptr(), &mut record) } != 0;
        if found && !record.name.is_null() {
            // SAFETY: Lua gives a C string that lives as long as the function.
            let name = unsafe { CStr::from_ptr(record.name) };
            return name.to_string_lossy().into_owned();
        }
        "?".to_owned()
    }

    /// Pushes the table that answers for the missing global `name`, if there is one.
    pub(crate) fn push_extra(&mut self, name: &[u8]) -> bool {
        let extras = self.shared.extras.borrow();
        let Some((_, anchor)) = extras.iter().find(|(extra, _)| extra.as_bytes() == name) else {
            return false;
        };
        self.push_item(ffi::LUA_REGISTRYINDEX, *anchor);
        true
    }

    /// Chunk and line of the code that called the running function; C functions are passed over once.
    pub(crate) fn caller(&self) -> Option<(Vec<u8>, c_int)> {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        for level in 1..=2 {
            // SAFETY: the state is live.
            if unsafe { ffi::lua_getstack(self.l, level, &mut record) } == 0 {
                return None;
            }
            // SAFETY: the record was just filled.
            unsafe { ffi::lua_getinfo(self.l, c"Sl".as_ptr(), &mut record) };
            // SAFETY: Lua gives C strings.
            let is_c = unsafe { CStr::from_ptr(record.what) } == c"C";
            if !is_c || level == 2 {
                // SAFETY: as above.
                let source = unsafe { CStr::from_ptr(record.source) };
                return Some((source.to_bytes().to_vec(), record.currentline));
            }
        }
        None
    }

    /// The value at `index` as `tostring` shows it, metatables aside.
    pub(crate) fn display(&mut self, index: c_int) -> Vec<u8> {
        match self.kind(index) {
            Kind::String | Kind::Number => {
                self.push_copy(index);
                let text = self.text(-1).unwrap_or_default().to_vec();
                self.pop(1);
                text
            }
            Kind::Nil | Kind::None => b"nil".to_vec(),
            Kind::Boolean => self.truth(index).to_string().into_bytes(),
            _ => {
                // SAFETY: the state is live.
                let address = unsafe { ffi::lua_topointer(self.l, index) };
                format!("{}: {address:p}", self.type_name(index)).into_bytes()
            }
        }
    }

    fn absolute(&self, index: c_int) -> c_int {
        if index < 0 && index > ffi::LUA_REGISTRYINDEX { self.top() + index + 1 } else { index }
    }
}
