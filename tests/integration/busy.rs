//! Runs that take long: what others see of them meanwhile, and how they end.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::acl::login;
use crate::doors::{Door, Ours, Scripts, Stock, request, same};
use crate::environment::describe;
use crate::stream::Watched;
use crate::support::{Client, Server, ServerBuilder, Value, render, wait_until};

pub const FOREVER: &str = "while true do end";

/// A server that calls a run slow soon, and then looks at its clients often.
pub fn impatient() -> ServerBuilder {
    Server::new().config("busy-reply-threshold", "30").config("hz", "100")
}

/// Lua that goes on for so many milliseconds by the server's clock or by the processor's: newer servers stop
/// theirs for a script, unless others are let in, and older ones have no other.
pub fn lasting(milliseconds: u32) -> String {
    format!(
        "local clock = redis.REDIS_VERSION_NUM >= 0x070200 and os.clock or function() return 0 end \
         local function now() local time = redis.call('time') return time[1] * 1000 + time[2] / 1000 end \
         local begin, tick = now(), clock() \
         repeat until now() - begin > {milliseconds} or (clock() - tick) * 1000 > {milliseconds} "
    )
}

/// What can be run, and killed by a command of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Script,
    Function,
}

use Kind::{Function, Script};

pub const KINDS: [Kind; 2] = [Script, Function];

impl Kind {
    /// Begins a run on a connection of its own and waits until it keeps the server busy.
    pub fn begin(self, server: &Server, door: Door, body: &str) -> Client {
        let mut caller = server.client();
        self.send(&mut caller, door, body);
        wait_until_busy(&mut server.client());
        caller
    }

    /// Sends the command that runs `body`, and before it one that makes it a function if it has to be.
    pub fn send(self, caller: &mut Client, door: Door, body: &str) {
        let argv = self.prepare(caller, door, body);
        caller.send(&argv);
    }

    /// The command that runs `body`, which is made a function if it has to be.
    pub fn prepare(self, client: &mut Client, door: Door, body: &str) -> Vec<Vec<u8>> {
        match self {
            Script => request(&door.name("EVAL"), body, &["k"], &["a"]),
            Function => {
                let code = format!(
                    "#!lua name=busy\nredis.register_function('f', function(KEYS, ARGV) {body} end)"
                );
                let argv = [&door.name("FUNCTION"), "LOAD", "REPLACE", &code];
                assert_eq!(client.show(&argv), "\"busy\"", "{body}");
                request(&door.name("FCALL"), "f", &["k"], &["a"])
            }
        }
    }

    /// The command that kills it.
    fn kill(self, door: Door) -> [String; 2] {
        [door.name(self.container()), "KILL".to_owned()]
    }

    fn container(self) -> &'static str {
        match self {
            Script => "SCRIPT",
            Function => "FUNCTION",
        }
    }
}

/// A command as a client sends it.
pub fn encoded<A: AsRef<[u8]>>(argv: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", argv.len()).into_bytes();
    for word in argv {
        let word = word.as_ref();
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Waits until commands get the error BUSY, and returns it.
pub fn wait_until_busy(client: &mut Client) -> String {
    let mut reply = String::new();
    wait_until("a busy server", || {
        reply = client.text("PING");
        reply.starts_with("-BUSY ")
    });
    reply
}

/// A text of ours with the names of stock's commands in it.
pub fn plain(text: &str) -> String {
    text.replace("LUA.", "").replace("lua.", "")
}

/// The name of the program in error texts.
fn host(client: &mut Client) -> &'static str {
    let info = client.value(&["INFO", "SERVER"]).text().expect("text");
    if info.contains("valkey_version") { "Valkey" } else { "Redis" }
}

/// What the log says of scripts from byte `from` on, and how seriously, without the figures, and without the way
/// to an error, which stock does not tell.
pub fn said_of_scripts(server: &Server, from: usize) -> Vec<String> {
    let log = server.log();
    let lines = log[from..].lines();
    let lines = lines.filter(|line| line.contains("cript") && !line.contains(" failed: "));
    let said = lines.map(|line| {
        // Process, role, date, time and level come first.
        let words = line.split(' ').skip(5).filter(|word| !word.starts_with('<'));
        let words = words.map(|word| match word.parse::<u64>() {
            Ok(_) => "<number>".to_owned(),
            Err(_) => plain(word),
        });
        words.collect::<Vec<_>>().join(" ")
    });
    said.collect()
}

// Who is told what, and when.

#[test]
fn others_get_stocks_error_with_our_command_in_it() {
    let server = impatient().start();
    let mut client = server.client();
    let host = host(&mut client);
    for kind in KINDS {
        let [busy, error] = same(&format!("{kind:?}"), |door| {
            let mut caller = kind.begin(&server, door, FOREVER);
            let busy = client.text("GET k");
            let command = format!("call {} KILL", door.name(kind.container()));
            assert!(busy.contains(&command), "{door:?}: {busy}");
            assert_eq!(client.show(&kind.kill(door)), "+OK");
            [plain(&busy), render(&caller.read_frame())]
        });
        let container = kind.container();
        let expected = format!(
            "-BUSY {host} is busy running a script. You can only call {container} KILL or SHUTDOWN NOSAVE."
        );
        assert_eq!(busy, expected);
        assert!(error.starts_with("-ERR Script killed by user with "), "{error}");
        assert_eq!(client.text("PING"), "+PONG");
    }
}

#[test]
fn the_log_says_once_per_run_what_stock_says() {
    let server = impatient().start();
    let mut client = server.client();
    for kind in KINDS {
        let said = same(&format!("{kind:?}"), |door| {
            let from = server.log().len();
            for _ in 0..2 {
                let mut caller = kind.begin(&server, door, FOREVER);
                for _ in 0..5 {
                    assert!(client.text("PING").starts_with("-BUSY "));
                }
                assert_eq!(client.show(&kind.kill(door)), "+OK");
                caller.read_frame();
            }
            if door == Ours {
                let command = format!("using the LUA.{} KILL command", kind.container());
                assert_eq!(server.log()[from..].matches(&command).count(), 2);
            }
            said_of_scripts(&server, from)
        });
        assert_eq!(said.len(), 4, "{said:?}");
    }
}

#[test]
fn a_run_that_ends_after_the_threshold_gives_its_result() {
    let server = impatient().start();
    let body = format!("{} return 'done'", lasting(400));
    for kind in KINDS {
        same(&format!("{kind:?}"), |door| {
            let mut caller = kind.begin(&server, door, &body);
            let reply = render(&caller.read_frame());
            assert_eq!(reply, "\"done\"");
            server.client().text("PING")
        });
    }
}

#[test]
fn nobody_is_turned_away_before_the_threshold_or_without_one() {
    let server = impatient().start();
    let mut client = server.client();
    let body = format!("redis.call('set', KEYS[1], 1) {} return 'done'", lasting(150));
    for threshold in ["0", "10000"] {
        client.set("busy-reply-threshold", threshold);
        for kind in KINDS {
            same(&format!("{kind:?} and {threshold} ms"), |door| {
                client.ok(&["FLUSHALL"]);
                let mut caller = server.client();
                let from = server.log().len();
                kind.send(&mut caller, door, &body);
                let mut longest = Duration::ZERO;
                wait_until("a reply after the run began", || {
                    let sent = Instant::now();
                    let reply = client.text("GET k");
                    longest = longest.max(sent.elapsed());
                    assert!(!reply.starts_with('-'), "{reply}");
                    reply == "\"1\""
                });
                assert!(longest > Duration::from_millis(50), "nothing came in: {longest:?}");
                (render(&caller.read_frame()), said_of_scripts(&server, from))
            });
        }
    }
}

#[test]
fn script_time_limit_is_another_name_of_the_threshold() {
    let server = Server::new().start();
    let mut client = server.client();
    let values = |client: &mut Client| {
        ["busy-reply-threshold", "redlua.script-time-limit"].map(|name| {
            let reply = client.value(&["CONFIG", "GET", name]);
            reply.field(name).and_then(Value::text).expect("a value")
        })
    };
    assert_eq!(values(&mut client), ["5000", "5000"]);
    for (name, value) in [
        ("busy-reply-threshold", "70"),
        ("redlua.script-time-limit", "80"),
        ("lua-time-limit", "90"),
        ("redlua.script-time-limit", "0"),
        ("redlua.script-time-limit", "5000"),
        ("redlua.script-time-limit", "50"),
    ] {
        client.set(name, value);
        assert_eq!(values(&mut client), [value; 2], "{name}");
    }
    for bad in ["-1", "x", "9223372036854775808"] {
        let reply = client.show(&["CONFIG", "SET", "redlua.script-time-limit", bad]);
        assert!(reply.starts_with("-ERR CONFIG SET failed"), "{reply}");
        assert_eq!(values(&mut client), ["50", "50"]);
    }
    // One bad setting in a command takes back the others.
    let both = ["CONFIG", "SET", "redlua.script-time-limit", "60", "maxmemory-policy", "nonsense"];
    let reply = client.show(&both);
    assert!(reply.starts_with("-ERR CONFIG SET failed"), "{reply}");
    assert_eq!(values(&mut client), ["50", "50"]);

    client.set("redlua.script-time-limit", "50");
    let mut caller = Script.begin(&server, Ours, FOREVER);
    assert_eq!(client.text("LUA.SCRIPT KILL"), "+OK");
    caller.read_frame();
}

#[test]
fn both_names_of_the_threshold_may_be_in_the_configuration_file() {
    let names = ["busy-reply-threshold", "redlua.script-time-limit"];
    let [server_name, own_name] = names;
    let values = |server: &Server| {
        names.map(|name| {
            let reply = server.client().value(&["CONFIG", "GET", name]);
            reply.field(name).and_then(Value::text).expect("a value")
        })
    };
    // The file, then both values.
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "5000"),
        (&[(server_name, "70")], "70"),
        (&[(own_name, "80")], "80"),
        (&[(server_name, "70"), (own_name, "80")], "80"),
        (&[(own_name, "80"), (server_name, "70")], "80"),
    ];
    for (file, value) in cases {
        let mut builder = Server::new();
        for (name, value) in file {
            builder = builder.config(name, value);
        }
        let mut server = builder.start();
        assert_eq!(values(&server), [value; 2], "{file:?}");
        server.client().ok(&["CONFIG", "REWRITE"]);
        server.restart();
        assert_eq!(values(&server), [value; 2], "{file:?}, rewritten");
        for (name, new) in [(server_name, "90"), (own_name, "100"), (server_name, "5000")] {
            server.client().set(name, new);
            server.client().ok(&["CONFIG", "REWRITE"]);
            server.restart();
            assert_eq!(values(&server), [new; 2], "{file:?}, then {name} {new}");
        }
    }
}

