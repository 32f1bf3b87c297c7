//! `cjson`: a text that is decoded, encoded and decoded again keeps its meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

/// Numbers are written with 14 digits, so they change a little the first time, and never again.
const SCRIPT: &str = "
local function same(a, b, close)
  if type(a) ~= type(b) then return false end
  if type(a) == 'number' then return a == b or (close and math.abs(a - b) <= 1e-13 * math.abs(a)) end
  if type(a) ~= 'table' then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key], close) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end
local fine, first = pcall(cjson.decode, ARGV[1])
if not fine then return end
local encoded, text = pcall(cjson.encode, first)
if not encoded then return end
local second = cjson.decode(text)
if not same(first, second, true) then return 'changed by ' .. text end
local third = cjson.decode(cjson.encode(second))
if not same(second, third, false) then return 'changed at last by ' .. text end
";

fuzz_target!(|text: &[u8]| {
    fuzzing::check(SCRIPT, &[text]);
});
