//! Debugging sessions: the same as on stock, and gone when they are over.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::doors::Scripts;
use crate::support::{Client, Server, render, wait_until};

const SCRIPT: &str = "\
local a = 1
local t = {1, 2, x = 'y', n = {true, false}}
t.self = t
local function f(x)
  local z = x + 1
  return z * 2
end
redis.call('set', KEYS[1], 'v')
redis.pcall('incr', KEYS[1])
redis.debug(a, 't', {1, x = 2}, 's\\n', nil, 1.5, 1e20, 0 / 0)
local s = string.rep('x', 300)
redis.breakpoint()
local c = coroutine.wrap(function(q)
  local w = q
  coroutine.yield(w)
  return f(w)
end)
c(5)
local b = redis.call('get', KEYS[1])
for i = 1, 2 do
  a = a + f(i)
end
local ok = redis.pcall('nosuch')
local e = redis.error_reply('My error')
local l = loadstring('return 1')()
pcall(function() error('x') end)
return {a, b, ARGV[1]}
";

/// Commands that stock has, blanks between their words.
const COMMANDS: &str = "h|s|p|p a|p nope|n|p t|p f_is_not_there|P KEYS|p ARGV|b 5|b 7 -5 x 0 100 -9|b|b 6|b 6|b|l|l 3|l 3 1|\
    l 0|L -1 2|w|e 1+1|e a|e return 5|e x =|e|e {1,2}|eval redis.sha1hex('')|r get k|r incr k|r nosuch|r|\
    r lpush l 1 2 3 4 5 6 7 8 9 10 11|r lrange l 0 -1|r hgetall l|redis set|s|s|s|s|s|s|m|m 10|p t|m 0|p t|\
    m 70|p t|maxlen 256|c|p|p z|c|p s|p s|t|s|s|s|p|t|s|s|s|s|b 0|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|s|c";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Begins a session and gives the first thing the client is told.
fn begin(client: &mut Client, prefix: &str, mode: &str, run: &[&str]) -> String {
    client.ok(&[&format!("{prefix}SCRIPT"), "DEBUG", mode]);
    let mut run = run.to_vec();
    let name = format!("{prefix}{}", run[0]);
    run[0] = &name;
    render(&client.cmd(&run))
}

/// What a session said, up to its end, with addresses left out.
fn transcript(server: &Server, prefix: &str, mode: &str, run: &[&str], commands: &str) -> String {
    let mut client = server.client();
    let mut told = vec![begin(&mut client, prefix, mode, run)];
    for command in commands.split('|') {
        if told.last().is_some_and(|last| last.contains("<endsession>")) {
            break;
        }
        told.push(format!("({command}) {}", render(&client.cmd(&words(command)))));
    }
    if told.last().is_some_and(|last| last.contains("<endsession>")) {
        told.push(render(&client.read_frame()));
        assert!(client.try_read_frame().is_err(), "the connection is closed");
    }
    without_addresses(&told.join("\n"))
}

fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("0x");
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    }
    out
}

/// Whether the host's own debugger is one of its own, with words of its own.
fn has_other_debugger(server: &Server) -> bool {
    let info = server.client().text("INFO server");
    let version = info.split("valkey_version:").nth(1).unwrap_or("0.0");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(9), Some(0))
}

/// The processes of a server, itself included: all have its directory in their command line.
fn processes(server: &Server) -> usize {
    let home = server.home().display().to_string();
    let entries = fs::read_dir("/proc").expect("a list of processes").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&home)).count()
}

fn descriptors(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.pid());
    fs::read_dir(folder).map(Iterator::count).unwrap_or_default()
}

fn wait_for_the_end(server: &Server) {
    wait_until("the end of all sessions", || processes(server) == 1);
}