// What can be done meanwhile.

/// Commands; `%` stands for what our names have before stock's.
const MEANWHILE: &[&str] = &[
    "PING",
    "GET k",
    "SET k v",
    "DEL k",
    "INFO",
    "TIME",
    "COMMAND COUNT",
    "CONFIG GET hz",
    "CONFIG SET hz 50",
    "CLIENT GETNAME",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1",
    "DEBUG SLEEP 0",
    "DEBUG JMAP",
    "FLUSHALL",
    "BGSAVE",
    "SAVE",
    "SUBSCRIBE c",
    "PUBLISH c m",
    "BLPOP l 0",
    "MODULE LIST",
    "MONITOR",
    "REPLICAOF no one",
    "ACL WHOAMI",
    "NOSUCH",
    "GET",
    "GET k k",
    "%EVAL x 0",
    "%EVAL x",
    "%EVAL_RO x 0",
    "%EVALSHA ffffffffffffffffffffffffffffffffffffffff 0",
    "%SCRIPT EXISTS x",
    "%SCRIPT FLUSH",
    "%SCRIPT LOAD x",
    "%SCRIPT HELP",
    "%SCRIPT NOSUCH",
    "%SCRIPT KILL x",
    "%FCALL f 0",
    "%FCALL_RO f 0",
    "%FUNCTION LIST",
    "%FUNCTION FLUSH",
    "%FUNCTION DELETE busy",
    "%FUNCTION DUMP",
    "%FUNCTION LOAD x",
    "%FUNCTION HELP",
    "%FUNCTION KILL x",
    "%FUNCTION STATS x",
    "AUTH u x",
    "AUTH u",
    "AUTH nosuch x",
    "RESET",
    "QUIT",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "HELLO 9",
    "REPLCONF capa eof",
    "SHUTDOWN",
    "SHUTDOWN SAVE",
    "SHUTDOWN ABORT",
    "SHUTDOWN NOSAVE SAVE",
    "SHUTDOWN nonsense",
];

#[test]
fn commands_meanwhile_answer_as_on_stock() {
    let server = impatient().start();
    let mut client = server.client();
    client.ok(&["ACL", "SETUSER", "u", "on", "nopass", "+@all"]);
    for kind in KINDS {
        let mut allowed = Vec::new();
        let replies = same(&format!("{kind:?}"), |door| {
            let mut caller = kind.begin(&server, door, FOREVER);
            let mut replies = Vec::new();
            allowed.clear();
            for words in MEANWHILE {
                let words = words.replace('%', if door == Ours { "LUA." } else { "" });
                let reply = plain(&server.client().text(&words));
                if !reply.starts_with('-') {
                    allowed.push(plain(&words));
                }
                replies.push(format!("{}: {reply}", plain(&words)));
            }
            let mut modern = server.client();
            let hello = modern.text("HELLO 3");
            assert!(hello.starts_with("%{\"server\": "), "{hello}");
            replies.push(plain(&modern.text("GET k")));
            assert_eq!(client.show(&kind.kill(door)), "+OK");
            caller.read_frame();
            replies
        });
        assert_eq!(replies.len(), MEANWHILE.len() + 1);
        // Which more there are depends on the server.
        for words in
            ["AUTH u x", "RESET", "QUIT", "MULTI", "WATCH k", "UNWATCH", "REPLCONF capa eof"]
        {
            assert!(
                allowed.iter().any(|allowed| allowed == words),
                "{kind:?} {words}: {replies:#?}"
            );
        }
        for words in ["PING", "GET k", "EVAL x 0", "CONFIG GET hz", "CLIENT LIST", "SHUTDOWN"] {
            let busy = format!("{words}: -BUSY ");
            assert!(replies.iter().any(|reply| reply.starts_with(&busy)), "{kind:?} {replies:#?}");
        }
    }
}

