//! Lua values read where they lie: walking a table without a stack and without copies.
//!
//! Nothing can change or free what is seen while it is seen: a [`Value`] borrows the [`Stack`], natives do
//! not run Lua code meanwhile, and no collection happens without allocating in the VM.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice;

use mlua::ffi;

use super::stack::{Kind, Stack};
use super::sys::{self, Node, Slot, StringHead, TableParts};

/// A Lua value.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    String(&'a [u8]),
    Table(TableView<'a>),
    /// A light userdata, by its address.
    Pointer(usize),
    Function,
    Thread,
    Userdata,
}

impl<'a> Value<'a> {
    /// The name of the value's type, as Lua's messages say it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Table(_) => "table",
            Self::Pointer(_) | Self::Userdata => "userdata",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }

    /// Reads a slot.
    ///
    /// # Safety
    /// `slot` is a value of a live VM that lives and stays as it is for `'a`.
    #[inline]
    unsafe fn read(slot: *const Slot) -> Self {
        // SAFETY: the slot is readable.
        let Slot { value, tag } = unsafe { &*slot };
        match *tag {
            // SAFETY: the tag says which part of the value counts, here and below.
            ffi::LUA_TSTRING => Self::String(unsafe { string(value.pointer) }),
            // SAFETY: as above.
            ffi::LUA_TNUMBER => Self::Number(unsafe { value.number }),
            ffi::LUA_TTABLE => {
                // SAFETY: as above.
                let table = unsafe { value.pointer };
                Self::Table(TableView { table, seen: PhantomData })
            }
            // SAFETY: as above.
            ffi::LUA_TBOOLEAN => Self::Boolean(unsafe { value.boolean } != 0),
            ffi::LUA_TNIL => Self::Nil,
            // SAFETY: as above.
            ffi::LUA_TLIGHTUSERDATA => Self::Pointer(unsafe { value.pointer } as usize),
            ffi::LUA_TFUNCTION => Self::Function,
            ffi::LUA_TTHREAD => Self::Thread,
            _ => Self::Userdata,
        }
    }
}

/// The bytes of a Lua string.
///
/// # Safety
/// `head` is a string that lives for `'a`.
#[inline]
unsafe fn string<'a>(head: *const c_void) -> &'a [u8] {
    let head = head.cast::<StringHead>();
    // SAFETY: a string begins with its head.
    let len = unsafe { (*head).len } as usize;
    // SAFETY: the bytes follow the head.
    let bytes = unsafe { head.add(1) }.cast::<u8>();
    // SAFETY: there are that many.
    unsafe { slice::from_raw_parts(bytes, len) }
}

/// A Lua table; metatables play no part in what it shows.
#[derive(Clone, Copy)]
pub(crate) struct TableView<'a> {
    table: *const c_void,
    seen: PhantomData<&'a Stack<'a>>,
}

impl<'a> TableView<'a> {
    fn parts(self) -> TableParts {
        let mut parts = MaybeUninit::uninit();
        // SAFETY: the table lives; every field gets written.
        unsafe { sys::redlua_tableparts(self.table, parts.as_mut_ptr()) };
        // SAFETY: as above.
        unsafe { parts.assume_init() }
    }

    /// The pairs of the table in the order of `next`.
    #[inline]
    pub(crate) fn pairs(self) -> Pairs<'a> {
        let parts = self.parts();
        Pairs {
            array: slots(parts.array, parts.items),
            at: 0,
            nodes: slots(parts.node, parts.nodes).iter(),
        }
    }

    /// The two parts a table has: the first items, missing ones among them, and all other pairs.
    #[inline]
    pub(crate) fn split(self) -> (Items<'a>, Pairs<'a>) {
        let parts = self.parts();
        let items = Items { slots: slots(parts.array, parts.items).iter() };
        let nodes = slots(parts.node, parts.nodes).iter();
        (items, Pairs { array: &[], at: 0, nodes })
    }

    /// The value of item `position`.
    pub(crate) fn item(self, position: c_int) -> Value<'a> {
        // SAFETY: the table lives.
        let slot = unsafe { sys::redlua_tableitem(self.table, position) };
        // SAFETY: the slot lies in the table, or is Lua's own nil.
        unsafe { Value::read(slot) }
    }

    /// The value under the string `name`.
    pub(crate) fn field(self, name: &[u8]) -> Value<'a> {
        let found = self.pairs().find(|(key, _)| matches!(key, Value::String(key) if *key == name));
        found.map_or(Value::Nil, |(_, value)| value)
    }

    /// Where the pair with the string `name` lies in the hash part.
    pub(super) fn place_of(self, name: &[u8]) -> Option<c_int> {
        let parts = self.parts();
        let has_name = |node: &Node| {
            // SAFETY: the table lives; a pair with a value has a live key.
            let key = || unsafe { Value::read(&raw const node.key) };
            node.value.tag != ffi::LUA_TNIL && matches!(key(), Value::String(key) if key == name)
        };
        let place = slots(parts.node, parts.nodes).iter().position(has_name)?;
        c_int::try_from(place).ok()
    }

    /// The table's metatable.
    pub(crate) fn metatable(self) -> Option<TableView<'a>> {
        let table = self.parts().metatable;
        (!table.is_null()).then_some(TableView { table, seen: PhantomData })
    }
}

