//! A master, a replica and an append-only file after thousands of mixed scripts.

use std::fmt::Write as _;

use crate::doors::{Scripts, request};
use crate::support::{Client, Server, Value, wait_until};

/// A small generator, so that every run of a test sends the same scripts.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn key(&mut self, kind: &str) -> String {
        format!("{kind}:{}", self.roll(40))
    }
}

/// One statement of a script.
fn statement(dice: &mut Dice) -> String {
    let number = dice.roll(1000);
    let call = |words: &[&str]| format!("redis.call('{}')", words.join("','"));
    let number = number.to_string();
    match dice.roll(26) {
        0 => call(&["incrby", &dice.key("n"), &number]),
        1 => call(&["set", &dice.key("s"), &number]),
        2 => call(&["set", &dice.key("s"), "v", "EX", "100000"]),
        3 => call(&["set", &dice.key("short"), &number, "PX", "1"]),
        4 => call(&["append", &dice.key("a"), &number]),
        5 => call(&["hset", &dice.key("h"), &number, "v", "f", &number]),
        6 => call(&["hincrbyfloat", &dice.key("h2"), "f", "0.25"]),
        7 => call(&["rpush", &dice.key("l"), &number, "x", "y"]),
        8 => call(&["lpop", &dice.key("l")]),
        9 => call(&["lmove", &dice.key("l"), &dice.key("l"), "left", "right"]),
        10 => call(&["sadd", &dice.key("set"), &number, "m"]),
        11 => call(&["spop", &dice.key("set"), "2"]),
        12 => call(&["zadd", &dice.key("z"), &number, &number]),
        13 => call(&["zpopmin", &dice.key("z")]),
        14 => call(&["zunionstore", &dice.key("z"), "2", &dice.key("z"), &dice.key("z")]),
        15 => call(&["expire", &dice.key("s"), "100000"]),
        16 => call(&["persist", &dice.key("s")]),
        17 => call(&["del", &dice.key("s"), &dice.key("l"), &dice.key("h")]),
        18 => call(&["xadd", &dice.key("x"), "MAXLEN", "~", "20", "*", "f", &number]),
        19 => format!("redis.call('select',{})", dice.roll(4)),
        20 => call(&["blpop", &dice.key("l"), "0"]),
        21 => call(&["getex", &dice.key("s"), "EX", "50000"]),
        22 => format!("redis.pcall('lpush','{}','x')", dice.key("s")),
        23 => format!("redis.call('set','{}', math.random(1000000))", dice.key("s")),
        24 => call(&["sort", &dice.key("l"), "alpha", "store", &dice.key("l")]),
        _ => {
            format!("for i = 1, {} do redis.call('rpush', KEYS[1], ARGV[1] .. i) end", dice.roll(5))
        }
    }
}

fn script(dice: &mut Dice) -> String {
    let mut script = String::new();
    if dice.roll(10) == 0 {
        script.push_str("#!lua\n");
    }
    for _ in 0..=dice.roll(4) {
        writeln!(script, "{}", statement(dice)).expect("writing to a string");
    }
    match dice.roll(12) {
        0 => script.push_str("error('half-way')"),
        1 => script
            .push_str("redis.call('lpush', KEYS[1] .. 's', 1) redis.call('incr', KEYS[1] .. 's')"),
        2 => script.push_str("return pcall(error, {err = 'caught'})"),
        _ => script.push_str("return redis.call('dbsize')"),
    }
    script
}

/// Sends `count` scripts, some by digest and some in transactions, and reads all replies.
fn mix(client: &mut Client, dice: &mut Dice, count: usize) {
    let mut replies = 0;
    for _ in 0..count {
        let text = script(dice);
        let argument = format!("arg{}", dice.roll(100));
        let key = dice.key("k");
        let eval = request("LUA.EVAL", &text, &[key.as_str()], &[argument.as_str()]);
        match dice.roll(8) {
            0 => {
                client.send(&["MULTI"]);
                client.send(&["INCR", "plain"]);
                client.send(&eval);
                client.send(&eval);
                client.send(&["EXEC"]);
                replies += 5;
            }
            1 => {
                client.send(&["SELECT", &dice.roll(4).to_string()]);
                client.send(&eval);
                replies += 2;
            }
            _ => {
                client.send(&eval);
                replies += 1;
            }
        }
        // The server stops reading a client that does not read its replies.
        if replies > 200 {
            drain(client, &mut replies);
        }
    }
    drain(client, &mut replies);
    client.ok(&["SELECT", "0"]);
}

fn drain(client: &mut Client, replies: &mut usize) {
    for _ in 0..std::mem::take(replies) {
        let frame = client.read_frame();
        let bug = [&b"internal error"[..], b"not enough memory", b"MULTI calls"];
        for text in bug {
            let found = frame.windows(text.len()).any(|part| part == text);
            assert!(!found, "{}", frame.escape_ascii());
        }
    }
}

