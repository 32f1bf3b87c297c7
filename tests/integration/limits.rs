//! The limits that a run has: of time, memory and depth, set by the server or by its author.

use std::fs;
use std::time::{Duration, Instant};

use crate::busy::Kind::{self, Function, Script};
use crate::busy::{ESCAPES, FOREVER, KINDS, impatient, lasting, said_of_scripts};
use crate::doors::{Door, Ours, Scripts, request, same};
use crate::maxmemory;
use crate::stream::{Watched, both};
use crate::support::{Client, Server, ServerBuilder, Value, render, wait_until};

/// The start of the error of a run that a limit of time ended.
fn ended(setting: &str, milliseconds: u64) -> String {
    format!(
        "-ERR Script killed: it ran longer than {setting}, which is {milliseconds} milliseconds script: "
    )
}

/// A server that nobody gets into, where only limits end runs.
fn patient() -> ServerBuilder {
    Server::new().config("busy-reply-threshold", "0")
}

/// Runs `body`, and gives the reply and the time it took.
fn timed(client: &mut Client, kind: Kind, body: &str) -> (String, Duration) {
    let argv = kind.prepare(client, Ours, body);
    let begin = Instant::now();
    (client.show(&argv), begin.elapsed())
}

/// A library with one function, which has these flags.
fn flagged(flags: &[&str], body: &str) -> String {
    let flags: Vec<_> = flags.iter().map(|flag| format!("'{flag}'")).collect();
    format!(
        "#!lua name=limited\nredis.register_function{{function_name='g', flags={{{}}}, \
         callback=function(KEYS, ARGV) {body} end}}",
        flags.join(", ")
    )
}

/// The command that runs `body` with these options: in the first line of a script, or among the flags of a
/// function.
fn with_options(client: &mut Client, kind: Kind, options: &[&str], body: &str) -> Vec<Vec<u8>> {
    match kind {
        Script => {
            let script = format!("#!lua {}\n{body}", options.join(" "));
            request("LUA.EVAL", script, &["k"], &["a"])
        }
        Function => {
            let argv = ["LUA.FUNCTION", "LOAD", "REPLACE", &flagged(options, body)];
            assert_eq!(client.show(&argv), "\"limited\"", "{body}");
            request("LUA.FCALL", "g", &["k"], &["a"])
        }
    }
}

// Time.

#[test]
fn a_run_that_has_not_written_ends_with_its_time() {
    let server = patient().config("redlua.max-run-time", "100").start();
    let mut client = server.client();
    for (kind, chunk) in [(Script, "script"), (Function, "function")] {
        for (body, line) in [(FOREVER, 1), ("redis.call('get', KEYS[1])\n\nwhile true do end", 3)] {
            // A function begins in the second line of its library.
            let line = if kind == Function { line + 1 } else { line };
            let from = server.log().len();
            let (reply, time) = timed(&mut client, kind, body);
            assert!(reply.starts_with(&ended("max-run-time", 100)), "{kind:?}: {reply}");
            assert!(reply.ends_with(&format!("on @user_{chunk}:{line}.")), "{kind:?}: {reply}");
            assert!(
                time >= Duration::from_millis(100) && time < Duration::from_secs(3),
                "{time:?}"
            );
            assert_eq!(
                said_of_scripts(&server, from),
                [
                    "# Script killed: it ran longer than max-run-time, which is <number> milliseconds"
                ]
            );
        }
        let write = format!("redis.call('set', KEYS[1], ARGV[1]) {} return 'done'", lasting(300));
        assert_eq!(timed(&mut client, kind, &write).0, "\"done\"");
    }
    let sha = client.value(&["LUA.SCRIPT", "LOAD", FOREVER]).text().expect("a digest");
    client.show(&["LUA.FUNCTION", "LOAD", &flagged(&["no-writes"], FOREVER)]);
    for words in [
        vec!["LUA.EVALSHA", &sha, "0"],
        vec!["LUA.EVALSHA_RO", &sha, "0"],
        vec!["LUA.EVAL_RO", FOREVER, "0"],
        vec!["LUA.FCALL", "g", "0"],
        vec!["LUA.FCALL_RO", "g", "0"],
    ] {
        let reply = client.show(&words);
        assert!(reply.starts_with(&ended("max-run-time", 100)), "{words:?}: {reply}");
    }
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
    assert_eq!(client.figure("redlua_failed_runs"), 9);
}

