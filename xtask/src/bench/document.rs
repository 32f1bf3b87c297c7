//! JSON documents to measure codecs with: of a kind and about a size, the same bytes every time.
//!
//! Made here and not kept as files, so that every size comes from one description.

use std::ops::RangeInclusive;

/// What a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Objects like the payloads of jobs: every type of value, some nesting.
    Mixed,
    /// Objects of strings and integers.
    Strint,
    /// Arrays of numbers with a fraction, half of them short and half with 15 to 17 digits.
    Floats,
    /// Arrays and objects in each other, [`JSON_LEVELS`] deep.
    Nested,
    /// The same, [`PACK_LEVELS`] deep.
    NestedToPack,
}

/// How deep [`Kind::Nested`] goes.
const JSON_LEVELS: RangeInclusive<u64> = 20..=60;

/// How deep [`Kind::NestedToPack`] goes: with the list around it and one more around that, just the 16
/// levels beyond which stock's `cmsgpack.pack` writes nil.
const PACK_LEVELS: RangeInclusive<u64> = 14..=14;

const WORDS: &[&str] = &[
    "account",
    "archive",
    "batch",
    "customer",
    "delivery",
    "export",
    "invoice",
    "mailer",
    "order",
    "payment",
    "refresh",
    "report",
    "shipment",
    "subscription",
    "thumbnail",
    "webhook",
];

/// A document of about `bytes` bytes: an array of as many items as come nearest to it.
pub fn document(kind: Kind, bytes: usize) -> String {
    let mut writer = Writer { text: String::with_capacity(bytes + 1024), state: bytes as u64 };
    writer.text.push('[');
    loop {
        let start = writer.text.len();
        writer.item(kind);
        let length = writer.text.len() - start;
        if writer.text.len() >= bytes + length / 2 && start > 1 {
            writer.text.truncate(start - 1);
            break;
        }
        writer.text.push(',');
    }
    writer.text.push(']');
    writer.text
}

/// The text so far, and the state of a generator of random numbers.
struct Writer {
    text: String,
    state: u64,
}

impl Writer {
    fn item(&mut self, kind: Kind) {
        match kind {
            Kind::Mixed => self.job(),
            Kind::Strint => self.record(),
            Kind::Floats => self.vector(),
            Kind::Nested => self.nest(JSON_LEVELS),
            Kind::NestedToPack => self.nest(PACK_LEVELS),
        }
    }

    fn job(&mut self) {
        let (id, priority, attempts) = (self.below(1 << 31), self.below(10), self.below(5));
        self.push(&format!("{{\"id\":{id},\"class\":"));
        self.string();
        self.push(&format!(",\"priority\":{priority},\"attempts\":{attempts},\"retry\":"));
        let retry = if self.below(2) == 0 { "true" } else { "false" };
        self.push(retry);
        self.push(",\"error\":null,\"created_at\":");
        let (seconds, micros) = (1_700_000_000 + self.below(10_000_000), self.below(1_000_000));
        self.push(&format!("{seconds}.{micros:06},\"args\":["));
        self.string();
        let (amount, cents, ratio) = (self.below(1000), self.below(100), self.short_float());
        let last = self.below(100);
        self.push(&format!(",{amount}.{cents:02},{ratio},[1,2,{last}],"));
        self.push("{\"tags\":[");
        self.string();
        self.push(",");
        self.string();
        self.push("],\"dry\":false}]}");
    }

    fn record(&mut self) {
        self.push("{");
        for field in 0..6 {
            if field > 0 {
                self.push(",");
            }
            self.push(&format!("\"field_{field}\":"));
            if field % 2 == 0 {
                self.string();
            } else {
                let digits = self.below(9) as u32 + 1;
                let number = self.below(10_u64.pow(digits));
                self.push(&number.to_string());
            }
        }
        self.push("}");
    }

    fn vector(&mut self) {
        self.push("[");
        for place in 0..8 {
            if place > 0 {
                self.push(",");
            }
            let number = if place % 2 == 0 { self.short_float() } else { self.long_float() };
            self.push(&number);
        }
        self.push("]");
    }

    fn nest(&mut self, levels: RangeInclusive<u64>) {
        let levels = levels.start() + self.below(levels.end() - levels.start() + 1);
        let mut ends = Vec::new();
        for level in 0..levels {
            if self.below(2) == 0 {
                self.push(&format!("[{level},"));
                ends.push(']');
            } else {
                self.push("{\"child\":");
                ends.push('}');
            }
        }
        self.string();
        self.text.extend(ends.into_iter().rev());
    }

    /// One to three words; one in eight with something to escape.
    fn string(&mut self) {
        self.push("\"");
        for place in 0..=self.below(3) {
            if place > 0 {
                self.push(" ");
            }
            let word = WORDS[self.below(WORDS.len() as u64) as usize];
            self.push(word);
        }
        if self.below(8) == 0 {
            self.push("\\n\\u00e9\\\"é");
        }
        self.push("\"");
    }

    fn short_float(&mut self) -> String {
        format!("{}.{}", self.below(100), 1 + self.below(99))
    }

    /// 15 to 17 digits, at any place around the point, some with an exponent.
    fn long_float(&mut self) -> String {
        let digits = 14 + self.below(3) as u32;
        let fraction = 10_u64.pow(digits - 1) + self.below(9 * 10_u64.pow(digits - 1));
        let sign = if self.below(4) == 0 { "-" } else { "" };
        let exponent = if self.below(8) == 0 { "e-7" } else { "" };
        format!("{sign}{}.{fraction}{exponent}", 1 + self.below(9))
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64: the plainest generator whose numbers are good enough.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] =
        [Kind::Mixed, Kind::Strint, Kind::Floats, Kind::Nested, Kind::NestedToPack];

    /// The depth of the deepest bracket, where all of them are closed in order.
    fn depth(text: &str) -> Option<usize> {
        let (mut open, mut deepest, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' => open.push(b']'),
                b'{' => open.push(b'}'),
                b']' | b'}' if open.pop() != Some(byte) => return None,
                _ => {}
            }
            deepest = deepest.max(open.len());
        }
        (open.is_empty() && !quoted).then_some(deepest)
    }

    #[test]
    fn documents_are_near_their_size_and_always_the_same() {
        for kind in KINDS {
            for (bytes, tolerance) in [(1 << 10, 256), (10 << 10, 512), (1 << 20, 1024)] {
                let text = document(kind, bytes);
                assert!(text.len().abs_diff(bytes) <= tolerance, "{kind:?} {}", text.len());
                assert_eq!(text, document(kind, bytes), "{kind:?}");
            }
        }
    }

    #[test]
    fn documents_are_balanced_and_as_deep_as_they_say() {
        for kind in KINDS {
            let deepest = depth(&document(kind, 100 << 10)).expect("all brackets are closed");
            match kind {
                Kind::Nested => assert!((58..=61).contains(&deepest), "{deepest}"),
                Kind::NestedToPack => assert_eq!(deepest, 15),
                _ => assert!(deepest <= 5, "{kind:?} {deepest}"),
            }
        }
    }

    #[test]
    fn a_document_that_is_not_balanced_would_be_noticed() {
        assert_eq!(depth("[{\"]\":[1]}]"), Some(3));
        for text in ["[", "[}", "[\"]", "]"] {
            assert_eq!(depth(text), None, "{text}");
        }
    }
}
