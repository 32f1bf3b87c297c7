//! Documents for struct: formats with values to pack, and with bytes to unpack.

use super::generator::{Document, Random, mutate};
use super::lua;

/// Numbers that do not fit the integers of a format; C leaves open what becomes of some of them, but
/// stock's answer is the same on every run.
const BEYOND: &[&str] = &["1e20", "-1e20", "18446744073709551616", "(1/0)", "-(1/0)", "(0/0)"];

/// Makes one document.
pub fn document(random: &mut Random) -> Document {
    let Format { mut text, values, size } = format(random);
    if random.one_in(12) {
        mutate(random, &mut text, b"<>!xbBhHlLTiIcnsfd 0123456789");
    }
    let format = lua::literal(&text);
    match random.below(10) {
        0..=2 => {
            let code = format!("return pcall(struct.pack, {format}{values})");
            Document::new(&code, Vec::new())
        }
        3 | 4 => {
            let code = format!(
                "local ok, bytes = pcall(struct.pack, {format}{values}) \
                 if not ok then return ok, bytes end \
                 return ok, bytes, pcall(struct.unpack, {format}, bytes)"
            );
            Document::new(&code, Vec::new())
        }
        5..=8 => {
            let position = match random.below(10) {
                0 => random.pick(&[", 0", ", -1", ", 1.5", ", \"2\"", ", 1e9", ", nil", ", {}"]),
                1 | 2 => random.pick(&[", 1", ", 2", ", 3", ", 9"]),
                _ => "",
            };
            let code = format!("return pcall(struct.unpack, {format}, data{position})");
            let spare = random.size(12);
            Document::new(&code, bytes(random, size + spare))
        }
        _ => Document::new(&format!("return pcall(struct.size, {format})"), Vec::new()),
    }
}

/// A format, arguments that go with it, and about how many bytes it reads.
struct Format {
    text: Vec<u8>,
    values: String,
    size: usize,
}

fn format(random: &mut Random) -> Format {
    let mut format = Format { text: Vec::new(), values: String::new(), size: 0 };
    for _ in 0..random.below(8) {
        match random.below(20) {
            0 | 1 => format.text.push(random.pick(b"<>")),
            2 => {
                let alignment =
                    random.pick(&["!", "!1", "!2", "!4", "!8", "!16", "!3", "!0", "!64"]);
                format.text.extend_from_slice(alignment.as_bytes());
            }
            3 => format.text.push(random.pick(b"    xxx?")),
            4..=6 => string(random, &mut format),
            7 | 8 => {
                format.text.push(random.pick(b"fd"));
                format.size += 8;
                add(&mut format, &lua::number(random));
            }
            _ => integer(random, &mut format),
        }
    }
    // Too many, too few, or of another type.
    if random.one_in(15) {
        match random.below(3) {
            0 => format.values.clear(),
            1 => format.values.push_str(", {}"),
            _ => format.values.insert_str(0, ", \"x\""),
        }
    }
    format
}

fn add(format: &mut Format, value: &str) {
    format.values.push_str(", ");
    format.values.push_str(value);
}

fn string(random: &mut Random, format: &mut Format) {
    let value = lua::string(random);
    match random.below(5) {
        0 | 1 => format.text.push(b's'),
        2 => {
            // A string with its length before it; packing takes them in the other order.
            format.text.push(random.pick(b"bBhHiI"));
            format.text.extend_from_slice(b"c0");
            let number = random.below(12);
            add(format, &number.to_string());
        }
        _ => {
            let length = if random.one_in(30) { 9_999_999_999 } else { random.below(9) };
            format.text.extend_from_slice(format!("c{length}").as_bytes());
        }
    }
    format.size += 6;
    add(format, &value);
}

fn integer(random: &mut Random, format: &mut Format) {
    let kind = random.pick(b"bBhHlLTiI");
    format.text.push(kind);
    format.size += 8;
    if b"iI".contains(&kind) && random.one_in(2) {
        let width = match random.below(20) {
            0 => random.pick(&[0, 33, 100, 2_147_483_647, 99_999_999_999]),
            1 => random.below(33),
            _ => 1 + random.below(9),
        };
        format.text.extend_from_slice(width.to_string().as_bytes());
    }
    let value = match random.below(30) {
        0 => random.pick(BEYOND).to_owned(),
        1 => lua::string(random),
        2..=8 => {
            // Up to 63 bits, which every integer of C holds.
            let sign = if random.one_in(2) { "-" } else { "" };
            format!("{sign}{}", random.next() >> (1 + random.below(63)))
        }
        9..=12 => format!("{}.5", random.below(70_000)),
        _ => (random.below(600) as i64 - 300).to_string(),
    };
    add(format, &value);
}

/// Bytes with zeros among them, at which strings end, and small numbers, which lengths can be.
fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    let style = random.below(3);
    let mut bytes = random.bytes(length);
    for byte in &mut bytes {
        match style {
            0 => {}
            1 => *byte %= 5,
            _ => *byte = if *byte % 4 == 0 { 0 } else { *byte },
        }
    }
    bytes
}
