//! Whole runs without a server: sandbox, errors, conversions and limits.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Engine, FlushMode, FunctionCall, RestorePolicy, RunRequest, Source};
use crate::dialect::Dialect;
use crate::host::{LogLevel, ServerHost};
use crate::policy::admission::Access;
use crate::policy::call_rules::CallMode;
use crate::register::register;
use crate::resp::{Encoder, ReplySink, RespVersion};
use crate::script::Sha1;
use crate::vm::api::{ApiContexts, ApiSpec, Function, LUA_API, Member};

register!(LUA_API: PANIC: ApiSpec = ApiSpec {
    table: "redis",
    name: "panic",
    signature: "redis.panic()",
    summary: "Panics, to see that the server survives it.",
    contexts: ApiContexts::ALL,
    member: Member::Function(Function(|_| panic!("asked for by a test"))),
});

fn engine() -> Engine {
    Engine::new(Dialect::redis(7, 0, 15)).expect("a thread")
}

/// Runs a script with keys and arguments; gives the reply as a RESP2 client reads it.
fn run_with(engine: &Engine, host: &ServerHost, script: &str, arguments: &[&[u8]]) -> String {
    let mut reply = Encoder::new(RespVersion::Resp2);
    let source = Source::Body(script.as_bytes());
    let request = RunRequest { source, arguments, access: Access::ReadWrite };
    match engine.run(host, request, &mut reply) {
        Ok(()) => String::from_utf8_lossy(&reply.out).into_owned(),
        Err(error) => format!("-{}", String::from_utf8_lossy(error.line())),
    }
}

fn run(engine: &Engine, script: &str) -> String {
    run_with(engine, &ServerHost::default(), script, &[b"0"])
}

/// The message of an error reply, without the script's name and line.
fn error_of(engine: &Engine, script: &str) -> String {
    let reply = run(engine, script);
    reply.split(" script: ").next().unwrap_or_default().to_owned()
}

#[test]
fn values_become_replies() {
    let engine = engine();
    for (script, expected) in [
        ("return 1", ":1\r\n"),
        ("return 3.99", ":3\r\n"),
        ("return 0/0", ":-9223372036854775808\r\n"),
        ("return 'a\\0b'", "$3\r\na\0b\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return nil", "$-1\r\n"),
        ("return {1,2,nil,4}", "*2\r\n:1\r\n:2\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='MY bad'}", "-MY bad\r\n"),
        ("return {double=3.5}", "$3\r\n3.5\r\n"),
        ("return {map={a={set={b=true}}}}", "*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n"),
        ("return {verbatim_string={format='txt',string='hi'}}", "$2\r\nhi\r\n"),
        (
            "return print and 1",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'print'",
        ),
    ] {
        let reply = run(&engine, script);
        assert!(reply.starts_with(expected), "{script}: {reply}");
    }
}

#[test]
fn replies_become_values() {
    let engine = engine();
    let seen = |reply: &str, script: &str| {
        let host = ServerHost::replying(&[reply.as_bytes()]);
        run_with(&engine, &host, script, &[b"0"])
    };
    let call = "return tostring(redis.call('get','k'))";
    assert_eq!(seen(":7\r\n", call), "$1\r\n7\r\n");
    assert_eq!(seen("$-1\r\n", call), "$5\r\nfalse\r\n");
    assert_eq!(seen("_\r\n", call), "$3\r\nnil\r\n");
    assert_eq!(seen("+OK\r\n", "return redis.call('get','k').ok"), "$2\r\nOK\r\n");
    assert_eq!(seen(",1.5\r\n", "return tostring(redis.call('get','k').double)"), "$3\r\n1.5\r\n");
    assert_eq!(
        seen("*2\r\n$1\r\na\r\n*1\r\n:5\r\n", "return redis.call('get','k')"),
        "*2\r\n$1\r\na\r\n*1\r\n:5\r\n"
    );
    assert_eq!(
        seen("-WRONGTYPE no\r\n", "return redis.pcall('get','k').err"),
        "$12\r\nWRONGTYPE no\r\n"
    );
    assert_eq!(seen("|1\r\n$1\r\na\r\n:1\r\n:9\r\n", call), "$1\r\n9\r\n");
    let raised = seen("-WRONGTYPE no\r\n", "return redis.call('get','k')");
    assert!(raised.starts_with("-WRONGTYPE no script: "), "{raised}");
}

#[test]
fn calls_carry_their_mode() {
    let engine = engine();
    let host = ServerHost::default();
    run_with(
        &engine,
        &host,
        "redis.call('get','a') redis.call('set','b',1) redis.setresp(3) redis.set_repl(redis.REPL_NONE)
         redis.call('set','c',0.1)",
        &[b"0"],
    );
    let calls = host.calls.borrow();
    let calls: Vec<_> =
        calls.iter().map(|(argv, mode)| (String::from_utf8_lossy(argv), *mode)).collect();
    assert_eq!(
        calls,
        [
            ("get a".into(), CallMode::empty()),
            ("set b 1".into(), CallMode::SCRIPT_RULES | CallMode::DENY_OOM),
            (
                "set c 0.10000000000000001".into(),
                CallMode::RESP3 | CallMode::NO_AOF | CallMode::NO_REPLICAS
            ),
        ]
    );
}

