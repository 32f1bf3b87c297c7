//! The Lua stack as native functions see it: operations that neither raise nor run Lua code.

use std::any::TypeId;
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::{ptr, slice};

use mlua::ffi;

use super::entry::{self, NativeFn, NativeResult, Raised};
use super::error_value::until_nul;
use super::memory::Shared;
use super::state;
use super::sys;
use crate::vm::context::RunContext;
use crate::vm::number;

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

/// The fields by which a table is known as a reply of a certain type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyField {
    Err,
    Ok,
    Double,
    BigNumber,
    Verbatim,
    Map,
    Set,
}

impl ReplyField {
    /// Their names, in their order.
    pub(super) const NAMES: [&[u8]; 7] =
        [b"err", b"ok", b"double", b"big_number", b"verbatim_string", b"map", b"set"];
}

/// What a userdata of ours holds, behind the type by which it is known.
#[repr(C)]
struct Data<T> {
    holds: TypeId,
    value: Cell<T>,
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

    /// Removes the value at `index` from among the others.
    pub(crate) fn remove(&mut self, index: c_int) {
        // SAFETY: the state is live; callers name a value on the stack.
        unsafe { ffi::lua_remove(self.l, index) };
    }

    /// Pops a value and keeps it; [`Stack::push_item`] of the registry brings it back.
    pub(crate) fn anchor(&mut self) -> c_int {
        // SAFETY: a value is on top; the allocator does not fail.
        unsafe { ffi::luaL_ref(self.l, ffi::LUA_REGISTRYINDEX) }
    }

    /// Makes the table on top read-only, with everything reachable from it.
    pub(crate) fn seal(&mut self) {
        state::protect(self);
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

    /// Runs `read` with the text of the argument at `position`, as [`Stack::text_argument`] gives it.
    ///
    /// # Errors
    /// The argument is neither a string nor a number: Lua's error is raised.
    pub(crate) fn with_text<R>(
        &mut self,
        position: c_int,
        read: impl FnOnce(&mut Self, &[u8]) -> R,
    ) -> Result<R, Raised> {
        let text: *const [u8] = self.text_argument(position)?;
        // A second reference keeps the string whatever becomes of the argument.
        let anchor = self.shared.text.get();
        self.push_copy(position);
        self.set_item(ffi::LUA_REGISTRYINDEX, anchor);
        // SAFETY: the registry keeps the string, whose bytes neither move nor change.
        let result = read(self, unsafe { &*text });
        // Where there is no room it stays until the next text comes.
        if self.reserve(1) {
            self.push_boolean(false);
            self.set_item(ffi::LUA_REGISTRYINDEX, anchor);
        }
        Ok(result)
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

    /// Pushes the `len` bytes that the string at `index` has from `start` on, or an empty string if it
    /// has fewer.
    pub(crate) fn push_part(&mut self, index: c_int, start: usize, len: usize) {
        let rest = self.bytes(index).and_then(|bytes| bytes.get(start..));
        let part = rest.and_then(|rest| rest.get(..len)).unwrap_or_default();
        // SAFETY: the state is live and has room; the string stays where it is while it is on the stack.
        unsafe { ffi::lua_pushlstring_(self.l, part.as_ptr().cast(), part.len()) };
    }

    /// Pushes the light userdata with this address, which nothing ever follows.
    #[inline]
    pub(crate) fn push_pointer(&mut self, address: usize) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushlightuserdata(self.l, ptr::without_provenance_mut(address)) };
    }

    /// Pushes a function that runs `function`.
    pub(crate) fn push_function(&mut self, function: NativeFn) {
        // SAFETY: the state was made with what it shares, and has room.
        unsafe { entry::push(self.l, function, 0) };
    }

    /// Pops a value and pushes a function that runs `function`, which finds the value by
    /// [`Stack::data`].
    pub(crate) fn push_closure(&mut self, function: NativeFn) {
        // SAFETY: the state was made with what it shares, and has room; callers have a value on top.
        unsafe { entry::push(self.l, function, 1) };
    }

