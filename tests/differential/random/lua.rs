//! Random values as expressions of Lua.

use super::generator::Random;

/// Numbers at the edges of what integers, doubles and their text can hold.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "(0/0)",
    "-(0/0)",
    "(1/0)",
    "-(1/0)",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "0.1",
    "1e14",
    "1e15",
    "99999999999999.9",
    "123456789012345.678",
    "9007199254740993",
    "3.4028235677973366e38",
    "1e-45",
    "1e-7",
    "0.5",
    "-0.5",
    "2147483647.5",
];

/// A number, of any shape.
pub fn number(random: &mut Random) -> String {
    let sign = if random.one_in(3) { "-" } else { "" };
    match random.below(8) {
        0 => random.pick(NUMBERS).to_owned(),
        1 => format!("{sign}{}", random.next() >> random.below(64)),
        2 => {
            let power = 1_u128 << random.below(65);
            format!("{sign}{}", power + u128::from(random.below(3)) - 1)
        }
        3 => format!("{sign}{}/{}", random.below(1000), random.pick(&[2, 3, 7, 10, 16, 1000])),
        4 => {
            let double = f64::from_bits(random.next());
            if double.is_finite() { format!("{double:e}") } else { "(0/0)".to_owned() }
        }
        5 => {
            let length = 1 + random.below(17) as u32;
            let digits = random.below(10_u64.pow(length));
            format!("{sign}{}.{digits}", random.below(100))
        }
        _ => format!("{sign}{}", random.below(300)),
    }
}

/// A string, of any bytes.
pub fn string(random: &mut Random) -> String {
    let length = match random.below(20) {
        0 => random.pick(&[0, 15, 16, 31, 32, 33, 127, 128, 255, 256, 257]),
        _ => random.size(12),
    };
    match random.below(10) {
        0 => literal(&random.bytes(length)),
        1 => literal(
            random
                .pick(&["12", "0x10", " 5 ", "1e3", "-0", "1.5", "nan", "9".repeat(20).as_str()])
                .as_bytes(),
        ),
        2 => literal(
            random.pick(&["é", "漢字", "😀", "\u{7f}\"\\/\u{8}\u{c}\n\r\t\0", "</a>"]).as_bytes(),
        ),
        3 if random.one_in(40) => {
            let count = random.pick(&[65_535, 65_536, 70_000]);
            format!("string.rep({}, {count})", literal(&random.bytes(1)))
        }
        _ => literal(&letters(random, length)),
    }
}

/// Bytes as a literal in which everything but letters and digits is escaped.
pub fn literal(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("\\{byte:03}"));
        }
    }
    text + "\""
}

/// A value of any type, whose tables are nested no deeper than `depth`.
pub fn value(random: &mut Random, depth: u32, keys: Keys) -> String {
    match random.below(20) {
        0..=5 => number(random),
        6..=10 => string(random),
        11 => random.pick(&["true", "false"]).to_owned(),
        12 => random.pick(&["nil", "cjson.null"]).to_owned(),
        13 if random.one_in(10) => odd(random),
        13 => number(random),
        _ if depth == 0 => string(random),
        _ => table(random, depth - 1, keys),
    }
}

/// A table, sometimes any value.
pub fn root(random: &mut Random, depth: u32, keys: Keys) -> String {
    if random.one_in(4) { value(random, depth, keys) } else { table(random, depth - 1, keys) }
}

/// Several values, as they stand between the parentheses of a call.
pub fn values(random: &mut Random, most: usize, depth: u32, keys: Keys) -> String {
    let count = random.size(most + 1);
    (0..count).map(|_| value(random, depth, keys)).collect::<Vec<_>>().join(", ")
}

/// How large the keys of tables may be.
#[derive(Clone, Copy, PartialEq)]
pub enum Keys {
    /// Not so large that stock walks from 1 to them for seconds.
    Small,
    /// As large as numbers are.
    Any,
}

/// What most codecs refuse. A table among several keys would make their order that of addresses, so
/// it is the only one.
fn odd(random: &mut Random) -> String {
    let odd = [
        "type",
        "coroutine.create(function() end)",
        "{[{}]=1}",
        "{[type]=1}",
        "{[true]=1}",
        "(function() local t = {1} t.x = t return t end)()",
        "(function() local t = {1} t[2] = t return t end)()",
    ];
    random.pick(&odd).to_owned()
}

fn table(random: &mut Random, depth: u32, keys: Keys) -> String {
    let length = match random.below(30) {
        0 => random.pick(&[15, 16, 17, 31, 32, 33, 64, 100]),
        _ => random.size(6),
    };
    // Large tables stay flat.
    let depth = if length > 10 { 0 } else { depth };
    let shape = random.below(6);
    let mut fields = Vec::new();
    for _ in 0..length {
        let field = value(random, depth, keys);
        fields.push(match shape {
            0 | 1 => field,
            2 | 3 => format!("[{}]={field}", string(random)),
            4 => format!("[{}]={field}", key(random, keys)),
            _ if random.one_in(2) => format!("[{}]={field}", key(random, keys)),
            _ => field,
        });
    }
    format!("{{{}}}", fields.join(","))
}

fn key(random: &mut Random, keys: Keys) -> String {
    match random.below(12) {
        0 => random.pick(&["0", "-1", "1.5", "-0.25", "1e-300"]).to_owned(),
        1 if keys == Keys::Any => random
            .pick(&["1e6", "2147483647", "2147483648", "4294967297", "1e300", "(1/0)"])
            .to_owned(),
        2 => format!("{}", random.below(300)),
        3..=6 => string(random),
        _ => format!("{}", random.below(12)),
    }
}

fn letters(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.pick(b"abcdefghijklmnopqrstuvwxyzABC0123456789 _-")).collect()
}