/// The reply of `FUNCTION STATS` through `door` as stock would show it, without the time, and the time.
fn stats(client: &mut Client, door: Door) -> (String, Option<i64>) {
    let value = client.value(&[&door.name("FUNCTION"), "STATS"]);
    let running = value.field("running_script").cloned();
    let duration = running.as_ref().and_then(|running| running.field("duration_ms")?.integer());
    let mut shown = plain(&value.to_string());
    if let Some(duration) = duration {
        let time = format!("\"duration_ms\", :{duration}");
        let pair = format!("\"duration_ms\": :{duration}");
        assert!(shown.contains(&time) || shown.contains(&pair), "{shown}");
        shown = shown.replace(&time, "<time>").replace(&pair, "<time>");
    }
    (shown, duration)
}

#[test]
fn function_stats_show_the_function_that_runs_as_on_stock() {
    let server = impatient().start();
    let mut two = server.client();
    let mut three = server.client();
    three.cmd(&["HELLO", "3"]);
    let shown = same("a function that runs", |door| {
        let mut caller = Function.begin(&server, door, FOREVER);
        let (shown_two, first) = stats(&mut two, door);
        let (shown_three, second) = stats(&mut three, door);
        let first = first.expect("a time");
        assert!((30..20_000).contains(&first), "{first} ms");
        assert!(second.is_some_and(|second| second >= first), "{first} ms, then {second:?}");
        wait_until("the time to pass", || {
            stats(&mut two, door).1.is_some_and(|later| later > first + 20)
        });
        assert_eq!(two.show(&Function.kill(door)), "+OK");
        caller.read_frame();
        let after = stats(&mut two, door).0;
        [shown_two, shown_three, after]
    });
    let [two_shown, three_shown, after] = shown;
    let command = "[\"FCALL\", \"f\", \"1\", \"k\", \"a\"]";
    assert!(two_shown.contains(&format!("\"name\", \"f\", \"command\", {command}, <time>")));
    assert!(three_shown.contains(&format!("\"name\": \"f\", \"command\": {command}, <time>")));
    assert!(after.starts_with("[\"running_script\", $-1"), "{after}");
    same("a script that runs", |door| {
        let mut caller = Script.begin(&server, door, FOREVER);
        let shown = plain(&two.text(&format!("{} STATS", door.name("FUNCTION"))));
        assert!(shown.starts_with("-BUSY "), "{shown}");
        assert_eq!(two.show(&Script.kill(door)), "+OK");
        caller.read_frame();
        shown
    });
}

#[test]
fn shutdown_nosave_ends_the_server_at_once() {
    for (kind, body) in [
        (Script, FOREVER.to_owned()),
        (Function, FOREVER.to_owned()),
        // What has written cannot be killed otherwise.
        (Script, format!("redis.call('set', KEYS[1], 1) {FOREVER}")),
    ] {
        let mut server = impatient().start();
        let mut caller = kind.begin(&server, Ours, &body);
        server.client().send(&["SHUTDOWN", "NOSAVE"]);
        let status = server.wait_for_exit();
        assert!(status.success(), "{status}");
        assert!(caller.try_read_frame().is_err());
        assert!(!server.home().join("dump.rdb").exists());
    }
}

#[test]
fn transactions_are_refused_meanwhile_as_on_stock() {
    let server = impatient().start();
    let mut client = server.client();
    // Commands before the run, during it and after it.
    let cases: &[[&[&str]; 3]] = &[
        [&[], &["MULTI", "GET k", "EXEC"], &["GET k"]],
        [&["MULTI"], &["GET k", "EXEC"], &["GET k", "EXEC"]],
        [&["MULTI", "GET k"], &["EXEC"], &["GET k", "EXEC"]],
        [&["MULTI", "GET k"], &[], &["EXEC"]],
        [&["MULTI", "GET k"], &["GET k"], &["EXEC"]],
        [&["MULTI", "GET k"], &["DISCARD", "MULTI"], &["GET k", "EXEC"]],
        [&["MULTI", "GET k"], &["RESET"], &["GET k", "EXEC"]],
        [&["WATCH k", "MULTI", "GET k"], &["DISCARD"], &["EXEC"]],
        [&["WATCH k"], &["UNWATCH", "MULTI"], &["GET k", "EXEC"]],
        [&[], &["WATCH k", "MULTI"], &["GET k", "EXEC"]],
        [&["MULTI", "GET k"], &["MULTI", "WATCH k"], &["EXEC"]],
        [&["MULTI", "GET k"], &["NOSUCH"], &["EXEC"]],
    ];
    client.ok(&["SET", "k", "v"]);
    for kind in KINDS {
        for case in cases {
            let replies = same(&format!("{kind:?} {case:?}"), |door| {
                let mut other = server.client();
                let mut replies = Vec::new();
                let [before, meanwhile, after] = case;
                replies.extend(before.iter().map(|words| other.text(words)));
                let mut caller = kind.begin(&server, door, FOREVER);
                replies.extend(meanwhile.iter().map(|words| plain(&other.text(words))));
                assert_eq!(client.show(&kind.kill(door)), "+OK");
                caller.read_frame();
                replies.extend(after.iter().map(|words| other.text(words)));
                replies
            });
            assert!(replies.iter().all(|reply| !reply.is_empty()));
        }
    }
}

#[test]
fn pipelines_are_answered_in_order() {
    let server = impatient().start();
    let mut client = server.client();
    for kind in KINDS {
        same(&format!("{kind:?}"), |door| {
            // Of the caller: after its run.
            let mut caller = kind.begin(&server, door, FOREVER);
            for number in 0..100 {
                caller.send(&["ECHO", &number.to_string()]);
            }
            // Of others: with the error, up to the kill and after it.
            let kill = kind.kill(door);
            let words: [&[&str]; 6] = [
                &["GET", "a"],
                &["NOSUCH"],
                &[&kill[0], &kill[1]],
                &[&kill[0], &kill[1]],
                &["GET", "b"],
                &["MULTI"],
            ];
            let pipeline = words.map(encoded).concat();
            let mut other = server.client();
            other.send_raw(&pipeline);
            let others: Vec<_> = words.map(|_| plain(&render(&other.read_frame()))).into();
            assert!(others[0].starts_with("-BUSY ") && others[2] == "+OK", "{others:?}");
            let error = render(&caller.read_frame());
            assert!(error.starts_with("-ERR Script killed"), "{error}");
            for number in 0..100 {
                assert_eq!(render(&caller.read_frame()), format!("\"{number}\""));
            }
            assert_eq!(client.text("PING"), "+PONG");
            (error, others)
        });
    }
}

