//! The scripts that were loaded or evaluated, by digest and by text.
//!
//! Scripts live in slots and both tables hold slot numbers, so a text is stored once. The table
//! of texts uses a fast seeded hash: naming a known script by its text costs no SHA1. The slots of
//! evictable scripts form a list in order of use, which makes a use and an eviction constant work.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::script::flags::ScriptFlags;
use crate::script::limits::RunLimits;
use crate::script::sha1::Sha1;

/// Is how many scripts known only by evaluation are kept.
///
/// Stock: `eval.c` `LRU_LIST_LENGTH`.
pub const EVAL_SCRIPT_LIMIT: usize = 500;

/// Is one cached script; `C` is its compiled form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<C> {
    /// The digest of `body`.
    pub sha1: Sha1,
    /// The text as it was sent, its shebang included.
    pub body: Box<[u8]>,
    /// The flags of its shebang; `None` without one.
    pub flags: Option<ScriptFlags>,
    /// The limits of its shebang.
    pub limits: RunLimits,
    /// The name it was given.
    pub name: Option<Arc<[u8]>>,
    /// The compiled form.
    pub compiled: C,
}

/// Says how a script came into the cache, and so whether it may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was evaluated: it stays while it is among the last used.
    Eval,
    /// It was loaded: it stays until the cache is flushed.
    Load,
}

/// Is the set of known scripts. It is flushed by putting a new one in its place.
#[derive(Debug)]
pub struct ScriptCache<C, S = RandomState> {
    slots: Vec<Option<Slot<C>>>,
    vacant: Vec<u32>,
    by_sha1: HashTable<u32>,
    by_body: HashTable<u32>,
    by_name: HashMap<Arc<[u8]>, u32, foldhash::quality::RandomState>,
    body_hasher: S,
    body_bytes: usize,
    name_bytes: usize,
    /// The script last found by its text.
    recent: Option<u32>,
    oldest: Option<u32>,
    newest: Option<u32>,
    evictable: usize,
    evictable_limit: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Slot<C> {
    script: Script<C>,
    body_hash: u64,
    /// The neighbours in the list of evictable scripts; `None` for a pinned one.
    links: Option<Links>,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    older: Option<u32>,
    newer: Option<u32>,
}

impl<C> Default for ScriptCache<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> ScriptCache<C> {
    /// Makes an empty cache that keeps [`EVAL_SCRIPT_LIMIT`] evaluated scripts.
    pub fn new() -> Self {
        Self::with_eval_limit(EVAL_SCRIPT_LIMIT)
    }

