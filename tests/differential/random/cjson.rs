//! Documents for cjson: JSON that is sound, JSON that is damaged, and values to encode.

use super::generator::{Document, Order, Random, mutate};
use super::lua::{self, Keys};

/// What damages JSON in interesting places.
const ALPHABET: &[u8] = b"{}[]:,\"\\ \t0123456789eE+-.truefalsnu/xX\0\x80\xff";

const SOUND_NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "-0.0e0",
    "1e5",
    "1E+5",
    "1e-5",
    "1E400",
    "-1e400",
    "1e-400",
    "5e-324",
    "2.2250738585072011e-308",
    "1.7976931348623157e308",
    "9007199254740993",
    "18446744073709551616",
    "0.1000000000000000055511151231257827",
    "123456789012345678901234567890",
    "1e00005",
    "100e-2",
];

const ODD_NUMBERS: &[&str] = &[
    "01",
    "-01",
    "1.",
    ".5",
    "-.5",
    "-",
    "+1",
    "1e",
    "1e+",
    "1.e5",
    "0x1f",
    "-0x1p3",
    "0x",
    "0xg",
    "inf",
    "-inf",
    "Infinity",
    "-Infinity",
    "infinit",
    "nan",
    "NaN",
    "-nan",
    "nan(5)",
    "1_0",
    "1f",
    "1e5.5",
    "--1",
    "00",
    "0e",
    "1d5",
    "i",
    "N",
    "-i",
];

/// Puts the settings back, which stock keeps from one script to the next.
pub const DEFAULTS: &str = "cjson.encode_sparse_array(false, 2, 10) cjson.encode_max_depth(1000) \
    cjson.decode_max_depth(1000) cjson.encode_number_precision(14) cjson.encode_keep_buffer(true) \
    cjson.encode_invalid_numbers(false) cjson.decode_invalid_numbers(true)";

/// Makes one document.
pub fn document(random: &mut Random) -> Document {
    const DECODE: &str = "return pcall(cjson.decode, data)";
    const DECODE_AND_ENCODE: &str = "local ok, value = pcall(cjson.decode, data) \
         if not ok then return ok, value end return ok, value, pcall(cjson.encode, value)";
    let Settings { mut code, keys } = settings(random);
    match random.below(20) {
        0..=3 => {
            code.push_str(DECODE_AND_ENCODE);
            Document::new(&code, json(random)).with_order(Order::Written)
        }
        4 => {
            code.push_str(DECODE);
            Document::new(&code, json(random))
        }
        5 | 6 => {
            let mut data = records(random);
            if random.one_in(4) {
                mutate(random, &mut data, ALPHABET);
            }
            code.push_str(DECODE);
            Document::new(&code, data)
        }
        7..=11 => {
            let mut data = json(random);
            mutate(random, &mut data, ALPHABET);
            code.push_str(DECODE);
            Document::new(&code, data)
        }
        12..=17 => {
            let value = lua::root(random, 4, keys);
            code.push_str(&format!("return pcall(cjson.encode, {value})"));
            Document::new(&code, Vec::new()).with_order(Order::Written)
        }
        18 => {
            let call = random.pick(&["decode", "encode"]);
            let values = lua::values(random, 2, 1, keys);
            let comma = if values.is_empty() { "" } else { ", " };
            code.push_str(&format!("return pcall(cjson.{call}{comma}{values})"));
            Document::new(&code, Vec::new()).with_order(Order::Written)
        }
        _ => Document::new(&set_badly(random), Vec::new()),
    }
}

/// Calls that change settings, and how large keys may be with them.
struct Settings {
    code: String,
    keys: Keys,
}

fn settings(random: &mut Random) -> Settings {
    let mut code = String::new();
    let mut keys = Keys::Any;
    if random.one_in(4) {
        let convert = random.pick(&["true", "false"]);
        let ratio = random.pick(&[0, 1, 2, 3, 20]);
        // With 0 everything is an array, and stock writes one null for each hole.
        keys = if ratio == 0 { Keys::Small } else { Keys::Any };
        let safe = random.pick(&[0, 1, 5, 10, 100]);
        code.push_str(&format!("cjson.encode_sparse_array({convert}, {ratio}, {safe}) "));
    }
    if random.one_in(3) {
        code.push_str(&format!("cjson.encode_number_precision({}) ", 1 + random.below(14)));
    }
    if random.one_in(6) {
        code.push_str(&format!("cjson.encode_max_depth({}) ", 1 + random.below(5)));
    }
    if random.one_in(6) {
        code.push_str(&format!("cjson.decode_max_depth({}) ", 1 + random.below(5)));
    }
    if random.one_in(2) {
        let value = random.pick(&["true", "false", "\"null\"", "\"on\"", "\"off\""]);
        code.push_str(&format!("cjson.encode_invalid_numbers({value}) "));
    }
    if random.one_in(4) {
        let value = random.pick(&["true", "false"]);
        code.push_str(&format!("cjson.decode_invalid_numbers({value}) "));
    }
    if random.one_in(20) {
        code.push_str("cjson.encode_keep_buffer(false) ");
    }
    Settings { code, keys }
}

