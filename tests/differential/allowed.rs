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
    /// Only in the ways in which the server keeps strings.
    Encodings,
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
        cases: &["a function sees type(os)", "the sorted members at run time of os"],
        reason: "os.clock is there on every server, also where stock has no os yet",
        on: |host| !host.valkey && host.is_before("7.4"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &["a function sees type(server)"],
        reason: "server is there on every server, also where stock has none yet",
        on: |host| !host.valkey,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["FCALL of the name f\0", "FCALL of names of odd bytes"],
        reason: "stock compares names up to the first NUL, but finds them by the hash of all bytes: f\\0 is \
                 f when both happen to be in one bucket",
        on: |_| true,
        difference: Difference::ByChance(found_or_not),
    },
    Allowed {
        cases: &[
            "FUNCTION LIST without libraries, and arguments a\r\nb",
            "FUNCTION LIST with all arguments in all orders",
        ],
        reason: "on Valkey a line break in this error goes out as it is, and what follows it is a reply of \
                 its own",
        on: |host| host.valkey,
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "bytes in a library: 2321ff206e616d653d6c6962",
            "bytes in a library: 23216c7561206e616d653d6c69622022ff22",
        ],
        reason: "Valkey's own way with bytes in a first line that are not ASCII",
        on: |host| host.valkey,
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "functions of a transaction when memory runs out: ",
            "functions of a transaction when memory runs out: \"allow-stale\"",
            "functions of a transaction when memory runs out: \"no-cluster\"",
            "functions of a transaction when memory runs out: \"allow-cross-slot-keys\"",
        ],
        reason: "a module's command has the same flags whatever the function's are, so a function is \
                 refused when it runs and not when it is queued",
        on: |host| host.valkey || !host.is_before("7.2"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "EVAL with the first line #!lua name=x",
            "EVAL with the first line #!lua name=x flags=no-writes",
            "SCRIPT LOAD with the first line #!lua name=x",
            "SCRIPT LOAD with the first line #!lua name=x flags=no-writes",
        ],
        reason: "scripts may have names",
        on: |_| true,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["arity, flags and keys of script|load"],
        reason: "a script may be given a name when it is loaded",
        on: |_| true,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["SCRIPT STATS"],
        reason: "stock has no such subcommand",
        on: |_| true,
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
        on: |host| !host.is_valkey_since("9.1"),
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
        cases: &[
            "a key passed as a value is stored as a value is",
            "the first key in commands of every kind: \"RENAME\", KEYS[1], KEYS[2]",
            "the first key in commands of every kind: \"COPY\", KEYS[1], KEYS[2]",
            "the first key in commands of every kind: \"MOVE\", KEYS[1], 1",
            "redis.call as a callback: table.foreach({\"x\",\"y\"}, function(i, v) redis.call(\"set\", v, i) end) return redis.call(\"mget\",\"x\",\"y\")",
            "MGET of 2 keys",
            "MGET of 100 keys",
            "MGET of 7000 keys",
            "a write from a script stays: \"set\",\"k\",12",
            "a write from a script stays: \"set\",\"k\",\"12\"",
            "a write from a script stays: \"set\",\"k\",\"9223372036854775807\"",
            "a write from a script stays: \"append\",\"k\",\"12\"",
            "a write from a script stays: \"mset\",\"a\",1,\"b\",2",
            "many calls in one script: for i = 1, 1000 do redis.call(\"set\", \"k\"..i, i) end return redis.call(\"dbsize\")",
            "keyspace: redis.call(\"set\",\"a\",\"1\") redis.call(\"rename\",\"a\",\"b\") return {redis.call(\"exists\",\"a\"), redis.call(\"get\",\"b\"), redis.call(\"renamenx\",\"b\",\"b\")}",
            "keyspace: redis.call(\"mset\",\"k1\",1,\"k2\",2) local t = redis.call(\"keys\",\"k*\") table.sort(t) return t",
            "the number 0 as an argument",
            "the number -0 as an argument",
            "the number 1 as an argument",
            "the number -1 as an argument",
            "the number 2^31 as an argument",
            "the number 2^31-1 as an argument",
            "the number -2^31 as an argument",
            "the number 2^32 as an argument",
            "the number 2^53 as an argument",
            "the number 2^53-1 as an argument",
            "the number 2^53+2 as an argument",
            "the number -2^53 as an argument",
            "the number 2^53+1 as an argument",
            "the number 2^62 as an argument",
            "the number 2^63-1024 as an argument",
            "the number 1e9 as an argument",
            "the number 1e14 as an argument",
            "the number 1e15 as an argument",
            "the number 1e16 as an argument",
            "the number 1e17 as an argument",
            "the number 1e18 as an argument",
            "the number 123456789012345678 as an argument",
            "the number 999999999999999 as an argument",
            "the number 3. as an argument",
            "the number 1e+2 as an argument",
            "the number 0x10 as an argument",
            "the number 0xffffffff as an argument",
            "the number tonumber(\"12\") as an argument",
            "the number \"12\"+0 as an argument",
            "the number \"0x1p4\"+0 as an argument",
            "the number 7%3 as an argument",
            "the number -7%3 as an argument",
            "the number 7%-3 as an argument",
            "the number 4503599627370497.5 as an argument",
            "the number 1e15-1 as an argument",
            "the number -1e-300*1e-300 as an argument",
            "the number -2147483649 as an argument",
            "WATCH and a script that changes the key: return redis.call(\"set\", \"k\", \"1\")",
            "WATCH and a script that changes the key: return redis.call(\"set\", \"other\", \"1\")",
            "WATCH and a script that changes the key: redis.call(\"set\", \"k\", \"1\") error(\"x\")",
            "WATCH and a script that changes the key: redis.call(\"select\", 1) return redis.call(\"set\", \"k\", \"1\")",
            "OBJECT, TYPE and TTL after a script: return redis.call(\"set\",\"k\",5)",
            "OBJECT, TYPE and TTL after a script: return redis.call(\"set\",\"k\",50000)",
            "a function sees redis.call(\"set\", \"a\", 1)",
            "functions with the flags {} on a server of its own",
            "functions with the flags {\"allow-oom\"} on a server of its own",
            "functions with the flags {\"allow-stale\"} on a server of its own",
            "functions with the flags {\"no-cluster\"} on a server of its own",
            "functions with the flags {\"allow-cross-slot-keys\"} on a server of its own",
            "functions with the flags {\"allow-oom\",\"allow-stale\"} on a server of its own",
            "SCRIPT LOAD does not run the script",
            "flags that need a replica or a cluster change nothing here: allow-stale",
            "flags that need a replica or a cluster change nothing here: no-cluster",
            "flags that need a replica or a cluster change nothing here: allow-cross-slot-keys",
            "flags that need a replica or a cluster change nothing here: allow-stale,no-cluster",
            "flags that need a replica or a cluster change nothing here: allow-stale,no-cluster,allow-cross-slot-keys",
            "keys that were not declared: return redis.call(\"mset\",\"a\",\"1\",\"b\",\"2\")",
        ],
        reason: "Valkey 9.1 makes no integers of what its own scripts write, but of what a module's calls do",
        on: |host| host.is_valkey_since("9.1"),
        difference: Difference::Encodings,
    },
    Allowed {
        cases: &[
            "an error while the library is loaded: redis.log()",
            "an error while the library is loaded: redis.log(1)",
            "an error while the library is loaded: redis.log(\"x\", \"y\")",
            "an error while the library is loaded: redis.log(99, \"x\")",
            "an error while the library is loaded: redis.log(redis.LOG_DEBUG, \"x\")",
            "an error while the library is loaded: redis.log(redis.LOG_WARNING, \"a\", \"b\")",
            "while it is loaded a library sees (\"x\"):gsub(\"x\", redis.log)",
            "while it is loaded a library sees redis.log(redis.LOG_NOTICE, \"x\")",
            "while it is loaded a library sees redis.log(\"3\", \"x\")",
            "what is raised while loading: (\"x\"):gsub(\"x\", function() redis.log() end)",
            "what is raised while loading: redis.log()",
            "what is raised while loading: redis.log(redis.LOG_NOTICE)",
            "what is raised while loading: redis.log({}, \"x\")",
            "redis.log while loading with the level redis.LOG_DEBUG, \"a\"",
            "redis.log while loading with the level redis.LOG_VERBOSE, \"a\"",
            "redis.log while loading with the level redis.LOG_NOTICE, \"a\"",
            "redis.log while loading with the level redis.LOG_WARNING, \"a\"",
            "redis.log while loading with the level 0, \"\"",
            "redis.log while loading with the level 4, \"a\"",
            "redis.log while loading with the level -1, \"a\"",
            "redis.log while loading with the level \"x\", \"a\"",
            "redis.log while loading with the level 1.5, \"a\"",
            "redis.log while loading with the level 1",
            "redis.log while loading with the level ",
            "redis.log while loading with the level \"2\", \"a\"",
            "redis.log while loading with the level 2, \"a\", \"b\", \"c\"",
            "redis.log while loading with the level 2, nil",
            "redis.log while loading with the level 2, {}",
            "redis.log while loading with the level 2, true",
            "redis.log while loading with the level 2, (\"x\"):rep(5000)",
            "redis.log while loading with the level 2, \"a\\0b\"",
            "redis.log while loading with the level nil, nil",
            "redis.log while loading with the level {}, {}",
        ],
        reason: "Valkey 9.1 dies when a library logs while it is loaded",
        on: |host| host.is_valkey_since("9.1"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &[
            "FUNCTION LOAD with the first line #!lua \"name\"=lib",
            "the library name \"a\"b",
            "EVAL with the first line #!lua \"flags=no-writes\"x",
            "SCRIPT LOAD with the first line #!lua \"flags=no-writes\"x",
        ],
        reason: "on Valkey 9.1 a quote in a first line may end within a word",
        on: |host| host.is_valkey_since("9.1"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &["a payload with opcode 246 with rubbish"],
        reason: "payloads of release candidates are refused on every server, as newer ones do",
        on: |host| !host.valkey && host.is_before("7.2"),
        difference: Difference::Any,
    },
    Allowed {
        cases: &["the help text"],
        reason: "the module has one engine, so its debugger is not told which",
        on: |host| host.is_valkey_since("9.1"),
        difference: Difference::Within(without_debugging),
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
        ],
        reason: "Valkey's own way with shebangs of other engines",
        on: |host| host.valkey,
        difference: Difference::Any,
    },
    Allowed {
        cases: &["SCRIPT SHOW"],
        reason: "a subcommand of Valkey that is there on every server",
        on: |host| !host.valkey,
        difference: Difference::Any,
    },
];