    /// Makes an empty cache that keeps `limit` evaluated scripts, at least one.
    pub fn with_eval_limit(limit: usize) -> Self {
        Self::with_hasher(limit, RandomState::default())
    }
}

impl<C, S: BuildHasher> ScriptCache<C, S> {
    fn with_hasher(limit: usize, body_hasher: S) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            by_sha1: HashTable::new(),
            by_body: HashTable::new(),
            by_name: HashMap::default(),
            body_hasher,
            body_bytes: 0,
            name_bytes: 0,
            recent: None,
            oldest: None,
            newest: None,
            evictable: 0,
            evictable_limit: limit.max(1),
            evicted: 0,
        }
    }

    /// Finds the script of this digest, and counts that as a use of it; gives its place too.
    #[inline]
    pub fn get_by_sha1(&mut self, sha1: &Sha1) -> Option<(u32, &Script<C>)> {
        let index = self.find_sha1(sha1)?;
        self.touch(index);
        self.slot(index).map(|slot| (index, &slot.script))
    }

    /// Finds the script of this text, and counts that as a use of it; gives its place too.
    #[inline]
    pub fn get_by_body(&mut self, body: &[u8]) -> Option<(u32, &Script<C>)> {
        let index = self.find_body(body)?;
        self.recent = Some(index);
        self.touch(index);
        self.slot(index).map(|slot| (index, &slot.script))
    }

    /// The script of this digest, if it is at this place still.
    #[inline]
    pub fn at_mut(&mut self, place: u32, sha1: &Sha1) -> Option<&mut Script<C>> {
        let script = slot_of_mut(&mut self.slots, place).map(|slot| &mut slot.script);
        script.filter(|script| script.sha1 == *sha1)
    }

    /// The script of this digest, to change what belongs to it; that is not a use of it.
    pub fn get_mut(&mut self, sha1: &Sha1) -> Option<&mut Script<C>> {
        let index = self.find_sha1(sha1)?;
        slot_of_mut(&mut self.slots, index).map(|slot| &mut slot.script)
    }

    /// All scripts; looking at them is not a use.
    pub fn iter(&self) -> impl Iterator<Item = &Script<C>> {
        self.slots.iter().flatten().map(|slot| &slot.script)
    }

    /// All scripts, to change what belongs to them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Script<C>> {
        self.slots.iter_mut().flatten().map(|slot| &mut slot.script)
    }

    /// The digest of the script that has this name.
    pub fn named(&self, name: &[u8]) -> Option<Sha1> {
        let index = *self.by_name.get(name)?;
        self.slot(index).map(|slot| slot.script.sha1)
    }

    /// Gives the script of this digest a name, which no other script has any more then.
    pub fn set_name(&mut self, sha1: &Sha1, name: Arc<[u8]>) {
        let Some(index) = self.find_sha1(sha1) else { return };
        self.forget_name(index);
        if let Some(&other) = self.by_name.get(&name) {
            self.forget_name(other);
        }
        self.by_name.insert(Arc::clone(&name), index);
        self.name_bytes += allocated(&name);
        if let Some(slot) = slot_of_mut(&mut self.slots, index) {
            slot.script.name = Some(name);
        }
    }

    fn forget_name(&mut self, index: u32) {
        let slot = slot_of_mut(&mut self.slots, index);
        if let Some(name) = slot.and_then(|slot| slot.script.name.take()) {
            self.by_name.remove(&name);
            self.name_bytes -= allocated(&name);
        }
    }

    /// Answers whether the script of this digest is known; that is not a use of it.
    ///
    /// Stock: `eval.c` `scriptCommand`, `SCRIPT EXISTS`.
    pub fn contains(&self, sha1: &Sha1) -> bool {
        self.find_sha1(sha1).is_some()
    }

    /// The script of this digest; asking is not a use of it.
    pub fn peek(&self, sha1: &Sha1) -> Option<&Script<C>> {
        self.slot(self.find_sha1(sha1)?).map(|slot| &slot.script)
    }

    /// Exempts the script of this digest, if known, from eviction.
    pub fn pin(&mut self, sha1: &Sha1) {
        if let Some(index) = self.find_sha1(sha1) {
            self.unlink(index);
        }
    }

    /// Adds a script, and gives back the compiled form the cache does not keep, if there is one.
    ///
    /// That is the form of the script evicted to make room. When the digest is known already, the
    /// old script stays, becomes pinned if the origin is [`Origin::Load`] and used otherwise, and
    /// the new form comes back.
    ///
    /// Stock: `eval.c` `luaCreateFunction`, `luaScriptsLRUAdd`.
    pub fn insert(&mut self, mut script: Script<C>, origin: Origin) -> Option<C> {
        let (sha1, name) = (script.sha1, script.name.take());
        let unused = self.insert_unnamed(script, origin);
        if let Some(name) = name {
            self.set_name(&sha1, name);
        }
        unused
    }

    fn insert_unnamed(&mut self, script: Script<C>, origin: Origin) -> Option<C> {
        if let Some(index) = self.find_sha1(&script.sha1) {
            match origin {
                Origin::Eval => self.touch(index),
                Origin::Load => self.unlink(index),
            }
            return Some(script.compiled);
        }
        let evicted = match origin {
            Origin::Eval if self.evictable >= self.evictable_limit => self.evict_oldest(),
            _ => None,
        };
        let slot = Slot { body_hash: self.hash_body(&script.body), script, links: None };
        let index = match self.place(slot) {
            Ok(index) => index,
            Err(unplaced) => return Some(unplaced.script.compiled),
        };
        if origin == Origin::Eval {
            self.link_newest(index);
        }
        evicted
    }

    /// Gives the number of scripts.
    pub fn len(&self) -> usize {
        self.by_sha1.len()
    }

    /// Answers whether there is no script.
    pub fn is_empty(&self) -> bool {
        self.by_sha1.is_empty()
    }

    /// Gives the number of scripts that may be evicted.
    pub fn evictable_len(&self) -> usize {
        self.evictable
    }

    /// Gives how many scripts this cache has evicted.
    ///
    /// Stock: `server.h` `stat_evictedscripts`.
    pub fn evicted_total(&self) -> u64 {
        self.evicted
    }

    /// Gives the memory in use in bytes, except what the compiled forms own.
    pub fn memory_bytes(&self) -> usize {
        self.body_bytes
            + self.slots.capacity() * size_of::<Option<Slot<C>>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.by_sha1.allocation_size()
            + self.by_body.allocation_size()
            + self.by_name.allocation_size()
            + self.name_bytes
    }

    fn slot(&self, index: u32) -> Option<&Slot<C>> {
        slot_of(&self.slots, index)
    }

    fn hash_body(&self, body: &[u8]) -> u64 {
        self.body_hasher.hash_one(body)
    }

    fn find_sha1(&self, sha1: &Sha1) -> Option<u32> {
        let is_it = |&index: &u32| self.slot(index).is_some_and(|slot| slot.script.sha1 == *sha1);
        self.by_sha1.find(sha1.prefix(), is_it).copied()
    }

    fn find_body(&self, body: &[u8]) -> Option<u32> {
        // The same script many times in a row is the common case, and comparing is much faster
        // than hashing. The slot may be vacant or taken anew meanwhile: the comparison tells.
        let recent = self.recent.and_then(|index| self.slot(index));
        if recent.is_some_and(|slot| *slot.script.body == *body) {
            return self.recent;
        }
        let hash = self.hash_body(body);
        let is_it = |&index: &u32| {
            let slot = self.slot(index);
            slot.is_some_and(|slot| slot.body_hash == hash && *slot.script.body == *body)
        };
        self.by_body.find(hash, is_it).copied()
    }

    /// Puts a slot where both tables find it; fails when slot numbers are used up.
    fn place(&mut self, slot: Slot<C>) -> Result<u32, Slot<C>> {
        let (sha1_hash, body_hash) = (slot.script.sha1.prefix(), slot.body_hash);
        let body_len = slot.script.body.len();
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => match u32::try_from(self.slots.len()) {
                Ok(index) => {
                    self.slots.push(None);
                    index
                }
                Err(_) => return Err(slot),
            },
        };
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
        let slots = &self.slots;
        self.by_sha1.insert_unique(sha1_hash, index, |&index| {
            slot_of(slots, index).map_or(0, |slot| slot.script.sha1.prefix())
        });
        self.by_body.insert_unique(body_hash, index, |&index| {
            slot_of(slots, index).map_or(0, |slot| slot.body_hash)
        });
        self.body_bytes += body_len;
        Ok(index)
    }

    fn evict_oldest(&mut self) -> Option<C> {
        let index = self.oldest?;
        self.unlink(index);
        self.forget_name(index);
        let slot = self.slots.get_mut(index as usize).and_then(Option::take)?;
        remove_index(&mut self.by_sha1, slot.script.sha1.prefix(), index);
        remove_index(&mut self.by_body, slot.body_hash, index);
        self.vacant.push(index);
        self.body_bytes -= slot.script.body.len();
        self.evicted += 1;
        Some(slot.script.compiled)
    }

    /// Makes an evictable script the last one to be evicted.
    #[inline]
    fn touch(&mut self, index: u32) {
        let is_linked = self.slot(index).is_some_and(|slot| slot.links.is_some());
        if is_linked && self.newest != Some(index) {
            self.unlink(index);
            self.link_newest(index);
        }
    }

    /// Appends a pinned script to the list.
    fn link_newest(&mut self, index: u32) {
        let older = self.newest.replace(index);
        match older {
            Some(older) => self.set_newer(older, Some(index)),
            None => self.oldest = Some(index),
        }
        if let Some(slot) = slot_of_mut(&mut self.slots, index) {
            slot.links = Some(Links { older, newer: None });
        }
        self.evictable += 1;
    }

    /// Takes a script off the list, if it is on it.
    fn unlink(&mut self, index: u32) {
        let links = slot_of_mut(&mut self.slots, index).and_then(|slot| slot.links.take());
        let Some(Links { older, newer }) = links else {
            return;
        };
        match older {
            Some(older) => self.set_newer(older, newer),
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.set_older(newer, older),
            None => self.newest = older,
        }
        self.evictable -= 1;
    }

    fn set_newer(&mut self, index: u32, newer: Option<u32>) {
        if let Some(links) = self.links_mut(index) {
            links.newer = newer;
        }
    }

    fn set_older(&mut self, index: u32, older: Option<u32>) {
        if let Some(links) = self.links_mut(index) {
            links.older = older;
        }
    }

    fn links_mut(&mut self, index: u32) -> Option<&mut Links> {
        slot_of_mut(&mut self.slots, index).and_then(|slot| slot.links.as_mut())
    }
}