/// Lets every key with a short life go, on the master by a look at it and on the replica by the
/// deletion that follows.
fn settle(master: &mut Client, replica: &mut Client) {
    let names: Vec<String> = (0..40).map(|number| format!("short:{number}")).collect();
    let mut mget = vec!["MGET"];
    mget.extend(names.iter().map(String::as_str));
    for db in 0..4 {
        master.ok(&["SELECT", &db.to_string()]);
        wait_until("short-lived keys to go", || {
            let values = master.value(&mget);
            values.elements().expect("a list").iter().all(Value::is_null)
        });
    }
    master.ok(&["SELECT", "0"]);
    wait_until("the replica to have it all", || {
        replica.info("master_link_status") == "up"
            && replica.info("master_sync_in_progress") == "0"
            && replica.figure("slave_repl_offset") == master.figure("master_repl_offset")
    });
}

fn assert_equal_data(master: &mut Client, replica: &mut Client) -> String {
    settle(master, replica);
    let digest = master.digest();
    if replica.digest() != digest {
        for db in 0..4 {
            master.ok(&["SELECT", &db.to_string()]);
            replica.ok(&["SELECT", &db.to_string()]);
            let keys = master.value(&["KEYS", "*"]);
            for key in keys.elements().expect("a list") {
                let key = key.text().expect("a name");
                let argv = ["DEBUG", "DIGEST-VALUE", &key];
                let (there, here) = (replica.show(&argv), master.show(&argv));
                assert_eq!(there, here, "{key} in database {db} differs on the replica");
            }
        }
        panic!("the replica has other keys");
    }
    digest
}

#[test]
fn ten_thousand_mixed_scripts_end_with_equal_data_everywhere() {
    let mut master = Server::new().tcp().appendonly().config("repl-backlog-size", "64mb").start();
    let server = Server::new().replica_of(&master).appendonly().start();
    let mut replica = server.client();
    let mut client = master.client();
    wait_until("the link", || replica.info("master_link_status") == "up");
    let mut dice = Dice(0x5eed_0f11_e57a_b1e5);

    mix(&mut client, &mut dice, 4_000);
    assert_equal_data(&mut client, &mut replica);

    // The link breaks in the middle: the replica catches up from the backlog.
    let partial = client.figure("sync_partial_ok");
    mix(&mut client, &mut dice, 1_000);
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    mix(&mut client, &mut dice, 2_000);
    assert_equal_data(&mut client, &mut replica);
    assert!(client.figure("sync_partial_ok") > partial, "{}", master.log());

    // It breaks for good: the replica takes a whole copy while scripts go on.
    let full = client.figure("sync_full");
    client.ok(&["DEBUG", "CHANGE-REPL-ID"]);
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    mix(&mut client, &mut dice, 3_000);
    let digest = assert_equal_data(&mut client, &mut replica);
    assert!(client.figure("sync_full") > full, "{}", master.log());
    assert!(client.figure("redlua_runs") >= 10_000);

    // What the file says is the same again, after a crash, on both.
    master.restart();
    assert_eq!(master.client().digest(), digest, "the master's file");
    let mut server = server;
    master.kill();
    server.restart();
    assert_eq!(server.client().digest(), digest, "the replica's file");
}

#[test]
fn effects_of_a_replica_that_became_master_go_to_its_own_replicas() {
    let first = Server::new().tcp().start();
    let second = Server::new().tcp().replica_of(&first).start();
    let third = Server::new().replica_of(&second).start();
    let mut client = second.client();
    let mut last = third.client();
    wait_until("the chain", || {
        client.info("master_link_status") == "up" && last.info("master_link_status") == "up"
    });
    first.client().lua("redis.call('set', 'a', 1) redis.call('set', 'b', 2)");
    wait_until("the effects at the end of the chain", || last.text("MGET a b") == "[\"1\", \"2\"]");
    assert!(client.lua("return redis.call('set', 'a', 3)").starts_with("-READONLY"));
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(client.lua("return redis.call('set', 'a', 3)"), "+OK");
    wait_until("the new effects", || last.text("GET a") == "\"3\"");
}

#[test]
fn scripts_are_neither_cached_on_replicas_nor_sent_to_them() {
    let master = Server::new().tcp().start();
    let server = Server::new().replica_of(&master).start();
    let mut replica = server.client();
    let mut client = master.client();
    wait_until("the link", || replica.info("master_link_status") == "up");
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return redis.call('incr', 'n')"]);
    let sha = sha.text().expect("a digest");
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), ":1");
    wait_until("the effect", || replica.text("GET n") == "\"1\"");
    assert_eq!(replica.text(&format!("LUA.SCRIPT EXISTS {sha}")), "[:0]");
    assert_eq!(replica.info("redlua_runs"), "0");
}

#[test]
fn a_replica_without_the_module_follows_a_master_with_it() {
    let master = Server::new().tcp().config("redlua.persist", "no").start();
    let server = Server::new().without_module().replica_of(&master).start();
    let mut replica = server.client();
    let mut client = master.client();
    wait_until("the link", || replica.info("master_link_status") == "up");
    mix(&mut client, &mut Dice(7), 300);
    assert_equal_data(&mut client, &mut replica);
}