#[test]
fn select_lasts_as_long_as_the_script() {
    let host = ServerHost::default();
    run_with(&engine(), &host, "redis.call('select', 3)", &[b"0"]);
    assert_eq!(host.db.get(), 3);
}

#[test]
fn keys_and_arguments_are_lists_of_this_run_only() {
    let engine = engine();
    let host = ServerHost::default();
    let script = "return {#KEYS, KEYS[1], #ARGV, ARGV[1]}";
    let reply = run_with(&engine, &host, script, &[b"1", b"k", b"a", b"b"]);
    assert_eq!(reply, "*4\r\n:1\r\n$1\r\nk\r\n:2\r\n$1\r\na\r\n");
    assert_eq!(run(&engine, "return {#KEYS, #ARGV}"), "*2\r\n:0\r\n:0\r\n");
}

/// Runs that change the lists of keys and arguments in every way a script can.
const CHANGES: [&str; 12] = [
    "KEYS[1] = nil",
    "KEYS[2] = 'mine'",
    "KEYS[3] = 'mine' KEYS[4] = 'mine' KEYS[5] = 'mine'",
    "KEYS.x = 1",
    "KEYS.x = 1 KEYS.x = nil",
    "table.insert(KEYS, 1, 'mine')",
    "table.remove(ARGV)",
    "ARGV[0] = 'mine'",
    "setmetatable(KEYS, {__index = function() return 'mine' end})",
    "setmetatable(ARGV, {__mode = 'kv'})",
    "for i = 1, 100 do ARGV[i] = i end",
    "table.sort(ARGV, function() error('x') end)",
];

/// What the lists look like: lengths, metatables, and every pair in the order of `pairs`, also once there
/// is one more.
const SHOW_LISTS: &str =
    "local seen = {#KEYS, #ARGV, tostring(getmetatable(KEYS)), tostring(getmetatable(ARGV))}
    local function show(list) for k, v in pairs(list) do table.insert(seen, k .. '=' .. v) end end
    show(KEYS) show(ARGV) KEYS.x = 1 ARGV[7] = 1 ARGV[3] = 1 show(KEYS) show(ARGV) return seen";

#[test]
fn the_lists_of_a_run_are_as_if_they_were_new() {
    let host = ServerHost::default();
    let arguments: [&[&[u8]]; 5] = [
        &[b"0"],
        &[b"1", b"k", b"a"],
        &[b"2", b"k", b"l", b"a", b"b"],
        &[b"3", b"k", b"l", b"m", b"a", b"b", b"c", b"d"],
        &[b"0", &[b'x'; 10_000]],
    ];
    let show = |engine: &Engine, at: usize| run_with(engine, &host, SHOW_LISTS, arguments[at]);
    let fresh: Vec<_> = (0..arguments.len()).map(|at| show(&engine(), at)).collect();
    let engine = engine();
    for change in CHANGES {
        for before in arguments {
            for (at, expected) in fresh.iter().enumerate() {
                run_with(&engine, &host, change, before);
                assert_eq!(show(&engine, at), *expected, "{change}");
                assert_eq!(show(&engine, at), *expected, "{change}, then another run");
            }
        }
    }
}

#[test]
fn a_function_keeps_the_lists_it_hands_on() {
    let ways = [
        "kept = kept or keys",
        "kept = kept or args",
        "local mine = keys kept = kept or mine",
        "kept = kept or {keys}",
        "kept = kept or {list = args}",
        "kept = kept or function() return keys[1] end",
        "kept = kept or function() return function() keys = keys return keys[1] end end",
        "local function keep(list) kept = kept or list end keep(keys)",
        "kept = kept or (function(...) return (select(2, ...)) end)(1, args)",
        "kept = kept or ({[keys] = keys})",
        "kept = kept or setmetatable({}, {__index = function(_, list) return list end})[args]",
        "kept = kept or (setmetatable({}, {__concat = function(_, list) return list end}) .. keys)",
        "kept = kept or (setmetatable({}, {__add = function(_, list) return list end}) + keys)",
        "kept = kept or (keys and args)",
        "kept = kept or (nil or keys)",
        "for _, list in ipairs({keys}) do kept = kept or list end",
        "kept = kept or coroutine.wrap(function() return keys end)()",
        "if not kept then keys.self = keys kept = keys.self end",
    ];
    let find = "local function find(value)
        if type(value) == 'function' then return find(value()) end
        if type(value) ~= 'table' then return value end
        local key, inner = next(value)
        return find(type(key) == 'table' and key or inner)
    end";
    for way in ways {
        let engine = engine();
        let code = format!(
            "#!lua name=l\nlocal kept\n{find}\nredis.register_function('f', function(keys, args)
                {way} return find(kept) end)"
        );
        assert_eq!(load(&engine, &code, false), "l", "{way}");
        let first = call_with(&engine, "f", &[b"1", b"one", b"one"]);
        assert_eq!(first, "$3\r\none\r\n", "{way}");
        assert_eq!(call_with(&engine, "f", &[b"1", b"two", b"two"]), first, "{way}");
    }
}

