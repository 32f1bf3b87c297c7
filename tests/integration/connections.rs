//! Scripts as clients meet them: pipelines, transactions, two protocols, tracking, lost connections.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::doors::{Door, Ours, Scripts, Stock, request, same};
use crate::support::{Client, Server, wait_until};

#[test]
fn a_pipeline_of_ten_thousand_runs_is_answered_in_order() {
    let server = Server::new().start();
    let mut client = server.client();
    let script = "return {redis.call('incr', KEYS[1]), ARGV[1]}";
    let sha = client.value(&["LUA.SCRIPT", "LOAD", script]).text().expect("a digest");
    let mut pipeline = Vec::new();
    for number in 0..10_000 {
        for word in ["LUA.EVALSHA", &sha, "1", "n", &number.to_string()] {
            if word == "LUA.EVALSHA" {
                pipeline.extend_from_slice(b"*5\r\n");
            }
            write!(pipeline, "${}\r\n{word}\r\n", word.len()).expect("writing to a buffer");
        }
    }
    client.send_raw(&pipeline);
    for number in 0..10_000 {
        let text = number.to_string();
        let expected = format!("*2\r\n:{}\r\n${}\r\n{text}\r\n", number + 1, text.len());
        assert_eq!(client.read_frame(), expected.into_bytes());
    }
}

#[test]
fn a_transaction_of_a_hundred_scripts_answers_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    same("a hundred scripts in MULTI", |door| {
        client.ok(&["FLUSHALL"]);
        client.ok(&["MULTI"]);
        for number in 0..100 {
            let script = match number % 4 {
                0 => "return redis.call('incr', KEYS[1])",
                1 => "error('no')",
                2 => "return {1, {ok = 'two'}, redis.call('get', KEYS[1])}",
                _ => "redis.call('select', 2) return redis.call('incr', 'elsewhere')",
            };
            client.cmd(&request(&door.name("EVAL"), script, &["n"], &[]));
        }
        (client.text("EXEC"), client.text("GET n"), client.digest())
    });
}

#[test]
fn a_script_that_writes_a_watched_key_spoils_the_transaction() {
    let server = Server::new().start();
    let mut client = server.client();
    let mut other = server.client();
    let write = "return redis.call('set', KEYS[1], 1)";
    same("WATCH", |door| {
        let mut watch = |script: &str, by_other: bool| {
            client.ok(&["WATCH", "k"]);
            if by_other {
                other.eval(door, script, &["k"], &[]);
            } else {
                client.eval(door, script, &["k"], &[]);
            }
            client.ok(&["MULTI"]);
            client.cmd(&["PING"]);
            client.text("EXEC")
        };
        [
            watch(write, true),
            watch(write, false),
            watch("return redis.call('get', KEYS[1])", true),
            watch("redis.call('set', 'another', 1)", true),
            watch("redis.call('set', KEYS[1], 1) error('x')", true),
        ]
    });
    assert_eq!(
        same("a script that watches", |door| {
            client.eval(door, "return redis.pcall('watch', 'k')", &[], &[])
        })
        .chars()
        .next(),
        Some('-')
    );
}

/// Waits until the only other connections are those that tests hold.
fn wait_for_clients(client: &mut Client, count: usize) {
    wait_until("the server to notice lost connections", || {
        let list = client.value(&["CLIENT", "LIST"]).text().expect("text");
        list.lines().count() == count
    });
}

#[test]
fn a_client_that_leaves_before_its_big_replies_does_no_harm() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("for i = 1, 10000 do redis.call('rpush', 'l', ('x'):rep(100)) end return 1");
    let before = client.figure("used_memory");
    for _ in 0..5 {
        let mut doomed = UnixStream::connect(server.socket()).expect("the server listens");
        let script = "return redis.call('lrange', KEYS[1], 0, -1)";
        let words = ["LUA.EVAL", script, "1", "l"];
        let mut argv = b"*4\r\n".to_vec();
        for word in words {
            write!(argv, "${}\r\n{word}\r\n", word.len()).expect("writing to a buffer");
        }
        for _ in 0..20 {
            doomed.write_all(&argv).expect("the server reads");
        }
        doomed.read_exact(&mut [0; 5000]).expect("a part of the replies");
        drop(doomed);
    }
    wait_for_clients(&mut client, 1);
    client.lua("collectgarbage() return 1");
    let after = client.figure("used_memory");
    assert!(after < before + 3_000_000, "{before} bytes became {after}");
    assert_eq!(client.lua("return redis.call('llen', 'l')"), ":10000");
}

#[test]
fn a_client_that_kills_itself_in_a_script_is_gone_and_the_effects_stay() {
    let server = Server::new().start();
    let mut admin = server.client();
    let script = "redis.call('set', KEYS[1], 1) \
                  return redis.pcall('client', 'kill', 'skipme', 'no', 'type', 'normal')";
    same("CLIENT KILL in a script", |door| {
        admin.ok(&["FLUSHALL"]);
        admin.eval(door, script, &["k"], &[])
    });
}

