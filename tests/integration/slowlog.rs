//! The log of slow runs.

use crate::doors::Scripts;
use crate::support::{Client, Server, ServerBuilder, Value};

/// A server that logs every run.
fn watchful() -> ServerBuilder {
    Server::new().config("redlua.slowlog-log-slower-than", "0")
}

fn entries(client: &mut Client) -> Vec<Vec<Value>> {
    let log = client.value(&["LUA.SLOWLOG", "GET", "-1"]);
    let entries = log.elements().unwrap_or_else(|| panic!("no list: {log}")).iter();
    entries.map(|entry| entry.elements().expect("an entry").to_vec()).collect()
}

fn words(value: &Value) -> Vec<String> {
    value.elements().expect("a list").iter().map(|word| word.text().expect("text")).collect()
}

/// The last run.
fn last(client: &mut Client) -> Vec<Value> {
    entries(client).into_iter().next().expect("an entry")
}

/// Keeps the processor busy for so many milliseconds, in one call where it can.
const BUSY: &str = "local t = os.clock() repeat until os.clock() - t > 0.02";

#[test]
fn only_slow_runs_are_logged() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 1");
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":0");
    client.lua(BUSY);
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":1");
    let entry = last(&mut client);
    assert!(entry[2].integer().unwrap() >= 20_000, "{}", entry[2]);
    assert_eq!(entry.len(), 8);
    client.set("redlua.slowlog-log-slower-than", "-1");
    client.lua(BUSY);
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":1");
    client.set("redlua.slowlog-log-slower-than", "0");
    client.lua("return 1");
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":2");
    client.set("redlua.slowlog-log-slower-than", "100000000");
    client.lua(BUSY);
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":2");
    assert!(client.text("CONFIG SET redlua.slowlog-log-slower-than -2").starts_with("-ERR "));
}