#[test]
fn a_function_finds_its_lists_new() {
    let changes = [
        "",
        "keys[1] = nil",
        "keys[9] = 1",
        "args.x = 1",
        "keys = args",
        "keys = nil args[1] = 'x'",
        "setmetatable(keys, {__len = 1})",
        "error(args)",
    ];
    let show = "#!lua name=s\nredis.register_function('s', function(keys, args)
        local one, two, three = keys[1], keys[2], args[1]
        return {#keys, one or 'none', two or 'none', #args, three or 'none', args.x or 'none'} end)";
    let lists: [&[&[u8]]; 4] =
        [&[b"0"], &[b"1", b"k", b"a"], &[b"2", b"k", b"l"], &[b"3", b"k", b"l", b"m", b"a"]];
    let fresh = |list| {
        let engine = engine();
        load(&engine, show, false);
        call_with(&engine, "s", list)
    };
    let engine = engine();
    load(&engine, show, false);
    for change in changes {
        let code = format!(
            "#!lua name=c\nredis.register_function('c', function(keys, args) {change} end)"
        );
        assert_eq!(load(&engine, &code, true), "c", "{change}");
        for before in lists {
            for list in lists {
                call_with(&engine, "c", before);
                assert_eq!(call_with(&engine, "s", list), fresh(list), "{change}");
            }
        }
    }
}

#[test]
fn log_lines_reach_the_server() {
    let host = ServerHost::default();
    run_with(&engine(), &host, "redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')", &[b"0"]);
    assert_eq!(*host.lines.borrow(), [(LogLevel::Warning, b"a 1 b".to_vec())]);
}

#[test]
fn every_malformed_error_object_gives_one_line() {
    let engine = engine();
    for (script, expected) in [
        ("error({})", "-ERR unknown error"),
        ("error({err={}})", "-ERR unknown error"),
        ("error({err=true})", "-ERR unknown error"),
        ("error({err=12})", "-12"),
        ("error(setmetatable({}, {__index=function() error('x') end}))", "-ERR unknown error"),
        ("error(setmetatable({}, {__newindex=function() error('x') end}))", "-ERR unknown error"),
        ("error(string)", "-ERR err_handler_def:10: Attempt to modify a readonly table"),
        ("error(nil)", "-ERR nil"),
        ("error('boom', 0)", "-ERR boom"),
        ("error({err='MY boom', source=1, line='x'})", "-MY boom"),
    ] {
        let reply = error_of(&engine, script);
        assert_eq!(reply, expected, "{script}");
    }
}

#[test]
fn a_script_over_the_memory_limit_fails_alone() {
    let engine = engine();
    let before = run(&engine, "return 1");
    for script in [
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
        "local s = 'x' while true do s = s .. s end",
        "return pcall(string.rep, 'x', 1e9)",
        "while true do local ok, e = pcall(string.rep, 'x', 4e8) end",
        "return coroutine.wrap(function() return pcall(string.rep, 'x', 1e9) end)()",
    ] {
        let reply = run(&engine, script);
        assert!(reply.contains("not enough memory"), "{script}: {reply}");
        assert_eq!(run(&engine, "return 1"), before);
    }
    assert!(engine.stats().vm_memory < 1 << 20, "the memory came back");
    assert_eq!(engine.stats().rebuilt_vms, 5);
}

#[test]
fn a_loaded_script_outlives_the_vm_it_was_compiled_in() {
    let engine = engine();
    let sha1 = engine.load(b"return 'still here'", None).map(|sha1| sha1.to_hex());
    run(&engine, "return string.rep('x', 1e9)");
    assert_eq!(engine.stats().rebuilt_vms, 1);
    let digest = sha1.unwrap_or([0; 40]);
    let mut reply = Encoder::new(RespVersion::Resp2);
    let request = RunRequest {
        source: Source::Digest(&digest),
        arguments: &[b"0"],
        access: Access::ReadWrite,
    };
    assert_eq!(engine.run(&ServerHost::default(), request, &mut reply), Ok(()));
    assert_eq!(reply.out, b"$10\r\nstill here\r\n");
}

#[test]
fn a_panic_answers_an_error_and_costs_only_the_vm() {
    let engine = engine();
    let reply = run(&engine, "return redis.panic()");
    assert!(reply.starts_with("-ERR internal error"), "{reply}");
    assert_eq!(engine.stats().rebuilt_vms, 1);
    assert_eq!(run(&engine, "return 1"), ":1\r\n");
}

/// Runs a test that nests deeply on a stack as large as a server's.
fn on_a_large_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(test);
    let outcome = thread.expect("a thread can be started").join();
    assert!(outcome.is_ok(), "the test failed");
}

#[test]
fn a_reply_without_end_is_refused_before_it_begins() {
    on_a_large_stack(refuse_replies_without_end);
}