/// Finds the entry of a case on a server. What is allowed to a script is allowed to the function
/// that is made of it.
pub fn find(case: &str, host: &Host) -> Option<&'static Allowed> {
    let case = case.strip_suffix(AS_FUNCTION).unwrap_or(case);
    ALLOWED.iter().find(|entry| entry.cases.contains(&case) && (entry.on)(host))
}

/// Removes the help on debugging: a heading and the indented lines below it.
fn without_debugging(help: Value) -> Value {
    let Value::Array(lines) = help else {
        return help;
    };
    let mut other = false;
    let is_kept = |line: &Value| {
        let line = line.text().unwrap_or_default();
        if !line.starts_with(' ') {
            let name = line.split(' ').next().unwrap_or_default();
            other = name == "DEBUG";
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

/// The ways in which servers keep strings.
const ENCODINGS: [&str; 3] = ["int", "embstr", "raw"];

/// Removes the names of encodings from a reply.
pub fn without_encodings(value: Value) -> Value {
    match value {
        Value::Bulk(text) if ENCODINGS.iter().any(|name| name.as_bytes() == text) => Value::Null,
        Value::Array(values) => Value::Array(values.into_iter().map(without_encodings).collect()),
        other => other,
    }
}

/// Removes the name of the encoding from the description of a key.
pub fn without_encoding(line: &str) -> String {
    let start = |name| format!("+string \"{name}\"");
    let encoding = ENCODINGS.map(start).into_iter().find(|start| line.contains(start));
    encoding.map_or_else(|| line.to_owned(), |encoding| line.replacen(&encoding, "+string", 1))
}

/// Makes what a function answers, and why it is not called, the same as that there is none.
fn found_or_not(value: Value) -> Value {
    match &value {
        Value::Bulk(result) if result == b"f" => Value::Null,
        Value::Error(_) => Value::Null,
        _ => value,
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
