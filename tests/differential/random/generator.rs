//! Random numbers from a seed, and what all documents are made with.

/// One thing to try on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// A chunk of Lua that returns what is compared; the first result is whether the call succeeded.
    pub code: String,
    /// What the chunk is given.
    pub data: Vec<u8>,
    /// What the order of keys means for the answer.
    pub order: Order,
}

/// What the order in which `pairs` finds keys means for an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// It counts.
    Counts,
    /// It counts, and is part of a text that a library wrote.
    Written,
    /// It depends on addresses, because tables may be keys, even of nil.
    Open,
}

impl Document {
    /// A chunk that is given `data` under that name.
    pub fn new(code: &str, data: Vec<u8>) -> Self {
        Self { code: format!("local data = ... {code}"), data, order: Order::Counts }
    }

    /// The same with another meaning of the order of keys.
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }
}

/// SplitMix64: the same numbers from the same seed on every machine.
pub struct Random(u64);

impl Random {
    /// The generator of one document; what came before it does not matter.
    pub fn of_document(seed: u64, index: u64) -> Self {
        let start = Self(seed).next();
        Self(start ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to `limit`, without it.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A length or an index.
    pub fn size(&mut self, limit: usize) -> usize {
        self.below(limit as u64) as usize
    }

    /// Whether something rare is to happen.
    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// One of some things.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(from.len())]
    }

    /// Bytes of any value.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Damages `bytes` in one to three places; what is put in comes from `alphabet` more often than not.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, alphabet: &[u8]) {
    for _ in 0..=random.below(3) {
        let byte = if random.one_in(3) { random.next() as u8 } else { random.pick(alphabet) };
        let at = random.size(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 | 2 => bytes.insert(at, byte),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 if at < bytes.len() => {
                let end = (at + 1 + random.size(8)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ if at < bytes.len() => bytes[at] = byte,
            _ => {}
        }
    }
}
