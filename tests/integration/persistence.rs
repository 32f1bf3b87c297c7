//! Data written by scripts across restarts and reloads.

use crate::doors::{Ours, Scripts, Stock, same};
use crate::support::{Client, Server, wait_until};

#[test]
fn data_of_scripts_survives_a_kill_and_a_restart_from_the_append_only_file() {
    let mut server = Server::new().appendonly().start();
    let mut client = server.client();
    client.lua(
        "for i = 1, 1000 do redis.call('set', 'k' .. i, i) redis.call('rpush', 'l', i) end \
         redis.call('select', 4) redis.call('hset', 'h', 'f', 'v')",
    );
    client.lua("redis.call('incr', 'half') error('half-way')");
    let before = client.digest();
    server.restart();
    let mut client = server.client();
    assert_eq!(client.digest(), before);
    assert_eq!(client.text("GET half"), "\"1\"");
}

#[test]
fn data_of_scripts_survives_a_rewrite_of_the_append_only_file_in_either_form() {
    for preamble in ["yes", "no"] {
        let mut server =
            Server::new().appendonly().config("aof-use-rdb-preamble", preamble).start();
        let mut client = server.client();
        let fill = "for i = 1, 500 do redis.call('set', ARGV[1] .. i, i) \
                    redis.call('zadd', 'z', i, i) redis.call('sadd', 's', i) end";
        client.eval(Ours, fill, &[], &["a"]);
        client.cmd(&["BGREWRITEAOF"]);
        client.eval(Ours, fill, &[], &["b"]);
        wait_until("the rewrite", || {
            client.info("aof_rewrite_in_progress") == "0"
                && client.info("aof_last_bgrewrite_status") == "ok"
                && client.info("aof_rewrite_scheduled") == "0"
        });
        client.eval(Ours, fill, &[], &["c"]);
        let before = client.digest();
        server.restart();
        assert_eq!(server.client().digest(), before, "preamble {preamble}");
    }
}

#[test]
fn debug_reload_keeps_data_and_scripts() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("for i = 1, 300 do redis.call('set', i, i) end");
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return redis.call('dbsize')"]);
    let sha = sha.text().expect("a digest");
    let before = client.digest();
    client.ok(&["DEBUG", "RELOAD"]);
    assert_eq!(client.digest(), before);
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), ":300");
}

#[test]
fn an_orderly_shutdown_saves_what_scripts_wrote() {
    let mut server = Server::new().config("save", "3600 1").start();
    let mut client = server.client();
    client.lua("redis.call('set', 'k', 'v')");
    client.send(&["SHUTDOWN", "SAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
    server.restart();
    assert_eq!(server.client().text("GET k"), "\"v\"");
}

#[test]
fn values_written_by_scripts_are_encoded_as_those_of_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let scripts = [
        "redis.call('set', 'k', 123)",
        "redis.call('set', 'k', '123')",
        "redis.call('set', 'k', 10000)",
        "redis.call('set', 'k', -1)",
        "redis.call('set', 'k', 1.5)",
        "redis.call('set', 'k', 2^40)",
        "redis.call('set', 'k', 'text')",
        "redis.call('set', 'k', ('x'):rep(44))",
        "redis.call('set', 'k', ('x'):rep(45))",
        "redis.call('setex', 'k', 1000, 7)",
        "redis.call('getset', 'k', 7)",
        "redis.call('mset', 'k', 7, 'l', 8)",
        "redis.call('append', 'k', 7)",
        "redis.call('rpush', 'k', 1, 2, 3)",
        "redis.call('sadd', 'k', 1, 2, 3)",
        "redis.call('hset', 'k', 'a', 1)",
        "redis.call('zadd', 'k', 1, 1)",
        "local t = {} for i = 1, 60 do t[#t + 1] = 'x' .. i t[#t + 1] = i end t[#t + 1] = 'k' \
         t[#t + 1] = 5 redis.call('mset', unpack(t))",
    ];
    compare_encodings(&mut client, &scripts);
}

#[test]
fn many_arguments_are_encoded_as_those_of_stock() {
    let server = Server::new().start();
    let scripts = [
        "local t = {'k', 5} for i = 1, 299 do t[#t + 1] = 'x' .. i t[#t + 1] = i end \
         redis.call('mset', unpack(t))",
        "local t = {'k', 5} for i = 1, 3500 do t[#t + 1] = 'x' .. i t[#t + 1] = i end \
         redis.call('mset', unpack(t))",
    ];
    compare_encodings(&mut server.client(), &scripts);
}

/// What the value takes. How much of that newer servers call spare depends on whether the string was
/// made anew, and stock's engine uses the strings of its arguments again.
fn size(client: &mut Client) -> String {
    let text = client.text("DEBUG SDSLEN k");
    let parts = text.split(", ").filter(|part| !part.starts_with("val_sds_avail"));
    parts.collect::<Vec<_>>().join(", ")
}

/// What Valkey 9.1 makes of a number that a script of its own writes is never an integer, which takes more
/// room.
fn makes_integers(client: &mut Client) -> bool {
    client.eval(Stock, "return redis.call('set', 'k', 123)", &[], &[]);
    client.text("OBJECT ENCODING k") == "\"int\""
}

fn compare_encodings(client: &mut Client, scripts: &[&str]) {
    let makes_integers = makes_integers(client);
    let encoding = |client: &mut Client, key: &str| {
        let text = client.text(&format!("OBJECT ENCODING {key}"));
        if makes_integers { text } else { text.replace("int\"", "embstr\"") }
    };
    for script in scripts {
        same(script, |door| {
            client.ok(&["FLUSHALL"]);
            let reply = client.eval(door, script, &[], &[]);
            (
                reply,
                encoding(client, "k"),
                encoding(client, "x1"),
                client.text("OBJECT REFCOUNT k"),
                makes_integers.then(|| size(client)),
            )
        });
    }
}
