//! The payload of `FUNCTION DUMP`: any bytes, with a right footer too, and what was read written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redlua::fuzzing;

fuzz_target!(|body: &[u8]| {
    let _ = fuzzing::restore_payload(body);
    let Ok(texts) = fuzzing::restore_payload(&fuzzing::seal_payload(body)) else {
        return;
    };
    let payload = fuzzing::dump_payload(&texts);
    assert_eq!(fuzzing::restore_payload(&payload), Ok(texts));
});
