//! `cjson.decode` of any text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

fuzz_target!(|text: &[u8]| {
    fuzzing::check("pcall(cjson.decode, ARGV[1])", &[text]);
});
