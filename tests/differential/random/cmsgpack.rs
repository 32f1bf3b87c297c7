//! Documents for cmsgpack: messages that are sound, messages that are damaged, and values to pack.

use super::generator::{Document, Order, Random, mutate};
use super::lua::{self, Keys};

/// One of each kind of type byte.
const ALPHABET: &[u8] = b"\x00\x7f\x80\x81\x8f\x90\x91\x9f\xa0\xa1\xbf\xc0\xc1\xc2\xc3\xc4\xc5\xc6\
    \xc7\xc8\xc9\xca\xcb\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd8\xd9\xda\xdb\xdc\xdd\xde\xdf\xe0\xff";

/// A message that is longer gets no more lists.
const LONG: usize = 1500;

/// Makes one document.
pub fn document(random: &mut Random) -> Document {
    const UNPACK: &str = "return pcall(cmsgpack.unpack, data)";
    match random.below(20) {
        0..=3 => Document::new(UNPACK, messages(random)),
        4 | 5 => Document::new(UNPACK, records(random)),
        6..=9 => {
            let mut data = if random.one_in(4) { records(random) } else { messages(random) };
            mutate(random, &mut data, ALPHABET);
            Document::new(UNPACK, data).with_order(Order::Open)
        }
        10..=14 => {
            let values = arguments(random, 3, 4);
            let code = format!(
                "local ok, bytes = pcall(cmsgpack.pack{values}) \
                 if not ok then return ok, bytes end \
                 return ok, bytes, pcall(cmsgpack.unpack, bytes)"
            );
            Document::new(&code, Vec::new()).with_order(Order::Written)
        }
        15..=18 => {
            let data = messages(random);
            let code = unpack_a_part(random, data.len() as u64);
            // From the middle of a message anything may be a key.
            Document::new(&code, data).with_order(Order::Open)
        }
        _ => {
            let call = random.pick(&["pack", "unpack", "unpack_one", "unpack_limit"]);
            let values = arguments(random, 3, 1);
            let code = format!("return pcall(cmsgpack.{call}{values})");
            Document::new(&code, Vec::new()).with_order(Order::Written)
        }
    }
}

fn arguments(random: &mut Random, most: usize, depth: u32) -> String {
    let values = lua::values(random, most, depth, Keys::Any);
    if values.is_empty() { values } else { format!(", {values}") }
}

fn unpack_a_part(random: &mut Random, length: u64) -> String {
    let offset = match random.below(12) {
        0 => random.pick(&["-1", "-2", "1.5", "2147483647", "\"1\"", "nil", "{}"]).to_owned(),
        1 => (length + random.below(3)).to_string(),
        2..=5 => "0".to_owned(),
        _ => random.below(length + 1).to_string(),
    };
    match random.below(6) {
        0 => "return pcall(cmsgpack.unpack_one, data)".to_owned(),
        1 | 2 => format!("return pcall(cmsgpack.unpack_one, data, {offset})"),
        _ => {
            let limit = match random.below(10) {
                0 => random.pick(&["-1", "1.9", "1000000", "\"2\"", "nil"]).to_owned(),
                _ => random.below(5).to_string(),
            };
            let offset = if random.one_in(4) { String::new() } else { format!(", {offset}") };
            format!("return pcall(cmsgpack.unpack_limit, data, {limit}{offset})")
        }
    }
}

/// Some messages one after the other, as `unpack` takes them.
fn messages(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if random.one_in(30) {
        for _ in 0..random.below(40) {
            out.push(random.pick(&[0x91, 0x92, 0x81]));
        }
    }
    for _ in 0..random.pick(&[0, 1, 1, 1, 1, 2, 3, 5]) {
        message(random, &mut out, 3);
    }
    out
}

