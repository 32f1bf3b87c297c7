//! The library `bit` against the operators of Rust.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redlua::fuzzing::{self, Outcome};

#[derive(Arbitrary, Debug)]
enum Number {
    Integer(i32),
    Double(f64),
    Text(String),
}

const NAMES: [&str; 12] = [
    "tobit", "bnot", "bswap", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
    "tohex",
];

fn expected(name: &str, a: i32, b: i32) -> Option<i32> {
    let (left, count) = (a as u32, b as u32);
    Some(match name {
        "tobit" => a,
        "bnot" => !a,
        "bswap" => a.swap_bytes(),
        "band" => a & b,
        "bor" => a | b,
        "bxor" => a ^ b,
        "lshift" => a.wrapping_shl(count),
        "rshift" => left.wrapping_shr(count) as i32,
        "arshift" => a.wrapping_shr(count),
        "rol" => left.rotate_left(count % 32) as i32,
        "ror" => left.rotate_right(count % 32) as i32,
        _ => return None,
    })
}

fuzz_target!(|input: (u8, Vec<Number>)| {
    let (operation, numbers) = input;
    let name = NAMES[usize::from(operation) % NAMES.len()];
    let texts: Vec<String> = numbers
        .iter()
        .map(|number| match number {
            Number::Integer(value) => value.to_string(),
            Number::Double(value) => format!("{value:?}"),
            Number::Text(text) => text.clone(),
        })
        .collect();
    let args: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let outcome = fuzzing::run(format!("return bit.{name}(unpack(ARGV))").as_bytes(), &args);
    if let [Number::Integer(a), Number::Integer(b)] = numbers[..]
        && let Some(result) = expected(name, a, b)
    {
        assert_eq!(outcome, Outcome::Reply(format!(":{result}\r\n").into_bytes()));
    }
});
