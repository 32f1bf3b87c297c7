//! What the fuzz targets in `fuzz/` call: whole runs of scripts over a host without a server, and the
//! payloads of libraries.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::atomic::Ordering;

use crate::config;
use crate::dialect::Dialect;
use crate::engine::{Engine, RunRequest, Source};
use crate::host::ServerHost;
use crate::policy::admission::Access;
use crate::resp::{Encoder, RespVersion};
use crate::script::payload::{self, PayloadError};
use crate::vm::steps;

/// Bytes the VM may hold.
const MEMORY: i64 = 64 * 1024 * 1024;
/// Steps a run may take: calls, rounds of loops, stretches of long library functions.
const STEPS: u32 = 20_000;
/// The RDB format that payloads are read and written in.
const RDB_VERSION: u16 = 10;
/// Bytes that packed texts may have together.
const PACKED: usize = 16 * 1024 * 1024;

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(engine());
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result, as a RESP2 client reads it.
    Reply(Vec<u8>),
    /// With an error line.
    Error(Vec<u8>),
    /// It took too many steps or too much memory.
    Cut,
}

/// Runs a script with `args` as its `ARGV`; one that was run before is not compiled again.
///
/// A panic in a native function ends the process, though the engine would go on: libFuzzer's panic hook
/// comes before the engine's guard.
pub fn run(script: &[u8], args: &[&[u8]]) -> Outcome {
    run_within(STEPS, script, args)
}

fn run_within(limit: u32, script: &[u8], args: &[&[u8]]) -> Outcome {
    ENGINE.with_borrow_mut(|engine| {
        let mut arguments: Vec<&[u8]> = vec![b"0"];
        arguments.extend(args);
        let request = RunRequest {
            source: Source::Body(script),
            arguments: &arguments,
            access: Access::ReadWrite,
        };
        let mut reply = Encoder::new(RespVersion::Resp2);
        let rebuilt = engine.stats().rebuilt_vms;
        steps::allow(limit);
        let result = engine.run(&ServerHost::default(), request, &mut reply);
        if steps::are_used_up() {
            *engine = self::engine();
            return Outcome::Cut;
        }
        match result {
            Ok(()) => Outcome::Reply(reply.out),
            Err(_) if engine.stats().rebuilt_vms > rebuilt => Outcome::Cut,
            Err(error) => Outcome::Error(error.line().to_vec()),
        }
    })
}

/// Runs a script that returns nothing if all is well, and what is wrong if not.
///
/// # Panics
/// When something is wrong, or the script fails.
pub fn check(script: &str, args: &[&[u8]]) {
    check_within(STEPS, script, args);
}

/// Does the same within so many steps.
///
/// # Panics
/// As [`check`].
pub fn check_within(limit: u32, script: &str, args: &[&[u8]]) {
    match run_within(limit, script.as_bytes(), args) {
        Outcome::Reply(reply) if reply == b"$-1\r\n" => {}
        Outcome::Cut => {}
        Outcome::Reply(text) | Outcome::Error(text) => {
            panic!("{}", text.escape_ascii());
        }
    }
}

/// Puts the footer under what shall be read as a payload.
pub fn seal_payload(body: &[u8]) -> Vec<u8> {
    payload::seal(body.to_vec(), RDB_VERSION)
}

/// Reads the texts in a payload.
///
/// # Errors
/// As [`payload::restore`] and the texts it gives.
pub fn restore_payload(payload: &[u8]) -> Result<Vec<Vec<u8>>, PayloadError> {
    let texts = payload::restore(payload, |version| version <= RDB_VERSION, PACKED)?;
    texts.map(|text| text.map(Cow::into_owned)).collect()
}

/// Writes the payload that holds these texts.
pub fn dump_payload(texts: &[Vec<u8>]) -> Vec<u8> {
    payload::dump(texts.iter().map(Vec::as_slice), RDB_VERSION, true)
}

fn engine() -> Engine {
    if let config::Value::Own(value) = config::MEMORY_LIMIT.value {
        value.store(MEMORY, Ordering::Relaxed);
    }
    Engine::new(Dialect::redis(7, 0, 15)).expect("the system has threads")
}