fn refuse_replies_without_end() {
    let engine = engine();
    for script in [
        "local t = {} t[1] = t t[2] = t return t",
        "local t = {} t.map = {a = t, b = t} return t",
        "local t = {} t.map = {[t] = t} return t",
        "local t = {} t.set = {[t] = true, [{t, t}] = true} return t",
    ] {
        let reply = run(&engine, script);
        assert_eq!(reply, "-ERR The reply of the script is larger than redlua.memory-limit");
    }
    let deep = run(&engine, "local t = {} t[1] = t return t");
    assert!(deep.ends_with("-ERR reached lua stack limit\r\n"), "{}", deep.len());
}

#[test]
fn garbage_of_one_script_does_not_fail_the_next() {
    let engine = engine();
    run(&engine, "local t = {} for i = 1, 190 do t[i] = ('x'):rep(1e6) .. i end");
    assert_eq!(run(&engine, "return #(('x'):rep(1e8))"), ":100000000\r\n");
    assert!(engine.stats().vm_memory < 1 << 20);
}

/// Fails at the first integer of a reply.
struct BrokenSink(Encoder);

impl ReplySink for BrokenSink {
    fn integer(&mut self, _: i64) {
        panic!("asked for by a test");
    }
    fn null(&mut self) {
        self.0.null();
    }
    fn boolean(&mut self, value: bool) {
        self.0.boolean(value);
    }
    fn double(&mut self, value: f64) {
        self.0.double(value);
    }
    fn bulk(&mut self, bytes: &[u8]) {
        self.0.bulk(bytes);
    }
    fn status(&mut self, line: &[u8]) {
        self.0.status(line);
    }
    fn error(&mut self, line: &[u8]) {
        self.0.error(line);
    }
    fn big_number(&mut self, digits: &[u8]) {
        self.0.big_number(digits);
    }
    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        self.0.verbatim(format, text);
    }
    fn array(&mut self, len: usize) {
        self.0.array(len);
    }
    fn map_start(&mut self) {
        self.0.map_start();
    }
    fn map_end(&mut self, pairs: usize) {
        self.0.map_end(pairs);
    }
    fn set_start(&mut self) {
        self.0.set_start();
    }
    fn set_end(&mut self, len: usize) {
        self.0.set_end(len);
    }
}

#[test]
fn a_panic_while_the_reply_is_sent_costs_the_vm_too() {
    let engine = engine();
    let host = ServerHost::default();
    let source = Source::Body(b"return {'a', 1}");
    let request = RunRequest { source, arguments: &[b"0"], access: Access::ReadWrite };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut sink = BrokenSink(Encoder::new(RespVersion::Resp2));
        engine.run(&host, request, &mut sink)
    }));
    assert!(outcome.is_err());
    let reply = run(&engine, "return pcall(string.rep, 'x', 1e9)");
    assert!(reply.contains("not enough memory"), "the limit of memory holds again: {reply}");
    // One for the panic, one for the memory.
    assert_eq!(engine.stats().rebuilt_vms, 2);
}

#[test]
fn flush_forgets_scripts() {
    let engine = engine();
    for mode in [FlushMode::Sync, FlushMode::Async] {
        assert!(engine.load(b"return 1", None).is_ok());
        let digest = Sha1::of(b"return 1").to_hex();
        assert!(engine.exists(&digest));
        assert!(engine.exists(&[&digest[..], b"\0more"].concat()));
        engine.flush(mode);
        assert!(!engine.exists(&digest));
        assert_eq!(engine.stats().cached_scripts, 0);
    }
}

/// Lists the names reachable from the globals, one per line, with their types.
const FINGERPRINT: &str = r#"
local lines, seen = {}, {}
local function walk(prefix, t)
    if seen[t] then return end
    seen[t] = true
    for k, v in pairs(t) do
        lines[#lines + 1] = prefix .. tostring(k) .. ' ' .. type(v)
        if type(v) == 'table' then walk(prefix .. tostring(k) .. '.', v) end
    end
    local mt = getmetatable(t)
    if mt then walk(prefix .. 'metatable.', mt) end
end
walk('', _G)
walk('string value ', getmetatable(''))
table.sort(lines)
return table.concat(lines, '\n')
"#;

#[test]
fn scripts_see_the_allow_list_and_nothing_else() {
    let reply = run(&engine(), FINGERPRINT);
    let names: BTreeSet<&str> =
        reply.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    let globals: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !name.is_empty() && !name.contains('.') && *name != "string")
        .collect();
    let expected = "ARGV KEYS _G _VERSION __redis__err__handler assert bit cjson cmsgpack collectgarbage \
        coroutine error gcinfo getmetatable ipairs load loadstring math next pairs pcall rawequal \
        rawget rawset redis select setmetatable struct table tonumber tostring type unpack xpcall";
    assert_eq!(globals, expected.split_whitespace().collect::<Vec<_>>());
    for absent in ["io", "os", "debug", "package", "require", "dofile", "newproxy", "setfenv"] {
        assert!(!names.contains(absent), "{absent}");
    }
}

