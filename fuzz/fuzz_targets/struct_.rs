//! The library `struct`: any format over any data, and what was packed read back.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

#[derive(Arbitrary, Debug)]
enum Argument<'a> {
    Number(f64),
    Integer(i64),
    Text(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    start: i64,
    format: &'a [u8],
    arguments: Vec<Argument<'a>>,
    data: &'a [u8],
}

const SCRIPT: &str = "
local format, data, start = ARGV[1], ARGV[2], ARGV[3]
pcall(struct.unpack, format, data)
pcall(struct.unpack, format, data, start)
local sized, size = pcall(struct.size, format)
local packed, bytes = pcall(struct.pack, format, unpack(ARGV, 4))
if not (sized and packed) then return end
if #bytes ~= size then return 'packed ' .. #bytes .. ', size ' .. size end
local results = {pcall(struct.unpack, format, bytes)}
if results[1] and results[#results] ~= size + 1 then
  return 'read up to ' .. results[#results] .. ', size ' .. size
elseif not results[1] and results[2] ~= 'stack overflow (too many results)' then
  return results[2]
end
";

fuzz_target!(|input: Input| {
    let start = input.start.to_string();
    let texts: Vec<Vec<u8>> = input
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Number(value) => format!("{value:?}").into_bytes(),
            Argument::Integer(value) => value.to_string().into_bytes(),
            Argument::Text(text) => text.to_vec(),
        })
        .collect();
    let mut args = vec![input.format, input.data, start.as_bytes()];
    args.extend(texts.iter().map(Vec::as_slice));
    fuzzing::check(SCRIPT, &args);
});