#[test]
fn limits_of_time_can_be_set_and_taken_off() {
    let server = patient().start();
    let mut client = server.client();
    let body = format!("{} return 'done'", lasting(250));
    for kind in KINDS {
        for (limit, is_ended) in
            [("0", false), ("120", true), ("60", true), ("60000", false), ("0", false)]
        {
            client.set("redlua.max-run-time", limit);
            let (reply, _) = timed(&mut client, kind, &body);
            let milliseconds = limit.parse().expect("a number");
            assert_eq!(
                reply.starts_with(&ended("max-run-time", milliseconds)),
                is_ended,
                "{reply}"
            );
            assert_eq!(reply == "\"done\"", !is_ended, "{reply}");
        }
    }
    for name in ["max-run-time", "max-run-time-after-write", "exec-time-limit"] {
        for bad in ["-1", "x", "1s"] {
            let reply = client.show(&["CONFIG", "SET", &format!("redlua.{name}"), bad]);
            assert!(reply.starts_with("-ERR CONFIG SET failed"), "{name} {bad}: {reply}");
        }
    }
}

#[test]
fn nothing_goes_on_after_its_time() {
    let server = patient().config("redlua.max-run-time", "30").start();
    let mut client = server.client();
    for kind in KINDS {
        for body in ESCAPES {
            let (reply, time) = timed(&mut client, kind, body);
            assert!(reply.starts_with(&ended("max-run-time", 30)), "{body}: {reply}");
            assert!(time < Duration::from_secs(3), "{body}: {time:?}");
            assert_eq!(client.text("EXISTS went-on"), ":0", "{body}");
        }
    }
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

#[test]
fn a_limit_ends_what_others_could_have_killed() {
    let server = impatient().config("redlua.max-run-time", "200").start();
    let mut client = server.client();
    for kind in KINDS {
        let mut caller = kind.begin(&server, Ours, FOREVER);
        assert!(client.text("GET k").starts_with("-BUSY "));
        let reply = render(&caller.read_frame());
        assert!(reply.starts_with(&ended("max-run-time", 200)), "{reply}");
        assert_eq!(client.text("PING"), "+PONG");
        assert!(client.text("LUA.SCRIPT KILL").starts_with("-NOTBUSY "));
    }
}

#[test]
fn a_run_that_has_written_ends_with_its_time_and_leaves_what_it_wrote() {
    let builder = patient().config("redlua.max-run-time", "20");
    let mut watched = Watched::of(builder.config("redlua.max-run-time-after-write", "120"));
    let late = lasting(200);
    for kind in KINDS {
        // What it does, and what replicas and the file get of it.
        let cases: [(&str, &[&str]); 4] = [
            ("redis.call('set', 'a', 1) while true do end", &["set a 1"]),
            (
                "redis.call('set', 'a', 1) redis.call('incr', 'b') while true do end",
                &["MULTI", "set a 1", "incr b", "EXEC"],
            ),
            (
                "redis.call('set', 'a', 1) redis.call('incr', 'b') \
                 while true do pcall(function() redis.call('get', 'b') while true do end end) \
                 redis.call('set', 'went-on', 1) end",
                &["MULTI", "set a 1", "incr b", "EXEC"],
            ),
            ("redis.pcall('del', 'nothing') while true do end", &[]),
        ];
        for (body, expected) in cases {
            let argv = kind.prepare(&mut watched.client, Ours, body);
            watched.effects();
            let begin = Instant::now();
            let reply = watched.client.show(&argv);
            let time = begin.elapsed();
            assert!(reply.starts_with(&ended("max-run-time-after-write", 120)), "{body}: {reply}");
            assert!(
                time >= Duration::from_millis(120) && time < Duration::from_secs(3),
                "{time:?}"
            );
            assert_eq!(watched.effects(), both(expected), "{body}");
        }
        assert_eq!(watched.client.text("MGET a b went-on"), "[\"1\", \"2\", $-1]");

        // In a transaction of the client.
        let argv = kind.prepare(&mut watched.client, Ours, cases[1].0);
        watched.effects();
        watched.client.ok(&["MULTI"]);
        assert_eq!(watched.client.text("SET before 1"), "+QUEUED");
        assert_eq!(watched.client.show(&argv), "+QUEUED");
        assert_eq!(watched.client.text("SET after 1"), "+QUEUED");
        let reply = watched.client.text("EXEC");
        assert!(reply.contains(&ended("max-run-time-after-write", 120)), "{reply}");
        let expected = ["MULTI", "SET before 1", "set a 1", "incr b", "SET after 1", "EXEC"];
        assert_eq!(watched.effects(), both(&expected));
        watched.client.ok(&["FLUSHALL"]);
        watched.effects();
    }

    // The time counts from the begin, whenever it wrote.
    watched.client.set("redlua.max-run-time", "0");
    for kind in KINDS {
        let body = format!("{late} redis.call('set', 'a', 1) while true do end");
        let argv = kind.prepare(&mut watched.client, Ours, &body);
        watched.effects();
        let reply = watched.client.show(&argv);
        assert!(reply.starts_with(&ended("max-run-time-after-write", 120)), "{reply}");
        assert_eq!(watched.effects(), both(&["set a 1"]));
    }
    let digest = watched.client.digest();
    watched.server.kill();
    watched.server.restart();
    assert_eq!(watched.server.client().digest(), digest);
}

// Limits that authors set.

#[test]
fn of_two_limits_of_time_the_smaller_counts() {
    let server = patient().start();
    let mut client = server.client();
    let writing = format!("redis.call('set', KEYS[1], 1) {FOREVER}");
    for kind in KINDS {
        for (name, body) in [("max-run-time", FOREVER), ("max-run-time-after-write", &writing)] {
            let setting = format!("redlua.{name}");
            // Of the server and of the author, and which it is then.
            for (servers, own, counts) in
                [("0", "60", 60), ("5000", "60", 60), ("60", "5000", 60), ("60", "60", 60)]
            {
                client.set(&setting, servers);
                let argv = with_options(&mut client, kind, &[&format!("{name}={own}")], body);
                let reply = client.show(&argv);
                assert!(reply.starts_with(&ended(name, counts)), "{servers} {own}: {reply}");
            }
            client.set(&setting, "0");
            // It is not for others.
            let (reply, _) = timed(&mut client, kind, &format!("{} return 'done'", lasting(150)));
            assert_eq!(reply, "\"done\"");
        }
        // Each limit is for what it says.
        let body = format!("{} return 'done'", lasting(150));
        let argv = with_options(&mut client, kind, &["max-run-time-after-write=40"], &body);
        assert_eq!(client.show(&argv), "\"done\"");
        let body = format!("redis.call('set', KEYS[1], 1) {body}");
        let argv = with_options(&mut client, kind, &["max-run-time=40"], &body);
        assert_eq!(client.show(&argv), "\"done\"");
    }
}

const BAD: [&str; 13] = [
    "max-run-time=",
    "max-run-time=0",
    "max-run-time=-1",
    "max-run-time=x",
    "max-run-time=1s",
    "max-run-time=1.5",
    "max-run-time=99999999999999999999",
    "max-run-time-after-write=",
    "memory=",
    "memory=0",
    "memory=1tb",
    "memory=x",
    "memory=-1mb",
];

#[test]
fn bad_limits_are_refused_before_anything_runs() {
    let server = Server::new().start();
    let mut client = server.client();
    for option in BAD {
        let script = format!("#!lua {option}\nreturn redis.call('set', 'ran', 1)");
        let expected = format!("-ERR Bad value of script shebang option: {option}");
        assert_eq!(client.lua(&script), expected);
        assert_eq!(client.show(&["LUA.SCRIPT", "LOAD", &script]), expected);
        // To stock it is a flag that does not exist.
        let reply = same(option, |door| {
            let argv = [&door.name("FUNCTION"), "LOAD", &flagged(&[option], "")];
            client.show(&argv).replace("server.", "redis.")
        });
        assert!(reply.contains("unknown flag given"), "{reply}");
    }
    for option in ["max-run-time", "Memory=1mb", "=1", "memory =1mb", "timeout=1", "flags", "x=y"] {
        let reply = same(option, |door| {
            client.eval(
                door,
                &format!("#!lua {option}\nreturn redis.call('set', 'ran', 1)"),
                &[],
                &[],
            )
        });
        assert!(reply.starts_with("-ERR Unknown "), "{reply}");
        same(option, |door| {
            client.show(&[&door.name("FUNCTION"), "LOAD", &flagged(&[option], "")])
        });
    }
    assert_eq!(client.text("EXISTS ran"), ":0");
    assert_eq!(client.text("LUA.FUNCTION LIST"), "[]");
}

#[test]
fn options_may_be_written_together_and_in_any_order() {
    let server = patient().start();
    let mut client = server.client();
    for line in [
        "#!lua max-run-time=50 flags=no-writes memory=4mb",
        "#!lua memory=4mb max-run-time=50 flags=no-writes,allow-oom",
        "#!lua flags=no-writes max-run-time=9999 max-run-time=50",
        "#!lua  \"max-run-time=50\"  flags=no-writes",
    ] {
        let reply = client.lua(&format!("{line}\nwhile true do end"));
        assert!(reply.starts_with(&ended("max-run-time", 50)), "{line}: {reply}");
        assert!(reply.ends_with("on @user_script:2."), "{line}: {reply}");
        let reply = client.lua(&format!("{line}\nreturn redis.call('set', 'a', 1)"));
        assert!(reply.contains("Write commands are not allowed from read-only scripts"), "{reply}");
    }
}

/// The flags of the only function, as `LUA.FUNCTION LIST` shows them.
fn flags(client: &mut Client) -> Vec<String> {
    let list = client.value(&["LUA.FUNCTION", "LIST"]);
    let library = &list.elements().expect("a list")[0];
    let functions = library.field("functions").and_then(Value::elements).expect("functions");
    let flags = functions[0].field("flags").and_then(Value::elements).expect("flags");
    flags.iter().filter_map(Value::text).collect()
}

#[test]
fn limits_of_functions_stay_wherever_the_library_goes() {
    let mut server = patient().tcp().appendonly().start();
    let replica = patient().replica_of(&server).start();
    let mut client = server.client();
    let options = ["no-writes", "max-run-time=50", "max-run-time-after-write=70", "memory=1mb"];
    let expected =
        ["no-writes", "max-run-time=50", "max-run-time-after-write=70", "memory=1048576"];
    let argv = with_options(&mut client, Function, &options, FOREVER);
    let check = |client: &mut Client, place: &str| {
        assert_eq!(flags(client), expected, "{place}");
        let reply = client.show(&argv);
        assert!(reply.starts_with(&ended("max-run-time", 50)), "{place}: {reply}");
    };
    check(&mut client, "here");
    client.cmd(&["HELLO", "3"]);
    let shown = client.text("LUA.FUNCTION LIST");
    let set = expected.map(|flag| format!("+{flag}")).join(", ");
    assert!(shown.contains(&format!("\"flags\": ~[{set}]")), "{shown}");
    client.cmd(&["HELLO", "2"]);

    let Value::Bulk(payload) = client.value(&["LUA.FUNCTION", "DUMP"]) else {
        panic!("no payload");
    };
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    client.ok(&[b"LUA.FUNCTION".as_slice(), b"RESTORE", &payload]);
    check(&mut client, "restored");
    client.lua("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end");
    check(&mut client, "after scripts lost their VM");

    let mut other = replica.client();
    wait_until("the library", || other.text("LUA.FUNCTION LIST") != "[]");
    check(&mut other, "on a replica");
    server.kill();
    server.restart();
    check(&mut server.client(), "after a crash");
    server.client().cmd(&["BGREWRITEAOF"]);
    wait_until("the rewrite", || server.client().info("aof_rewrite_in_progress") == "0");
    server.kill();
    server.restart();
    check(&mut server.client(), "from a rewritten file");
}

#[test]
fn limits_of_scripts_are_those_of_their_text() {
    let server = patient().start();
    let mut client = server.client();
    let script = "#!lua max-run-time=50\nwhile true do end";
    for _ in 0..2 {
        let sha = client.value(&["LUA.SCRIPT", "LOAD", script]).text().expect("a digest");
        for words in [["LUA.EVALSHA", &sha, "0"], ["LUA.EVAL", script, "0"]] {
            let reply = client.show(&words);
            assert!(reply.starts_with(&ended("max-run-time", 50)), "{reply}");
        }
        client.ok(&["LUA.SCRIPT", "FLUSH"]);
        let reply = client.text(&format!("LUA.EVALSHA {sha} 0"));
        assert!(reply.starts_with("-NOSCRIPT "), "{reply}");
    }
}

// Memory.

/// Holds so many kilobytes.
fn holding(kilobytes: u32) -> String {
    format!("local t = {{}} for i = 1, {kilobytes} do t[i] = ('x'):rep(1000) .. i end return #t")
}

#[test]
fn a_run_may_hold_what_its_author_allows() {
    let server = Server::new().start();
    let mut client = server.client();
    for kind in KINDS {
        for option in ["memory=2mb", "memory=2048KB", "memory=2097152"] {
            let mut run = |body: &str| {
                let argv = with_options(&mut client, kind, &[option], body);
                client.show(&argv)
            };
            assert_eq!(run(&holding(1_500)), ":1500", "{option}");
            let reply = run(&holding(2_500));
            assert!(reply.starts_with("-ERR ") && reply.contains("not enough memory"), "{reply}");
            assert_eq!(run("return 1"), ":1");
            // It is not for others.
            let (reply, _) = timed(&mut client, kind, &holding(10_000));
            assert_eq!(reply, ":10000", "{option}");
        }
        // It is no limit of what comes and goes.
        for (body, reply) in [
            (
                "local n = 0 for i = 1, 50000 do n = n + #(('x'):rep(1000) .. i) end return n",
                ":50238894",
            ),
            (
                "local n = 0 for i = 1, 100000 do local t = {i, {i}} n = n + #t end return n",
                ":200000",
            ),
        ] {
            let argv = with_options(&mut client, kind, &["memory=2mb"], body);
            assert_eq!(client.show(&argv), reply, "{body}");
        }
    }
}

#[test]
fn garbage_is_room_for_nobody_and_counts_against_nobody() {
    let server = Server::new().config("redlua.memory-limit", "16mb").start();
    let mut client = server.client();
    let garbage = "local n = 0 for i = 1, 20000 do n = n + #(('x'):rep(1000) .. i) end return n";
    for step in 1..=3 {
        // Compiled scripts, which stay, up to most of what the VM may hold.
        for number in 0..300 {
            let body = "redis.call('set', 'a', a + 1, 1.5) ".repeat(250);
            client.send(&["LUA.SCRIPT", "LOAD", &format!("local a = {step}{number} {body}")]);
        }
        for _ in 0..300 {
            assert_eq!(client.read_frame()[0], b'$');
        }
        for own in ["", "#!lua memory=1mb\n"] {
            let reply = client.lua(&format!("{own}{garbage}"));
            assert_eq!(reply, ":20088894", "{own} after {step} steps");
        }
        client.lua(&holding(1_000));
        let reply = client.lua(&format!("#!lua memory=1mb\n{}", holding(900)));
        assert_eq!(reply, ":900", "after {step} steps");
        client.lua(&holding(1_000));
        assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
    }
    let held = client.figure("redlua_used_memory_vm_eval");
    assert!(held > 12_000_000, "{held} bytes");
    // What another run leaves behind does not make more of one megabyte.
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    client.lua(&holding(10_000));
    let reply = client.lua(&format!("#!lua memory=1mb\n{}", holding(1_100)));
    assert!(reply.contains("not enough memory"), "{reply}");
}

#[test]
fn of_two_limits_of_memory_the_smaller_counts() {
    let server = Server::new().config("redlua.memory-limit", "8mb").start();
    let mut client = server.client();
    for kind in KINDS {
        for (own, kilobytes, fits) in [
            ("memory=100mb", 3_000, true),
            ("memory=100mb", 10_000, false),
            ("memory=1mb", 3_000, false),
            ("memory=4mb", 3_000, true),
            ("memory=9999gb", 10_000, false),
        ] {
            let argv = with_options(&mut client, kind, &[own], &holding(kilobytes));
            let reply = client.show(&argv);
            assert_eq!(
                reply == format!(":{kilobytes}"),
                fits,
                "{kind:?} {own} {kilobytes}: {reply}"
            );
            assert_eq!(
                reply.contains("not enough memory"),
                !fits,
                "{kind:?} {own} {kilobytes}: {reply}"
            );
        }
    }
}

#[test]
fn memory_of_runs_that_had_too_much_is_given_back() {
    let server = Server::new().start();
    let mut client = server.client();
    // An account of a server of a usual size.
    client.cmd(&["DEBUG", "POPULATE", "1000", "k", "20000"]);
    for kind in KINDS {
        let hungry = [
            holding(50_000),
            "local s = ('x'):rep(1e6) while true do s = s .. s end".to_owned(),
            "local t = {} for i = 1, 1e7 do t[i] = i end".to_owned(),
            "local t = {} for i = 1, 1e7 do t['k' .. i] = {} end".to_owned(),
            "local function f() return 1, f() end return pcall(f), f()".to_owned(),
            "local t = {} for i = 1, 1e7 do t[i] = coroutine.create(function() end) end".to_owned(),
            "return cjson.encode({('x'):rep(4e6), ('y'):rep(4e6)})".to_owned(),
            "local t = {} while true do t[#t + 1] = redis.call('get', 'k:1') .. #t end".to_owned(),
            "pcall(function() local t = {} while true do t[#t + 1] = {} end end) redis.call('set', 'went-on', 1)"
                .to_owned(),
        ];
        let argv = with_options(&mut client, kind, &["memory=4mb"], "return 1");
        assert_eq!(client.show(&argv), ":1");
        let before = client.figure("used_memory");
        for body in hungry {
            let argv = with_options(&mut client, kind, &["memory=4mb"], &body);
            let reply = client.show(&argv);
            let is_too_deep = reply.contains("stack overflow");
            assert!(reply.contains("not enough memory") || is_too_deep, "{body}: {reply}");
            let argv = with_options(&mut client, kind, &["memory=4mb"], &holding(1_000));
            assert_eq!(client.show(&argv), ":1000", "after {body}");
            let after = client.figure("used_memory");
            assert!(after < before + before / 20, "{body}: {before} bytes became {after}");
        }
        assert_eq!(client.text("EXISTS went-on"), ":0");
    }
}

/// The most memory the server had at a time since [`forget_peak`], in bytes.
fn peak(server: &Server) -> i64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<i64>();
    kilobytes.expect("a number") * 1024
}