#[test]
fn nothing_a_script_does_is_seen_by_the_next() {
    let engine = engine();
    let before = run(&engine, FINGERPRINT);
    for script in [
        "x = 1",
        "rawset(_G, 'x', 1)",
        "string.x = 1",
        "table.insert(redis, 1)",
        "setmetatable(_G, {})",
        "getmetatable('').__index = {}",
        "getmetatable('').x = 1",
        "getmetatable(_G).__index = nil",
        "KEYS.x = 1 ARGV.y = {}",
        "for k in pairs(_G) do pcall(rawset, _G, k, nil) end",
        "table.sort(redis, function() return true end)",
        "collectgarbage('stop')",
        "redis.call = nil",
        "co = coroutine.create(function() end)",
        "math.random = nil",
    ] {
        run(&engine, script);
        assert_eq!(run(&engine, FINGERPRINT), before, "{script}");
    }
}

#[test]
fn tables_a_host_lacks_are_found_by_name() {
    let engine = engine();
    assert_eq!(run(&engine, "return server.SERVER_NAME"), "$5\r\nredis\r\n");
    assert_eq!(run(&engine, "return type(server.call)"), "$8\r\nfunction\r\n");
    assert_eq!(run(&engine, "return type(os.clock())"), "$6\r\nnumber\r\n");
    assert_eq!(run(&engine, "return rawget(_G, 'os')"), "$-1\r\n");
    assert_eq!(
        error_of(&engine, "return os.time()"),
        "-ERR user_script:1: Script attempted to access nonexistent global variable 'os'"
    );
    assert_eq!(
        error_of(&engine, "server.x = 1"),
        "-ERR user_script:1: Attempt to modify a readonly table"
    );
}

#[test]
fn settings_of_cjson_end_with_the_run() {
    let engine = engine();
    let shown = "return {cjson.encode_sparse_array()} ";
    let before = run(&engine, shown);
    for script in [
        "cjson.encode_sparse_array(true, 3, 4)",
        "cjson.encode_sparse_array(true) error('x')",
        "cjson.encode_sparse_array(true) return redis.panic()",
    ] {
        run(&engine, script);
        assert_eq!(run(&engine, shown), before, "{script}");
    }
    assert_eq!(
        run(&engine, "cjson.encode_number_precision(3) return cjson.encode(1/3)"),
        "$5\r\n0.333\r\n"
    );
    assert_eq!(run(&engine, "return cjson.encode(1/3)"), "$16\r\n0.33333333333333\r\n");
}

#[test]
fn cjson_goes_beyond_stock_where_it_is_asked_to() {
    let engine = engine();
    for (script, expected) in [
        ("cjson.encode(cjson.decode('[[],{}]'))", "[{},{}]"),
        ("cjson.encode({cjson.empty_array, {}})", "[[],{}]"),
        ("cjson.encode(setmetatable({}, cjson.array_mt))", "[]"),
        ("cjson.encode(setmetatable({a = 1}, cjson.array_mt))", "{\"a\":1}"),
        ("tostring(cjson.decode_array_with_array_mt())", "false"),
        (
            "(function() cjson.decode_array_with_array_mt(true) \
             return cjson.encode(cjson.decode('{\"a\":[[],{},[1]]}')) end)()",
            "{\"a\":[[],{},[1]]}",
        ),
        (
            "tostring(getmetatable(cjson.array_mt) == nil and \
             not pcall(rawset, cjson.array_mt, '__is_cjson_array', false))",
            "true",
        ),
        ("cjson.decode('9007199254740993') + 0", "9.007199254741e+15"),
        (
            "(function() cjson.decode_big_numbers_as_strings(true) \
             return cjson.encode(cjson.decode('[9007199254740992,9007199254740993,-18446744073709551616,1e300]')) end)()",
            "[9.007199254741e+15,\"9007199254740993\",\"-18446744073709551616\",1e+300]",
        ),
        (
            "(function() cjson.encode_full_precision(true) return cjson.encode({0.1, 1, 2^60, 1/3}) end)()",
            "[0.10000000000000001,1,1.152921504606847e+18,0.33333333333333331]",
        ),
        (
            "(function() local t = {} for name in pairs(cjson) do t[#t + 1] = name end return #t end)()",
            "13",
        ),
        (
            "(function() local json = cjson.new() json.encode_full_precision('on') \
             return json.encode(0.1) .. cjson.encode(0.1) end)()",
            "0.100000000000000010.1",
        ),
    ] {
        let reply = run(&engine, &format!("return tostring({script})"));
        assert_eq!(reply, format!("${}\r\n{expected}\r\n", expected.len()), "{script}");
    }
}

/// Loads a library; gives its name or the error.
fn load(engine: &Engine, code: &str, replace: bool) -> String {
    match engine.load_library(&ServerHost::default(), code.as_bytes(), replace) {
        Ok(name) => String::from_utf8_lossy(&name).into_owned(),
        Err(error) => format!("-{}", String::from_utf8_lossy(error.line())),
    }
}

/// Calls a function without keys and arguments; gives the reply as a RESP2 client reads it.
fn call(engine: &Engine, name: &str) -> String {
    call_with(engine, name, &[b"0"])
}

