//! The functions of `cmsgpack` that read, over any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

const SCRIPT: &str = "
pcall(cmsgpack.unpack, ARGV[1])
pcall(cmsgpack.unpack_limit, ARGV[1], ARGV[2], ARGV[3])
local offset = 0
for i = 1, 100 do
  local fine, next_offset = pcall(cmsgpack.unpack_one, ARGV[1], offset)
  if not fine or type(next_offset) ~= 'number' or next_offset < 0 then return end
  if next_offset <= offset then return 'no way on from ' .. offset end
  offset = next_offset
end
";

fuzz_target!(|input: (i32, i32, &[u8])| {
    let (limit, offset, bytes) = input;
    fuzzing::check(SCRIPT, &[bytes, limit.to_string().as_bytes(), offset.to_string().as_bytes()]);
});