fn forget_peak(server: &Server) {
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("it is our own child");
}

#[test]
fn a_huge_reply_is_not_converted_to_find_that_it_is_too_large() {
    let server = Server::new().start();
    let mut client = server.client();
    // Newer servers take 80 bytes per element for themselves when they free a reply.
    let is_exact = client.info("redis_version").starts_with("7.0.");
    // The allocator is to give back what is free at once, or it would count.
    client.cmd(&["DEBUG", "MALLCTL", "arena.0.dirty_decay_ms", "0"]);
    let fill = "local t = {} for i = 1, 5000 do t[i] = i % 10 end \
                for i = 1, 200 do redis.call('rpush', 'l', unpack(t)) end return redis.call('llen', 'l')";
    assert_eq!(client.lua(fill), ":1000000");
    let limit = 12 * 1024 * 1024;
    for kind in KINDS {
        for body in [
            "return #redis.call('lrange', 'l', 0, -1)",
            "return #redis.pcall('lrange', 'l', 0, -1)",
            "pcall(redis.call, 'lrange', 'l', 0, -1) return redis.call('set', 'went-on', 1)",
        ] {
            let argv = with_options(&mut client, kind, &["memory=12mb"], body);
            forget_peak(&server);
            let before = peak(&server);
            let reply = client.show(&argv);
            assert!(reply.contains("not enough memory"), "{body}: {reply}");
            let taken = peak(&server) - before;
            assert!(!is_exact || taken < 2 * limit, "{body}: {taken} bytes");
        }
        let body = "return #redis.call('lrange', 'l', 0, -1)";
        let argv = with_options(&mut client, kind, &["memory=64mb"], body);
        assert_eq!(client.show(&argv), ":1000000");
    }
    assert_eq!(client.text("EXISTS went-on"), ":0");
}

