//! Scripts on a server that has no memory left for data.

use crate::doors::{Door, Scripts, same};
use crate::support::{Client, Server};

pub const POLICIES: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

pub const SCRIPTS: &[&str] = &[
    "return redis.call('set', 'a', 1)",
    "return redis.pcall('set', 'a', 1)",
    "return redis.call('get', 'old')",
    "return redis.call('del', 'old')",
    "redis.call('del', 'old') return redis.call('set', 'a', 1)",
    "redis.call('del', 'nothing') return redis.call('set', 'a', 1)",
    "redis.call('get', 'old') return redis.call('set', 'a', 1)",
    "redis.pcall('set', 'a', 1) redis.call('del', 'old') return redis.call('set', 'b', 1)",
    "local r = redis.pcall('set', 'a', 1) return {r.err, redis.call('get', 'old')}",
    "return {pcall(redis.call, 'set', 'a', 1)}",
    "redis.pcall('lpush', 'old', 1) return redis.call('set', 'a', 1)",
    "redis.call('expire', 'old', 1000) return redis.call('set', 'a', 1)",
    "redis.call('publish', 'c', 'm') return redis.call('set', 'a', 1)",
    "return redis.call('incr', 'n')",
    "return redis.call('rpush', 'l', 1)",
    "return redis.call('lpop', 'l')",
    "return redis.call('nope')",
    "redis.set_repl(redis.REPL_NONE) return redis.call('set', 'a', 1)",
    "#!lua\nreturn redis.call('set', 'a', 1)",
    "#!lua\nreturn redis.call('get', 'old')",
    "#!lua\nreturn 1",
    "#!lua flags=allow-oom\nreturn redis.call('set', 'a', 1)",
    "#!lua flags=allow-oom\nreturn redis.call('get', 'old')",
    "#!lua flags=no-writes\nreturn redis.call('get', 'old')",
    "#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)",
    "#!lua flags=no-writes,allow-oom\nreturn redis.call('del', 'old')",
    "#!lua flags=allow-stale,allow-cross-slot-keys\nreturn redis.call('set', 'a', 1)",
];

/// Starts from the same data with the limit off, then runs `script` far above the limit.
fn run(client: &mut Client, door: Door, command: &str, script: &str) -> [String; 4] {
    client.set("maxmemory", "0");
    client.ok(&["FLUSHALL"]);
    client.ok(&["SET", "old", "value", "EX", "100000"]);
    client.ok(&["SET", "kept", "value"]);
    client.set("maxmemory", "1");
    let reply = client.show(&[door.name(command).as_str(), script, "0"]);
    let again = client.show(&[door.name("EVAL").as_str(), "return redis.call('get', 'a')", "0"]);
    client.set("maxmemory", "0");
    [reply, again, client.digest(), client.text("MGET a b old kept")]
}

#[test]
fn scripts_above_maxmemory_do_what_stock_does_under_every_policy() {
    let server = Server::new().start();
    let mut client = server.client();
    for policy in POLICIES {
        client.set("maxmemory-policy", policy);
        for script in SCRIPTS {
            for command in ["EVAL", "EVAL_RO"] {
                same(&format!("{policy}: {command} {script:?}"), |door| {
                    run(&mut client, door, command, script)
                });
            }
        }
    }
}

#[test]
fn the_first_write_decides_for_the_whole_script() {
    let server = Server::new().start();
    let mut client = server.client();
    let oom = "-OOM command not allowed when used memory > \\'maxmemory\\'.";
    let mut reply = |script: &str| {
        let [reply, ..] = same(script, |door| run(&mut client, door, "EVAL", script));
        reply
    };
    assert!(reply("return redis.call('set', 'a', 1)").starts_with(oom));
    assert_eq!(reply("redis.call('del', 'old') return redis.call('set', 'a', 1)"), "+OK");
    assert!(reply("#!lua\nreturn 1").starts_with("-OOM "));
    assert_eq!(reply("#!lua flags=allow-oom\nreturn redis.call('set', 'a', 1)"), "+OK");
    assert_eq!(reply("#!lua flags=no-writes\nreturn 1"), ":1");
}

#[test]
fn keys_that_may_be_evicted_make_room_for_a_script() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = Server::new().config("maxmemory-policy", policy).start();
        let mut client = server.client();
        client.lua("return 1");
        let used = client.figure("used_memory");
        client.set("maxmemory", &(used + 3_000_000).to_string());
        for number in 0..60 {
            let script = "return redis.call('set', KEYS[1], ARGV[1], 'EX', 100000)";
            let key = format!("k{number}");
            let value = "x".repeat(100_000);
            let reply = client.eval(crate::doors::Ours, script, &[&key], &[&value]);
            assert_eq!(reply, "+OK", "{policy}, write {number}");
        }
        assert!(client.figure("evicted_keys") > 10);
        assert!(client.figure("used_memory") < used + 4_000_000);
    }
}

#[test]
fn loading_a_script_above_maxmemory_works_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("maxmemory", "1");
    same("SCRIPT commands without memory", |door| {
        let script = door.name("SCRIPT");
        [
            client.show(&[script.as_str(), "LOAD", "return redis.call('set', 'a', 1)"]),
            client.show(&[script.as_str(), "EXISTS", "x"]),
            client.show(&[script.as_str(), "FLUSH"]),
        ]
    });
}
