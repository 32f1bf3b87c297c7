//! Documents for bit: every function with numbers of every size.

use super::generator::{Document, Random};
use super::lua;

const FUNCTIONS: &[&str] = &[
    "tobit", "tohex", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
    "bswap",
];

/// Makes one document.
pub fn document(random: &mut Random) -> Document {
    let function = random.pick(FUNCTIONS);
    let count = match function {
        "band" | "bor" | "bxor" => 1 + random.below(4),
        "lshift" | "rshift" | "arshift" | "rol" | "ror" | "tohex" => 2,
        _ => 1,
    };
    let count = if random.one_in(20) { random.below(4) } else { count };
    let mut call = format!("bit.{function}");
    for place in 0..count {
        call.push_str(", ");
        let argument = match function {
            "tohex" if place == 1 => digits(random),
            _ => argument(random),
        };
        call.push_str(&argument);
    }
    Document::new(&format!("return pcall({call})"), Vec::new())
}

fn argument(random: &mut Random) -> String {
    match random.below(12) {
        0 => lua::string(random),
        1 if random.one_in(3) => random.pick(&["nil", "true", "{}", "type", "\"\""]).to_owned(),
        // A half is where rounding shows.
        2 => format!("{}.5", random.below(9) as i64 - 4),
        3 => format!("{}.5", random.next() >> (20 + random.below(40))),
        4 | 5 => random.below(70).to_string(),
        6 | 7 => (random.next() as i32).to_string(),
        _ => lua::number(random),
    }
}

/// How many digits `tohex` is to show. Nothing that becomes -2147483648, of which older servers die
/// (CVE-2024-31449).
fn digits(random: &mut Random) -> String {
    match random.below(8) {
        0 => random.pick(&["nil", "{}", "\"4\"", "2.5", "-0", "2147483647", "100"]).to_owned(),
        _ => (random.below(24) as i64 - 12).to_string(),
    }
}