#[test]
fn the_same_session_reads_as_on_stock() {
    let server = Server::new().start();
    if has_other_debugger(&server) {
        return;
    }
    let mut client = server.client();
    let run = ["EVAL", SCRIPT, "1", "k", "arg"];
    for mode in ["YES", "SYNC"] {
        let mut both = ["", "LUA."].map(|prefix| {
            client.ok(&["FLUSHALL"]);
            transcript(&server, prefix, mode, &run, COMMANDS)
        });
        assert!(both[0].contains("<endsession>"), "the session is whole: {}", both[0]);
        // A trace names what stock calls the top level too.
        both[0] = both[0].replace("In top level:\", \"+->#6", "In f:\", \"+->#6");
        let [stock, own] = both;
        for (stock, own) in stock.lines().zip(own.lines()) {
            assert_eq!(own, stock, "{mode}");
        }
        assert_eq!(own, stock);
    }
    wait_for_the_end(&server);
}

#[test]
fn sessions_that_end_at_once_end_as_on_stock() {
    let server = Server::new().start();
    let runs: [&[&str]; 8] = [
        &["EVAL", "return 1", "x"],
        &["EVAL", "return 1", "5"],
        &["EVAL", "return 1", "-1"],
        &["EVAL", "not lua", "0"],
        &["EVAL", "#!lua flags=nosuch\nreturn 1", "0"],
        &["EVAL", "#!lua", "0"],
        &["EVAL", "", "0"],
        &["EVAL", "\n\n", "0"],
    ];
    for run in runs {
        for mode in ["YES", "SYNC"] {
            let [stock, own] =
                ["", "LUA."].map(|prefix| transcript(&server, prefix, mode, run, "c"));
            assert_eq!(own, stock, "{run:?}");
        }
    }
    wait_for_the_end(&server);
}

#[test]
fn replies_and_errors_come_out_as_on_stock() {
    let server = Server::new().start();
    let scripts = [
        "return {1, 'a', {ok = 'fine'}, {err = 'bad'}, false, true, 1.9}",
        "return redis.call('nosuch')",
        "return redis.call('set', 'k', 'v')",
        "error('mine')",
        "error({err = 'ERR table'})",
        "return {err = 'ERR a\\r\\nb\\r\\n'}",
        "return {ok = 'a\\r\\nb'}",
        "error({err = 'ERR a\\r\\nb'})",
        "redis.setresp(3) return {double = 3.25}",
        "redis.setresp(3) return {map = {a = 1}}",
        "redis.setresp(3) return true",
        "return nosuchglobal",
        "local x = nil; x.y = 1",
        "local n = 0; while true do n = n + 1 if n > 300000 then return n end end",
    ];
    for script in scripts {
        for hello in ["2", "3"] {
            for mode in ["YES", "SYNC"] {
                let both = ["", "LUA."].map(|prefix| {
                    let mut client = server.client();
                    client.cmd(&["HELLO", hello]);
                    begin(&mut client, prefix, mode, &["EVAL", script, "0"]);
                    let end = render(&client.cmd(&["c"]));
                    (end, render(&client.read_frame()))
                });
                assert_eq!(both[1], both[0], "{script}, RESP{hello}, {mode}");
            }
        }
    }
    let aborted = ["", "LUA."].map(|prefix| {
        transcript(&server, prefix, "YES", &["EVAL", "local a\nreturn 1", "0"], "s|a")
    });
    assert_eq!(aborted[1], aborted[0]);
    wait_for_the_end(&server);
}

#[test]
fn what_breaks_the_protocol_ends_a_session_as_on_stock() {
    let server = Server::new().start();
    let pieces: [&[u8]; 6] = [
        b"nothing\r\n",
        b"*0\r\n",
        b"*1\r\n+s\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*1025\r\n",
        b"*1\r\n$1025\r\n",
    ];
    let flood = vec![b'*'; (1 << 20) + 4096];
    for piece in pieces.into_iter().chain([&flood[..]]) {
        let both = ["", "LUA."].map(|prefix| {
            let mut client = server.client();
            begin(&mut client, prefix, "YES", &["EVAL", "return 1", "0"]);
            client.send_raw(piece);
            (render(&client.read_frame()), client.try_read_frame().map(|it| render(&it)).ok())
        });
        assert_eq!(both[1].0, both[0].0, "{}", piece[..piece.len().min(40)].escape_ascii());
        if piece.len() < 100 {
            assert_eq!(both[1].1, both[0].1);
        }
    }
    wait_for_the_end(&server);
}