#[test]
fn arguments_count_as_memory_of_the_run() {
    let server = Server::new().start();
    let mut client = server.client();
    let long = "x".repeat(3_000_000);
    for kind in KINDS {
        let mut argv =
            with_options(&mut client, kind, &["memory=1mb"], "local t = {} return #ARGV[1]");
        assert_eq!(client.show(&argv), ":1");
        *argv.last_mut().expect("an argument") = long.clone().into_bytes();
        let reply = client.show(&argv);
        assert!(reply.contains("not enough memory"), "{reply}");
        let mut argv = with_options(&mut client, kind, &["memory=8mb"], "return #ARGV[1]");
        *argv.last_mut().expect("an argument") = long.clone().into_bytes();
        assert_eq!(client.show(&argv), ":3000000");
    }
}

// Depth.

/// Recursion of all kinds, which ends in an error or a result on stock too.
const DEEP: &[&str] = &[
    "local function f() return 1 + f() end return f()",
    "local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(10000)",
    "local function f() return pcall(f) end return f()",
    "local function f() return xpcall(f, f) end return f()",
    "local function f() return (('x'):gsub('x', f)) end return f()",
    "local function f() table.sort({1, 2, 3}, f) return true end return f()",
    "local function f() return coroutine.wrap(f)() end return f()",
    "local function f() return coroutine.resume(coroutine.create(f)) end return f()",
    "local function f() for _ in f do end end return f()",
    "local function f() local ok, e = pcall(f) error(e) end f()",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
    "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
    "local t = {} for i = 1, 300 do t = setmetatable({}, {__index = t}) end return t.x",
    "local t = setmetatable({}, {}) getmetatable(t).__newindex = function(t, k) t[k] = 1 end t.x = 1",
    "local t = setmetatable({}, {}) getmetatable(t).__call = function(t) return 1 + t() end return t()",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(t) return tostring(t) end return tostring(t)",
    "local t = setmetatable({}, {}) getmetatable(t).__concat = function(a) return a .. a end return t .. t",
    "local t = setmetatable({}, {}) getmetatable(t).__unm = function(a) return -a end return -t",
    "local m = {} m.__lt = function(a, b) return a < b end return setmetatable({}, m) < setmetatable({}, m)",
    "local m = {} m.__eq = function(a, b) return a == b end return setmetatable({}, m) == setmetatable({}, m)",
    "return xpcall(error, function(e) error(e) end)",
    "local function h() return xpcall(error, h) end return h()",
    "local s = 'local s = ... local r = loadstring(s)(s) return r' return loadstring(s)(s)",
    "return loadstring(('('):rep(1000) .. '1' .. (')'):rep(1000))",
    "return loadstring('return ' .. ('{'):rep(1000) .. ('}'):rep(1000))",
    "return loadstring(('do '):rep(1000) .. ('end '):rep(1000))",
    "return loadstring(('if x then '):rep(1000) .. ('end '):rep(1000))",
    "return loadstring(('while x do '):rep(1000) .. ('end '):rep(1000))",
    "return loadstring(('return function() '):rep(1000) .. ('end '):rep(1000))",
    "return loadstring('return ' .. ('not '):rep(100000) .. '1')",
    "return loadstring('return ' .. ('- '):rep(100000) .. '1')",
    "return loadstring('return ' .. ('a .. '):rep(100000) .. 'a')",
    "return loadstring('return ' .. ('1 ^ '):rep(100000) .. '1')",
    "return loadstring('return ' .. ('1 + '):rep(100000) .. '1')() == 100001",
    "return loadstring('return ' .. ('f('):rep(1000) .. (')'):rep(1000))",
    "return loadstring('return x' .. ('.x'):rep(1000)) ~= nil",
    "return loadstring('local ' .. ('x, '):rep(300) .. 'x')",
    "return loadstring('return ' .. ('function(' .. ('x, '):rep(300) .. 'x) end'))",
    "return cjson.encode((function() local t = {} for i = 1, 2000 do t = {t} end return t end)())",
    "return cjson.decode(('['):rep(2000) .. (']'):rep(2000))",
    "return #cmsgpack.pack((function() local t = {} for i = 1, 2000 do t = {t} end return t end)())",
    "return cmsgpack.unpack(('\\145'):rep(2000) .. '\\1') ~= nil",
    "local t = {} for i = 1, 5000 do t = {t} end return t",
    "local t = {} t[1] = t return t",
    "return unpack({}, 1, 1e7)",
    "return #{unpack({}, 1, 7000)}",
    "return math.max(unpack({}, 1, 1e6))",
    "return select('#', ('x'):rep(1e7):byte(1, -1))",
    "return #string.char(('x'):rep(5000):byte(1, -1))",
    "return #table.concat({('x'):rep(1e6), ('y'):rep(1e6)})",
    "return select('#', loadstring('return ' .. ('1, '):rep(5000) .. '1')())",
];