/// Bytes of a name, with the two counts that go with it.
fn allocated(name: &Arc<[u8]>) -> usize {
    name.len() + 2 * size_of::<usize>()
}

fn slot_of<C>(slots: &[Option<Slot<C>>], index: u32) -> Option<&Slot<C>> {
    slots.get(index as usize).and_then(Option::as_ref)
}

fn slot_of_mut<C>(slots: &mut [Option<Slot<C>>], index: u32) -> Option<&mut Slot<C>> {
    slots.get_mut(index as usize).and_then(Option::as_mut)
}

fn remove_index(table: &mut HashTable<u32>, hash: u64, index: u32) {
    if let Ok(entry) = table.find_entry(hash, |&other| other == index) {
        entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use proptest::prelude::*;

    use super::*;

    fn script(body: &[u8]) -> Script<Vec<u8>> {
        Script {
            sha1: Sha1::of(body),
            body: body.into(),
            flags: None,
            limits: RunLimits::default(),
            name: None,
            compiled: body.to_vec(),
        }
    }

    fn numbered(number: u32) -> Vec<u8> {
        format!("return {number}").into_bytes()
    }

    #[test]
    fn inserted_scripts_are_found_by_both_names() {
        let mut cache = ScriptCache::new();
        let flags = Some(ScriptFlags::NO_WRITES);
        let one = Script { flags, ..script(b"return 1") };
        assert_eq!(cache.insert(one.clone(), Origin::Eval), None);
        assert_eq!(cache.insert(script(b"return 2"), Origin::Load), None);
        assert_eq!(cache.get_by_body(b"return 1"), Some((0, &one)));
        assert_eq!(cache.get_by_sha1(&Sha1::of(b"return 1")), Some((0, &one)));
        assert_eq!(cache.get_by_sha1(&Sha1::of(b"return 2")), Some((1, &script(b"return 2"))));
        let sha1s: Vec<_> = cache.iter().map(|script| script.sha1).collect();
        assert_eq!(sha1s, [Sha1::of(b"return 1"), Sha1::of(b"return 2")]);
        assert!(cache.at_mut(0, &Sha1::of(b"return 1")).is_some());
        assert!(cache.at_mut(1, &Sha1::of(b"return 1")).is_none());
        assert!(cache.at_mut(2, &Sha1::of(b"return 1")).is_none());
        assert_eq!(cache.get_by_body(b"return 3"), None);
        assert_eq!(cache.get_by_sha1(&Sha1::of(b"return 3")), None);
        assert!(cache.contains(&Sha1::of(b"return 1")) && !cache.contains(&Sha1::of(b"")));
        assert_eq!((cache.len(), cache.evictable_len(), cache.evicted_total()), (2, 1, 0));
    }

    #[test]
    fn the_least_recently_used_evaluated_script_is_evicted() {
        let mut cache = ScriptCache::with_eval_limit(3);
        for number in 0..3 {
            assert_eq!(cache.insert(script(&numbered(number)), Origin::Eval), None);
        }
        cache.get_by_body(&numbered(0));
        cache.get_by_sha1(&Sha1::of(&numbered(1)));
        assert!(cache.contains(&Sha1::of(&numbered(2))));
        assert_eq!(cache.insert(script(&numbered(3)), Origin::Eval), Some(numbered(2)));
        assert_eq!(cache.insert(script(&numbered(4)), Origin::Eval), Some(numbered(0)));
        assert_eq!(cache.insert(script(&numbered(5)), Origin::Load), None);
        assert_eq!((cache.len(), cache.evictable_len(), cache.evicted_total()), (4, 3, 2));
        assert_eq!(cache.get_by_body(&numbered(2)), None);
        assert_eq!(cache.get_by_sha1(&Sha1::of(&numbered(0))), None);
    }

    #[test]
    fn pinned_scripts_stay() {
        let mut cache = ScriptCache::with_eval_limit(2);
        cache.insert(script(&numbered(0)), Origin::Eval);
        cache.insert(script(&numbered(1)), Origin::Eval);
        cache.pin(&Sha1::of(&numbered(0)));
        cache.pin(&Sha1::of(&numbered(0)));
        cache.pin(&Sha1::of(b"unknown"));
        // A load of a known script pins it and gives the new form back.
        assert_eq!(cache.insert(script(&numbered(1)), Origin::Load), Some(numbered(1)));
        assert_eq!((cache.len(), cache.evictable_len()), (2, 0));
        for number in 2..100 {
            cache.insert(script(&numbered(number)), Origin::Eval);
        }
        assert!(cache.contains(&Sha1::of(&numbered(0))));
        assert!(cache.contains(&Sha1::of(&numbered(1))));
        assert_eq!((cache.len(), cache.evictable_len(), cache.evicted_total()), (4, 2, 96));
        // An evaluation of a pinned script does not unpin it.
        assert_eq!(cache.insert(script(&numbered(0)), Origin::Eval), Some(numbered(0)));
        assert_eq!(cache.evictable_len(), 2);
    }

    #[test]
    fn a_name_belongs_to_the_script_that_got_it_last() {
        let mut cache = ScriptCache::with_eval_limit(1);
        let named = |number, name: &str| Script {
            name: Some(name.as_bytes().into()),
            ..script(&numbered(number))
        };
        let sha1 = |number| Sha1::of(&numbered(number));
        let name = |cache: &ScriptCache<_>, number| {
            cache.peek(&sha1(number)).and_then(|script| script.name.as_deref().map(<[u8]>::to_vec))
        };
        cache.insert(named(0, "a"), Origin::Load);
        assert_eq!((cache.named(b"a"), cache.named(b"b")), (Some(sha1(0)), None));
        cache.insert(named(1, "a"), Origin::Eval);
        assert_eq!((cache.named(b"a"), name(&cache, 0)), (Some(sha1(1)), None));
        assert_eq!(name(&cache, 1), Some(b"a".to_vec()));
        // One that was there already gets the name too, in the place of another.
        cache.insert(named(0, "b"), Origin::Load);
        cache.set_name(&sha1(0), b"c"[..].into());
        cache.set_name(&sha1(0), b"c"[..].into());
        assert_eq!((cache.named(b"b"), cache.named(b"c")), (None, Some(sha1(0))));
        // With the script the name goes.
        cache.insert(script(&numbered(2)), Origin::Eval);
        assert_eq!((cache.named(b"a"), cache.by_name.len(), cache.name_bytes), (None, 1, 17));
    }

    #[test]
    fn the_limit_is_that_of_stock() {
        let mut cache = ScriptCache::default();
        for number in 0..=500 {
            let evicted = cache.insert(script(&numbered(number)), Origin::Eval);
            assert_eq!(evicted, (number == 500).then(|| numbered(0)));
        }
    }

    #[derive(Default)]
    struct OneHash;

    impl Hasher for OneHash {
        fn finish(&self) -> u64 {
            7
        }

        fn write(&mut self, _: &[u8]) {}
    }

    #[test]
    fn texts_of_equal_hash_are_told_apart() {
        let hasher = BuildHasherDefault::<OneHash>::default();
        let mut cache = ScriptCache::with_hasher(100, hasher);
        for number in 0..150 {
            cache.insert(script(&numbered(number)), Origin::Eval);
        }
        for number in 0..150 {
            let found =
                cache.get_by_body(&numbered(number)).map(|(_, script)| script.compiled.clone());
            assert_eq!(found, (number >= 50).then(|| numbered(number)));
        }
    }

    #[test]
    fn memory_follows_the_texts() {
        let mut cache = ScriptCache::new();
        assert_eq!(cache.memory_bytes(), 0);
        let body = |number| vec![b'a' + number; 100_000];
        for number in 0..10 {
            let script = Script { compiled: (), ..script(b"").with_body(&body(number)) };
            cache.insert(script, Origin::Load);
        }
        assert!((1_000_000..1_010_000).contains(&cache.memory_bytes()), "{}", cache.memory_bytes());
    }

    impl Script<Vec<u8>> {
        fn with_body(self, body: &[u8]) -> Script<()> {
            Script {
                sha1: Sha1::of(body),
                body: body.into(),
                flags: self.flags,
                limits: RunLimits::default(),
                name: None,
                compiled: (),
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Eval(u32),
        EvalSha(u32),
        Load(u32),
        Pin(u32),
        Exists(u32),
    }

    /// Keeps scripts in order of use, the last used at the end.
    #[derive(Default)]
    struct Model {
        scripts: Vec<(u32, bool)>,
        evicted: u64,
    }

    impl Model {
        const LIMIT: usize = 5;

        fn find(&self, number: u32) -> Option<usize> {
            self.scripts.iter().position(|&(other, _)| other == number)
        }

        fn touch(&mut self, number: u32) -> bool {
            let Some(index) = self.find(number) else {
                return false;
            };
            let script = self.scripts.remove(index);
            self.scripts.push(script);
            true
        }

        fn evictable(&self) -> usize {
            self.scripts.iter().filter(|(_, pinned)| !pinned).count()
        }

        fn add(&mut self, number: u32, pinned: bool) -> Option<u32> {
            let mut evicted = None;
            if !pinned && self.evictable() == Self::LIMIT {
                let index = self.scripts.iter().position(|(_, pinned)| !pinned).unwrap();
                evicted = Some(self.scripts.remove(index).0);
                self.evicted += 1;
            }
            self.scripts.push((number, pinned));
            evicted
        }

        fn pin(&mut self, number: u32) {
            if let Some(index) = self.find(number) {
                self.scripts[index].1 = true;
            }
        }
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let number = 0..12_u32;
        prop_oneof![
            6 => number.clone().prop_map(Step::Eval),
            3 => number.clone().prop_map(Step::EvalSha),
            1 => (0..6_u32).prop_map(Step::Load),
            1 => (0..3_u32).prop_map(Step::Pin),
            1 => number.prop_map(Step::Exists),
        ]
    }

    proptest! {
        #[test]
        fn any_use_matches_the_model(steps in prop::collection::vec(any_step(), 0..120)) {
            let mut cache = ScriptCache::with_eval_limit(Model::LIMIT);
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Eval(number) => {
                        let found = cache.get_by_body(&numbered(number)).is_some();
                        prop_assert_eq!(found, model.touch(number));
                        if !found {
                            let evicted = cache.insert(script(&numbered(number)), Origin::Eval);
                            prop_assert_eq!(evicted, model.add(number, false).map(numbered));
                        }
                    }
                    Step::EvalSha(number) => {
                        let found = cache.get_by_sha1(&Sha1::of(&numbered(number))).is_some();
                        prop_assert_eq!(found, model.touch(number));
                    }
                    Step::Load(number) => {
                        let given_back = cache.insert(script(&numbered(number)), Origin::Load);
                        if model.find(number).is_some() {
                            prop_assert_eq!(given_back, Some(numbered(number)));
                            model.pin(number);
                        } else {
                            prop_assert_eq!(given_back, model.add(number, true).map(numbered));
                        }
                    }
                    Step::Pin(number) => {
                        cache.pin(&Sha1::of(&numbered(number)));
                        model.pin(number);
                    }
                    Step::Exists(number) => {
                        let found = cache.contains(&Sha1::of(&numbered(number)));
                        prop_assert_eq!(found, model.find(number).is_some());
                    }
                }
                prop_assert_eq!(cache.len(), model.scripts.len());
                prop_assert_eq!(cache.evictable_len(), model.evictable());
                prop_assert_eq!(cache.evicted_total(), model.evicted);
                let bodies = model.scripts.iter().map(|&(number, _)| numbered(number).len());
                prop_assert_eq!(cache.body_bytes, bodies.sum::<usize>());
            }
        }
    }
}