#[test]
fn what_is_no_way_to_debug_is_refused() {
    let server = Server::new().start();
    let mut client = server.client();
    let mode = "-ERR Use SCRIPT DEBUG YES/SYNC/NO";
    for command in ["SCRIPT DEBUG maybe", "LUA.SCRIPT DEBUG maybe"] {
        assert_eq!(client.text(command), mode);
    }
    let pipelined = "-ERR SCRIPT DEBUG must be called outside a pipeline";
    for prefix in ["", "LUA."] {
        client.send_raw(format!("PING\r\n{prefix}SCRIPT DEBUG yes\r\n").as_bytes());
        client.read_frame();
        assert_eq!(render(&client.read_frame()), pipelined, "{prefix}");
        client.ok(&["MULTI"]);
        client.cmd(&[&format!("{prefix}SCRIPT"), "DEBUG", "yes"]);
        assert_eq!(client.text("EXEC"), format!("[{pipelined}]"), "{prefix}");
    }
    client.ok(&["LUA.SCRIPT", "DEBUG", "yes"]);
    client.ok(&["MULTI"]);
    client.cmd(&["LUA.EVAL", "return 1", "0"]);
    assert_eq!(client.text("EXEC"), format!("[{pipelined}]"));
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let by_digest = "-ERR Please use EVAL instead of EVALSHA for debugging";
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), by_digest);
    assert!(client.text("LUA.EVALSHA short 0").starts_with("-NOSCRIPT"));
    assert_eq!(client.text("LUA.FCALL nosuch 0"), "-ERR Function not found");
    client.ok(&["LUA.SCRIPT", "DEBUG", "no"]);
    assert_eq!(client.text("LUA.EVAL return(1) 0"), ":1");
    assert_eq!(server.client().text("LUA.EVAL return(1) 0"), ":1", "others are not concerned");
}

#[test]
fn the_acl_says_who_may_debug() {
    let server = Server::new().start();
    let mut admin = server.client();
    admin.ok(&["ACL", "SETUSER", "u", "on", "nopass", "+@all", "~*", "&*", "-lua.script|debug"]);
    admin.ok(&["ACL", "SETUSER", "v", "on", "nopass", "+@all", "~*", "&*", "-script|debug"]);
    for user in ["u", "v"] {
        let mut client = server.client();
        client.ok(&["AUTH", user, "any"]);
        assert!(client.text("LUA.SCRIPT DEBUG yes").starts_with("-NOPERM"), "{user}");
        assert_eq!(client.text("LUA.EVAL return(1) 0"), ":1");
    }
    admin.ok(&["ACL", "SETUSER", "w", "on", "nopass", "+@all", "~*", "&*", "-set"]);
    let mut client = server.client();
    client.ok(&["AUTH", "w", "any"]);
    begin(&mut client, "LUA.", "yes", &["EVAL", "return 1", "0"]);
    let denied = render(&client.cmd(&["r", "set", "k", "v"]));
    assert!(denied.contains("<error>") && denied.contains("set"), "{denied}");
}