#[test]
fn the_caller_may_leave() {
    let server = impatient().start();
    let mut client = server.client();
    let clients = client.figure("connected_clients");
    for kind in KINDS {
        drop(kind.begin(&server, Ours, FOREVER));
        for _ in 0..5 {
            assert!(client.text("PING").starts_with("-BUSY "));
        }
        assert_eq!(client.show(&kind.kill(Ours)), "+OK");
        wait_until("the end of the run", || client.text("PING") == "+PONG");

        // A run that nobody kills goes on to its end and leaves what it wrote.
        let body = format!("redis.call('set', 'a', 1) {} redis.call('set', 'b', 1)", lasting(200));
        drop(kind.begin(&server, Ours, &body));
        wait_until("the end of the run", || client.text("MGET a b") == "[\"1\", \"1\"]");
        client.ok(&["FLUSHALL"]);
        wait_until("the connections to go", || client.figure("connected_clients") == clients);
    }
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

#[test]
fn clients_come_and_go_meanwhile() {
    let server = impatient().start();
    let mut client = server.client();
    let clients = client.figure("connected_clients");
    for kind in KINDS {
        let mut early: Vec<Client> = (0..50).map(|_| server.client()).collect();
        early.iter_mut().for_each(|client| assert_eq!(client.text("PING"), "+PONG"));
        let mut caller = kind.begin(&server, Ours, FOREVER);
        // Some leave without a word, some with half a word, some with one that is not answered yet.
        early.truncate(25);
        let mut stays = Vec::new();
        for number in 0..200 {
            let mut other = server.client();
            match number % 4 {
                0 => {}
                1 => other.send_raw(b"*2\r\n$3\r\nGE"),
                2 => other.send(&["GET", "k"]),
                _ => {
                    assert!(other.text("PING").starts_with("-BUSY "));
                    stays.push(other);
                }
            }
        }
        assert_eq!(client.show(&kind.kill(Ours)), "+OK");
        caller.read_frame();
        stays.append(&mut early);
        stays.iter_mut().for_each(|client| assert_eq!(client.text("PING"), "+PONG"));
        drop((stays, caller));
        wait_until("the connections to go", || client.figure("connected_clients") == clients);
    }
}

// Which kills are refused.

#[test]
fn there_is_nothing_to_kill_but_while_something_runs() {
    let server = impatient().start();
    let mut client = server.client();
    let mut verdicts = || same("no run", |door| KINDS.map(|kind| client.show(&kind.kill(door))));
    let idle = ["-NOTBUSY No scripts in execution right now."; 2];
    assert_eq!(verdicts(), idle);
    let mut caller = Script.begin(&server, Ours, FOREVER);
    server.client().ok(&Script.kill(Ours));
    caller.read_frame();
    assert_eq!(verdicts(), idle);
}

#[test]
fn what_has_written_is_not_killed() {
    let unkillable = "-UNKILLABLE Sorry the script already executed write commands against the dataset. \
        You can either wait the script termination or kill the server in a hard way using the SHUTDOWN \
        NOSAVE command.";
    for kind in KINDS {
        let other = if kind == Script { Function } else { Script };
        for write in [
            "redis.call('set', KEYS[1], ARGV[1])",
            "redis.pcall('del', 'nothing')",
            "redis.set_repl(redis.REPL_NONE) redis.call('set', KEYS[1], ARGV[1])",
        ] {
            let verdicts = same(&format!("{kind:?} {write}"), |door| {
                let server = impatient().start();
                let mut client = server.client();
                let _caller = kind.begin(&server, door, &format!("{write} {FOREVER}"));
                let verdicts = [other, kind].map(|kind| plain(&client.show(&kind.kill(door))));
                assert!(client.text("PING").starts_with("-BUSY "));
                verdicts
            });
            assert_eq!(verdicts, [unkillable; 2], "{write}");
        }
    }
}

#[test]
fn what_has_not_written_is_killed_whatever_it_called() {
    let server = impatient().start();
    let mut client = server.client();
    for kind in KINDS {
        for call in [
            "redis.pcall('lpush', KEYS[1])",
            "redis.call('publish', 'c', 'm')",
            "redis.call('get', KEYS[1])",
            "redis.pcall('nosuch')",
            "redis.call('select', 1)",
        ] {
            same(&format!("{kind:?} {call}"), |door| {
                let mut caller = kind.begin(&server, door, &format!("{call} {FOREVER}"));
                assert_eq!(client.show(&kind.kill(door)), "+OK", "{call}");
                let error = render(&caller.read_frame());
                assert!(error.starts_with("-ERR Script killed"), "{error}");
                error
            });
        }
    }
}

#[test]
fn each_kill_is_for_its_kind() {
    let server = impatient().start();
    let mut client = server.client();
    for (kind, wrong) in [(Script, Function), (Function, Script)] {
        let verdict = same(&format!("{kind:?}"), |door| {
            let mut caller = kind.begin(&server, door, FOREVER);
            let verdict = plain(&client.show(&wrong.kill(door)));
            assert!(client.text("PING").starts_with("-BUSY "));
            assert_eq!(client.show(&kind.kill(door)), "+OK");
            caller.read_frame();
            verdict
        });
        let expected = format!("You can only call {} KILL or", kind.container());
        assert!(verdict.starts_with("-BUSY ") && verdict.contains(&expected), "{verdict}");
    }
}

#[test]
fn ours_do_not_kill_stocks_nor_stocks_ours() {
    let server = impatient().start();
    let mut client = server.client();
    for kind in KINDS {
        for (door, other) in [(Stock, Ours), (Ours, Stock)] {
            let mut caller = kind.begin(&server, door, FOREVER);
            for any in KINDS {
                let verdict = client.show(&any.kill(other));
                assert_eq!(verdict, "-NOTBUSY No scripts in execution right now.", "{kind:?}");
            }
            if door == Ours {
                let (stats, duration) = stats(&mut client, Stock);
                assert!(stats.contains("\"running_script\", $-1") && duration.is_none(), "{stats}");
            }
            assert_eq!(client.show(&kind.kill(door)), "+OK");
            let error = render(&caller.read_frame());
            assert!(error.starts_with("-ERR Script killed"), "{error}");
        }
    }
}

#[test]
fn who_may_not_kill_does_not() {
    let server = impatient().start();
    let mut admin = server.client();
    for rules in [
        "~* +@all -script|kill -lua.script|kill -function|kill -lua.function|kill",
        "~* +@all -script -lua.script -function -lua.function",
        "~* +get",
        "~* +eval +fcall +lua.eval +lua.fcall",
    ] {
        let mut user = login(&server, &mut admin, rules);
        for kind in KINDS {
            let verdict = same(&format!("{rules} {kind:?}"), |door| {
                let mut caller = kind.begin(&server, door, FOREVER);
                let verdict = plain(&user.show(&kind.kill(door)));
                assert!(admin.text("PING").starts_with("-BUSY "));
                assert_eq!(admin.show(&kind.kill(door)), "+OK");
                caller.read_frame();
                verdict
            });
            assert!(verdict.starts_with("-NOPERM "), "{verdict}");
        }
    }
    // Ours are for those who may use stock's as well.
    let rules = "+script|kill +lua.script|kill +function|kill +lua.function|kill";
    let mut user = login(&server, &mut admin, rules);
    for kind in KINDS {
        let mut caller = kind.begin(&server, Ours, FOREVER);
        assert_eq!(user.show(&kind.kill(Ours)), "+OK");
        caller.read_frame();
    }
}

// Nothing a script does keeps it from being ended.

/// Scripts of one line that never end, and that stock can kill as well.
const ENDLESS: &[&str] = &[
    FOREVER,
    "repeat until false",
    "for i = 1, 1e300 do end",
    "local function f() return f() end return f()",
    "local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end while true do f(100) end",
    "local function f() f() end while true do pcall(f) end",
    "local function f() pcall(f) while true do end end f()",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(error, 'x') end",
    "pcall(function() while true do pcall(function() while true do end end) end end) while true do end",
    "while true do xpcall(function() error('x') end, function(e) error(e) end) end",
    "while true do xpcall(function() while true do end end, function(e) error(e) end) end",
    "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
    "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
    "local co = coroutine.create(function() while true do coroutine.yield() end end) \
     while true do coroutine.resume(co) end",
    "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "while true do pcall(table.sort, {1, 2, 3, 4, 5, 6, 7, 8}, function() return true end) end",
    "while true do local s = ('x'):rep(100) end",
    "while true do local s = '' for i = 1, 100 do s = s .. 'x' end end",
    "local s = ('x'):rep(1000) local a, b = s .. 'a', s .. 'b' while true do local r = a < b end",
    "local t = {} for i = 1, 9 do t[i] = {i, 'x'} end while true do cjson.encode(t) end",
    "local s = '[' .. ('[1],'):rep(9) .. '1]' while true do cjson.decode(s) end",
    "local t = {} for i = 1, 9 do t[i] = {i, 'x'} end while true do cmsgpack.pack(t) end",
    "local s = cmsgpack.pack({1, {2, {3}}}) while true do cmsgpack.unpack(s) end",
    "while true do struct.unpack('>I4', struct.pack('>I4', 7)) end",
    "while true do bit.bor(1, 2) end",
    "while true do redis.call('lrange', 'short', 0, -1) end",
    "while true do redis.pcall('lrange', 'short', 0, -1) end",
    "while true do redis.pcall('nope') end",
    "while true do pcall(redis.call, 'nope') end",
    "while true do local t = redis.call('time') end",
    "while true do redis.sha1hex('x') end",
    "while true do redis.log(redis.LOG_DEBUG, 'x') end",
    "while true do loadstring('return ' .. ('1 + '):rep(9) .. '1') end",
    "while true do tostring(1) tostring({}) unpack({1, 2, 3}) end",
    "while true do next({1}) select('#', 1, 2) math.random() string.format('%s %d', 'x', 1) end",
    "local s = ('x'):rep(100) while true do s:gsub('x', function() return 'y' end) end",
    "('x'):rep(10):gsub('x', function() while true do end end)",
    "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
    "local t = setmetatable({}, {__index = function() return 1 end}) while true do local x = t.x end",
    "local t = setmetatable({}, {__index = function() pcall(function() while true do end end) end}) \
     while true do local x = t.x end",
    "local t = setmetatable({}, {__newindex = function() end}) while true do t.x = 1 end",
    "local m = {__lt = function() return true end} local a, b = setmetatable({}, m), setmetatable({}, m) \
     while a < b do end",
    "local m = {__eq = function() return true end} local a, b = setmetatable({}, m), setmetatable({}, m) \
     while a == b do end",
    "local m = {__concat = function() return 1 end} local a = setmetatable({}, m) \
     while true do local x = a .. a end",
    "local a = setmetatable({}, {__call = function() return true end}) while a() do end",
    "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "while true do cjson.encode(setmetatable({}, {__index = function() return 1 end})) end",
    "for _ in function() return 1 end do end",
    "for _ in function() while true do end end do end",
    "while true do for k, v in pairs(redis) do end end",
];

/// Scripts of one line that escape a kill on stock: it hangs in them, or they go on after it.
pub const ESCAPES: &[&str] = &[
    "xpcall(function() while true do end end, function() while true do end end) while true do end",
    "xpcall(function() error('x') end, function() while true do end end)",
    "pcall(function() while true do end end) redis.call('set', 'went-on', 1)",
    "pcall(pcall, function() while true do end end) redis.call('set', 'went-on', 1)",
    "xpcall(function() while true do end end, function() redis.call('set', 'went-on', 1) end)",
    "xpcall(function() while true do end end, error) redis.call('set', 'went-on', 1)",
    "local ok, e = pcall(function() while true do end end) return {ok, tostring(e)}",
    "coroutine.resume(coroutine.create(function() while true do end end)) redis.call('set', 'went-on', 1)",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "while true do local c = coroutine.create c = c(function() coroutine.resume(coroutine.create(function() \
     while true do end end)) end) coroutine.resume(c) end",
    "local function f() pcall(coroutine.wrap(f)) while true do end end f()",
];

/// Scripts of one line that never end or take hours, and in which a step takes so long that stock hangs.
const LONG_STEPS: &[&str] = &[
    "return string.find(('a'):rep(40), ('a*'):rep(20) .. 'b')",
    "return string.match(('a'):rep(3000), '.-.-.-.-b')",
    "return (('a'):rep(3000):gsub('.-.-.-b', ''))",
    "for _ in ('a'):rep(3000):gmatch('.-.-.-.-b') do end",
    "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-b') end",
    "local s = ('x'):rep(1e6) while true do local t = s .. s end",
    "local s = ('x'):rep(1e6) while true do s:rep(10) end",
    "local s = ('x'):rep(1e6) while true do s:gsub('x', 'yy') end",
    "local s = ('x'):rep(1e6) while true do s:reverse():upper():lower() end",
    "local s = ('\"'):rep(1e5) while true do string.format('%q%s', s, s) end",
    "local s = ('x'):rep(1e7) local a, b = s .. 'a', s .. 'b' while true do local r = a < b end",
    "local s = ('x'):rep(1e6) while true do redis.sha1hex(s) end",
    "local t = {} for i = 1, 1e5 do t[i] = 'x' end while true do table.concat(t, ',') end",
    "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.insert(t, 1, 1) table.remove(t, 1) end",
    "local t = {} for i = 1, 1e6 do t[i] = (i * 7919) % 1000003 end while true do table.sort(t) end",
    "local t = {} for i = 1, 1e6 do t[i] = (i * 7919) % 1000003 end \
     table.sort(t, function(a, b) return tostring(a) < tostring(b) end) while true do end",
    "local t = {} for i = 1, 2e5 do t[i] = {} end while true do collectgarbage() end",
    "local t = {} for i = 1, 2e4 do t[i] = {i, 'x'} end while true do cjson.encode(t) end",
    "local s = '[' .. ('[1],'):rep(2e4) .. '1]' while true do cjson.decode(s) end",
    "local t = {} for i = 1, 2e4 do t[i] = {i, 'x'} end while true do cmsgpack.unpack(cmsgpack.pack(t)) end",
    "local t = {} for i = 1, 200 do t[i] = i end while true do struct.pack(('I4'):rep(200), unpack(t)) end",
    "while true do loadstring('return {' .. ('{1},'):rep(5e4) .. '}') end",
    "while true do redis.call('lrange', 'long', 0, -1) end",
    "while true do redis.call('lrange', 'middling', 0, -1) end",
    "while true do redis.pcall('lrange', 'middling', 0, -1) end",
    "while true do redis.pcall('lrange', 'long', 0, -1) end",
    "while true do redis.call('keys', '*') redis.setresp(3) redis.call('hgetall', 'nothing') end",
    "local begin = redis.call('time')[1] repeat until redis.call('time')[1] - begin > 3600",
];

/// A server on which scripts are killed one after another, and what the first error was.
struct Gallows {
    server: Server,
    client: Client,
    environment: String,
    error: String,
}

impl Gallows {
    fn new() -> Self {
        let server = impatient().config("busy-reply-threshold", "15").start();
        let mut client = server.client();
        client.cmd(&["RPUSH", "short", "a", "b", "c"]);
        let fill = "local t = {} for i = 1, 5000 do t[i] = i end \
                    for i = 1, 4 do redis.call('rpush', 'long', unpack(t)) end";
        client.lua(fill);
        client.lua("for i = 1, 1100 do redis.call('rpush', 'middling', i) end");
        let environment = describe(&mut client);
        let mut gallows = Self { server, client, environment, error: String::new() };
        gallows.error = gallows.kill(Script, Ours, FOREVER);
        gallows
    }

    /// Runs something without end, kills it, and returns its error.
    fn kill(&mut self, kind: Kind, door: Door, body: &str) -> String {
        let mut caller = kind.begin(&self.server, door, body);
        assert_eq!(self.client.show(&kind.kill(door)), "+OK", "{body}");
        render(&caller.read_frame())
    }

    /// Looks whether a run that was killed left anything behind.
    fn inspect(&mut self, body: &str) {
        assert_eq!(describe(&mut self.client), self.environment, "{body}");
        assert_eq!(self.client.figure("redlua_rebuilt_vms"), 0, "{body}");
        assert_eq!(self.client.text("EXISTS went-on"), ":0", "{body}");
    }

    /// The error of a script that was killed in its first line.
    fn expected(&mut self, script: &str) -> String {
        let mut digest = |script: &str| {
            let digest = self.client.value(&["LUA.SCRIPT", "LOAD", script]).text();
            digest.expect("a digest")
        };
        let [first, this] = [FOREVER, script].map(&mut digest);
        self.error.replace(&first, &this)
    }
}

#[test]
fn endless_scripts_die_with_stocks_error() {
    let mut gallows = Gallows::new();
    for script in ENDLESS {
        let error = same(script, |door| gallows.kill(Script, door, script));
        assert_eq!(error, gallows.expected(script), "{script}");
        gallows.inspect(script);
    }
}

#[test]
fn scripts_that_escape_on_stock_die() {
    let mut gallows = Gallows::new();
    for script in ESCAPES {
        let error = gallows.kill(Script, Ours, script);
        assert_eq!(error, gallows.expected(script), "{script}");
        gallows.inspect(script);
    }
}

#[test]
fn scripts_of_long_steps_die() {
    let mut gallows = Gallows::new();
    for script in LONG_STEPS {
        let error = gallows.kill(Script, Ours, script);
        assert_eq!(error, gallows.expected(script), "{script}");
        gallows.inspect(script);
    }
}

#[test]
fn endless_functions_die() {
    let mut gallows = Gallows::new();
    let stocks = same("the error", |door| gallows.kill(Function, door, FOREVER));
    for body in ENDLESS.iter().chain(ESCAPES) {
        assert_eq!(gallows.kill(Function, Ours, body), stocks, "{body}");
        gallows.inspect(body);
    }
}

#[test]
fn a_clock_is_no_refuge() {
    let mut gallows = Gallows::new();
    for script in [
        "while true do os.clock() end",
        "local begin = os.clock() while os.clock() - begin < 3600 do end",
    ] {
        let error = gallows.kill(Script, Ours, script);
        assert_eq!(error, gallows.expected(script), "{script}");
        gallows.inspect(script);
    }
}

#[test]
fn the_error_says_in_which_line_the_run_was() {
    let server = impatient().start();
    let mut client = server.client();
    for (body, line) in
        [("\n\nwhile true do\nend", 3), ("local function f() while true do end end\n\nf()", 1)]
    {
        let error = same(body, |door| {
            let mut caller = Script.begin(&server, door, body);
            assert_eq!(client.show(&Script.kill(door)), "+OK");
            render(&caller.read_frame())
        });
        assert!(error.ends_with(&format!("on @user_script:{line}.")), "{error}");
    }
}

#[test]
fn a_coroutine_of_a_killed_library_does_not_live_on() {
    let server = impatient().start();
    let mut client = server.client();
    let code = "#!lua name=keeps\nlocal kept, stuck\n\
        redis.register_function('begin', function()\n\
            kept = coroutine.create(function() while true do coroutine.yield(1) end end)\n\
            stuck = coroutine.create(function() while true do end end)\n\
            return select(2, coroutine.resume(kept)) end)\n\
        redis.register_function('next', function() return select(2, coroutine.resume(kept)) end)\n\
        redis.register_function('stick', function() coroutine.resume(stuck) end)\n\
        redis.register_function('status', function()\n\
            return {coroutine.status(kept), coroutine.status(stuck)} end)";
    assert_eq!(client.show(&["LUA.FUNCTION", "LOAD", code]), "\"keeps\"");
    assert_eq!(client.text("LUA.FCALL begin 0"), ":1");
    let mut caller = server.client();
    caller.send(&["LUA.FCALL", "stick", "0"]);
    wait_until_busy(&mut client);
    assert_eq!(client.text("LUA.FUNCTION KILL"), "+OK");
    assert!(render(&caller.read_frame()).starts_with("-ERR Script killed"));
    // The one that was not running goes on, the one that was is dead.
    assert_eq!(client.text("LUA.FCALL next 0"), ":1");
    assert_eq!(client.text("LUA.FCALL status 0"), "[\"suspended\", \"dead\"]");
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

// Where nobody can be let in.

/// What a transaction that holds runs may meet: other clients, who wait.
fn knock(server: &Server) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&["PING"]);
        client.send(&["LUA.SCRIPT", "KILL"]);
        if number % 2 == 0 {
            client.send(&["LUA.EVAL", "return 1", "0"]);
        }
    }
    clients
}