/// A setting with any arguments, and what it says of itself afterwards.
fn set_badly(random: &mut Random) -> String {
    let setting = random.pick(&[
        "encode_sparse_array",
        "encode_number_precision",
        "encode_max_depth",
        "decode_max_depth",
        "encode_keep_buffer",
        "encode_invalid_numbers",
        "decode_invalid_numbers",
    ]);
    let mut call = format!("cjson.{setting}");
    for _ in 0..random.below(5) {
        let argument = match random.below(8) {
            0 => lua::number(random),
            1 => lua::string(random),
            2 => "nil".to_owned(),
            3 => "{}".to_owned(),
            4 => random.pick(&["true", "false", "\"on\"", "\"off\"", "\"null\""]).to_owned(),
            _ => random.below(20).to_string(),
        };
        call.push_str(", ");
        call.push_str(&argument);
    }
    format!(
        "local shown = {{pcall({call})}} \
         for _, value in ipairs({{pcall(cjson.{setting})}}) do shown[#shown + 1] = value end \
         return unpack(shown)"
    )
}

fn json(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let chain = match random.below(400) {
        0 => 995 + random.size(10),
        1..=20 => random.size(60),
        _ => 0,
    };
    let mut ends = Vec::new();
    for _ in 0..chain {
        let (start, end) = random.pick(&[(&b"["[..], b']'), (b"[1,", b']'), (b"{\"k\":", b'}')]);
        out.extend_from_slice(start);
        ends.push(end);
    }
    let depth = if chain > 0 { 1 } else { 4 };
    // Half of all values are scalars, and most documents are not.
    if chain == 0 && random.one_in(2) {
        list(random, &mut out, b"[]", |random, out| value(random, out, depth));
    } else {
        value(random, &mut out, depth);
    }
    out.extend(ends.into_iter().rev());
    space(random, &mut out);
    out
}

/// A list of objects most of which have the same keys in the same order.
fn records(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let kinds: Vec<Vec<Vec<u8>>> = (0..1 + random.below(3)).map(|_| names(random)).collect();
    list_of(&mut out, b"[]", 3 + random.below(8), |out| {
        let kind = if random.one_in(2) { 0 } else { random.size(kinds.len()) };
        record(random, out, &kinds, kind, 2);
    });
    out
}

/// The keys of a kind of object, as they are written.
fn names(random: &mut Random) -> Vec<Vec<u8>> {
    (0..1 + random.below(12))
        .map(|_| {
            let mut name = Vec::new();
            key(random, &mut name);
            name
        })
        .collect()
}

/// An object of a kind, or one that departs from it somewhere.
fn record(random: &mut Random, out: &mut Vec<u8>, kinds: &[Vec<Vec<u8>>], kind: usize, depth: u32) {
    let mut names = kinds[kind].clone();
    let place = random.size(names.len());
    match random.below(12) {
        0 => drop(names.remove(place)),
        1 => names.truncate(place),
        2 => names.insert(place, b"\"another\"".to_vec()),
        3 => names.push(b"\"last\"".to_vec()),
        4 => names.swap(0, place),
        5 => names[place] = names[0].clone(),
        _ => {}
    }
    let mut names = names.into_iter();
    list_of(out, b"{}", names.len() as u64, |out| {
        out.extend(names.next().unwrap_or_default());
        space(random, out);
        out.push(b':');
        let other = (kind + 1) % kinds.len();
        match random.below(6) {
            0 if depth > 0 => record(random, out, kinds, other, depth - 1),
            1 if depth > 0 => list_of(out, b"[]", random.below(4), |out| {
                record(random, out, kinds, other, depth - 1);
            }),
            _ => value(random, out, 0),
        }
    });
}

fn list_of(out: &mut Vec<u8>, ends: &[u8; 2], length: u64, mut item: impl FnMut(&mut Vec<u8>)) {
    out.push(ends[0]);
    for place in 0..length {
        if place > 0 {
            out.push(b',');
        }
        item(out);
    }
    out.push(ends[1]);
}

