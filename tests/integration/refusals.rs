//! Servers that may not write now: each refusal is stock's, byte for byte.

use std::fs;

use crate::doors::{Scripts, same};
use crate::support::{Client, Server, wait_until};

/// Scripts that read, write, or try to, under every flag that matters.
const SCRIPTS: &[&str] = &[
    "return 1",
    "return redis.call('get', KEYS[1])",
    "return redis.call('set', KEYS[1], 'v')",
    "return redis.pcall('set', KEYS[1], 'v')",
    "redis.pcall('set', KEYS[1], 'v') return redis.call('get', KEYS[1])",
    "redis.call('get', KEYS[1]) return redis.call('del', KEYS[1])",
    "return pcall(redis.call, 'set', KEYS[1], 'v')",
    "return redis.call('publish', 'c', 'm')",
    "return redis.call('ping')",
    "return redis.call('nope')",
    "return redis.call('set')",
    "return redis.call('multi')",
    "return redis.call('flushall')",
    "redis.call('select', 1) return redis.call('set', KEYS[1], 'v')",
    "redis.set_repl(redis.REPL_NONE) return redis.call('set', KEYS[1], 'v')",
    "return redis.call('config', 'get', 'maxmemory-samples')",
    "return redis.call('info', 'nothing')",
    "error('x')",
    "return {redis.acl_check_cmd('set', 'a', 'b')}",
    "#!lua\nreturn 1",
    "#!lua\nreturn redis.call('get', KEYS[1])",
    "#!lua\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=no-writes\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=no-writes\nreturn redis.call('publish', 'c', 'm')",
    "#!lua flags=allow-oom\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=allow-stale\nreturn 1",
    "#!lua flags=allow-stale\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=allow-stale\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=allow-stale\nreturn redis.call('ping')",
    "#!lua flags=allow-stale\nreturn redis.call('info', 'nothing')",
    "#!lua flags=allow-stale,no-writes\nreturn 1",
    "#!lua flags=allow-stale,no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=allow-stale,no-writes\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=no-cluster,allow-cross-slot-keys\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=nope\nreturn 1",
    "#!lua\nreturn (",
];

/// Runs everything through both doors and returns all replies.
fn compare(client: &mut Client) -> String {
    let mut all = String::new();
    for script in SCRIPTS {
        for command in ["EVAL", "EVAL_RO"] {
            let reply = same(&format!("{command} {script:?}"), |door| {
                // Refused where writes are, and then the value is the one it was started with.
                client.cmd(&["SET", "k", "value"]);
                client.show(&[door.name(command).as_str(), script, "1", "k"])
            });
            all.push_str(&reply);
            all.push('\n');
        }
        // By digest too, where flags are known without the text; with a broken number of keys, which
        // comes after the server's state in the order of checks.
        for numkeys in ["1", "x", "-1", "9"] {
            same(&format!("numkeys {numkeys} {script:?}"), |door| {
                client.cmd(&["SET", "k", "value"]);
                let sha = client.value(&[&door.name("SCRIPT"), "LOAD", script]);
                let sha = sha.text().expect("a reply");
                [
                    client.show(&[&door.name("EVALSHA"), &sha, numkeys, "k"]),
                    client.show(&[&door.name("EVALSHA_RO"), &sha, numkeys, "k"]),
                    client.show(&[door.name("EVAL").as_str(), script, numkeys, "k"]),
                    client.show(&["PING"]),
                ]
            });
        }
        if script.starts_with("#!") {
            continue;
        }
        same(&format!("in MULTI {script:?}"), |door| {
            client.cmd(&["SET", "k", "value"]);
            [
                client.text("MULTI"),
                client.show(&[door.name("EVAL").as_str(), script, "1", "k"]),
                client.text("SET other 1"),
                client.text("EXEC"),
            ]
        });
    }
    all
}

/// Compares on a server that is as it should be, and expects `marks` in what a troubled one says.
fn expect(all: &str, marks: &[&str]) {
    for mark in marks {
        assert!(all.contains(mark), "no reply has {mark:?}:\n{all}");
    }
}

#[test]
fn a_server_in_good_order() {
    let server = Server::new().start();
    let all = compare(&mut server.client());
    expect(&all, &["+OK", "Write commands are not allowed from read-only scripts"]);
    assert!(!all.contains("-READONLY"));
}

