//! [`Shapes`]: keys that many tables have in common, so that the next such table is made at once.
//!
//! A table that grows key by key is laid out anew several times, and each key must be found among all
//! strings. A copy of a table that got the same keys in the same order is the same in every respect
//! that a script can see.

use std::ffi::{c_int, c_void};
use std::rc::Rc;

use mlua::ffi;

use super::stack::Stack;
use super::sys;
use super::view::Value;

/// How many shapes are kept.
const SEATS: usize = 64;
/// What a use of a shape adds to its standing, up to [`BEST`].
const BEST: i32 = 16;
/// What an attempt to use it in vain takes away.
const FAILURE: i32 = 4;
/// The patience with a tag whose shapes never were of use.
const LONGEST_PATIENCE: u32 = 4096;

/// The keys of tables that are alike, in the order in which they get them.
pub(crate) struct Shape {
    keys: Vec<Key>,
}

struct Key {
    spelled: Box<[u8]>,
    /// Bytes of `spelled` before the key itself.
    lead: usize,
    /// Bytes of the key itself.
    len: usize,
    /// Where it lies in the table; nowhere if its value is nil.
    place: Option<c_int>,
}

/// A key as the input spells it.
#[derive(Clone, Copy)]
pub(crate) struct Spelled<'a> {
    /// All that stands for the key.
    pub(crate) text: &'a [u8],
    /// Where in it the key itself begins.
    pub(crate) lead: usize,
    /// How long it is.
    pub(crate) len: usize,
    /// Whether the key is given the value nil.
    pub(crate) is_nil: bool,
}

impl<'a> Spelled<'a> {
    fn name(&self) -> &'a [u8] {
        self.text.get(self.lead..self.lead + self.len).unwrap_or_default()
    }
}

/// The shapes that a reader of documents has seen. A tag, which is not 0, stands for what it knows of a
/// table before it reads it; several shapes may have the same.
pub(crate) struct Shapes {
    seats: [Seat; SEATS],
}

#[derive(Default)]
struct Seat {
    tag: u32,
    standing: i32,
    /// How many tables with the tag there were since the shape was last given up.
    seen: u32,
    /// How many of them it takes to learn a shape: the more, the more often one was of no use.
    patience: u32,
    known: Option<Known>,
}

struct Known {
    shape: Rc<Shape>,
    /// A table of that shape, which nothing changes.
    table: *const c_void,
    /// Its reference in the registry.
    anchor: c_int,
}

impl Default for Shapes {
    fn default() -> Self {
        Self { seats: std::array::from_fn(|_| Seat::default()) }
    }
}

impl Shapes {
    #[inline]
    fn seat(&mut self, tag: u32) -> Option<&mut Seat> {
        self.seats.get_mut(tag as usize % SEATS)
    }

    /// Pushes a table that has all keys of the shape known by `tag`, if one is; it is complete when each
    /// key has got its value.
    #[inline]
    pub(crate) fn push(&mut self, stack: &mut Stack<'_>, tag: u32) -> Option<Rc<Shape>> {
        let seat = self.seat(tag).filter(|seat| seat.tag == tag)?;
        let known = seat.known.as_ref()?;
        seat.standing = BEST.min(seat.standing + 1);
        // SAFETY: the registry keeps the table, which `learn` made for this.
        unsafe { sys::redlua_pushlike(stack.raw(), known.table) };
        Some(Rc::clone(&known.shape))
    }

    /// Whether the shape of the next table with `tag` will be worth knowing.
    #[inline]
    pub(crate) fn wants_next(&mut self, tag: u32) -> bool {
        let is_wanted = |seat: &mut Seat| {
            seat.tag == tag && seat.known.is_none() && seat.seen + 1 >= seat.patience
        };
        self.seat(tag).is_some_and(is_wanted)
    }

    /// Notes that the table to which `tag` led was of another shape.
    pub(crate) fn miss(&mut self, stack: &mut Stack<'_>, tag: u32) {
        if let Some(seat) = self.seat(tag).filter(|seat| seat.tag == tag) {
            seat.standing -= FAILURE;
            if seat.standing < 0 {
                seat.forget(stack);
                seat.patience = LONGEST_PATIENCE.min(seat.patience * 4);
            }
        }
    }

    /// Notes that there was a table with `tag`, and answers whether its shape is worth knowing: when it
    /// is not the first.
    #[inline]
    pub(crate) fn wants(&mut self, stack: &mut Stack<'_>, tag: u32) -> bool {
        let Some(seat) = self.seat(tag) else {
            return false;
        };
        if seat.tag == tag {
            seat.seen += 1;
            return seat.known.is_none() && seat.seen >= seat.patience;
        }
        seat.standing -= 1;
        if seat.standing < 0 {
            seat.forget(stack);
            seat.tag = tag;
            seat.patience = 1;
        }
        false
    }