#[test]
fn a_forked_session_writes_nothing_and_the_server_goes_on() {
    let server = Server::new().config("save", "3600 1").start();
    let mut client = server.client();
    client.ok(&["SET", "kept", "1"]);
    let mut debugger = server.client();
    begin(&mut debugger, "LUA.", "yes", &["EVAL", "redis.call('set', 'k', 1)\nreturn 1", "0"]);
    assert_eq!(client.text("SET other 2"), "+OK", "others are served");
    debugger.cmd(&["s"]);
    assert!(render(&debugger.cmd(&["r", "get", "k"])).contains("<reply> \\\"1\\\""));
    debugger.cmd(&["r", "select", "3"]);
    debugger.cmd(&["r", "set", "x", "1"]);
    let flushed = render(&debugger.cmd(&["r", "flushall"]));
    assert!(flushed.contains("+OK"), "{flushed}");
    assert!(render(&debugger.cmd(&["r", "dbsize"])).contains("<reply> 0"));
    debugger.cmd(&["r", "select", "0"]);
    assert!(render(&debugger.cmd(&["r", "dbsize"])).contains("<reply> 0"));
    assert!(render(&debugger.cmd(&["c"])).contains("<endsession>"));
    assert_eq!(render(&debugger.read_frame()), ":1");
    assert_eq!(client.text("GET k"), "$-1");
    assert_eq!(client.text("DBSIZE"), ":2");
    assert!(!server.home().join("dump.rdb").exists(), "nothing was saved");
    wait_for_the_end(&server);
    client.ok(&["CONFIG", "SET", "save", ""]);
}

#[test]
fn what_a_sync_session_writes_stays_and_replicates() {
    let master = Server::new().tcp().appendonly().start();
    let replica = Server::new().replica_of(&master).start();
    let mut client = master.client();
    wait_until("the replica", || {
        replica.client().text("INFO replication").contains("link_status:up")
    });
    let run = ["EVAL", "redis.call('set', KEYS[1], 'v')\nreturn 1", "1", "k"];
    let told = transcript(&master, "LUA.", "sync", &run, "s|r set k2 v2|c");
    assert!(told.ends_with(":1"), "{told}");
    assert_eq!(client.text("MGET k k2"), "[\"v\", \"v2\"]");
    wait_until("the writes on the replica", || {
        replica.client().text("MGET k k2") == "[\"v\", \"v2\"]"
    });
    assert_eq!(client.text("LUA.EVAL return(1) 0"), ":1");
    let log = master.log();
    assert!(log.contains("synchronous debugging eval session started"));
    assert!(log.contains("synchronous debugging eval session ended"));
}

const LIBRARY: &str = "#!lua name=lib
local function double(x)
  local twice = x * 2
  return twice
end
redis.register_function('f', function(keys, args)
  local sum = 0
  for i, arg in ipairs(args) do
    sum = sum + double(tonumber(arg))
  end
  return sum
end)
";

#[test]
fn functions_are_debugged_by_the_lines_of_their_library() {
    let server = Server::new().start();
    let mut client = server.client();
    client.cmd(&["LUA.FUNCTION", "LOAD", LIBRARY]);
    for mode in ["yes", "sync"] {
        let mut client = server.client();
        let first = begin(&mut client, "LUA.", mode, &["FCALL", "f", "1", "k", "1", "2"]);
        assert!(first.contains("+* Stopped at 7") && first.contains("local sum = 0"), "{first}");
        let set = render(&client.cmd(&["b", "function", "double"]));
        assert_eq!(set, "[+Breakpoint set in function double]");
        let stop = render(&client.cmd(&["c"]));
        assert!(stop.contains("+* Stopped at 3, stop reason = function entered"), "{stop}");
        let trace = render(&client.cmd(&["t"]));
        assert!(trace.contains("+In double:") && trace.contains("+From f:"), "{trace}");
        assert_eq!(render(&client.cmd(&["p", "x"])), "[+<value> 1]");
        client.cmd(&["b", "0"]);
        client.cmd(&["b", "9", "if", "i", "==", "2"]);
        let stop = render(&client.cmd(&["c"]));
        assert!(stop.contains("+* Stopped at 9, stop reason = break point"), "{stop}");
        assert_eq!(render(&client.cmd(&["p", "i"])), "[+<value> 2]");
        assert_eq!(render(&client.cmd(&["p", "sum"])), "[+<value> 2]");
        assert!(render(&client.cmd(&["c"])).contains("<endsession>"));
        assert_eq!(render(&client.read_frame()), ":6");
    }
    assert_eq!(client.text("LUA.FCALL f 0 4"), ":8", "the functions are as they were");
    wait_for_the_end(&server);
}