fn is_done(clients: Vec<Client>) {
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(render(&client.read_frame()), "+PONG");
        assert!(render(&client.read_frame()).starts_with("-NOTBUSY "));
        if number % 2 == 0 {
            assert_eq!(render(&client.read_frame()), ":1");
        }
    }
}

#[test]
fn clients_wait_for_a_transaction_with_a_slow_run() {
    let server = impatient().start();
    let mut client = server.client();
    let body = format!("{} return 'done'", lasting(200));
    for kind in KINDS {
        let run = kind.prepare(&mut client, Ours, &body);
        let from = server.log().len();
        let mut caller = server.client();
        caller.ok(&["MULTI"]);
        assert_eq!(caller.text("SET before 1"), "+QUEUED");
        for _ in 0..2 {
            assert_eq!(caller.show(&run), "+QUEUED");
        }
        assert_eq!(caller.text("SET after 1"), "+QUEUED");
        let sent = Instant::now();
        caller.send(&["EXEC"]);
        let waiting = knock(&server);
        let reply = render(&caller.read_frame());
        assert_eq!(reply, "[+OK, \"done\", \"done\", +OK]");
        assert!(sent.elapsed() > Duration::from_millis(400));
        is_done(waiting);
        assert_eq!(client.text("MGET before after"), "[\"1\", \"1\"]");
        let said = said_of_scripts(&server, from);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|line| line.starts_with("# Slow script detected: ")), "{said:?}");
    }
}