#[test]
fn entries_are_those_of_stock_and_tell_what_ran() {
    let server = watchful().tcp().start();
    let mut client = server.client();
    client.ok(&["CLIENT", "SETNAME", "some-client"]);
    client.set("slowlog-log-slower-than", "0");
    client.show(&["LUA.EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "key", "value"]);
    let ours = last(&mut client);
    // The server logged the same command, with the same caller.
    let stock = client.value(&["SLOWLOG", "GET", "-1"]);
    let mut stock = stock.elements().unwrap().iter().map(|entry| entry.elements().unwrap());
    let stock = stock.rfind(|entry| words(&entry[3])[0] == "LUA.EVAL").expect("an entry");
    assert_eq!(ours[0], Value::Integer(0));
    let times = [&ours[1], &stock[1]].map(|time| time.integer().unwrap());
    assert!(times[0].abs_diff(times[1]) <= 1, "{times:?}");
    assert_eq!((&ours[3], &ours[5]), (&stock[3], &stock[5]), "command and name");
    // Valkey 9.1 puts the address of a socket in brackets, with a second port.
    let address = |entry: &[Value]| entry[4].text().expect("an address");
    let plain = address(stock).replace(['[', ']'], "").replace(":0:0", ":0");
    assert_eq!(address(&ours), plain);
    let digest = ours[6].text().unwrap();
    assert_eq!(client.text(&format!("LUA.SCRIPT EXISTS {digest}")), "[:1]");
    let inner = ours[7].elements().unwrap();
    assert_eq!(inner.len(), 1);
    let call = inner[0].elements().unwrap();
    assert!(call[0].integer().unwrap() <= ours[2].integer().unwrap());
    assert_eq!(words(&call[1]), ["SET", "key", "value"]);

    // Names of scripts and functions, and a client by TCP.
    let port = server.port();
    let script = "local socket = ...; return 1";
    client.show(&["LUA.SCRIPT", "LOAD", script, "NAME", "named"]);
    client.show(&["LUA.EVAL", script, "0"]);
    assert_eq!(last(&mut client)[6].text().as_deref(), Some("named"));
    client.show(&[
        "LUA.FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('func', function() return redis.call('PING') end)",
    ]);
    client.text("LUA.FCALL FUNC 0");
    let entry = last(&mut client);
    assert_eq!(entry[6].text().as_deref(), Some("func"));
    assert_eq!(words(&entry[3]), ["LUA.FCALL", "FUNC", "0"]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let address = stream.local_addr().unwrap().to_string();
    std::io::Write::write_all(&mut stream, b"LUA.EVAL 'return 7' 0\r\n").unwrap();
    let mut reply = [0; 4];
    std::io::Read::read_exact(&mut stream, &mut reply).unwrap();
    assert_eq!(&reply, b":7\r\n");
    let entry = last(&mut client);
    assert_eq!((entry[4].text(), entry[5].text()), (Some(address), Some(String::new())));
}

#[test]
fn the_slowest_commands_come_first() {
    let server = watchful().start();
    let mut client = server.client();
    client.lua("for i = 1, 20000 do redis.call('RPUSH', 'list', i) end");
    client.lua("redis.call('LRANGE', 'list', 0, -1) for i = 1, 50 do redis.call('PING', i) end redis.call('SORT', 'list')");
    let entry = last(&mut client);
    let inner: Vec<(i64, Vec<String>)> = entry[7]
        .elements()
        .unwrap()
        .iter()
        .map(|call| call.elements().unwrap())
        .map(|call| (call[0].integer().unwrap(), words(&call[1])))
        .collect();
    assert_eq!(inner.len(), 5);
    assert!(inner.is_sorted_by(|one, other| one.0 >= other.0), "{inner:?}");
    // The others may be any: a machine with more to do makes them slow.
    for name in ["SORT", "LRANGE"] {
        assert!(inner.iter().any(|call| call.1[0] == name), "{inner:?}");
    }
    let sum: i64 = inner.iter().map(|call| call.0).sum();
    assert!(sum <= entry[2].integer().unwrap(), "{inner:?}");
    // A command that is refused took no time; one that fails did.
    client.lua("redis.pcall('nosuch') redis.pcall('INCR', 'list') return 1");
    let entry = last(&mut client);
    let inner = entry[7].elements().unwrap();
    assert_eq!(inner.len(), 1);
    assert_eq!(words(&inner[0].elements().unwrap()[1]), ["INCR", "list"]);
}

#[test]
fn arguments_are_trimmed_as_on_stock() {
    let server = watchful().start();
    let mut client = server.client();
    client.set("slowlog-log-slower-than", "0");
    let long = "x".repeat(1000);
    let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for count in [27, 28, 29, 30, 100] {
        let mut argv = vec!["LUA.EVAL", "return redis.call('MSET', unpack(ARGV))", "0", "k", &long];
        argv.extend(many[..count - count % 2].iter().map(String::as_str));
        client.cmd(&argv);
        let ours = last(&mut client);
        let stock = client.value(&["SLOWLOG", "GET", "-1"]);
        let mut stock = stock.elements().unwrap().iter().map(|entry| entry.elements().unwrap());
        let stock = stock.find(|entry| words(&entry[3])[0] == "LUA.EVAL").unwrap();
        assert_eq!(ours[3], stock[3]);
        let inner = &ours[7].elements().unwrap()[0];
        let inner = words(&inner.elements().unwrap()[1]);
        assert_eq!(inner[2], format!("{}... (872 more bytes)", "x".repeat(128)));
        assert!(inner.len() <= 32);
    }
}

#[test]
fn a_number_says_how_many_are_shown() {
    let server = watchful().start();
    let mut client = server.client();
    for number in 0..20 {
        client.lua(&format!("return {number}"));
    }
    let shown = |client: &mut Client, words: &str| {
        client
            .value(&format!("LUA.SLOWLOG GET {words}").split_whitespace().collect::<Vec<_>>())
            .elements()
            .unwrap()
            .len()
    };
    for (words, count) in [("", 10), ("3", 3), ("0", 0), ("-1", 20), ("20", 20), ("1000", 20)] {
        assert_eq!(shown(&mut client, words), count, "{words}");
    }
    for count in ["-2", "x", "", "1.0", " 1", "99999999999999999999"] {
        let ours = client.show(&["LUA.SLOWLOG", "GET", count]);
        assert_eq!(ours, client.show(&["SLOWLOG", "GET", count]), "{count}");
        assert!(ours.starts_with('-'));
    }
    assert!(
        client.text("LUA.SLOWLOG GET 1 2").starts_with("-ERR unknown subcommand or wrong number")
    );
    assert!(client.text("LUA.SLOWLOG LEN 1").starts_with("-ERR wrong number of arguments"));
    assert!(client.text("LUA.SLOWLOG NOPE").starts_with("-ERR unknown subcommand"));
    let help = client.value(&["LUA.SLOWLOG", "HELP"]);
    assert!(words(&help)[0].starts_with("LUA.SLOWLOG <subcommand>"));
}

#[test]
fn the_log_is_as_long_as_it_may_be() {
    let server = watchful().config("redlua.slowlog-max-len", "5").start();
    let mut client = server.client();
    for number in 0..20 {
        client.lua(&format!("return {number}"));
    }
    let ids = |client: &mut Client| -> Vec<i64> {
        entries(client).iter().map(|entry| entry[0].integer().unwrap()).collect()
    };
    assert_eq!(ids(&mut client), [19, 18, 17, 16, 15]);
    client.set("redlua.slowlog-max-len", "2");
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":2");
    client.set("redlua.slowlog-max-len", "10");
    client.lua("return 20");
    assert_eq!(ids(&mut client), [20, 19, 18]);
    client.ok(&["LUA.SLOWLOG", "RESET"]);
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":0");
    client.lua("return 21");
    assert_eq!(ids(&mut client), [21], "numbers go on");
    client.set("redlua.slowlog-max-len", "0");
    client.lua("return 22");
    assert_eq!(client.text("LUA.SLOWLOG LEN"), ":0");
}

#[test]
fn failed_and_killed_runs_are_logged_and_refused_ones_are_not() {
    let server = watchful().start();
    let mut client = server.client();
    client.lua("error('no')");
    client.lua("#!lua max-run-time=30\nwhile true do end");
    assert!(last(&mut client)[2].integer().unwrap() >= 20_000);
    assert_eq!(entries(&mut client).len(), 2);
    client.lua("return (");
    client.text("LUA.EVAL return(1) 1");
    client.text("LUA.FCALL nosuch 0");
    assert_eq!(entries(&mut client).len(), 2);
}

#[test]
fn the_memory_of_the_log_is_bounded() {
    let server = watchful().start();
    let mut client = server.client();
    let argument = vec![b'x'; 1_000_000];
    let script = b"for i = 1, 10 do redis.call('PING', ARGV[1]) end";
    let run = |client: &mut Client, times: usize| {
        for _ in 0..times {
            client.cmd(&[b"LUA.EVAL", &script[..], b"0", &argument]);
        }
    };
    run(&mut client, 150);
    client.ok(&["LUA.SLOWLOG", "RESET"]);
    let empty = client.figure("used_memory");
    run(&mut client, 150);
    let full = client.figure("used_memory");
    assert!(full - empty < 3_000_000, "{} bytes", full - empty);
}

#[test]
fn rights_are_those_of_stocks_slow_log() {
    let server = watchful().start();
    let mut client = server.client();
    client.ok(&["ACL", "SETUSER", "u", "on", "nopass", "+@all", "-slowlog"]);
    client.ok(&["ACL", "SETUSER", "v", "on", "nopass", "+@all", "-@dangerous"]);
    for user in ["u", "v"] {
        client.ok(&["AUTH", user, ""]);
        for words in ["GET", "LEN", "RESET"] {
            let reply = client.text(&format!("LUA.SLOWLOG {words}"));
            assert!(reply.starts_with("-NOPERM "), "{user} {words}: {reply}");
        }
    }
}