/// A part of a table as a slice.
#[inline]
fn slots<'a, T>(start: *const T, len: c_int) -> &'a [T] {
    if start.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: the VM gave both, and callers bind the lifetime to that of the view.
    unsafe { slice::from_raw_parts(start, len.unsigned_abs() as usize) }
}

/// The first items of a table, missing ones as nil; made by [`TableView::split`].
pub(crate) struct Items<'a> {
    slots: slice::Iter<'a, Slot>,
}

impl<'a> Items<'a> {
    /// How many items are there, and the position of the last one.
    #[inline]
    pub(crate) fn count(&self) -> (usize, usize) {
        let slots = self.slots.as_slice();
        let is_there = |slot: &&Slot| slot.tag != ffi::LUA_TNIL;
        let last = slots.iter().rposition(|slot| is_there(&slot)).map_or(0, |at| at + 1);
        (slots.iter().filter(is_there).count(), last)
    }

    /// The first `count` items, if they are all among these.
    #[inline]
    pub(crate) fn first(&self, count: usize) -> Option<Items<'a>> {
        Some(Items { slots: self.slots.as_slice().get(..count)?.iter() })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        // SAFETY: the view the items came from keeps them as they are.
        self.slots.next().map(|slot| unsafe { Value::read(slot) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl ExactSizeIterator for Items<'_> {}

/// Pairs of a table; made by [`TableView::pairs`] and [`TableView::split`].
#[derive(Clone)]
pub(crate) struct Pairs<'a> {
    array: &'a [Slot],
    at: usize,
    nodes: slice::Iter<'a, Node>,
}

impl Pairs<'_> {
    /// Whether there is no pair more.
    pub(crate) fn is_empty(&self) -> bool {
        self.clone().next().is_none()
    }

    /// How many places are still to be looked at, the empty ones among them.
    pub(crate) fn places(&self) -> usize {
        self.array.len() - self.at + self.nodes.len()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Value<'a>, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some(slot) = self.array.get(self.at) {
            self.at += 1;
            if slot.tag != ffi::LUA_TNIL {
                // SAFETY: the view the pairs came from keeps them as they are, here and below.
                return Some((Value::Number(self.at as f64), unsafe { Value::read(slot) }));
            }
        }
        for node in self.nodes.by_ref() {
            if node.value.tag != ffi::LUA_TNIL {
                // SAFETY: as above; a pair with a value has a live key.
                let key = unsafe { Value::read(&raw const node.key) };
                // SAFETY: as above.
                return Some((key, unsafe { Value::read(&raw const node.value) }));
            }
        }
        None
    }
}

impl Stack<'_> {
    /// The arguments of the running function, or whatever else lies on its stack.
    #[inline]
    pub(super) fn arguments(&self) -> Items<'_> {
        let mut first = std::ptr::null();
        // SAFETY: the state is live and runs a function.
        let count = unsafe { sys::redlua_frame(self.raw(), &mut first) };
        Items { slots: slots(first, count).iter() }
    }

    /// The value at `index`, with all that is in it; nothing can be changed while it is seen.
    pub(crate) fn view(&self, index: c_int) -> Value<'_> {
        match self.kind(index) {
            Kind::None | Kind::Nil => Value::Nil,
            Kind::Boolean => Value::Boolean(self.truth(index)),
            Kind::Number => Value::Number(self.number(index).unwrap_or_default()),
            Kind::String => Value::String(self.bytes(index).unwrap_or_default()),
            Kind::Table => {
                // SAFETY: the state is live.
                let table = unsafe { ffi::lua_topointer(self.raw(), index) };
                Value::Table(TableView { table, seen: PhantomData })
            }
            Kind::Function => Value::Function,
            Kind::Thread => Value::Thread,
            Kind::Userdata => {
                // SAFETY: the state is live.
                if unsafe { ffi::lua_type(self.raw(), index) } == ffi::LUA_TLIGHTUSERDATA {
                    // SAFETY: as above.
                    Value::Pointer(unsafe { ffi::lua_touserdata(self.raw(), index) } as usize)
                } else {
                    Value::Userdata
                }
            }
        }
    }
}