#[test]
fn recursion_ends_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    for script in DEEP {
        let begin = Instant::now();
        let reply = same(script, |door| client.eval(door, script, &[], &[]));
        assert!(begin.elapsed() < Duration::from_secs(5), "{script}: {:?}", begin.elapsed());
        assert!(!reply.is_empty());
    }
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

// Memory of the server.

/// Runs one of the scripts of `maxmemory` as a function, which has the flags of its first line.
fn run_as_function(client: &mut Client, door: Door, command: &str, script: &str) -> [String; 4] {
    let (first, body) = match script.strip_prefix("#!lua") {
        Some(rest) => rest.split_once('\n').expect("a line of its own"),
        None => ("", script),
    };
    let flags = first.trim().trim_start_matches("flags=");
    let flags: Vec<_> = flags.split(',').filter(|flag| !flag.is_empty()).collect();
    client.set("maxmemory", "0");
    client.ok(&["FLUSHALL"]);
    let argv = [&door.name("FUNCTION"), "LOAD", "REPLACE", &flagged(&flags, body)];
    assert_eq!(client.show(&argv), "\"limited\"", "{script}");
    client.ok(&["SET", "old", "value", "EX", "100000"]);
    client.ok(&["SET", "kept", "value"]);
    client.set("maxmemory", "1");
    let reply = client.show(&[&door.name(command), "g", "0"]);
    let again = client.show(&[&door.name("FCALL"), "g", "0"]);
    client.set("maxmemory", "0");
    [reply, again, client.digest(), client.text("MGET a b old kept")]
}