/// Calls a function with keys and arguments; gives the reply as a RESP2 client reads it.
fn call_with(engine: &Engine, name: &str, arguments: &[&[u8]]) -> String {
    let mut reply = Encoder::new(RespVersion::Resp2);
    let call = FunctionCall { name: name.as_bytes(), arguments, access: Access::ReadWrite };
    match engine.call_function(&ServerHost::default(), call, &mut reply) {
        Ok(()) => String::from_utf8_lossy(&reply.out).into_owned(),
        Err(error) => format!("-{}", String::from_utf8_lossy(error.line())),
    }
}

/// A library of one function, which returns `result`.
fn library(name: &str, function: &str, result: &str) -> String {
    format!(
        "#!lua name={name}\nredis.register_function('{function}', function() return {result} end)"
    )
}

/// The names of the libraries and of their functions.
fn names(engine: &Engine) -> Vec<String> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let libraries = engine.libraries();
    libraries
        .iter()
        .map(|library| {
            let functions: Vec<String> =
                library.functions.iter().map(|function| text(&function.name)).collect();
            format!("{}: {}", text(&library.name), functions.join(" "))
        })
        .collect()
}

const NOT_FOUND: &str = "-ERR Function not found";

#[test]
fn libraries_that_are_not_sound_change_nothing() {
    let engine = engine();
    load(&engine, &library("lib", "f", "1"), false);
    for (code, expected) in [
        ("return 1", "-ERR Missing library metadata"),
        ("#!lua name=x", "-ERR Invalid library metadata"),
        ("#!lua\n", "-ERR Library name was not given"),
        (
            "#!lua name=x name=y\n",
            "-ERR Invalid metadata value, name argument was given multiple times",
        ),
        ("#!lua name=x y\n", "-ERR Invalid metadata value given: y"),
        ("#!js name=x\n", "-ERR Engine 'js' not found"),
        (
            "#!lua name=x-y\n",
            "-ERR Library names can only contain letters, numbers, or underscores(_)",
        ),
        ("#!lua name=x\n", "-ERR No functions registered"),
        ("#!lua name=x\nbad(", "-ERR Error compiling function: user_function:2: "),
        ("#!lua name=x\nreturn redis.call('get', 'k')", "-ERR Error registering functions: "),
        ("#!lua name=x\nreturn KEYS", "-ERR Error registering functions: ERR user_function:2: "),
        ("#!lua name=x\nx = 1", "-ERR Error registering functions: ERR user_function:2: "),
        (
            "#!lua name=x\nredis.register_function('g', function() end) return none",
            "-ERR Error registering functions: ",
        ),
        ("#!lua name=x\nredis.register_function('g', 1)", "-ERR Error registering functions: ERR "),
        (
            "#!lua name=x\nfor _ = 1, 2 do redis.register_function('g', function() end) end",
            "-ERR Error registering functions: ERR Function already exists in the library",
        ),
        (
            "#!lua name=x\nredis.register_function('bad name', function() end)",
            "-ERR Error registering functions: ERR ",
        ),
    ] {
        for replace in [false, true] {
            let reply = load(&engine, code, replace);
            assert!(reply.starts_with(expected), "{code}: {reply}");
            let code = code.replace("name=x", "name=lib");
            let reply = load(&engine, &code, replace);
            assert!(reply.starts_with('-'), "{code}: {reply}");
            assert_eq!(names(&engine), ["lib: f"], "{code}");
            assert_eq!(call(&engine, "f"), ":1\r\n", "{code}");
            assert_eq!(call(&engine, "g"), NOT_FOUND, "{code}");
        }
    }
    assert_eq!(engine.stats().rebuilt_vms, 0);
}

#[test]
fn names_of_functions_are_the_same_in_any_case_and_of_libraries_not() {
    let engine = engine();
    assert_eq!(load(&engine, &library("lib", "Func", "1"), false), "lib");
    assert_eq!(call(&engine, "fUNC"), ":1\r\n");
    assert_eq!(
        load(&engine, &library("LIB", "FUNC", "2"), false),
        "-ERR Function FUNC already exists"
    );
    assert_eq!(load(&engine, &library("LIB", "other", "2"), false), "LIB");
    assert_eq!(names(&engine), ["LIB: other", "lib: Func"]);
    // Of two in one library the first is found, also when the library is gone for a while.
    let both = "#!lua name=both
        redis.register_function('x', function() return 'x' end)
        redis.register_function('X', function() return 'X' end)";
    assert_eq!(load(&engine, both, false), "both");
    assert_eq!(call(&engine, "x"), "$1\r\nx\r\n");
    assert_eq!(call(&engine, "X"), "$1\r\nx\r\n");
    assert!(load(&engine, &library("both", "func", "1"), true).starts_with('-'));
    assert_eq!(call(&engine, "X"), "$1\r\nx\r\n");
    assert!(engine.delete_library(b"BOTH").is_err());
    assert!(engine.delete_library(b"both").is_ok());
    assert_eq!(call(&engine, "x"), NOT_FOUND);
}