#[test]
fn a_limit_ends_what_nobody_can_kill() {
    let server = impatient()
        .config("redlua.exec-time-limit", "150")
        .config("redlua.error-traceback", "no")
        .start();
    let mut client = server.client();
    for kind in KINDS {
        let run = kind.prepare(&mut client, Ours, FOREVER);
        let from = server.log().len();
        let mut caller = server.client();
        caller.ok(&["MULTI"]);
        assert_eq!(caller.text("SET before 1"), "+QUEUED");
        assert_eq!(caller.show(&run), "+QUEUED");
        assert_eq!(caller.text("SET after 1"), "+QUEUED");
        assert_eq!(caller.show(&run), "+QUEUED");
        caller.send(&["EXEC"]);
        let waiting = knock(&server);
        let reply = caller.read_frame();
        let replies = Value::parse(&reply).expect("a reply");
        let replies = replies.elements().expect("an array");
        assert_eq!(replies[0], Value::Status(b"OK".to_vec()));
        assert_eq!(replies[2], Value::Status(b"OK".to_vec()));
        let killed =
            "ERR Script killed: it ran longer than exec-time-limit, which is 150 milliseconds";
        for reply in [&replies[1], &replies[3]] {
            let error = reply.error().expect("an error");
            assert!(error.starts_with(&format!("{killed} script: ")), "{error}");
        }
        is_done(waiting);
        assert_eq!(client.text("MGET before after"), "[\"1\", \"1\"]");
        assert_eq!(server.log()[from..].matches("Slow script detected").count(), 2);
        let said = said_of_scripts(&server, from);
        assert_eq!(
            said.iter().filter(|line| line.contains("Script killed: ")).count(),
            2,
            "{said:?}"
        );
        assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
        client.ok(&["FLUSHALL"]);

        // The same outside a transaction is not ended by that limit.
        let body = format!("{} return 'done'", lasting(300));
        let run = kind.prepare(&mut client, Ours, &body);
        assert_eq!(client.show(&run), "\"done\"");
        // Nor is what has written, in one.
        let body = format!("redis.call('set', KEYS[1], ARGV[1]) {body}");
        let run = kind.prepare(&mut client, Ours, &body);
        client.ok(&["MULTI"]);
        assert_eq!(client.show(&run), "+QUEUED");
        assert_eq!(client.text("EXEC"), "[\"done\"]");
        // Nor anything with the limit off.
        client.set("redlua.exec-time-limit", "0");
        let run = kind.prepare(&mut client, Ours, &format!("{} return 'done'", lasting(300)));
        client.ok(&["MULTI"]);
        assert_eq!(client.show(&run), "+QUEUED");
        assert_eq!(client.text("EXEC"), "[\"done\"]");
        client.set("redlua.exec-time-limit", "150");
    }
}

