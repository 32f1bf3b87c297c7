//! Any script: compiled, run and its result told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

fuzz_target!(|script: &[u8]| {
    fuzzing::run(script, &[b"one", b"2", b"\x00\xff"]);
});