#[test]
fn a_session_shows_more_than_stock_does() {
    let server = Server::new().start();
    let script = "\
local t = {id = 7, list = {1, {2, {3}}}}
t.me = t
local up = 5
local g = function()
  local inner = up
  return inner
end
local c = coroutine.create(function(n)
  for i = 1, n do
    up = up + g()
    coroutine.yield(i)
  end
end)
coroutine.resume(c, 3)
coroutine.resume(c)
return up
";
    let mut client = server.client();
    begin(&mut client, "LUA.", "yes", &["EVAL", script, "0"]);
    client.cmd(&["b", "6"]);
    client.cmd(&["c"]);
    let trace = render(&client.cmd(&["t"]));
    for part in ["+In g:", "+From function at line 8:", "+From top level:"] {
        assert!(trace.contains(part), "{part} in {trace}");
    }
    assert_eq!(render(&client.cmd(&["p", "up"])), "[+<value> 5]", "a variable from around it");
    client.cmd(&["b", "0"]);
    assert_eq!(render(&client.cmd(&["watch", "up"])), "[+<watch> up = 5]");
    let stop = render(&client.cmd(&["c"]));
    assert!(stop.contains("stop reason = watch point") && stop.contains("up: 5 -> 10"), "{stop}");
    client.cmd(&["unwatch"]);
    client.cmd(&["b", "16"]);
    client.cmd(&["c"]);
    let tree = render(&client.cmd(&["p", "t", "2"]));
    for line in ["t = {", "  id = 7", "  me = <cycle>", "    [2] = {...}"] {
        assert!(tree.contains(&format!("+<value> {line}")), "{line} in {tree}");
    }
    assert!(render(&client.cmd(&["help", "more"])).contains("watch <expression>"));
    client.cmd(&["c"]);
    assert_eq!(render(&client.read_frame()), ":20");
}

#[test]
fn a_client_may_go_at_every_step() {
    let server = Server::new().config("busy-reply-threshold", "100").start();
    let mut other = server.client();
    other.cmd(&["LUA.FUNCTION", "LOAD", LIBRARY]);
    let before = descriptors(&server);
    let script = "local t = {}\nfor i = 1, 3 do t[i] = redis.call('incr', 'n') end\nreturn t";
    let endless = "local n = 0\nwhile true do pcall(function() n = n + 1 end) end";
    let steps = ["s", "b 2", "p", "e 1+1", "r get n", "c"];
    for mode in ["yes", "sync"] {
        for run in [["EVAL", script, "0"], ["EVAL", endless, "0"], ["FCALL", "f", "0"]] {
            for count in 0..=steps.len() {
                let mut client = server.client();
                client.ok(&["LUA.SCRIPT", "DEBUG", mode]);
                if count > 0 {
                    let name = format!("LUA.{}", run[0]);
                    client.send(&[&name, run[1], run[2]]);
                }
                for step in steps.iter().take(count.saturating_sub(1)) {
                    if client.try_read_frame().is_err() {
                        break;
                    }
                    // What is sent to a session that is over goes nowhere.
                    let _ = client.try_send(&words(step));
                }
            }
        }
    }
    assert_eq!(other.text("PING"), "+PONG");
    wait_for_the_end(&server);
    wait_until("the descriptors of the sessions", || descriptors(&server) <= before);
    assert_eq!(other.text("LUA.EVAL return(1) 0"), ":1");
}