fn value(random: &mut Random, out: &mut Vec<u8>, depth: u32) {
    space(random, out);
    match random.below(10) {
        0 | 1 => string(random, out),
        2 | 3 => number(random, out),
        4 => out.extend_from_slice(random.pick(&["true", "false", "null"]).as_bytes()),
        5..=7 if depth > 0 => list(random, out, b"{}", |random, out| {
            space(random, out);
            key(random, out);
            space(random, out);
            out.push(b':');
            value(random, out, depth - 1);
        }),
        _ if depth > 0 => list(random, out, b"[]", |random, out| value(random, out, depth - 1)),
        _ => string(random, out),
    }
    space(random, out);
}

fn list(
    random: &mut Random,
    out: &mut Vec<u8>,
    ends: &[u8; 2],
    item: impl Fn(&mut Random, &mut Vec<u8>),
) {
    out.push(ends[0]);
    // A document that is long already gets no more long lists.
    let length = match random.below(30) {
        0 if out.len() < 500 => random.size(70),
        _ => random.size(5),
    };
    for place in 0..length {
        if place > 0 {
            out.push(b',');
        }
        item(random, out);
    }
    out.push(ends[1]);
}

/// Few enough names that some come twice.
fn key(random: &mut Random, out: &mut Vec<u8>) {
    match random.below(4) {
        0 => out
            .extend_from_slice(random.pick(&["\"\"", "\"1\"", "\"a\"", "\"\\u0061\""]).as_bytes()),
        1 => out.extend_from_slice(format!("\"key{}\"", random.below(40)).as_bytes()),
        _ => string(random, out),
    }
}

fn string(random: &mut Random, out: &mut Vec<u8>) {
    const SURROGATES: &[&str] =
        &["\\ud83d\\ude00", "\\uD800\\uDC00", "\\udbff\\udfff", "\\uD834\\uDD1E"];
    const ODD: &[&str] = &[
        "\\ud83d",
        "\\ude00",
        "\\ud83d\\u0041",
        "\\ude00\\ud83d",
        "\\ud83dx",
        "\\u12",
        "\\uzzzz",
        "\\x41",
        "\\'",
        "\\U0041",
        "\\",
        "\\u 123",
        "\\ud83d\\uzzzz",
    ];
    out.push(b'"');
    for _ in 0..random.below(8) {
        match random.below(40) {
            0 => out.extend(random.bytes(3).into_iter().filter(|byte| !b"\"\\".contains(byte))),
            1 if random.one_in(6) => out.extend_from_slice(random.pick(ODD).as_bytes()),
            2 | 3 => out.extend_from_slice(random.pick(SURROGATES).as_bytes()),
            4..=8 => {
                let escapes = ["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"];
                out.extend_from_slice(random.pick(&escapes).as_bytes());
            }
            9..=12 => {
                // Outside the surrogates, which have their own place above.
                let unit = random.below(0xd800) >> random.below(16);
                let unit = if random.one_in(2) {
                    format!("\\u{unit:04x}")
                } else {
                    format!("\\u{unit:04X}")
                };
                out.extend_from_slice(unit.as_bytes());
            }
            13..=16 => out.extend_from_slice(random.pick(&["é", "漢", "😀", "\u{7f}"]).as_bytes()),
            17 => out.push(random.pick(b"\x01\x1f\n\t\r\x80\xff\xc0")),
            _ => out.push(random.pick(b"abcxyzABC 0123456789/'{}[],:")),
        }
    }
    out.push(b'"');
}

fn number(random: &mut Random, out: &mut Vec<u8>) {
    let sign = if random.one_in(4) { "-" } else { "" };
    let text = match random.below(40) {
        0 => random.pick(ODD_NUMBERS).to_owned(),
        1..=6 => random.pick(SOUND_NUMBERS).to_owned(),
        7..=12 => {
            let double = f64::from_bits(random.next());
            if double.is_finite() { format!("{double:e}") } else { "0".to_owned() }
        }
        13..=18 => {
            let length = 1 + random.below(19) as u32;
            let digits = random.below(10_u64.pow(length));
            format!("{sign}{}.{digits}", random.below(1000))
        }
        19..=24 => format!("{sign}{}", random.next() >> random.below(64)),
        _ => format!("{sign}{}", random.below(1000)),
    };
    out.extend_from_slice(text.as_bytes());
}

fn space(random: &mut Random, out: &mut Vec<u8>) {
    match random.below(400) {
        0 => out.push(random.pick(b"\x0b\x0c\xa0\0/#")),
        1..=80 => {
            for _ in 0..=random.below(2) {
                out.push(random.pick(b" \t\n\r"));
            }
        }
        _ => {}
    }
}
