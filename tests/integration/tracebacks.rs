//! Where a run that failed leaves the way that led to its error.

use crate::doors::Scripts;
use crate::support::{Client, Server};

const DEEP: &str = "local function load(key, value)\n\
    return redis.call('HSET', key, 5, value)\n\
    end\n\
    local function twice(key)\n\
    local first = load(key, ARGV[1])\n\
    return first\n\
    end\n\
    twice('k')\n\
    return 1";

fn show(client: &mut Client, script: &str, secret: &str) -> String {
    client.show(&["LUA.EVAL", script, "0", secret])
}

/// The lines of the log that tell of runs that failed.
fn lines(server: &Server) -> Vec<String> {
    server.log().lines().filter(|it| it.contains(" failed: ")).map(str::to_owned).collect()
}

fn set(client: &mut Client, value: &str) {
    client.ok(&["CONFIG", "SET", "redlua.error-traceback", value]);
}

#[test]
fn the_log_tells_the_way_to_an_error_and_types_instead_of_values() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    let stock = client.show(&["EVAL", DEEP, "0", "hunter2"]);
    assert_eq!(show(&mut client, DEEP, "hunter2"), stock, "the reply is stock's");
    let lines = lines(&server);
    let [line] = &*lines else { panic!("{lines:?}") };
    assert!(line.contains("Script ") && line.contains(" failed: WRONGTYPE "), "{line}");
    let way = "Traceback: redis.call HSET (string, number, string) < user_script:2 in function load \
               < user_script:5 in function twice < user_script:8 in main chunk";
    assert!(line.ends_with(way), "{line}");
    assert!(!server.log().contains("hunter2"));
}

#[test]
fn each_way_to_fail_has_its_traceback() {
    let server = Server::new().config("redlua.error-traceback", "reply").start();
    let mut client = server.client();
    assert_eq!(
        client.text("CONFIG GET redlua.error-traceback"),
        "[\"redlua.error-traceback\", \"reply\"]"
    );
    let cases = [
        ("return redis.call('GET')", "redis.call GET () < user_script:1 in main chunk"),
        // A name may be a secret as well.
        ("local x = redis.call(ARGV[1])", "redis.call ? () < user_script:1 in main chunk"),
        (
            "local x = redis.call('set', 'k', nil)",
            "redis.call SET (string, nil) < user_script:1 in main chunk",
        ),
        ("error('x')", "[C] error < user_script:1 in main chunk"),
        ("local x = nil + 1", "user_script:1 in main chunk"),
        (
            "local t = {} function t.f() local x = t.y.z end t.f()",
            "user_script:1 in function f < user_script:1 in main chunk",
        ),
        (
            "local x = loadstring(\"local secret = 1\\nerror('x')\")()",
            "[C] error < string:2 in main chunk < user_script:1 in main chunk",
        ),
        (
            "local function f() error('x') end return f()",
            "[C] error < user_script:1 in function at line 1 < (tail call)",
        ),
        ("local x = cjson.decode('{')", "[C] decode < user_script:1 in main chunk"),
        ("error({err='MY own'})", "[C] error < user_script:1 in main chunk"),
    ];
    for (script, way) in cases {
        let reply = show(&mut client, script, "hunter2");
        assert!(
            reply.starts_with('-') && reply.ends_with(&format!(". traceback: {way}")),
            "{script}: {reply}"
        );
    }
    assert_eq!(lines(&server), [""; 0], "what is in the reply is not logged");
    client.cmd(&[
        "LUA.FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('f', function()\nerror('x')\nend)",
    ]);
    let reply = client.text("LUA.FCALL f 0");
    assert!(
        reply.ends_with("traceback: [C] error < user_function:3 in function at line 2"),
        "{reply}"
    );
}

#[test]
fn a_run_that_is_ended_tells_where_it_was() {
    let server = Server::new()
        .config("redlua.error-traceback", "reply")
        .config("redlua.max-run-time", "20")
        .start();
    let mut client = server.client();
    let reply = show(&mut client, "local function spin()\nwhile true do end\nend\nspin()", "");
    assert!(
        reply.ends_with("traceback: user_script:2 in function spin < user_script:4 in main chunk"),
        "{reply}"
    );
}

#[test]
fn deep_stacks_and_long_lines_are_cut() {
    let server = Server::new().config("redlua.error-traceback", "reply").start();
    let mut client = server.client();
    let reply = show(
        &mut client,
        "local function f(n) if n == 0 then error('x') end f(n - 1) end f(100)",
        "",
    );
    assert!(reply.contains(" < ... 83 more ... < "), "{reply}");
    assert!(reply.ends_with("user_script:1 in main chunk"), "{reply}");
    let reply = show(&mut client, "local function f() return 1 + f() end f()", "");
    assert!(reply.contains(" more ... < ") && reply.ends_with("in main chunk"), "{reply}");
    let name = "n".repeat(300);
    let script = format!(
        "local function {name}(n) if n == 0 then error('x') end {name}(n - 1) end {name}(50)"
    );
    let reply = show(&mut client, &script, "");
    assert!(reply.ends_with(" ...") && reply.len() < 1000, "{reply}");
    set(&mut client, "log");
    show(&mut client, "error(string.rep('\\n', 5000))", "");
    let lines = lines(&server);
    assert!(lines.len() == 1 && lines[0].len() < 1000, "{lines:?}");
}

#[test]
fn caught_errors_and_errors_that_are_results_leave_nothing() {
    let server = Server::new().start();
    let mut client = server.client();
    for script in [
        "return {pcall(error, 'x')}",
        "return tostring(pcall(redis.call, 'GET'))",
        "return redis.pcall('GET')",
        "return redis.error_reply('MY error')",
        "return {xpcall(function() error('x') end, __redis__err__handler)}",
    ] {
        show(&mut client, script, "");
    }
    assert_eq!(lines(&server), [""; 0]);
    // Nor in the traceback of the run after them.
    set(&mut client, "reply");
    let reply = show(
        &mut client,
        "xpcall(function() error('y') end, __redis__err__handler)\nerror('x')",
        "",
    );
    assert!(reply.ends_with("traceback: [C] error < user_script:2 in main chunk"), "{reply}");
    set(&mut client, "no");
    let stock = client.show(&["EVAL", "error('x')", "0"]);
    assert_eq!(show(&mut client, "error('x')", ""), stock);
    assert_eq!(lines(&server), [""; 0]);
    assert!(client.show(&["CONFIG", "SET", "redlua.error-traceback", "yes"]).starts_with("-ERR"));
}

#[test]
fn a_script_that_fails_all_the_time_does_not_fill_the_log() {
    let server = Server::new().start();
    let mut client = server.client();
    for _ in 0..2000 {
        show(&mut client, "error('x')", "");
    }
    let before = lines(&server).len();
    assert!(before < 1000, "{before} lines");
    // The next line that gets through tells how many did not.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        show(&mut client, "error('x')", "");
        if server.log().contains(" more were not logged)") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "never told");
    }
}

#[test]
fn large_calls_work_and_fail_as_before() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    for script in [
        "local t = {} for i = 1, 7990 do t[i] = 'k' end return #redis.call('MGET', unpack(t))",
        "local t = {} for i = 1, 7990 do t[i] = 'k' end return redis.pcall('GET', unpack(t))",
        "local t = {} for i = 1, 7990 do t[i] = 'k' end return redis.call('LPUSH', unpack(t))",
    ] {
        let stock = client.show(&["EVAL", script, "0"]);
        assert_eq!(show(&mut client, script, ""), stock, "{script}");
    }
}