/// Maps most of which have the same keys in the same order, and nil for the same of them.
fn records(random: &mut Random) -> Vec<u8> {
    let names: Vec<(Vec<u8>, bool)> = (0..1 + random.below(12))
        .map(|place| {
            let mut name = format!("{}{place}", random.pick(&["a", "key", ""])).into_bytes();
            name.insert(0, 0xa0 | name.len() as u8);
            (name, random.one_in(5))
        })
        .collect();
    let count = 3 + random.below(8);
    let mut out = vec![0x90 | count as u8];
    for _ in 0..count {
        let mut names = names.clone();
        let place = random.size(names.len());
        match random.below(12) {
            0 => drop(names.remove(place)),
            1 => names.truncate(place),
            2 => names.swap(0, place),
            3 => names[place].0 = names[0].0.clone(),
            4 => names[place].1 ^= true,
            5 => names.push((vec![0xa1, b'z'], false)),
            _ => {}
        }
        out.push(0x80 | names.len() as u8);
        for (name, is_nil) in names {
            out.extend(name);
            match random.below(8) {
                _ if is_nil => out.push(0xc0),
                0 => message(random, &mut out, 2),
                1 => out.extend_from_slice(b"\xa5abcde"),
                _ => out.push(random.below(128) as u8),
            }
        }
    }
    out
}

fn message(random: &mut Random, out: &mut Vec<u8>, depth: u32) {
    // Half of all bytes are small integers, so every other message takes each type alike.
    let kind = if random.one_in(2) { random.next() as u8 } else { random.pick(ALPHABET) };
    let is_list = matches!(kind, 0x80..=0x9f | 0xdc..=0xdf);
    let is_refused = matches!(kind, 0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8);
    let kind = if is_list && (depth == 0 || out.len() > LONG) || is_refused && !random.one_in(20) {
        0xc0
    } else {
        kind
    };
    out.push(kind);
    let few = random.below(6);
    match kind {
        0x80..=0x8f => pairs(random, out, u64::from(kind & 15), depth),
        0x90..=0x9f => items(random, out, u64::from(kind & 15), depth),
        0xa0..=0xbf => out.extend(random.bytes(usize::from(kind & 31))),
        0xc4 | 0xd9 | 0xc7 => counted(random, out, 1),
        0xc5 | 0xda | 0xc8 => counted(random, out, 2),
        0xc6 | 0xdb | 0xc9 => counted(random, out, 4),
        0xcc | 0xd0 => edge(random, out, 1),
        0xcd | 0xd1 | 0xd4 => edge(random, out, 2),
        0xce | 0xd2 | 0xca => edge(random, out, 4),
        0xcf | 0xd3 | 0xcb => edge(random, out, 8),
        0xd5..=0xd8 => out.extend(random.bytes(1 + (2 << (kind - 0xd5)))),
        0xdc => {
            out.extend_from_slice(&(few as u16).to_be_bytes());
            items(random, out, few, depth);
        }
        0xdd => {
            out.extend_from_slice(&(few as u32).to_be_bytes());
            items(random, out, few, depth);
        }
        0xde => {
            out.extend_from_slice(&(few as u16).to_be_bytes());
            pairs(random, out, few, depth);
        }
        0xdf => {
            out.extend_from_slice(&(few as u32).to_be_bytes());
            pairs(random, out, few, depth);
        }
        _ => {}
    }
}

fn items(random: &mut Random, out: &mut Vec<u8>, count: u64, depth: u32) {
    for _ in 0..count {
        message(random, out, depth - 1);
    }
}

/// Keys are short strings and small integers, but one in twenty is any scalar, and a single key
/// anything.
fn pairs(random: &mut Random, out: &mut Vec<u8>, count: u64, depth: u32) {
    for _ in 0..count {
        match random.below(20) {
            0 => message(random, out, if count == 1 { depth - 1 } else { 0 }),
            1..=8 => out.push(random.below(20) as u8),
            _ => {
                let length = random.size(5);
                out.push(0xa0 | length as u8);
                out.extend((0..length).map(|_| random.pick(b"abc12\0")));
            }
        }
        message(random, out, depth - 1);
    }
}

/// A string with its length before it.
fn counted(random: &mut Random, out: &mut Vec<u8>, width: usize) {
    let length = if random.one_in(20) { 300 } else { random.below(20) };
    let length = if width == 1 { length.min(255) } else { length };
    out.extend_from_slice(&length.to_be_bytes()[8 - width..]);
    out.extend(random.bytes(length as usize));
}

/// The bytes of a number, often of one at the edge of its type.
fn edge(random: &mut Random, out: &mut Vec<u8>, width: usize) {
    let first = if random.one_in(2) { random.next() as u8 } else { random.pick(b"\0\x7f\x80\xff") };
    let fill = random.pick(b"\0\xff");
    out.push(first);
    if random.one_in(2) {
        out.extend(random.bytes(width - 1));
    } else {
        out.extend((1..width).map(|_| fill));
    }
}