#[test]
fn nothing_of_ours_runs_below_a_script_of_stock() {
    let server = impatient().start();
    let mut client = server.client();
    Function.prepare(&mut client, Ours, "return 1");
    for call in [
        "'lua.eval', 'return 1', 0",
        "'lua.eval_ro', 'return 1', 0",
        "'lua.evalsha', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', 0",
        "'lua.fcall', 'f', 0",
        "'lua.fcall_ro', 'f', 0",
        "'lua.script', 'kill'",
        "'lua.function', 'kill'",
        "'lua.function', 'stats'",
    ] {
        for door in [Stock, Ours] {
            let reply = client.eval(door, &format!("return redis.call({call})"), &[], &[]);
            assert!(reply.contains("command is not allowed from script"), "{call}: {reply}");
        }
    }
}

#[test]
fn libraries_in_a_file_may_take_their_time() {
    let mut server = impatient().appendonly().config("redlua.max-run-time", "20").start();
    let mut client = server.client();
    let code = "#!lua name=slow\nfor i = 1, 1e0 do end\nredis.register_function('f', function() return 1 end)";
    assert_eq!(client.show(&["LUA.FUNCTION", "LOAD", code]), "\"slow\"");
    client.ok(&["SET", "k", "v"]);
    server.kill();
    // A file of before, with the same library on a slower machine.
    let path = crate::stream::aof_path(&server);
    let file = fs::read(&path).expect("the file");
    let at = file.windows(3).position(|word| word == b"1e0").expect("the library");
    let mut file = file;
    file[at..at + 3].copy_from_slice(b"4e8");
    fs::write(&path, file).expect("the file");
    let begin = Instant::now();
    server.restart();
    assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
    let mut client = server.client();
    assert_eq!(client.text("LUA.FCALL f 0"), ":1");
    assert_eq!(client.text("GET k"), "\"v\"");
    assert!(!server.log().contains("Slow script detected"));
}

// Replicas.

/// A master that is heard of every second, and a replica that calls runs slow soon.
fn pair() -> (Server, Server) {
    let master = Server::new().tcp().config("repl-ping-replica-period", "1").start();
    let replica = impatient().replica_of(&master).start();
    let mut client = replica.client();
    wait_until("the link", || client.info("master_link_status") == "up");
    (master, replica)
}

#[test]
fn a_replica_catches_up_after_a_run_is_killed() {
    let (master, replica) = pair();
    let mut client = master.client();
    let mut other = replica.client();
    // A function that may write does not run on a replica.
    let code = format!(
        "#!lua name=reads\nredis.register_function{{function_name='f', flags={{'no-writes'}}, \
         callback=function() {FOREVER} end}}"
    );
    assert_eq!(client.show(&["LUA.FUNCTION", "LOAD", &code]), "\"reads\"");
    wait_until("the library", || other.text("LUA.FUNCTION LIST") != "[]");
    let mut times = Vec::new();
    for (kind, command) in [
        (Script, ["LUA.EVAL", FOREVER, "0"]),
        (Script, ["LUA.EVAL_RO", FOREVER, "0"]),
        (Function, ["LUA.FCALL", "f", "0"]),
        (Function, ["LUA.FCALL_RO", "f", "0"]),
    ] {
        let [name, ..] = command;
        let mut caller = replica.client();
        caller.send(&command);
        wait_until_busy(&mut other);
        for number in 0..500 {
            client.ok(&["SET", &format!("{name}:{number}"), "v"]);
        }
        client.ok(&["SET", "last", name]);
        for _ in 0..5 {
            assert!(other.text("GET last").starts_with("-BUSY "));
        }
        assert_eq!(other.show(&kind.kill(Ours)), "+OK");
        let killed = Instant::now();
        assert!(render(&caller.read_frame()).starts_with("-ERR Script killed by user"));
        let last = format!("\"{name}\"");
        wait_until("the master's writes", || other.text("GET last") == last);
        times.push(killed.elapsed());
        assert_eq!(client.digest(), other.digest());
    }
    println!("a replica caught up after {times:?}");
    assert_eq!(other.figure("redlua_rebuilt_vms"), 0);
    assert_eq!(client.figure("sync_full"), 1);
}

#[test]
fn a_master_that_comes_during_a_run_is_followed_in_the_end() {
    let master = Server::new().tcp().start();
    let mut client = master.client();
    for number in 0..1000 {
        client.ok(&["SET", &format!("of the master {number}"), "v"]);
    }
    let code =
        "#!lua name=masters\nredis.register_function('m', function() return 'of the master' end)";
    assert_eq!(client.show(&["LUA.FUNCTION", "LOAD", code]), "\"masters\"");
    let writing =
        format!("redis.call('set', KEYS[1], 1) {} return redis.call('set', 'b', 1)", lasting(500));
    for (kind, body) in [
        (Script, FOREVER),
        (Function, FOREVER),
        (Script, &writing),
        (Function, &writing),
        (Script, "while true do pcall(redis.call, 'keys', '*') end"),
    ] {
        let server = impatient().config("replica-read-only", "no").start();
        let mut other = server.client();
        other.ok(&["SET", "own", "v"]);
        let run = kind.prepare(&mut other, Ours, body);
        let mut caller = server.client();
        // The link is begun before the run and comes to life in it.
        let port = master.port().to_string();
        let link = ["REPLICAOF", "127.0.0.1", &port].map(|word| word.as_bytes().to_vec());
        caller.send_raw(&[encoded(&link), encoded(&run)].concat());
        wait_until_busy(&mut other);
        server.wait_for_log("Trying a partial resynchronization");
        for _ in 0..20 {
            other.text("PING");
        }
        // Servers with a known hole load the data now; the run ends for that, whatever it did.
        let is_loaded = server.log().contains("Loading DB in memory");
        let end = if is_loaded {
            "-ERR Script killed: the master sent a new dataset"
        } else if body == writing {
            "+OK"
        } else {
            assert_eq!(other.show(&kind.kill(Ours)), "+OK", "{body}");
            "-ERR Script killed by user with "
        };
        assert_eq!(render(&caller.read_frame()), "+OK");
        let reply = render(&caller.read_frame());
        assert!(reply.starts_with(end), "{body}: {reply}");
        wait_until("the link", || other.info("master_link_status") == "up");
        assert_eq!(client.digest(), other.digest(), "{body}");
        assert_eq!(other.text("LUA.FUNCTION LIST"), client.text("LUA.FUNCTION LIST"));
        assert_eq!(other.text("LUA.FCALL m 0"), "\"of the master\"");
        assert_eq!(other.figure("redlua_rebuilt_vms"), 0);
    }
}

