//! `cmsgpack`: bytes that are unpacked, packed and unpacked again keep their meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

/// Tables are packed 16 deep, and what lies deeper is nil. A table as a key is equal to no other, and one that
/// lies too deep cannot be read back.
const SCRIPT: &str = "
local function same(a, b, depth)
  if depth > 15 then return true end
  if type(a) ~= type(b) then return false end
  if type(a) ~= 'table' then return a == b or (a ~= a and b ~= b) end
  for key, value in pairs(a) do
    if type(key) == 'table' then return true end
  end
  for key, value in pairs(a) do
    if not same(value, b[key], depth + 1) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end
local function counted(...) return {n = select('#', ...), ...} end
local first = counted(pcall(cmsgpack.unpack, ARGV[1]))
if not first[1] or first.n == 1 then return end
local bytes = cmsgpack.pack(unpack(first, 2, first.n))
local second = counted(pcall(cmsgpack.unpack, bytes))
if second[2] == 'table index is nil' then return end
if not second[1] then return second[2] end
if first.n ~= second.n then return first.n .. ' values, then ' .. second.n end
for i = 2, first.n do
  if not same(first[i], second[i], 0) then return 'value ' .. i - 1 .. ' changed' end
end
";

fuzz_target!(|bytes: &[u8]| {
    fuzzing::check(SCRIPT, &[bytes]);
});