#[test]
fn functions_above_maxmemory_do_what_stock_does_under_every_policy() {
    let server = Server::new().start();
    let mut client = server.client();
    for policy in maxmemory::POLICIES {
        client.set("maxmemory-policy", policy);
        for script in maxmemory::SCRIPTS {
            for command in ["FCALL", "FCALL_RO"] {
                same(&format!("{policy}: {command} {script:?}"), |door| {
                    run_as_function(&mut client, door, command, script)
                });
            }
        }
    }
}

#[test]
fn keys_are_evicted_between_runs_and_not_in_them() {
    let server = Server::new().config("maxmemory-policy", "allkeys-lru").start();
    let mut client = server.client();
    let body = "local function evicted() return tonumber(redis.call('info', 'stats'):match('evicted_keys:(%d+)')) end \
        local before = evicted() \
        for i = 1, 30 do redis.call('set', KEYS[1] .. i, ('x'):rep(100000)) end \
        return evicted() - before";
    for kind in KINDS {
        same(&format!("{kind:?}"), |door| {
            client.set("maxmemory", "0");
            client.ok(&["FLUSHALL"]);
            let run = kind.prepare(&mut client, door, body);
            client.cmd(&["DEBUG", "POPULATE", "1000", "key", "1000"]);
            client.show(&run);
            let used = client.figure("used_memory");
            client.set("maxmemory", &(used - 2_000_000).to_string());
            let before = client.figure("evicted_keys");
            // Room was made before it, so that it begins, and is made again after it.
            assert_eq!(client.show(&run), ":0");
            let after = client.figure("evicted_keys");
            assert!(after > before, "{after} keys were evicted, {before} before");
            client.text("GET nothing");
            client.ok(&["SET", "one", "more"]);
            assert!(client.figure("used_memory") < used);
        });
    }
}
