//! Every setting: its declaration and its present value.
//!
//! A setting is named `redlua.<name>` in `redis.conf`, `CONFIG GET` and `CONFIG SET`.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::register::register;
use crate::units;

/// All settings of the module.
#[linkme::distributed_slice]
#[allow(unsafe_code)] // linkme places the slice in a linker section
pub static CONFIGS: [ConfigSpec];

/// What a setting's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; `kb`, `mb` and `gb` may be written after the number.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds; -1 is off.
    Microseconds,
    /// Things.
    Count,
    /// Nothing: 0 is `no` and 1 is `yes`.
    Switch,
    /// Nothing: it is the place of one of these words.
    Choice(&'static [&'static CStr]),
}

/// One setting.
pub struct ConfigSpec {
    /// The name after `redlua.`, NUL-terminated for the server.
    pub name: &'static CStr,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// What the number counts.
    pub unit: Unit,
    /// The smallest and the largest value.
    pub range: (i64, i64),
    /// The value it starts with.
    pub default: i64,
    /// It is read when the module is loaded and cannot be set after that.
    pub fixed: bool,
    /// Where its value is.
    pub value: Value,
}

impl ConfigSpec {
    /// The value that a text gives the setting, as the server reads it from its configuration file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, text: &[u8]) -> Result<i64, &'static str> {
        let value = match self.unit {
            Unit::Switch => match text.to_ascii_lowercase().as_slice() {
                b"yes" => 1,
                b"no" => 0,
                _ => return Err("is neither yes nor no"),
            },
            Unit::Milliseconds | Unit::Count => whole(units::number(text)).ok_or("is no number")?,
            Unit::Microseconds if text == b"-1" => -1,
            Unit::Microseconds => whole(units::number(text)).ok_or("is no number")?,
            Unit::Choice(words) => {
                let is_it = |word: &&CStr| word.to_bytes().eq_ignore_ascii_case(text);
                let place = (0..).zip(words).find(|(_, word)| is_it(word)).map(|(place, _)| place);
                place.ok_or("is none of the words it may be")?
            }
            Unit::Bytes => whole(units::bytes(text)).ok_or("is no number of bytes")?,
        };
        let (least, most) = self.range;
        if (least..=most).contains(&value) { Ok(value) } else { Err("is out of range") }
    }
}

fn whole(number: Option<u64>) -> Option<i64> {
    i64::try_from(number?).ok()
}