#[test]
fn a_library_replaces_its_own_functions_and_no_others() {
    let engine = engine();
    load(&engine, &library("a", "fa", "1"), false);
    load(&engine, &library("b", "fb", "2"), false);
    assert_eq!(load(&engine, &library("a", "fa", "3"), false), "-ERR Library 'a' already exists");
    assert_eq!(load(&engine, &library("a", "FB", "3"), true), "-ERR Function FB already exists");
    assert_eq!(call(&engine, "fa"), ":1\r\n");
    assert_eq!(load(&engine, &library("a", "new", "3"), true), "a");
    assert_eq!(call(&engine, "fa"), NOT_FOUND);
    assert_eq!(call(&engine, "new"), ":3\r\n");
    assert_eq!(names(&engine), ["a: new", "b: fb"]);
    let before = engine.stats().function_vm_memory;
    for round in 0..2_000 {
        load(&engine, &library("a", "new", &round.to_string()), true);
    }
    assert_eq!(call(&engine, "new"), ":1999\r\n");
    let after = engine.stats().function_vm_memory;
    assert!(after < before + 500_000, "{before} bytes became {after}");
}

/// A library that counts its calls, and does what costs the virtual machine.
const FRAGILE: &str = "#!lua name=fragile
    local n = 0
    redis.register_function('count', function() n = n + 1 return n end)
    redis.register_function('panic', function() return redis.panic() end)
    redis.register_function('eat', function() return pcall(string.rep, 'x', 1e9) end)";

#[test]
fn libraries_are_loaded_again_after_their_vm_is_lost() {
    let engine = engine();
    assert_eq!(load(&engine, FRAGILE, false), "fragile");
    load(&engine, &library("kept", "kept", "'kept'"), false);
    let before = names(&engine);
    for round in 0..2 {
        let losses: [(&str, &dyn Fn() -> String); 5] = [
            ("internal error", &|| call(&engine, "panic")),
            ("not enough memory", &|| call(&engine, "eat")),
            ("internal error", &|| load(&engine, "#!lua name=x\nredis.panic()", false)),
            ("not enough memory", &|| load(&engine, "#!lua name=x\n('x'):rep(1e9)", false)),
            ("not enough memory", &|| {
                load(
                    &engine,
                    "#!lua name=kept\n('x'):gsub('x', function() ('x'):rep(1e9) end)",
                    true,
                )
            }),
        ];
        for (number, (expected, lose)) in losses.into_iter().enumerate() {
            assert_eq!(call(&engine, "count"), ":1\r\n");
            assert_eq!(call(&engine, "count"), ":2\r\n");
            let reply = lose();
            assert!(reply.starts_with("-ERR ") && reply.contains(expected), "{number}: {reply}");
            assert_eq!(engine.stats().rebuilt_vms, round * 5 + number as u64 + 1);
            assert_eq!(names(&engine), before);
            assert_eq!(call(&engine, "kept"), "$4\r\nkept\r\n");
        }
    }
    // What is lost can still be replaced and deleted.
    call(&engine, "panic");
    assert_eq!(load(&engine, &library("kept", "kept", "2"), true), "kept");
    assert!(engine.delete_library(b"fragile").is_ok());
    assert_eq!(call(&engine, "kept"), ":2\r\n");
    assert_eq!(call(&engine, "count"), NOT_FOUND);
    // Scripts have a virtual machine of their own.
    assert_eq!(run(&engine, "return 1"), ":1\r\n");
}

#[test]
fn garbage_of_loading_does_not_fail_the_next_load() {
    let engine = engine();
    for size in 2_000_000..2_000_200 {
        let code = format!(
            "#!lua name=lib\nlocal n = #('x'):rep({size})
            redis.register_function('f', function() return n end)"
        );
        assert_eq!(load(&engine, &code, true), "lib");
        assert_eq!(call(&engine, "f"), format!(":{size}\r\n"));
    }
    assert_eq!(engine.stats().rebuilt_vms, 0);
}