#[test]
fn the_protocol_of_the_client_and_of_the_script_are_two_things() {
    let server = Server::new().start();
    let scripts = [
        "return redis.call('hgetall', 'h')",
        "redis.setresp(3) return redis.call('hgetall', 'h')",
        "redis.setresp(3) return redis.call('smembers', 's')",
        "redis.setresp(3) return redis.call('zscore', 'z', 'm')",
        "redis.setresp(3) return {true, false, redis.call('get', 'nothing')}",
        "return {true, false, redis.call('get', 'nothing')}",
        "return {double = 1.5}",
        "return {map = {a = {set = {x = true}}}}",
        "return {big_number = '123456789012345678901234567890'}",
        "return {verbatim_string = {format = 'txt', string = 'x'}}",
        "redis.setresp(3) return redis.call('debug', 'protocol', 'attrib')",
        "redis.setresp(3) error('x')",
        "return type(redis.call('hgetall', 'h'))",
    ];
    for protocol in ["2", "3"] {
        let mut client = server.client();
        client.cmd(&["HELLO", protocol]);
        client.text("HSET h f v");
        client.text("SADD s m");
        client.text("ZADD z 1.5 m");
        for script in scripts {
            same(&format!("RESP{protocol}: {script}"), |door| {
                // The setting of one run must be gone in the next.
                [client.eval(door, script, &[], &[]), client.eval(door, scripts[0], &[], &[])]
            });
        }
    }
}

#[test]
fn keys_read_by_a_read_only_script_are_tracked() {
    let server = Server::new().start();
    let mut other = server.client();
    same("CLIENT TRACKING", |door| {
        let mut client = server.client();
        client.cmd(&["HELLO", "3"]);
        client.ok(&["CLIENT", "TRACKING", "ON"]);
        other.ok(&["SET", "k", "1"]);
        let read = "return redis.call('get', KEYS[1])";
        let argv = request(&door.name("EVAL_RO"), read, &["k"], &[]);
        let value = client.show(&argv);
        other.ok(&["SET", "k", "2"]);
        let push = client.read_frame();
        (value, String::from_utf8_lossy(&push).into_owned())
    });
}

#[test]
fn blocking_commands_do_not_block_a_script() {
    let server = Server::new().start();
    let mut client = server.client();
    let calls = [
        "'blpop', 'l', 0",
        "'brpop', 'l', 0",
        "'blmove', 'l', 'm', 'left', 'left', 0",
        "'brpoplpush', 'l', 'm', 0",
        "'blmpop', 0, 1, 'l', 'left'",
        "'bzpopmin', 'z', 0",
        "'bzpopmax', 'z', 0",
        "'bzmpop', 0, 1, 'z', 'min'",
        "'xread', 'block', 0, 'streams', 'x', '$'",
        "'xread', 'count', 1, 'streams', 'x', '0'",
        "'wait', 1, 0",
    ];
    for call in calls {
        let script = format!("return redis.pcall({call})");
        same(&script, |door| client.eval(door, &script, &[], &[]));
    }
}

#[test]
fn clients_that_wait_are_served_after_the_script_that_feeds_them() {
    let server = Server::new().start();
    let mut client = server.client();
    same("BLPOP fed by a script", |door| {
        let mut waiting = server.client();
        waiting.send(&["BLPOP", "l", "0"]);
        wait_until("the client to block", || client.info("blocked_clients") == "1");
        let script = "redis.call('rpush', 'l', 'a') redis.call('lpop', 'l') \
                      return redis.call('rpush', 'l', 'b', 'c')";
        let reply = client.eval(door, script, &[], &[]);
        let served = waiting.read_frame();
        client.ok(&["FLUSHALL"]);
        (reply, served)
    });
}

#[test]
fn messages_and_keyspace_events_reach_subscribers() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("notify-keyspace-events", "KEA");
    let script = "redis.call('publish', 'news', 'one') redis.call('set', 'k', 1, 'EX', 100) \
                  redis.call('lpush', 'l', 1) redis.call('del', 'k', 'l') \
                  return redis.call('publish', 'news', 'end')";
    same("what subscribers hear", |door| {
        let mut subscriber = server.client();
        subscriber.cmd(&["PSUBSCRIBE", "*"]);
        let reply = client.eval(door, script, &[], &[]);
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|frame: &Vec<u8>| frame.ends_with(b"$3\r\nend\r\n")) {
            heard.push(subscriber.read_frame());
        }
        (reply, heard)
    });
}