    /// Pushes a userdata that holds `value`.
    pub(crate) fn push_data<T: Copy + 'static>(&mut self, value: T) {
        const { assert!(align_of::<Data<T>>() <= 8, "Lua's blocks are aligned for its own types") };
        // SAFETY: the state is live and has room; the allocator does not fail.
        let place = unsafe { ffi::lua_newuserdata(self.l, size_of::<Data<T>>()) };
        let data = Data { holds: TypeId::of::<T>(), value: Cell::new(value) };
        // SAFETY: the place is fresh, aligned and large enough.
        unsafe { place.cast::<Data<T>>().write(data) };
    }

    /// What the userdata that belongs to the running function holds; see [`Stack::push_closure`].
    ///
    /// `None` if the function has none, or one that holds something else.
    pub(crate) fn data<T: Copy + 'static>(&self) -> Option<&'vm Cell<T>> {
        // SAFETY: an upvalue that is not there reads as no value.
        unsafe { self.data_at(ffi::lua_upvalueindex(2)) }
    }

    /// What the userdata under the registry reference `anchor` holds.
    pub(crate) fn anchored_data<T: Copy + 'static>(
        &mut self,
        anchor: c_int,
    ) -> Option<&'vm Cell<T>> {
        self.push_item(ffi::LUA_REGISTRYINDEX, anchor);
        // SAFETY: a value is on top, and its anchor keeps it.
        let data = unsafe { self.data_at(-1) };
        self.pop(1);
        data
    }

    /// What the userdata at `index` holds, if it was made by [`Stack::push_data`] for the type.
    ///
    /// # Safety
    /// The value at `index` is none, or lives as long as the function that is on.
    unsafe fn data_at<T: Copy + 'static>(&self, index: c_int) -> Option<&'vm Cell<T>> {
        // SAFETY: the state is live.
        let place = unsafe { ffi::lua_touserdata(self.l, index) };
        // SAFETY: as above.
        let size = unsafe { ffi::lua_objlen(self.l, index) };
        if place.is_null() || size != size_of::<Data<T>>() {
            return None;
        }
        // SAFETY: full userdata are only made by `push_data`, and each begins with its type.
        let holds = unsafe { place.cast::<TypeId>().read() };
        // SAFETY: it holds a `Data<T>`, by its size and type.
        (holds == TypeId::of::<T>()).then(|| unsafe { &(*place.cast::<Data<T>>()).value })
    }

    /// Pops a value and puts it behind the `len` items of the list at `table`, which has nothing else
    /// and must not be read-only.
    ///
    /// The list gets the room that it would get had it grown by assignments.
    #[inline]
    pub(crate) fn append(&mut self, table: c_int, len: c_int) {
        // SAFETY: callers name such a table, with a value on top.
        unsafe { sys::redlua_append(self.l, table, len) };
    }

    /// As [`Stack::append`], with a number that is not on the stack.
    #[inline]
    pub(crate) fn append_number(&mut self, table: c_int, len: c_int, value: f64) {
        // SAFETY: callers name such a table.
        unsafe { sys::redlua_appendnumber(self.l, table, len, value) };
    }

    /// As [`Stack::append`], with a string that is not on the stack.
    #[inline]
    pub(crate) fn append_bytes(&mut self, table: c_int, len: c_int, bytes: &[u8]) {
        let (start, count) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: callers name such a table; the allocator does not fail.
        unsafe { sys::redlua_appendstring(self.l, table, len, start, count) };
    }

    /// Gives the list at `table`, which has nothing else, room for `room` items.
    pub(crate) fn fit_list(&mut self, table: c_int, room: c_int) {
        // SAFETY: callers name such a table.
        unsafe { sys::redlua_fitlist(self.l, table, room) };
    }

    /// Whether the table at `index` has anything but items.
    #[inline]
    pub(super) fn has_fields(&self, index: c_int) -> bool {
        // SAFETY: callers name a table.
        unsafe { sys::redlua_hasfields(self.l, index) != 0 }
    }

    /// As [`Stack::push_field`], with a name of replies.
    #[inline]
    pub(super) fn push_reply_field(&mut self, table: c_int, name: ReplyField) -> Kind {
        let name = self.shared.reply_fields.get()[name as usize];
        // SAFETY: callers name a table, and the VM keeps the string as long as it lives.
        Kind::of(unsafe { sys::redlua_pushknown(self.l, table, name) })
    }

    /// Pushes `{ok = line}`.
    pub(super) fn push_status(&mut self, line: &[u8]) {
        // SAFETY: the VM keeps the model, which is such a table; the allocator does not fail.
        unsafe { sys::redlua_pushlike(self.l, self.shared.status_model.get()) };
        // SAFETY: a table with one pair is on top.
        unsafe {
            sys::redlua_setpairstring(self.l, -1, 0, line.as_ptr().cast(), line.len());
        };
    }

    /// Whether what the running function returns is, as it is, the result of what the host called.
    #[inline]
    pub(super) fn is_result(&self) -> bool {
        // SAFETY: the state is live and runs a native.
        unsafe { sys::redlua_isresult(self.l) != 0 }
    }

    /// Pushes what the registry keeps under `anchor`.
    #[inline]
    pub(super) fn push_kept(&mut self, anchor: c_int) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_rawgeti_(self.l, ffi::LUA_REGISTRYINDEX, anchor) };
    }

    /// Whether the table at `index` is as one made with room for `room` items.
    #[inline]
    pub(super) fn is_bare_list(&self, index: c_int, room: c_int) -> bool {
        // SAFETY: callers name a table.
        unsafe { sys::redlua_isbarelist(self.l, index, room) != 0 }
    }

    /// Clears what the list at `index` has behind its first `len` items.
    #[inline]
    pub(super) fn cut_list(&mut self, index: c_int, len: c_int) {
        // SAFETY: callers name such a list.
        unsafe { sys::redlua_cutlist(self.l, index, len) };
    }

    /// Whether the run must end now: natives that may take long ask from time to time, and on true
    /// return [`Raised`] with any value on top.
    #[inline]
    pub(crate) fn is_interrupted(&mut self) -> bool {
        // SAFETY: the state is live; the poll runs on a stack with room.
        unsafe { sys::redlua_pollend(self.l) != 0 }
    }

    /// Pushes a copy of the value at `index`.
    #[inline]
    pub(crate) fn push_copy(&mut self, index: c_int) {
        // SAFETY: the state is live and has room.
        unsafe { ffi::lua_pushvalue(self.l, index) };
    }

    /// Pops a value and puts it where the value at `index` is.
    pub(crate) fn replace(&mut self, index: c_int) {
        // SAFETY: callers name a value.
        unsafe { ffi::lua_replace(self.l, index) };
    }

    /// Moves the value on top to `index`, and those above it one up.
    pub(crate) fn insert(&mut self, index: c_int) {
        // SAFETY: callers name a value.
        unsafe { ffi::lua_insert(self.l, index) };
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
    ///
    /// `problem` ends at a NUL, as a C string does.
    pub(crate) fn raise_argument(&mut self, position: c_int, problem: &[u8]) -> NativeResult {
        let (name, is_method) = self.called_as();
        // The object of a method call is not counted.
        let position = if is_method { position - 1 } else { position };
        let mut message = match position {
            0 if is_method => format!("calling '{name}' on bad self ("),
            _ => format!("bad argument #{position} to '{name}' ("),
        }
        .into_bytes();
        message.extend_from_slice(until_nul(problem));
        message.push(b')');
        self.raise(&message)
    }

    /// Raises the error for an argument that is not a `wanted`, as `luaL_typerror` words it.
    pub(crate) fn raise_type(&mut self, position: c_int, wanted: &str) -> NativeResult {
        let problem = format!("{wanted} expected, got {}", self.type_name(position));
        self.raise_argument(position, problem.as_bytes())
    }

    /// The argument at `position` as a C `long`, as `luaL_checkinteger` reads it.
    ///
    /// # Errors
    /// It is neither a number nor a string that reads as one: Lua's error is raised.
    pub(crate) fn integer_argument(&mut self, position: c_int) -> Result<i64, Raised> {
        let value = self.number_argument(position)?;
        Ok(number::to_integer(value))
    }

    /// The argument at `position` as a number, as `luaL_checknumber` reads it.
    ///
    /// # Errors
    /// As for [`Stack::integer_argument`].
    pub(crate) fn number_argument(&mut self, position: c_int) -> Result<f64, Raised> {
        match self.number(position) {
            Some(value) => Ok(value),
            None => Err(raised(self.raise_type(position, "number"))),
        }
    }

    /// The argument at `position` as text, as `luaL_checklstring` reads it: a number becomes a string
    /// in place.
    ///
    /// # Errors
    /// It is neither a string nor a number: Lua's error is raised.
    pub(crate) fn text_argument(&mut self, position: c_int) -> Result<&[u8], Raised> {
        if !matches!(self.kind(position), Kind::String | Kind::Number) {
            return Err(raised(self.raise_type(position, "string")));
        }
        Ok(self.string(position))
    }

    /// The name by which the running function was called, and whether as a method.
    fn called_as(&self) -> (String, bool) {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: level 0 is the running function.
        let found = unsafe { ffi::lua_getstack(self.l, 0, &mut record) } != 0;
        // SAFETY: the record was just filled.
        let found = found && unsafe { ffi::lua_getinfo(self.l, c"n".as_ptr(), &mut record) } != 0;
        if found && !record.name.is_null() {
            // SAFETY: Lua gives a C string that lives as long as the function.
            let name = unsafe { CStr::from_ptr(record.name) };
            // SAFETY: as above.
            let kind = unsafe { CStr::from_ptr(record.namewhat) };
            return (name.to_string_lossy().into_owned(), kind == c"method");
        }
        ("?".to_owned(), false)
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

    /// Chunk and line of the innermost Lua function that is running.
    pub(crate) fn place(&self) -> Option<(Vec<u8>, c_int)> {
        // SAFETY: an all-zero record is what `lua_getstack` expects to fill.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        let mut level = 0;
        loop {
            // SAFETY: the state is live.
            if unsafe { ffi::lua_getstack(self.l, level, &mut record) } == 0 {
                return None;
            }
            // SAFETY: the record was just filled.
            unsafe { ffi::lua_getinfo(self.l, c"Sl".as_ptr(), &mut record) };
            if record.currentline >= 0 {
                // SAFETY: Lua gives C strings.
                let source = unsafe { CStr::from_ptr(record.source) };
                return Some((source.to_bytes().to_vec(), record.currentline));
            }
            level += 1;
        }
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

/// What a function that can only raise gave.
fn raised(result: NativeResult) -> Raised {
    result.err().unwrap_or(Raised)
}