#[test]
fn many_sessions_under_load_leave_nothing_behind() {
    const SESSIONS: usize = 100;
    let server = Server::new().start();
    let mut client = server.client();
    client.cmd(&["LUA.EVAL", "return 1", "0"]);
    let (before, memory) = (descriptors(&server), client.figure("used_memory"));
    let socket = server.socket();
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = Client::connect(&socket).expect("the server accepts connections");
            let mut done = 0;
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                client.cmd(&["LUA.EVAL", "return redis.call('incr', KEYS[1])", "1", "load"]);
                done += 1;
            }
            done
        });
        let script = "redis.call('set', KEYS[1], ARGV[1])\nreturn redis.call('get', KEYS[1])";
        let mut sessions: Vec<Client> = (0..SESSIONS)
            .map(|number| {
                let mut client = server.client();
                let number = number.to_string();
                begin(&mut client, "LUA.", "yes", &["EVAL", script, "1", "k", &number]);
                client
            })
            .collect();
        assert_eq!(processes(&server), SESSIONS + 1);
        for session in &mut sessions {
            session.send(&["s"]);
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            session.read_frame();
            assert!(render(&session.cmd(&["c"])).contains("<endsession>"));
            assert_eq!(
                render(&session.read_frame()),
                format!("\"{number}\""),
                "each has its own data"
            );
        }
        drop(sessions);
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(load.join().is_ok_and(|done: u64| done > 0));
    });
    wait_for_the_end(&server);
    wait_until("the descriptors of the sessions", || descriptors(&server) <= before);
    wait_until("the memory of the sessions", || {
        client.figure("used_memory") < memory + memory / 10
    });
    assert_eq!(client.text("GET k"), "$-1");
    let zombies = fs::read_dir("/proc").expect("a list of processes").flatten().filter(|entry| {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        status.contains(&format!("PPid:\t{}\n", server.pid()))
    });
    assert_eq!(zombies.count(), 0, "no child is left");
    assert!(!server.log().contains("unmatched pid"));
}

#[test]
fn sessions_end_with_the_server() {
    for is_asked in [true, false] {
        let mut server = Server::new().start();
        let mut sessions: Vec<Client> = (0..3)
            .map(|_| {
                let mut client = server.client();
                begin(&mut client, "LUA.", "yes", &["EVAL", "return 1", "0"]);
                client
            })
            .collect();
        assert_eq!(processes(&server), 4);
        if is_asked {
            server.client().send(&["SHUTDOWN", "NOSAVE"]);
            server.wait_for_exit();
        } else {
            server.kill();
        }
        wait_until("the end of the sessions", || processes(&server) == 0);
        for session in &mut sessions {
            assert!(session.try_cmd(&["s"]).is_err());
        }
    }
}

/// Drives `redis-cli --ldb` at a terminal of its own, and gives what it showed.
fn terminal(server: &Server, options: &str, lines: &str) -> String {
    let script = server.home().join("script.lua");
    fs::write(&script, "local a = KEYS[1]\nlocal b = ARGV[1]\nreturn {a, b}\n")
        .expect("the temp directory");
    let (socket, script) = (server.socket(), script.display().to_string());
    let command =
        format!("redis-cli -s {} {options} --eval {script} key , argument", socket.display());
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("script(1) is there");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    let shown = child.wait_with_output().expect("it ends").stdout;
    drop(input);
    let shown = String::from_utf8_lossy(&shown).replace(&socket.display().to_string(), "SOCKET");
    // What redis-cli does behind the end of a session depends on whether it has noticed it yet.
    let (session, _) = shown.split_once("(Lua debugging session ended").unwrap_or((&shown, ""));
    session.to_owned()
}