#[test]
fn a_read_only_replica() {
    let master = Server::new().tcp().start();
    master.client().ok(&["SET", "k", "value"]);
    let replica = Server::new().replica_of(&master).start();
    let mut client = replica.client();
    wait_until("the replica", || client.text("GET k") == "\"value\"");
    let all = compare(&mut client);
    expect(
        &all,
        &[
            "-READONLY You can\\'t write against a read only replica.",
            "-READONLY You can\\'t write against a read only replica. script: ",
            "\"value\"",
        ],
    );
    client.set("replica-read-only", "no");
    let all = compare(&mut client);
    assert!(!all.contains("READONLY"), "{all}");
}

#[test]
fn a_replica_that_lost_its_master() {
    let mut master = Server::new().tcp().start();
    master.client().ok(&["SET", "k", "value"]);
    let replica = Server::new().replica_of(&master).start();
    let mut client = replica.client();
    wait_until("the replica", || client.text("GET k") == "\"value\"");
    master.kill();
    wait_until("the loss to be noticed", || client.info("master_link_status") == "down");
    let all = compare(&mut client);
    assert!(!all.contains("MASTERDOWN"), "{all}");
    client.set("replica-serve-stale-data", "no");
    let all = compare(&mut client);
    expect(&all, &["-MASTERDOWN ", "-ERR Can not execute the command on a stale replica", ":1"]);
    client.set("replica-read-only", "no");
    compare(&mut client);
}

#[test]
fn too_few_replicas() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "value"]);
    client.set("min-replicas-to-write", "1");
    let all = compare(&mut client);
    expect(&all, &["-NOREPLICAS Not enough good replicas to write."]);
}

#[test]
fn a_disk_that_takes_no_snapshot() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "value"]);
    // The snapshot is written beside its place and then renamed to it; a directory there stops that.
    fs::create_dir_all(server.home().join("dump.rdb/in-the-way")).expect("the server's directory");
    client.cmd(&["BGSAVE"]);
    wait_until("the failure", || client.info("rdb_last_bgsave_status") == "err");
    client.set("save", "3600 1");
    let all = compare(&mut client);
    expect(&all, &["-MISCONF "]);
    client.set("stop-writes-on-bgsave-error", "no");
    let all = compare(&mut client);
    assert!(!all.contains("MISCONF"), "{all}");
}

#[test]
fn a_full_disk_under_the_append_only_file() {
    let directory = tempfile::tempdir().expect("a temp directory");
    let files = directory.path().join("appendonlydir");
    fs::create_dir(&files).expect("the temp directory");
    std::os::unix::fs::symlink("/dev/full", files.join("appendonly.aof.1.incr.aof"))
        .expect("the temp directory");
    let server = Server::new()
        .dir(directory.path())
        .config("appendonly", "yes")
        .config("appendfsync", "everysec")
        .start();
    let mut client = server.client();
    // Nothing was written yet, so writes are allowed, which a module could go on to believe.
    for _ in 0..3 {
        assert_eq!(client.lua("#!lua\nreturn 1"), ":1");
    }
    client.cmd(&["SET", "k", "value"]);
    let reply = client.lua("#!lua\nreturn 1");
    assert!(reply.starts_with("-MISCONF Errors writing to the AOF file"), "{reply}");
    wait_until("the failure", || client.info("aof_last_write_status") == "err");
    let all = compare(&mut client);
    expect(&all, &["-MISCONF Errors writing to the AOF file: No space left on device"]);
}

#[test]
fn a_write_that_was_let_through_is_not_stopped_half_way() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("min-replicas-to-write", "1");
    // Only the first write asks for replicas; one that was let through before opens the way.
    let script = "redis.call('config', 'set', 'min-replicas-to-write', '0') \
                  redis.call('set', 'a', 1) \
                  redis.call('config', 'set', 'min-replicas-to-write', '1') \
                  return redis.call('set', 'b', 1)";
    same("a state that changes within a script", |door| {
        let reply = client.eval(door, script, &[], &[]);
        client.set("min-replicas-to-write", "0");
        let state = [reply, client.text("MGET a b")];
        client.ok(&["FLUSHALL"]);
        client.set("min-replicas-to-write", "1");
        state
    });
}

#[test]
fn a_flagged_script_in_a_transaction_is_refused_when_it_runs() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("min-replicas-to-write", "1");
    client.ok(&["MULTI"]);
    let script = "#!lua\nreturn redis.call('set', KEYS[1], 'v')";
    // Stock knows the script's flags when it queues it; a module is asked only when it runs.
    assert_eq!(client.show(&["LUA.EVAL", script, "1", "k"]), "+QUEUED");
    assert_eq!(client.text("GET k"), "+QUEUED");
    let reply = client.text("EXEC");
    assert_eq!(reply, "[-NOREPLICAS Not enough good replicas to write., $-1]");
}
