//! Differences from stock that are meant. An entry that is not needed any more fails the suite.

use crate::case::AS_FUNCTION;
use crate::runner::Host;
use crate::support::Value;

/// Cases that may differ for one reason.
pub struct Allowed {
    /// The cases' whole names.
    pub cases: &'static [&'static str],
    /// Why stock is not followed here.
    pub reason: &'static str,
    /// The servers where they do differ.
    pub on: fn(&Host) -> bool,
    /// How far they may differ.
    pub difference: Difference,
}

/// How far a case may differ.
pub enum Difference {
    /// In any way.
    Any,
    /// Only in what this function removes from both sides' replies.
    Within(fn(Value) -> Value),
    /// Only in what this function removes, which differs by chance and need not.
    ByChance(fn(Value) -> Value),
}

/// All of them.
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        cases: &[
            "os and its members: os",
            "os and its members: os.clock",
            "os and its members: os.clock()",
        ],
        reason: "os.clock is there on every server, also where stock has no os yet",
        on: |host| !host.valkey && host.is_before("7.4"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "a function sees type(os)",
            "a function sees type(server)",
            "the sorted members at run time of os",
        ],
        reason: "server and os.clock are there on every server, also where stock has none yet",
        on: |host| !host.valkey,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["FUNCTION CREATE", "FUNCTION INFO"],
        reason: "stock has no such subcommands",
        on: |_| true,
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "a script calls \"<FCALL>\",\"f\",0",
            "a script calls \"<fcall>\"",
            "a script calls \"<fcall>\",\"f\"",
            "a script calls \"<fcall>\",\"f\",0",
            "a script calls \"<fcall_ro>\",\"f\",0",
            "a script calls \"<function>\"",
            "a script calls \"<function>\",\"delete\",\"lib\"",
            "a script calls \"<function>\",\"dump\"",
            "a script calls \"<function>\",\"flush\"",
            "a script calls \"<function>\",\"kill\"",
            "a script calls \"<function>\",\"list\"",
            "a script calls \"<function>\",\"list\",\"x\"",
            "a script calls \"<function>\",\"load\"",
            "a script calls \"<function>\",\"load\",\"x\"",
            "a script calls \"<function>\",\"nosuch\"",
            "a script calls \"<function>\",\"restore\",\"x\"",
            "a script calls \"<function>\",\"stats\"",
            "a script calls \"<function|list>\"",
        ],
        reason: "the script names the command of its side, so its digest is another one",
        on: |_| true,
        difference: Difference::Within(without_digests),
    },
    Allowed {
        cases: &[
            "FUNCTION RESTORE of several libraries: APPEND",
            "FUNCTION RESTORE of several libraries: FLUSH",
            "FUNCTION RESTORE of several libraries: REPLACE",
            "two libraries, the second one: #!lua name=ONE\nredis.register_function('g', \
             function() return 'two' end)",
            "two libraries, the second one: #!lua name=one\nredis.register_function('g', \
             function() return 'g' end) redis.register_function('f', function() return 'new' end)",
        ],
        reason: "stock lists libraries and functions in the order of its hash table, which is another \
                 one after each start",
        on: |_| true,
        difference: Difference::ByChance(in_one_order),
    },
    Allowed {
        cases: &["a payload with opcode 246 with rubbish"],
        reason: "payloads of release candidates are refused on every server, as newer ones do",
        on: |host| !host.valkey && host.is_before("7.2"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &["the help text"],
        reason: "the help lists the subcommands that the module has",
        on: |_| true,
        difference: Difference::Within(without_other_subcommands),
    },
    Allowed {
        cases: &[
            "arity, flags and keys of eval",
            "arity, flags and keys of evalsha",
            "arity, flags and keys of eval_ro",
            "arity, flags and keys of evalsha_ro",
            "arity, flags and keys of script|load",
            "arity, flags and keys of script|exists",
            "arity, flags and keys of script|flush",
            "arity, flags and keys of script|help",
            "arity, flags and keys of fcall",
            "arity, flags and keys of fcall_ro",
            "arity, flags and keys of function|load",
            "arity, flags and keys of function|delete",
            "arity, flags and keys of function|list",
            "arity, flags and keys of function|stats",
            "arity, flags and keys of function|kill",
            "arity, flags and keys of function|flush",
            "arity, flags and keys of function|dump",
            "arity, flags and keys of function|restore",
            "arity, flags and keys of function|help",
        ],
        reason: "the server marks commands of modules, keeps one flag and some categories from them",
        on: |_| true,
        difference: Difference::Within(without_marks),
    },
    Allowed {
        cases: &[
            "error statistics after redis.pcall(\"nosuch\") return 1",
            "error statistics after pcall(redis.call, \"nosuch\") return 1",
            "error statistics after redis.call(\"set\",\"s\",\"v\") redis.pcall(\"lpush\",\"s\",\"x\") \
             return redis.pcall(\"lpush\",\"s\",\"x\")",
            "error statistics after error({err=\"MY boom\", ignore_error_stats_update=true})",
        ],
        reason: "the server counts the errors that a module replies with, not those of its calls",
        on: |_| true,
        difference: Difference::Within(without_error_statistics),
    },
    Allowed {
        cases: &[
            "error(setmetatable({}, {__index={err=\"MY boom\"}})) with a table",
            "error(setmetatable({}, {__index={err=\"MY boom\"}})) on line 4 with a table",
            "error(setmetatable({err=\"MY boom\"}, {__newindex=function() error(\"written\") end})) \
             with a table",
            "error(setmetatable({err=\"MY boom\"}, {__newindex=function() error(\"written\") end})) \
             on line 4 with a table",
        ],
        reason: "error objects are read and written raw: stock runs their metamethods, and dies when \
                 one of them fails",
        on: |_| true,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["out of memory in a transaction: #!lua\nreturn 1"],
        reason: "a module's command has the same flags whatever the script's are, so a script is \
                 refused when it runs and not when it is queued",
        on: |host| host.valkey || !host.is_before("7.2"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "a bad script when out of memory: #!js\nreturn 1",
            "out of memory with the first line #!js",
            "bytes in the first line: 23216c756120666c6167733dff0a72657475726e2031",
            "bytes in the first line: 23216c756120ff0a72657475726e2031",
            "bytes in the first line: 2321ff0a72657475726e2031",
            "SCRIPT SHOW",
        ],
        reason: "Valkey's own way with shebangs of other engines, and a subcommand only it has",
        on: |host| host.valkey,
        difference: Difference::Any,
    },
];