// The data meanwhile.

#[test]
fn nothing_of_others_gets_into_a_run() {
    let server = impatient().start();
    let mut client = server.client();
    let body = "redis.call('set', 'count', 0) local before = redis.call('dbsize') \
        <wait> return {redis.call('get', 'count'), redis.call('dbsize') - before}"
        .replace("<wait>", &lasting(800));
    for kind in KINDS {
        let mut caller = kind.begin(&server, Ours, &body);
        for words in
            ["INCR count", "SET of-others v", "FLUSHALL", "LUA.EVAL redis.call('incr','count') 0"]
        {
            let reply = client.text(words);
            assert!(reply.starts_with("-BUSY "), "{words}: {reply}");
        }
        assert_eq!(render(&caller.read_frame()), "[\"0\", :0]");
        assert_eq!(client.text("MGET count of-others"), "[\"0\", $-1]");
    }
}

#[test]
fn a_key_that_expires_meanwhile_does_so_for_everybody_alike() {
    let mut watched = Watched::of(impatient());
    let is_redis_70 = watched.client.info("redis_version").starts_with("7.0.");
    let body = "redis.call('set', KEYS[1], 'v', 'PX', 100) <wait> \
        return redis.call('set', 'l', redis.call('exists', KEYS[1]))"
        .replace("<wait>", &lasting(300));
    for kind in KINDS {
        let mut effects = |door| {
            watched.client.ok(&["FLUSHALL"]);
            let run = kind.prepare(&mut watched.client, door, &body);
            watched.effects();
            assert_eq!(watched.client.show(&run), "+OK");
            wait_until("the end of the key", || watched.client.text("EXISTS k") == ":0");
            let (file, stream) = watched.effects();
            assert_eq!(file, stream);
            // Servers differ in the letter case and in how they delete.
            let without_time = |command: &String| {
                let command = command.split(" PXAT ").next().unwrap_or_default();
                command.to_lowercase().replace("unlink", "del")
            };
            file.iter().map(without_time).collect::<Vec<_>>()
        };
        let outside = ["multi", "set k v", "set l 1", "exec", "del k"];
        if is_redis_70 {
            // It lets time pass for a module that lets others in. What the run saw is what the replicas see.
            assert_eq!(effects(Stock), outside);
            assert_eq!(effects(Ours), ["multi", "set k v", "del k", "set l 0", "exec"]);
        } else {
            assert_eq!(same(&format!("{kind:?}"), effects), outside);
        }
    }
}

#[test]
fn children_that_save_go_on_during_a_run() {
    let mut server = impatient().appendonly().config("rdb-key-save-delay", "1000").start();
    let mut client = server.client();
    for number in 0..300 {
        client.ok(&["SET", &format!("k{number}"), "v"]);
    }
    let digest = client.digest();
    for (command, running, status) in [
        ("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
        ("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
    ] {
        for kind in KINDS {
            wait_until("no other child", || {
                client.info("rdb_bgsave_in_progress") == "0"
                    && client.info("aof_rewrite_in_progress") == "0"
            });
            client.cmd(&[command]);
            assert_eq!(client.info(running), "1", "{command}");
            let mut caller = kind.begin(&server, Ours, FOREVER);
            assert!(client.text(command).starts_with("-BUSY "));
            // The child ends during the run, and is looked after when that is over.
            let begin = Instant::now();
            wait_until("the end of the child", || begin.elapsed() > Duration::from_millis(400));
            assert_eq!(client.show(&kind.kill(Ours)), "+OK");
            caller.read_frame();
            wait_until("the end of the child", || client.info(running) == "0");
            assert_eq!(client.info(status), "ok", "{command}");
            assert_eq!(client.digest(), digest);
        }
    }
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    server.kill();
    server.restart();
    assert_eq!(server.client().digest(), digest);
}

// How soon.

#[test]
fn a_kill_takes_effect_within_a_tenth_of_a_second() {
    let server = Server::new().config("busy-reply-threshold", "30").config("hz", "10").start();
    let mut client = server.client();
    let mut times: Vec<Duration> = (0..30)
        .map(|round: u64| {
            let mut caller = Script.begin(&server, Ours, FOREVER);
            // The answer that others got came at a moment when they were let in: the kill comes at another.
            let pause = Duration::from_micros(round * 3_300);
            let begin = Instant::now();
            wait_until("another moment", || begin.elapsed() >= pause);
            let sent = Instant::now();
            assert_eq!(client.text("LUA.SCRIPT KILL"), "+OK");
            assert!(render(&caller.read_frame()).starts_with("-ERR Script killed"));
            sent.elapsed()
        })
        .collect();
    times.sort();
    println!("a kill took {:?} in the median, {:?} at most", times[15], times[29]);
    // One in ten is for a machine that has other things to do.
    assert!(times[26] < Duration::from_millis(300), "{times:?}");
}

/// How long a client waits for an answer while others run scripts without a pause: in the mean and at most.
fn waiting_times(server: &Server, door: Door) -> [Duration; 2] {
    let body = "local n = 0 for i = 1, 100 do n = n + i end return n";
    let storm = encoded(&request(&door.name("EVAL"), body, &[] as &[&str], &[])).repeat(2_000);
    let is_over = AtomicBool::new(false);
    let mut client = server.client();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let mut caller = server.client();
                let storm = &storm;
                scope.spawn(move || {
                    caller.send_raw(storm);
                    for _ in 0..2_000 {
                        assert_eq!(caller.read_frame(), b":5050\r\n");
                    }
                })
            })
            .collect();
        let is_over = &is_over;
        let pings = scope.spawn(move || {
            let (mut total, mut slowest, mut count) = (Duration::ZERO, Duration::ZERO, 0);
            while !is_over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                assert_eq!(client.text("PING"), "+PONG");
                let time = sent.elapsed();
                total += time;
                slowest = slowest.max(time);
                count += 1;
            }
            [total / count.max(1), slowest]
        });
        for caller in callers {
            caller.join().expect("all replies");
        }
        is_over.store(true, Ordering::Relaxed);
        pings.join().expect("answers")
    })
}

#[test]
fn a_storm_of_short_scripts_lets_others_in_as_stock_does() {
    let server = Server::new().start();
    let stocks = waiting_times(&server, Stock);
    let ours = waiting_times(&server, Ours);
    println!("an answer in a storm took {ours:?} in the mean and at most, on stock {stocks:?}");
    assert!(
        ours[0] < 10 * stocks[0].max(Duration::from_millis(10)),
        "{ours:?}, on stock {stocks:?}"
    );
    assert_eq!(server.client().figure("redlua_runs"), 40_000);
}