#[test]
fn a_set_of_libraries_is_put_to_use_whole_or_not_at_all() {
    let engine = engine();
    let host = ServerHost::default();
    let stage = |codes: &[String]| {
        let mut staged = engine.stage();
        for code in codes {
            assert_eq!(engine.stage_library(&host, &mut staged, code.as_bytes(), false), Ok(()));
        }
        staged
    };
    let adopt = |codes: &[String], policy| match engine.adopt(stage(codes), policy) {
        Ok(()) => "+OK".to_owned(),
        Err(error) => format!("-{}", String::from_utf8_lossy(error.line())),
    };
    let (a, b) = (library("a", "fa", "1"), library("b", "fb", "1"));
    assert_eq!(adopt(&[a.clone(), b], RestorePolicy::Append), "+OK");
    let new = [library("0", "f0", "2"), library("b", "fb", "2")];
    assert_eq!(adopt(&new, RestorePolicy::Append), "-ERR Library b already exists");
    let taken = [library("0", "f0", "2"), library("b", "FA", "2")];
    assert_eq!(adopt(&taken, RestorePolicy::Replace), "-ERR Function FA already exists");
    assert_eq!(names(&engine), ["a: fa", "b: fb"]);
    assert_eq!(call(&engine, "fb"), ":1\r\n");
    assert_eq!(adopt(&new, RestorePolicy::Replace), "+OK");
    assert_eq!(names(&engine), ["0: f0", "a: fa", "b: fb"]);
    assert_eq!(call(&engine, "fb"), ":2\r\n");
    assert_eq!(adopt(&taken, RestorePolicy::Flush), "+OK");
    assert_eq!(names(&engine), ["0: f0", "b: FA"]);
    assert_eq!(call(&engine, "fa"), ":2\r\n");

    // Within a set names are taken too.
    let mut staged = stage(&[library("x", "f", "1")]);
    for code in [library("x", "g", "1"), library("y", "F", "1"), "#!lua name=z\nbad(".to_owned()] {
        assert!(
            engine.stage_library(&host, &mut staged, code.as_bytes(), false).is_err(),
            "{code}"
        );
    }
    engine.drop_staged(staged);
    assert_eq!(call(&engine, "f"), NOT_FOUND);

    // The virtual machine may be lost on the way.
    let mut staged = stage(&[library("x", "f", "'x'")]);
    load(&engine, "#!lua name=y\nredis.panic()", false);
    let code = library("y", "g", "'y'");
    assert_eq!(engine.stage_library(&host, &mut staged, code.as_bytes(), false), Ok(()));
    assert_eq!(engine.adopt(staged, RestorePolicy::Append), Ok(()));
    for (name, expected) in [("f", "$1\r\nx\r\n"), ("g", "$1\r\ny\r\n"), ("fa", ":2\r\n")] {
        assert_eq!(call(&engine, name), expected, "{name}");
    }
}

#[test]
fn a_chunk_becomes_a_library() {
    let engine = engine();
    let host = ServerHost::default();
    let create = |name: &str, chunk: &str, replace| match engine.create_function(
        &host,
        name.as_bytes(),
        Some(b"it's \"described\""),
        chunk.as_bytes(),
        replace,
    ) {
        Ok(()) => "+OK".to_owned(),
        Err(error) => format!("-{}", String::from_utf8_lossy(error.line())),
    };
    assert_eq!(create("f", "return #KEYS + #ARGV", false), "+OK");
    assert_eq!(call(&engine, "F"), ":0\r\n");
    assert_eq!(create("F", "return 1", false), "-ERR Function already exists");
    assert!(
        create("F", "end", true).starts_with("-ERR Error compiling function: user_function:1:")
    );
    assert_eq!(names(&engine), ["f: f"]);
    assert_eq!(create("F", "return 1", true), "+OK");
    assert_eq!(names(&engine), ["F: F"]);
    load(&engine, &library("lib", "g", "2"), false);
    assert_eq!(create("g", "return 3", true), "-ERR Function already exists");
    assert_eq!(create("lib", "return 3", true), "-ERR Library 'lib' already exists");
    assert_eq!(call(&engine, "g"), ":2\r\n");
    // What begins and ends like one, but is none, is not to be replaced.
    let alike = "#!lua name=h\nredis.register_function{function_name='h', callback=function(KEYS, ARGV, ...)
end} redis.register_function{function_name='i', callback=function()
end}\n";
    assert_eq!(load(&engine, alike, false), "h");
    for name in ["h", "i"] {
        assert_eq!(create(name, "return 3", true), "-ERR Function already exists");
    }
    let libraries = engine.libraries();
    assert_eq!(libraries.find(b"i").map(|(library, _)| library.source()), Some(alike.as_bytes()));
    let (library, function) = libraries.find(b"f").unzip();
    assert_eq!(function.and_then(|it| it.description.as_deref()), Some(&b"it's \"described\""[..]));
    assert_eq!(library.map(|library| library.source()), Some(&b"return 1"[..]));
}

#[test]
fn flushed_libraries_are_gone_and_their_memory_with_them() {
    let engine = engine();
    for mode in [FlushMode::Sync, FlushMode::Async] {
        load(&engine, FRAGILE, false);
        assert_eq!(call(&engine, "count"), ":1\r\n");
        let stats = engine.stats();
        assert_eq!((stats.libraries, stats.functions), (1, 3));
        assert!(stats.function_vm_memory > 0);
        engine.flush_libraries(mode);
        let stats = engine.stats();
        assert_eq!((stats.libraries, stats.functions, stats.function_vm_memory), (0, 0, 0));
        assert_eq!(call(&engine, "count"), NOT_FOUND);
    }
}

#[test]
fn a_payload_cannot_hold_a_library_that_never_ends() {
    let engine = engine();
    let host = ServerHost::default();
    let mut staged = engine.stage();
    let code = b"#!lua name=endless\nwhile true do end";
    let error = engine.stage_library(&host, &mut staged, code, false).expect_err("it never ends");
    assert_eq!(error.line(), b"ERR Error registering functions: ERR FUNCTION LOAD timeout");
    let code = b"#!lua name=sound\nredis.register_function('f', function() end)";
    assert_eq!(engine.stage_library(&host, &mut staged, code, false), Ok(()));
}