#[test]
fn redis_cli_debugs_at_a_terminal_as_on_stock() {
    let stock = Server::new().start();
    if has_other_debugger(&stock) {
        return;
    }
    let own = Server::new().module_arg("takeover").module_arg("yes").start();
    for options in ["--ldb", "--ldb-sync-mode"] {
        let lines = "s\np\nb 3\nl\nt\nprint KEYS\nr set x 1\nc\nc\nquit\n";
        let [shown, expected] = [&own, &stock].map(|server| terminal(server, options, lines));
        assert!(expected.contains("1) \"key\""), "the session is whole: {expected}");
        assert_eq!(shown, expected);
    }
    assert_eq!(own.client().figure("redlua_runs"), 1, "the module ran the sync session");
    assert_eq!(stock.client().figure("redlua_runs"), 0);
    wait_for_the_end(&own);
}

/// Bytes that look like what a client sends, and less and less so.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn piece(&mut self) -> Vec<u8> {
        const WORDS: [&str; 40] = [
            "s",
            "n",
            "c",
            "l",
            "w",
            "p",
            "b",
            "t",
            "e",
            "r",
            "m",
            "a",
            "h",
            "watch",
            "unwatch",
            "function",
            "if",
            "t",
            "0",
            "-1",
            "3",
            "99999999999999999999",
            "a",
            "t.x.y",
            "return",
            "error({})",
            "get",
            "k",
            "eval",
            "string.rep('x', 99999)",
            "redis.call('get', 'k')",
            "coroutine.wrap(function() error('x') end)()",
            "setmetatable({}, {__index = function() error('i') end}).x",
            "redis.breakpoint()",
            "local",
            "\0",
            "\r\n",
            "flushall",
            "more",
            "{{{{}}}}",
        ];
        let count = 1 + self.next(4);
        let mut piece = format!("*{count}\r\n").into_bytes();
        for _ in 0..count {
            let word = WORDS[self.next(40) as usize];
            piece.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        for _ in 0..self.next(3) * self.next(2) {
            let at = self.next(piece.len() as u64) as usize;
            piece[at] = self.next(256) as u8;
        }
        piece
    }
}

#[test]
fn no_client_can_hurt_the_server() {
    let seconds = std::env::var("REDLUA_HOSTILE_SECONDS").ok().and_then(|it| it.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(5));
    let mut server = Server::new().config("busy-reply-threshold", "50").start();
    let mut other = server.client();
    other.cmd(&["LUA.FUNCTION", "LOAD", LIBRARY]);
    other.ok(&["SET", "kept", "1"]);
    let seed = std::env::var("REDLUA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("REDLUA_SEED={seed}");
    let mut noise = Noise(seed);
    let script = "local a, t = 1, {x = {}}\nt.t = t\nlocal c = coroutine.wrap(function() a = a + 1\nreturn a end)\n\
        c()\nfor i = 1, 20 do a = a + i end\nreturn {a}";
    let mut sessions = 0_u32;
    while Instant::now() < deadline {
        let mut client = server.client();
        client.set_timeout(Duration::from_millis(300));
        let mode = if noise.next(4) == 0 { "sync" } else { "yes" };
        client.ok(&["LUA.SCRIPT", "DEBUG", mode]);
        let function = noise.next(3) == 0;
        let run = if function { ["LUA.FCALL", "f", "0"] } else { ["LUA.EVAL", script, "0"] };
        client.send(&run);
        for _ in 0..noise.next(30) {
            if client.try_read_frame().is_err() {
                break;
            }
            let piece = noise.piece();
            if mode == "sync" && piece.windows(8).any(|part| part == b"flushall") {
                continue;
            }
            if client.try_send_raw(&piece).is_err() {
                break;
            }
        }
        drop(client);
        sessions += 1;
        assert_eq!(other.text("GET kept"), "\"1\"");
    }
    assert!(server.is_running() && sessions > 10, "{sessions} sessions");
    wait_for_the_end(&server);
    assert!(!server.log().contains("A bug was met"));
    assert_eq!(other.text("LUA.FCALL f 0 4"), ":8");
}