/// Finds the entry of a case on a server. What is allowed to a script is allowed to the function
/// that is made of it.
pub fn find(case: &str, host: &Host) -> Option<&'static Allowed> {
    let case = case.strip_suffix(AS_FUNCTION).unwrap_or(case);
    ALLOWED.iter().find(|entry| entry.cases.contains(&case) && (entry.on)(host))
}

/// Removes the help on subcommands that only stock has: a heading and the indented lines below it.
fn without_other_subcommands(help: Value) -> Value {
    let Value::Array(lines) = help else {
        return help;
    };
    let mut other = false;
    let is_kept = |line: &Value| {
        let line = line.text().unwrap_or_default();
        if !line.starts_with(' ') {
            let name = line.split(' ').next().unwrap_or_default();
            other = ["DEBUG", "SHOW"].contains(&name);
        }
        !other
    };
    Value::Array(lines.into_iter().filter(is_kept).collect())
}

/// Removes the flags that only a module's or only a built-in command can have, and the categories.
fn without_marks(value: Value) -> Value {
    let is_kept = |value: &Value| match value {
        Value::Status(flag) => {
            flag != b"module" && flag != b"skip_monitor" && !flag.starts_with(b"@")
        }
        _ => true,
    };
    let all = |values: Vec<Value>| -> Vec<Value> {
        values.into_iter().filter(is_kept).map(without_marks).collect()
    };
    match value {
        Value::Array(values) => Value::Array(all(values)),
        Value::Set(values) => Value::Set(all(values)),
        other => other,
    }
}

/// Puts the values of arrays into one order, and the bytes of a dump, whose checksum goes.
fn in_one_order(value: Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(in_one_order).collect();
            values.sort_by_key(|value| format!("{value:?}"));
            Value::Array(values)
        }
        Value::Map(pairs) => {
            let inside = |(key, value)| (key, in_one_order(value));
            Value::Map(pairs.into_iter().map(inside).collect())
        }
        Value::Bulk(mut dump) if dump.first() == Some(&0xf5) => {
            dump.truncate(dump.len().saturating_sub(8));
            dump.sort_unstable();
            Value::Bulk(dump)
        }
        other => other,
    }
}

/// Replaces every digest in an error.
fn without_digests(value: Value) -> Value {
    let Value::Error(line) = value else {
        return value;
    };
    let line = String::from_utf8_lossy(&line).into_owned();
    let is_digest = |word: &str| {
        let word = word.trim_end_matches(',');
        word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let words = line.split(' ').map(|word| if is_digest(word) { "digest" } else { word });
    Value::Error(words.collect::<Vec<_>>().join(" ").into_bytes())
}

fn without_error_statistics(value: Value) -> Value {
    match value.bytes() {
        Some(text) if text.starts_with(b"# Errorstats") => Value::Null,
        _ => value,
    }
}
