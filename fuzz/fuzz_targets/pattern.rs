//! Lua's patterns: any pattern over any subject, both short, as a match may take long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

const LONGEST_PATTERN: usize = 64;
const LONGEST_SUBJECT: usize = 256;
/// Few, since matching takes thousands of its own between two of them.
const STEPS: u32 = 200;

/// A zero byte ends a pattern, unless it holds nothing special and `find` takes it as it is.
const SCRIPT: &str = "
local pattern, subject, replacement = ARGV[1], ARGV[2], ARGV[3]
local found = {pcall(string.find, subject, pattern)}
if found[1] and found[2] and (found[2] < 1 or found[3] > #subject or found[2] > found[3] + 1) then
  return found[2] .. ' to ' .. found[3]
end
local matched, first = pcall(string.match, subject, pattern)
if matched and found[1] and not pattern:find('%z') and (first == nil) ~= (found[2] == nil) then
  return 'match and find do not agree'
end
pcall(string.find, subject, pattern, -3, true)
pcall(string.match, subject, pattern, 2)
pcall(string.gsub, subject, pattern, replacement)
pcall(string.gsub, subject, pattern, {a = 'b', [''] = false})
pcall(string.gsub, subject, pattern, function(a, b) return b or a end, 5)
pcall(function() for a, b in string.gmatch(subject, pattern) do end end)
";

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (pattern, replacement, subject) = input;
    let pattern = &pattern[..pattern.len().min(LONGEST_PATTERN)];
    let replacement = &replacement[..replacement.len().min(LONGEST_PATTERN)];
    let subject = &subject[..subject.len().min(LONGEST_SUBJECT)];
    fuzzing::check_within(STEPS, SCRIPT, &[pattern, subject, replacement]);
});