#[test]
fn paused_writes_wait_and_read_only_scripts_do_not() {
    let server = Server::new().start();
    let mut client = server.client();
    same("CLIENT PAUSE WRITE", |door| {
        client.ok(&["FLUSHALL"]);
        let mut writer = server.client();
        let mut reader = server.client();
        client.ok(&["CLIENT", "PAUSE", "100000", "WRITE"]);
        let write = "return redis.call('set', 'k', 1)";
        writer.send(&[door.name("EVAL").as_str(), write, "0"]);
        let read = [door.name("EVAL_RO"), "return 'read'".to_owned(), "0".to_owned()];
        let seen = reader.show(&read);
        let value = reader.text("GET k");
        client.ok(&["CLIENT", "UNPAUSE"]);
        (seen, value, writer.read_frame())
    });
}

// Left out: errors that a script swallows. Stock counts them, a module has no way to.
#[test]
fn statistics_count_what_scripts_call_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let scripts = [
        "return redis.call('incr', 'n')",
        "for i = 1, 10 do redis.call('ping') end",
        "return redis.call('lpush', 'n', 1)",
        "return redis.pcall('lpush', 'n', 1)",
        "error('x')",
        "error({err = 'MYCODE x'})",
        "return redis.error_reply('MYCODE x')",
        "return {err = 'MYCODE nested'}",
        "return {1, {err = 'MYCODE nested'}}",
        "local e = redis.pcall('lpush', 'n', 1) error(e)",
        "return (",
    ];
    let mut differences = Vec::new();
    for script in scripts {
        let [stock, ours] = [Stock, Ours].map(|door| statistics(&mut client, door, script));
        if stock != ours {
            differences.push(format!("{script}\n  stock {stock:?}\n  ours  {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn an_unknown_command_leaves_no_trace_in_the_statistics() {
    let server = Server::new().start();
    let mut client = server.client();
    let lines = statistics(&mut client, Ours, "return redis.call('nope')");
    assert!(!lines.iter().any(|line| line.starts_with("cmdstat_command")), "{lines:?}");
}

/// What the server counted while one script ran.
fn statistics(client: &mut Client, door: Door, script: &str) -> Vec<String> {
    client.ok(&["FLUSHALL"]);
    client.ok(&["SET", "n", "1"]);
    client.ok(&["CONFIG", "RESETSTAT"]);
    client.eval(door, script, &[], &[]);
    let stats = client.value(&["INFO", "commandstats", "errorstats", "stats"]);
    let text = stats.text().expect("text");
    let wanted = ["cmdstat_", "errorstat_", "total_error_replies"];
    let own = ["cmdstat_info", "cmdstat_config"];
    let starts = |line: &str, names: &[&str]| names.iter().any(|name| line.starts_with(name));
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| starts(line, &wanted) && !starts(line, &own))
        .map(without_times)
        .collect();
    lines.sort();
    lines
}

/// `cmdstat_x:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=0` without the times.
fn without_times(line: &str) -> String {
    let line = line.replace("lua.", "");
    let fields = line.split(',').filter(|field| !field.starts_with("usec"));
    fields.collect::<Vec<_>>().join(",")
}

#[test]
fn the_slow_log_has_the_script_and_not_its_commands() {
    let server = Server::new().start();
    let mut client = server.client();
    same("SLOWLOG", |door| {
        client.set("slowlog-log-slower-than", "0");
        client.ok(&["SLOWLOG", "RESET"]);
        client.eval(door, "return redis.call('set', KEYS[1], ARGV[1])", &["k"], &["v"]);
        client.set("slowlog-log-slower-than", "-1");
        let log = client.value(&["SLOWLOG", "GET", "-1"]);
        let entries = log.elements().expect("a list").iter();
        let commands = entries.map(|entry| entry.elements().expect("fields")[3].to_string());
        commands.map(|command| command.replace("LUA.", "")).collect::<Vec<_>>()
    });
}

#[test]
fn a_monitor_shows_the_commands_of_a_script() {
    let server = Server::new().start();
    let mut monitor = server.client();
    monitor.ok(&["MONITOR"]);
    let mut client = server.client();
    client.eval(Ours, "return redis.call('set', 'shown', 'v')", &[], &[]);
    let mut seen = String::new();
    while !(seen.contains("\"set\" \"shown\" \"v\"") && seen.contains("\"LUA.EVAL\"")) {
        seen.push_str(&String::from_utf8_lossy(&monitor.read_frame()));
    }
}

#[test]
fn scripts_of_many_clients_do_not_mix() {
    let server = Server::new().start();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let mut client = server.client();
            std::thread::spawn(move || {
                let script = "redis.call('select', ARGV[1]) redis.setresp(3) \
                              redis.call('incr', KEYS[1]) \
                              return {KEYS[1], ARGV[1], redis.call('get', KEYS[1])}";
                for round in 1..=300 {
                    let (key, db) = (format!("k{number}"), number.to_string());
                    let reply = client.eval(Ours, script, &[&key], &[&db]);
                    assert_eq!(reply, format!("[\"{key}\", \"{db}\", \"{round}\"]"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("every client was answered right");
    }
}