    /// Learns the shape of the table on top, which got the keys in this order and never had others, and
    /// will know it by `tag`. A key comes with the way the input spells it.
    ///
    /// A table that got a key twice is not learnt.
    pub(crate) fn learn<'a>(
        &mut self,
        stack: &mut Stack<'_>,
        tag: u32,
        keys: impl Iterator<Item = Spelled<'a>>,
    ) {
        let (Value::Table(table), Some(seat)) = (stack.view(-1), self.seat(tag)) else {
            return;
        };
        let keys = keys.map(|key| {
            let place = table.place_of(key.name());
            (place.is_none() == key.is_nil).then(|| Key {
                spelled: key.text.into(),
                lead: key.lead,
                len: key.len,
                place,
            })
        });
        let Some(keys) = keys.collect::<Option<Vec<_>>>() else {
            return;
        };
        let present = keys.iter().filter(|key| key.place.is_some()).count();
        let names = || keys.iter().map(Key::name);
        let is_new = |(at, name)| names().take(at).all(|other| other != name);
        if present == 0
            || table.pairs().count() != present
            || table.split().0.len() != 0
            || !names().enumerate().all(is_new)
        {
            return;
        }
        // SAFETY: the state is live, and a value is on top.
        let table = unsafe { ffi::lua_topointer(stack.raw(), -1) };
        // SAFETY: it is a table without an array part, and all its keys are strings.
        unsafe { sys::redlua_pushlike(stack.raw(), table) };
        // SAFETY: as above.
        let table = unsafe { ffi::lua_topointer(stack.raw(), -1) };
        // SAFETY: as above.
        let anchor = unsafe { ffi::luaL_ref(stack.raw(), ffi::LUA_REGISTRYINDEX) };
        seat.forget(stack);
        seat.tag = tag;
        seat.standing = FAILURE;
        seat.known = Some(Known { shape: Rc::new(Shape { keys }), table, anchor });
    }
}

impl Seat {
    /// Gives the shape up.
    fn forget(&mut self, stack: &mut Stack<'_>) {
        self.standing = 0;
        self.seen = 0;
        if let Some(Known { anchor, .. }) = self.known.take() {
            // SAFETY: `learn` made the reference.
            unsafe { ffi::luaL_unref(stack.raw(), ffi::LUA_REGISTRYINDEX, anchor) };
        }
    }
}

impl Key {
    fn name(&self) -> &[u8] {
        self.spelled.get(self.lead..self.lead + self.len).unwrap_or_default()
    }
}

impl Shape {
    /// How many keys there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How the input spells the key `position`, counted from 0.
    #[inline]
    pub(crate) fn spelled(&self, position: usize) -> &[u8] {
        self.keys.get(position).map_or(&[], |key| &key.spelled)
    }

    /// The key `position` itself.
    pub(crate) fn name(&self, position: usize) -> &[u8] {
        self.keys.get(position).map_or(&[], Key::name)
    }

    /// Whether the value of key `position` is nil in all tables of the shape; in none if not.
    #[inline]
    pub(crate) fn is_nil(&self, position: usize) -> bool {
        self.place(position).is_none()
    }

    #[inline]
    fn place(&self, position: usize) -> Option<c_int> {
        self.keys.get(position)?.place
    }

    /// Pops a value that is not nil, which becomes that of key `position`, which is not nil either, of the
    /// table below it, which [`Shapes::push`] made.
    #[inline]
    pub(crate) fn set(&self, stack: &mut Stack<'_>, position: usize) {
        if let Some(place) = self.place(position) {
            // SAFETY: the table has its keys where all tables of the shape have them.
            unsafe { sys::redlua_setpair(stack.raw(), -2, place) };
        } else {
            debug_assert!(false, "a value for a key that has none");
            stack.pop(1);
        }
    }

    /// Makes a number the value of key `position` of the table on top, which [`Shapes::push`] made.
    #[inline]
    pub(crate) fn set_number(&self, stack: &mut Stack<'_>, position: usize, value: f64) {
        if let Some(place) = self.place(position) {
            // SAFETY: as for `set`.
            unsafe { sys::redlua_setpairnumber(stack.raw(), -1, place, value) };
        }
    }

    /// Makes a string the value of key `position` of the table on top, which [`Shapes::push`] made.
    #[inline]
    pub(crate) fn set_bytes(&self, stack: &mut Stack<'_>, position: usize, bytes: &[u8]) {
        if let Some(place) = self.place(position) {
            let (start, count) = (bytes.as_ptr().cast(), bytes.len());
            // SAFETY: as for `set`; the allocator does not fail.
            unsafe { sys::redlua_setpairstring(stack.raw(), -1, place, start, count) };
        }
    }

    /// Replaces the table on top, which [`Shapes::push`] made, by one that got the first `len` keys only.
    pub(crate) fn undo(&self, stack: &mut Stack<'_>, len: usize) {
        stack.push_table();
        for key in self.keys.iter().take(len) {
            match key.place {
                // SAFETY: as for `set`; there is room for a pair.
                Some(place) => unsafe { sys::redlua_pushpair(stack.raw(), -2, place) },
                // A key takes a place for a while though its value is nil.
                None => {
                    stack.push_bytes(key.name());
                    stack.push_nil();
                }
            }
            stack.raw_set(-3);
        }
        stack.replace(-2);
    }
}