/// Where the value of a setting is.
pub enum Value {
    /// Here.
    Own(&'static AtomicI64),
    /// It is that of a setting of the server.
    Server {
        /// The name of that setting.
        name: &'static CStr,
        /// What it was when settings changed last.
        known: &'static AtomicI64,
    },
}

const MB: i64 = 1024 * 1024;

static MEMORY_LIMIT_VALUE: AtomicI64 = AtomicI64::new(256 * MB);
static MAX_SCRIPT_SIZE_VALUE: AtomicI64 = AtomicI64::new(16 * MB);
static SCRIPT_TIME_LIMIT_VALUE: AtomicI64 = AtomicI64::new(5000);
static MAX_RUN_TIME_VALUE: AtomicI64 = AtomicI64::new(0);
static MAX_RUN_TIME_AFTER_WRITE_VALUE: AtomicI64 = AtomicI64::new(0);
static EXEC_TIME_LIMIT_VALUE: AtomicI64 = AtomicI64::new(30_000);
static TAKEOVER_VALUE: AtomicI64 = AtomicI64::new(0);
static TAKEOVER_IMPORT_VALUE: AtomicI64 = AtomicI64::new(1);
static PERSIST_VALUE: AtomicI64 = AtomicI64::new(1);
static STATS_VALUE: AtomicI64 = AtomicI64::new(1);
static SLOWLOG_SLOWER_THAN_VALUE: AtomicI64 = AtomicI64::new(10_000);
static SLOWLOG_MAX_LEN_VALUE: AtomicI64 = AtomicI64::new(128);
static ERROR_TRACEBACK_VALUE: AtomicI64 = AtomicI64::new(1);

register!(CONFIGS: MEMORY_LIMIT: ConfigSpec = ConfigSpec {
    name: c"memory-limit",
    summary: "Memory that the virtual machine may hold; a script that needs more ends with an error, the server goes on.",
    unit: Unit::Bytes,
    range: (2 * MB, i64::MAX),
    default: 256 * MB,
    fixed: false,
    value: Value::Own(&MEMORY_LIMIT_VALUE),
});
register!(CONFIGS: MAX_SCRIPT_SIZE: ConfigSpec = ConfigSpec {
    name: c"max-script-size",
    summary: "Length of the longest script that is compiled.",
    unit: Unit::Bytes,
    range: (1, 1024 * MB),
    default: 16 * MB,
    fixed: false,
    value: Value::Own(&MAX_SCRIPT_SIZE_VALUE),
});
register!(CONFIGS: PERSIST: ConfigSpec = ConfigSpec {
    name: c"persist",
    summary: "Whether function libraries are saved and sent to new replicas; with no, a server without the module loads the data.",
    unit: Unit::Switch,
    range: (0, 1),
    default: 1,
    fixed: true,
    value: Value::Own(&PERSIST_VALUE),
});

register!(CONFIGS: SCRIPT_TIME_LIMIT: ConfigSpec = ConfigSpec {
    name: c"script-time-limit",
    summary: "Another name of the server's busy-reply-threshold: how long a script runs before other clients get the error BUSY, 0 for ever.",
    unit: Unit::Milliseconds,
    range: (0, i64::MAX),
    default: 5000,
    fixed: false,
    value: Value::Server { name: c"busy-reply-threshold", known: &SCRIPT_TIME_LIMIT_VALUE },
});
register!(CONFIGS: MAX_RUN_TIME: ConfigSpec = ConfigSpec {
    name: c"max-run-time",
    summary: "How long a script or a function may run as long as it has not written; 0 for any time.",
    unit: Unit::Milliseconds,
    range: (0, i64::MAX),
    default: 0,
    fixed: false,
    value: Value::Own(&MAX_RUN_TIME_VALUE),
});
register!(CONFIGS: MAX_RUN_TIME_AFTER_WRITE: ConfigSpec = ConfigSpec {
    name: c"max-run-time-after-write",
    summary: "How long a script or a function that has written may run, counted from its begin; what it wrote stays. 0 for any time.",
    unit: Unit::Milliseconds,
    range: (0, i64::MAX),
    default: 0,
    fixed: false,
    value: Value::Own(&MAX_RUN_TIME_AFTER_WRITE_VALUE),
});
register!(CONFIGS: EXEC_TIME_LIMIT: ConfigSpec = ConfigSpec {
    name: c"exec-time-limit",
    summary: "How long a script or a function may run in MULTI/EXEC, where nothing can kill it, as long as it has not written; 0 for any time.",
    unit: Unit::Milliseconds,
    range: (0, i64::MAX),
    default: 30_000,
    fixed: false,
    value: Value::Own(&EXEC_TIME_LIMIT_VALUE),
});

register!(CONFIGS: TAKEOVER: ConfigSpec = ConfigSpec {
    name: c"takeover",
    summary: "Whether EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT, FCALL, FCALL_RO and FUNCTION lead to the module.",
    unit: Unit::Switch,
    range: (0, 1),
    default: 0,
    fixed: false,
    value: Value::Own(&TAKEOVER_VALUE),
});
register!(CONFIGS: TAKEOVER_IMPORT: ConfigSpec = ConfigSpec {
    name: c"takeover-import",
    summary: "Whether a takeover begins by copying the libraries of the server's own engine that the module does not have.",
    unit: Unit::Switch,
    range: (0, 1),
    default: 1,
    fixed: false,
    value: Value::Own(&TAKEOVER_IMPORT_VALUE),
});

register!(CONFIGS: STATS: ConfigSpec = ConfigSpec {
    name: c"stats",
    summary: "Whether figures are kept of what the runs of each script and function do, for LUA.SCRIPT STATS.",
    unit: Unit::Switch,
    range: (0, 1),
    default: 1,
    fixed: false,
    value: Value::Own(&STATS_VALUE),
});
register!(CONFIGS: SLOWLOG_SLOWER_THAN: ConfigSpec = ConfigSpec {
    name: c"slowlog-log-slower-than",
    summary: "How long a script or a function runs before LUA.SLOWLOG has it, with the slowest commands that it called; 0 for all, -1 for none.",
    unit: Unit::Microseconds,
    range: (-1, i64::MAX),
    default: 10_000,
    fixed: false,
    value: Value::Own(&SLOWLOG_SLOWER_THAN_VALUE),
});
register!(CONFIGS: SLOWLOG_MAX_LEN: ConfigSpec = ConfigSpec {
    name: c"slowlog-max-len",
    summary: "How many runs LUA.SLOWLOG has, the last ones.",
    unit: Unit::Count,
    range: (0, i64::MAX),
    default: 128,
    fixed: false,
    value: Value::Own(&SLOWLOG_MAX_LEN_VALUE),
});

/// Whether figures are kept of runs.
#[inline]
pub(crate) fn keeps_stats() -> bool {
    STATS_VALUE.load(Ordering::Relaxed) != 0
}

/// Microseconds after which a run is slow; negative for none.
#[inline]
pub(crate) fn slowlog_slower_than() -> i64 {
    SLOWLOG_SLOWER_THAN_VALUE.load(Ordering::Relaxed)
}

/// Slow runs that are kept.
pub(crate) fn slowlog_max_len() -> usize {
    as_size(&SLOWLOG_MAX_LEN_VALUE)
}

register!(CONFIGS: ERROR_TRACEBACK: ConfigSpec = ConfigSpec {
    name: c"error-traceback",
    summary: "Where a script or a function that failed leaves the way that led to the error: nowhere, in the server's log, or at the end of the error reply.",
    unit: Unit::Choice(&[c"no", c"log", c"reply"]),
    range: (0, 2),
    default: 1,
    fixed: false,
    value: Value::Own(&ERROR_TRACEBACK_VALUE),
});

/// Where the traceback of a run that failed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorTraceback {
    /// Nowhere: none is made.
    No,
    /// To the server's log.
    Log,
    /// To the caller.
    Reply,
}

/// Where the traceback of a run that failed goes.
pub fn error_traceback() -> ErrorTraceback {
    match ERROR_TRACEBACK_VALUE.load(Ordering::Relaxed) {
        0 => ErrorTraceback::No,
        1 => ErrorTraceback::Log,
        _ => ErrorTraceback::Reply,
    }
}

/// Whether stock's names lead to the module's commands.
#[inline]
pub fn takes_over() -> bool {
    TAKEOVER_VALUE.load(Ordering::Relaxed) != 0
}

/// Whether a takeover begins by copying stock's libraries.
pub fn imports_at_takeover() -> bool {
    TAKEOVER_IMPORT_VALUE.load(Ordering::Relaxed) != 0
}

/// Milliseconds that a run goes on before other clients are told that the server is busy; 0 for ever.
#[inline]
pub fn script_time_limit() -> u64 {
    SCRIPT_TIME_LIMIT_VALUE.load(Ordering::Relaxed).unsigned_abs()
}

/// Milliseconds that a run may take as long as it has not written; 0 for any number.
#[inline]
pub(crate) fn max_run_time() -> u64 {
    MAX_RUN_TIME_VALUE.load(Ordering::Relaxed).unsigned_abs()
}

/// Milliseconds that a run that has written may take; 0 for any number.
#[inline]
pub(crate) fn max_run_time_after_write() -> u64 {
    MAX_RUN_TIME_AFTER_WRITE_VALUE.load(Ordering::Relaxed).unsigned_abs()
}

/// Milliseconds that a run may take in MULTI/EXEC as long as it has not written; 0 for any number.
#[inline]
pub(crate) fn exec_time_limit() -> u64 {
    EXEC_TIME_LIMIT_VALUE.load(Ordering::Relaxed).unsigned_abs()
}

/// Bytes a VM may hold.
pub(crate) fn memory_limit() -> usize {
    as_size(&MEMORY_LIMIT_VALUE)
}

/// Bytes of the longest script that is compiled.
pub(crate) fn max_script_size() -> usize {
    as_size(&MAX_SCRIPT_SIZE_VALUE)
}

/// Whether libraries are written to RDB and AOF base files and sent in full synchronizations.
pub fn persists() -> bool {
    PERSIST_VALUE.load(Ordering::Relaxed) != 0
}

fn as_size(value: &AtomicI64) -> usize {
    usize::try_from(value.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_in_the_configuration_file() {
        let cases: [(&ConfigSpec, &str, Result<i64, &str>); 21] = [
            (&MEMORY_LIMIT, "4mb", Ok(4 * MB)),
            (&MEMORY_LIMIT, "4M", Ok(4_000_000)),
            (&MEMORY_LIMIT, "5000000", Ok(5_000_000)),
            (&MEMORY_LIMIT, "1mb", Err("is out of range")),
            (&MEMORY_LIMIT, "-1", Err("is no number of bytes")),
            (&MEMORY_LIMIT, "4xb", Err("is no number of bytes")),
            (&MEMORY_LIMIT, "mb", Err("is no number of bytes")),
            (&MEMORY_LIMIT, "99999999999gb", Err("is no number of bytes")),
            (&MAX_RUN_TIME, "100", Ok(100)),
            (&MAX_RUN_TIME, "100ms", Err("is no number")),
            (&MAX_RUN_TIME, "-1", Err("is no number")),
            (&SLOWLOG_SLOWER_THAN, "-1", Ok(-1)),
            (&SLOWLOG_SLOWER_THAN, "-2", Err("is no number")),
            (&SLOWLOG_SLOWER_THAN, "500", Ok(500)),
            (&SLOWLOG_MAX_LEN, "-1", Err("is no number")),
            (&TAKEOVER, "YES", Ok(1)),
            (&TAKEOVER, "no", Ok(0)),
            (&TAKEOVER, "1", Err("is neither yes nor no")),
            (&ERROR_TRACEBACK, "Reply", Ok(2)),
            (&ERROR_TRACEBACK, "no", Ok(0)),
            (&ERROR_TRACEBACK, "yes", Err("is none of the words it may be")),
        ];
        for (config, text, expected) in cases {
            assert_eq!(config.parse(text.as_bytes()), expected, "{:?} {text}", config.name);
        }
    }

    #[test]
    fn every_setting_starts_with_its_default_within_its_range() {
        for config in CONFIGS {
            let (Value::Own(value) | Value::Server { known: value, .. }) = config.value;
            assert_eq!(value.load(Ordering::Relaxed), config.default, "{:?}", config.name);
            assert!(
                (config.range.0..=config.range.1).contains(&config.default),
                "{:?}",
                config.name
            );
            assert!(config.summary.ends_with('.'), "{:?}: summary is not a sentence", config.name);
        }
    }
}
