//! Function libraries across restarts, reloads, rewrites and synchronizations.
//!
//! Most tests load the same libraries through stock's command and through ours, and expect the same of both.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::doors::{Door, Ours, Scripts, Stock, same};
use crate::support::{Client, Server, ServerBuilder, Value, wait_until};

/// A library of one function, named as the library, that returns `value`, on replicas too.
pub fn code(name: &str, value: &str) -> String {
    format!(
        "#!lua name={name}\n\
         redis.register_function{{function_name='{name}', flags={{'no-writes'}},\n\
         callback=function() return '{value}' end}}"
    )
}

/// Loads a library that is not there yet through both doors.
fn load(client: &mut Client, name: &str, value: &str) {
    for door in [Stock, Ours] {
        let reply = client.show(&[&door.name("FUNCTION"), "LOAD", &code(name, value)]);
        assert_eq!(reply, format!("{name:?}"), "{door:?}");
    }
}

/// Sends a `FUNCTION` subcommand through both doors.
fn function(client: &mut Client, words: &[&str]) -> String {
    same(&words.join(" "), |door| {
        let name = door.name("FUNCTION");
        let argv: Vec<&str> = [name.as_str()].into_iter().chain(words.iter().copied()).collect();
        client.show(&argv)
    })
}

/// The libraries behind a door: each name and what its function returns.
fn libraries_of(client: &mut Client, door: Door) -> Vec<String> {
    let list = client.value(&[door.name("FUNCTION").as_str(), "LIST"]);
    let names = list.elements().unwrap_or_else(|| panic!("{list:?}"));
    let name = |library: &Value| library.field("library_name").and_then(Value::text);
    let mut names: Vec<String> = names.iter().map(|it| name(it).expect("a name")).collect();
    names.sort();
    let call = |name: &String| {
        let value = client.value(&[&door.name("FCALL"), name, "0"]);
        format!("{name}={}", value.text().unwrap_or_else(|| panic!("{name}: {value:?}")))
    };
    names.iter().map(call).collect()
}

/// The libraries behind both doors, which are the same.
fn libraries(client: &mut Client) -> String {
    same("the libraries", |door| libraries_of(client, door)).join(" ")
}

/// The libraries of a server that has no stock ones.
fn ours(client: &mut Client) -> String {
    libraries_of(client, Ours).join(" ")
}

fn rewrite(client: &mut Client) {
    let before = client.figure("aof_rewrites");
    let reply = client.text("BGREWRITEAOF");
    assert!(reply.starts_with("+Background append only file rewriting"), "{reply}");
    wait_until("the rewrite", || {
        client.info("aof_rewrite_in_progress") == "0"
            && client.info("aof_rewrite_scheduled") == "0"
            && client.info("aof_last_bgrewrite_status") == "ok"
            && client.figure("aof_rewrites") > before
    });
}

fn wait_for_link(replica: &mut Client) {
    wait_until("the link", || replica.info("master_link_status") == "up");
}

fn follow(replica: &mut Client, master: &Server) {
    replica.ok(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    wait_for_link(replica);
}

/// A folder for data that more than one server uses.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temp directory")
}

/// Starts a server that must not start, and returns its log.
fn refused(server: ServerBuilder) -> String {
    match server.try_start() {
        Ok(_) => panic!("the server started"),
        Err(log) => {
            assert_no_crash(&log);
            log
        }
    }
}

fn assert_no_crash(log: &str) {
    for mark in ["BUG REPORT", "A bug was met", "crashed by signal", "ASSERTION FAILED"] {
        assert!(!log.contains(mark), "{log}");
    }
}

#[test]
fn libraries_survive_a_save_and_a_restart() {
    let mut server = Server::new().start();
    let mut client = server.client();
    for number in 0..20 {
        load(&mut client, &format!("l{number}"), &format!("v{number}"));
    }
    let long = format!("long{}", "g".repeat(100_000));
    load(&mut client, "long", &long);
    let before = libraries(&mut client);
    client.ok(&["SAVE"]);
    server.restart();
    assert_eq!(libraries(&mut server.client()), before);
    // Once more, so that what was loaded is written again.
    server.client().ok(&["SAVE"]);
    server.restart();
    assert_eq!(libraries(&mut server.client()), before);
}

#[test]
fn an_orderly_shutdown_saves_libraries_and_nothing_else_does_without_persistence() {
    let mut server = Server::new().config("save", "3600 1").start();
    let mut client = server.client();
    load(&mut client, "a", "1");
    client.send(&["SHUTDOWN", "SAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
    server.restart();
    let mut client = server.client();
    assert_eq!(libraries(&mut client), "a=1");
    load(&mut client, "b", "1");
    server.restart();
    assert_eq!(libraries(&mut server.client()), "a=1");
}

#[test]
fn no_libraries_are_saved_as_none() {
    let mut server = Server::new().start();
    let mut client = server.client();
    load(&mut client, "a", "1");
    client.ok(&["SAVE"]);
    function(&mut client, &["FLUSH"]);
    client.ok(&["SET", "k", "v"]);
    client.ok(&["SAVE"]);
    server.restart();
    let mut client = server.client();
    assert_eq!(libraries(&mut client), "");
    assert_eq!(client.text("GET k"), "\"v\"");
}

#[test]
fn a_reload_drops_merges_and_replaces_libraries_as_stock_does() {
    let server = Server::new().start();
    let mut client = server.client();
    load(&mut client, "a", "1");
    load(&mut client, "b", "1");
    client.ok(&["DEBUG", "RELOAD"]);
    assert_eq!(libraries(&mut client), "a=1 b=1");
    // Those of the file come back, those that came after the save are gone.
    load(&mut client, "c", "1");
    function(&mut client, &["DELETE", "a"]);
    client.ok(&["DEBUG", "RELOAD", "NOSAVE"]);
    assert_eq!(libraries(&mut client), "a=1 b=1");
    // Nothing is dropped, and the file's libraries replace their namesakes.
    load(&mut client, "c", "1");
    function(&mut client, &["LOAD", "REPLACE", &code("a", "2")]);
    client.ok(&["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]);
    assert_eq!(libraries(&mut client), "a=1 b=1 c=1");
    // The same right after a flush, which is no part of the reload.
    client.ok(&["FLUSHALL"]);
    client.ok(&["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]);
    assert_eq!(libraries(&mut client), "a=1 b=1 c=1");
    function(&mut client, &["FLUSH"]);
    client.ok(&["DEBUG", "RELOAD"]);
    assert_eq!(libraries(&mut client), "");
}

#[test]
fn flushing_the_data_keeps_libraries() {
    let mut server = Server::new().appendonly().start();
    let mut client = server.client();
    load(&mut client, "a", "1");
    for flush in [&["FLUSHALL"][..], &["FLUSHDB"], &["FLUSHALL", "ASYNC"], &["FLUSHDB", "ASYNC"]] {
        client.ok(&["SET", "k", "v"]);
        client.ok(flush);
        assert_eq!(libraries(&mut client), "a=1");
    }
    server.restart();
    assert_eq!(libraries(&mut server.client()), "a=1");
}

#[test]
fn libraries_survive_a_kill_by_the_append_only_file() {
    for preamble in ["yes", "no"] {
        let mut server =
            Server::new().appendonly().config("aof-use-rdb-preamble", preamble).start();
        let mut client = server.client();
        load(&mut client, "a", "1");
        load(&mut client, "b", "1");
        load(&mut client, "c", "1");
        function(&mut client, &["LOAD", "REPLACE", &code("b", "2")]);
        function(&mut client, &["DELETE", "c"]);
        server.restart();
        let mut client = server.client();
        assert_eq!(libraries(&mut client), "a=1 b=2", "preamble {preamble}");
        client.ok(&["DEBUG", "LOADAOF"]);
        assert_eq!(libraries(&mut client), "a=1 b=2", "preamble {preamble}");
        function(&mut client, &["FLUSH"]);
        load(&mut client, "d", "1");
        server.restart();
        assert_eq!(libraries(&mut server.client()), "d=1", "preamble {preamble}");
    }
}

#[test]
fn libraries_survive_rewrites_of_the_append_only_file_in_either_form() {
    for preamble in ["yes", "no"] {
        let mut server =
            Server::new().appendonly().config("aof-use-rdb-preamble", preamble).start();
        let mut client = server.client();
        load(&mut client, "a", "1");
        load(&mut client, "b", "1");
        load(&mut client, "stale", "1");
        function(&mut client, &["DELETE", "stale"]);
        rewrite(&mut client);
        server.restart();
        let mut client = server.client();
        assert_eq!(libraries(&mut client), "a=1 b=1", "preamble {preamble}");
        // Changes before, while and after the file is rewritten.
        function(&mut client, &["LOAD", "REPLACE", &code("a", "2")]);
        assert!(client.text("BGREWRITEAOF").starts_with('+'));
        function(&mut client, &["LOAD", "REPLACE", &code("a", "3")]);
        function(&mut client, &["DELETE", "b"]);
        load(&mut client, "c", "1");
        wait_until("the rewrite", || client.info("aof_rewrite_in_progress") == "0");
        load(&mut client, "d", "1");
        server.restart();
        let mut client = server.client();
        assert_eq!(libraries(&mut client), "a=3 c=1 d=1", "preamble {preamble}");
        function(&mut client, &["FLUSH"]);
        rewrite(&mut client);
        client.ok(&["SET", "k", "v"]);
        client.ok(&["DEBUG", "LOADAOF"]);
        assert_eq!(libraries(&mut client), "", "preamble {preamble}");
        server.restart();
        let mut client = server.client();
        assert_eq!(libraries(&mut client), "", "preamble {preamble}");
        assert_eq!(client.text("GET k"), "\"v\"");
    }
}

#[test]
fn libraries_are_there_when_the_append_only_file_is_turned_on_later() {
    for preamble in ["yes", "no"] {
        let mut server = Server::new()
            .config("appendfsync", "always")
            .config("aof-use-rdb-preamble", preamble)
            .start();
        let mut client = server.client();
        load(&mut client, "a", "1");
        client.ok(&["CONFIG", "SET", "appendonly", "yes"]);
        wait_until("the first file", || {
            client.info("aof_rewrite_in_progress") == "0"
                && client.info("aof_rewrite_scheduled") == "0"
        });
        load(&mut client, "b", "1");
        client.ok(&["CONFIG", "REWRITE"]);
        server.restart();
        assert_eq!(libraries(&mut server.client()), "a=1 b=1", "preamble {preamble}");
    }
}

#[test]
fn a_rewrite_sends_nothing_to_replicas_and_waits_for_a_pause_to_end() {
    let mut master = Server::new().tcp().appendonly().config("aof-use-rdb-preamble", "no").start();
    let server = Server::new().replica_of(&master).start();
    let mut client = master.client();
    let mut replica = server.client();
    wait_for_link(&mut replica);
    load(&mut client, "a", "1");
    load(&mut client, "b", "1");
    client.ok(&["CLIENT", "PAUSE", "100000", "WRITE"]);
    rewrite(&mut client);
    client.ok(&["CLIENT", "UNPAUSE"]);
    wait_until("the libraries in the file", || {
        let files = fs::read_dir(master.home().join("appendonlydir")).expect("the file's folder");
        files.filter_map(|file| fs::read(file.ok()?.path()).ok()).any(|file| {
            let text = String::from_utf8_lossy(&file).into_owned();
            text.contains("LUA.FUNCTION") && text.contains("EXEC")
        })
    });
    rewrite(&mut client);
    client.ok(&["SET", "k", "v"]);
    wait_until("the replica", || replica.text("GET k") == "\"v\"");
    let stats = replica.info("cmdstat_lua.function|load");
    assert!(stats.starts_with("calls=2,"), "{stats}");
    assert_eq!(replica.text("BGREWRITEAOF"), "+Background append only file rewriting started");
    assert_eq!(libraries(&mut replica), "a=1 b=1");
    master.restart();
    assert_eq!(libraries(&mut master.client()), "a=1 b=1");
}

#[test]
fn a_full_synchronization_replaces_the_libraries_of_a_replica() {
    for (send, receive) in
        [("yes", "disabled"), ("yes", "swapdb"), ("no", "disabled"), ("no", "swapdb")]
    {
        let master = Server::new().tcp().config("repl-diskless-sync", send).start();
        let server = Server::new().config("repl-diskless-load", receive).start();
        let mut client = master.client();
        let mut replica = server.client();
        load(&mut client, "a", "1");
        load(&mut client, "b", "1");
        load(&mut replica, "a", "old");
        load(&mut replica, "stale", "old");
        follow(&mut replica, &master);
        assert_eq!(libraries(&mut replica), "a=1 b=1", "{send} {receive}");
        // What comes later comes as commands.
        load(&mut client, "c", "1");
        function(&mut client, &["DELETE", "a"]);
        client.ok(&["SET", "k", "v"]);
        wait_until("the replica", || replica.text("GET k") == "\"v\"");
        assert_eq!(libraries(&mut replica), "b=1 c=1", "{send} {receive}");
        assert_no_crash(&server.log());
    }
}

#[test]
fn a_master_without_libraries_empties_its_replica() {
    for (send, receive) in
        [("yes", "disabled"), ("yes", "swapdb"), ("no", "disabled"), ("no", "swapdb")]
    {
        // A master without the module has no record for it, not even an empty one.
        for master in [Server::new(), Server::new().without_module()] {
            let master = master.tcp().config("repl-diskless-sync", send).start();
            let server = Server::new().config("repl-diskless-load", receive).start();
            let mut replica = server.client();
            load(&mut replica, "stale", "old");
            follow(&mut replica, &master);
            assert_eq!(libraries(&mut replica), "", "{send} {receive}");
        }
    }
}

/// Makes the master's replica synchronize anew, with the same history, by writing more than the backlog
/// holds while the link is down.
fn break_link(client: &mut Client) {
    let big = "x".repeat(20_000);
    client.ok(&["MULTI"]);
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    for number in 0..10 {
        client.cmd(&["SET", &format!("big:{number}"), &big]);
    }
    client.cmd(&["EXEC"]);
}

/// A master and a replica that loads a dataset beside its own, slowly enough to look at.
fn slow_pair() -> (Server, Server) {
    let master = Server::new()
        .tcp()
        .config("repl-diskless-sync", "yes")
        .config("repl-backlog-size", "16384")
        .start();
    let mut client = master.client();
    load(&mut client, "a", "1");
    load(&mut client, "b", "1");
    client.ok(&["DEBUG", "POPULATE", "3000"]);
    let replica = Server::new()
        .config("repl-diskless-load", "swapdb")
        .config("loading-process-events-interval-bytes", "1024")
        .replica_of(&master)
        .start();
    wait_for_link(&mut replica.client());
    replica.client().set("key-load-delay", "500");
    (master, replica)
}

#[test]
fn a_replica_serves_its_old_libraries_until_the_new_dataset_is_complete() {
    let (master, server) = slow_pair();
    let mut client = master.client();
    let mut replica = server.client();
    client.ok(&["CONFIG", "SET", "rdb-key-save-delay", "100"]);
    client.ok(&["MULTI"]);
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    for door in [Stock, Ours] {
        client.cmd(&[&door.name("FUNCTION"), "DELETE", "a"]);
        client.cmd(&[&door.name("FUNCTION"), "LOAD", "REPLACE", &code("b", "2")]);
    }
    for number in 0..10 {
        client.cmd(&["SET", &format!("big:{number}"), &"x".repeat(20_000)]);
    }
    client.cmd(&["EXEC"]);
    wait_until("a load beside the present data", || replica.info("async_loading") == "1");
    assert_eq!(libraries(&mut replica), "a=1 b=1");
    replica.set("key-load-delay", "0");
    wait_for_link(&mut replica);
    assert_eq!(libraries(&mut replica), "b=2");
}

#[test]
fn a_replica_keeps_its_libraries_when_a_load_beside_them_fails() {
    let (mut master, server) = slow_pair();
    let mut client = master.client();
    let mut replica = server.client();
    break_link(&mut client);
    wait_until("a load beside the present data", || replica.info("async_loading") == "1");
    // The replica reads no further than the buffers of the connection reach.
    client.set("rdb-key-save-delay", "10000");
    master.kill();
    replica.set("key-load-delay", "0");
    wait_until("the end of the load", || replica.info("async_loading") == "0");
    assert_eq!(libraries(&mut replica), "a=1 b=1");
}

#[test]
fn a_replica_catches_up_without_a_full_synchronization() {
    let master = Server::new().tcp().start();
    let server = Server::new().replica_of(&master).start();
    let mut client = master.client();
    let mut replica = server.client();
    wait_for_link(&mut replica);
    load(&mut client, "a", "1");
    client.ok(&["MULTI"]);
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    for door in [Stock, Ours] {
        client.cmd(&[&door.name("FUNCTION"), "LOAD", &code("b", "1")]);
        client.cmd(&[&door.name("FUNCTION"), "DELETE", "a"]);
    }
    client.cmd(&["SET", "k", "v"]);
    client.cmd(&["EXEC"]);
    wait_until("the replica", || replica.text("GET k") == "\"v\"");
    assert_eq!(libraries(&mut replica), "b=1");
    assert_eq!(client.info("sync_full"), "1");
    assert_eq!(client.info("sync_partial_ok"), "1");
}

#[test]
fn libraries_reach_the_end_of_a_chain_and_stay_after_a_failover() {
    let master = Server::new().tcp().start();
    let mut client = master.client();
    load(&mut client, "a", "1");
    let middle = Server::new().tcp().replica_of(&master).start();
    wait_for_link(&mut middle.client());
    let last = Server::new().replica_of(&middle).start();
    let mut replica = last.client();
    wait_for_link(&mut replica);
    assert_eq!(libraries(&mut replica), "a=1");
    load(&mut client, "b", "1");
    wait_until("the library at the end", || ours(&mut replica) == "a=1 b=1");

    let mut client = middle.client();
    client.ok(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(libraries(&mut client), "a=1 b=1");
    load(&mut client, "c", "1");
    function(&mut client, &["DELETE", "a"]);
    wait_until("the changes at the end", || ours(&mut replica) == "b=1 c=1");
    assert_eq!(libraries(&mut replica), "b=1 c=1");
}

#[test]
fn a_replica_refuses_to_change_its_libraries() {
    let master = Server::new().tcp().start();
    let server = Server::new().replica_of(&master).start();
    let mut client = master.client();
    load(&mut client, "a", "1");
    let mut replica = server.client();
    wait_for_link(&mut replica);
    wait_until("the library", || ours(&mut replica) == "a=1");
    for words in [
        &["LOAD", &code("b", "1")][..],
        &["LOAD", "REPLACE", &code("a", "2")],
        &["LOAD", "nonsense"],
        &["DELETE", "a"],
        &["DELETE", "nope"],
        &["FLUSH"],
        &["FLUSH", "ASYNC"],
    ] {
        let reply = function(&mut replica, words);
        assert!(reply.starts_with("-READONLY "), "{words:?}: {reply}");
    }
    assert_eq!(libraries(&mut replica), "a=1");
}

#[test]
fn a_replica_keeps_the_libraries_in_an_append_only_file_of_its_own() {
    for preamble in ["yes", "no"] {
        let mut master = Server::new().tcp().start();
        let mut client = master.client();
        load(&mut client, "a", "1");
        load(&mut client, "b", "1");
        let mut server = Server::new()
            .appendonly()
            .config("aof-use-rdb-preamble", preamble)
            .replica_of(&master)
            .start();
        let mut replica = server.client();
        wait_for_link(&mut replica);
        wait_until("the replica's own file", || {
            replica.info("aof_enabled") == "1"
                && replica.info("aof_rewrite_in_progress") == "0"
                && replica.info("aof_rewrite_scheduled") == "0"
        });
        function(&mut client, &["DELETE", "a"]);
        load(&mut client, "c", "1");
        wait_until("the changes", || ours(&mut replica) == "b=1 c=1");
        master.kill();
        server.restart();
        assert_eq!(libraries(&mut server.client()), "b=1 c=1", "preamble {preamble}");
    }
}

#[test]
fn data_written_without_libraries_loads_without_the_module() {
    let data = folder();
    let server = Server::new().dir(data.path()).start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    client.show(&["LUA.FUNCTION", "LOAD", &code("a", "1")]);
    client.ok(&["SAVE"]);
    drop(server);
    let log = refused(Server::new().without_module().dir(data.path()));
    assert!(log.contains("redlua-fn"), "{log}");

    // With the setting the libraries are loaded, but not saved again.
    let server = Server::new().config("redlua.persist", "no").dir(data.path()).start();
    let mut client = server.client();
    assert_eq!(ours(&mut client), "a=1");
    let reply = client.text("CONFIG SET redlua.persist yes");
    assert!(reply.contains("set immutable config"), "{reply}");
    client.ok(&["CONFIG", "SET", "redlua.persist", "no"]);
    client.ok(&["SAVE"]);
    drop(server);
    let server = Server::new().without_module().dir(data.path()).start();
    assert_eq!(server.client().text("GET k"), "\"v\"");
    drop(server);
    let server = Server::new().dir(data.path()).start();
    assert_eq!(ours(&mut server.client()), "");
}

#[test]
fn data_of_an_empty_engine_loads_without_the_module_but_on_the_oldest_servers() {
    let data = folder();
    let server = Server::new().dir(data.path()).start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    client.ok(&["SAVE"]);
    let is_oldest = client.info("redis_version").starts_with("7.0.");
    drop(server);
    let bare = Server::new().without_module().dir(data.path());
    if is_oldest {
        refused(bare);
    } else {
        assert_eq!(bare.start().client().text("GET k"), "\"v\"");
    }
}

#[test]
fn an_append_only_file_rewritten_without_libraries_loads_without_the_module() {
    for preamble in ["yes", "no"] {
        let data = folder();
        let aof = |server: ServerBuilder| {
            server.appendonly().config("aof-use-rdb-preamble", preamble).dir(data.path())
        };
        let server = aof(Server::new().config("redlua.persist", "no")).start();
        let mut client = server.client();
        client.ok(&["SET", "k", "v"]);
        client.show(&["LUA.FUNCTION", "LOAD", &code("a", "1")]);
        rewrite(&mut client);
        drop(server);
        let server = aof(Server::new().without_module()).start();
        assert_eq!(server.client().text("GET k"), "\"v\"", "preamble {preamble}");
    }
}

#[test]
fn a_file_of_a_server_without_the_module_loads() {
    let data = folder();
    let server = Server::new().without_module().dir(data.path()).start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    client.show(&["FUNCTION", "LOAD", &code("a", "1")]);
    client.ok(&["SAVE"]);
    drop(server);
    let server = Server::new().dir(data.path()).start();
    let mut client = server.client();
    assert_eq!(client.text("GET k"), "\"v\"");
    assert_eq!(libraries_of(&mut client, Stock), ["a=1"]);
    assert_eq!(ours(&mut client), "");
}

/// The identifier of the module's data type, as RDB files have it.
fn type_id() -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = |letter: u8| LETTERS.iter().position(|&it| it == letter).expect("a letter");
    let id = b"redlua-fn".iter().fold(0_u64, |id, &letter| id << 6 | place(letter) as u64);
    let id = id << 10 | 1;
    [&[0x81][..], &id.to_be_bytes()].concat()
}

/// Where the module's record is in an RDB file: after the identifier of its type, up to the first database.
fn record(file: &[u8]) -> (usize, usize) {
    let id = type_id();
    let start = file.windows(id.len()).position(|part| part == id).expect("the record");
    let key = b"\xfe\x00\xfb";
    let end = file[start..].windows(key.len()).position(|part| part == key).expect("the keys");
    (start + id.len(), start + end)
}

/// Small numbers that are the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("a small number")
    }
}

/// Damages the record of a file in one of several ways.
fn damage(file: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (start, end) = record(file);
    let at = start + dice.roll(end - start);
    let mut damaged = file.to_vec();
    match dice.roll(3) {
        0 => damaged.truncate(at),
        1 => damaged[at] ^= 1 << dice.roll(8),
        _ => damaged[at] = u8::try_from(dice.roll(256)).expect("a byte"),
    }
    damaged
}

/// Starts a server on a file with damage, `tries` times. It starts or refuses to, and does neither late.
fn survive_damage(
    file: &Path,
    seed: u64,
    tries: usize,
    server: impl Fn(PathBuf) -> ServerBuilder,
) -> usize {
    let mut dice = Dice(seed);
    let sound = fs::read(file).expect("the file");
    let mut refusals = 0;
    for attempt in 0..tries {
        let damaged = damage(&sound, &mut dice);
        fs::write(file, &damaged).expect("the file");
        match server(file.to_owned()).try_start() {
            Ok(server) => {
                let mut client = server.client();
                ours(&mut client);
                assert_eq!(client.text("PING"), "+PONG", "try {attempt}");
                assert_no_crash(&server.log());
            }
            Err(log) => {
                assert_no_crash(&log);
                let refusal = ["error, aborting", "Terminating", "RDB", "AOF"];
                assert!(refusal.iter().any(|mark| log.contains(mark)), "try {attempt}: {log}");
                refusals += 1;
            }
        }
    }
    fs::write(file, sound).expect("the file");
    refusals
}

#[test]
fn a_damaged_record_is_refused_or_loaded() {
    for (seed, compression, checksum) in [(1, "yes", "no"), (2, "no", "no"), (3, "no", "yes")] {
        let data = folder();
        let server = Server::new()
            .dir(data.path())
            .config("rdbcompression", compression)
            .config("rdbchecksum", checksum)
            .start();
        let mut client = server.client();
        client.ok(&["SET", "k", "v"]);
        for number in 0..3 {
            client.show(&[
                "LUA.FUNCTION",
                "LOAD",
                &code(&format!("l{number}"), "value value value"),
            ]);
        }
        client.ok(&["SAVE"]);
        drop(server);
        let builder = |_| Server::new().dir(data.path());
        let refusals = survive_damage(&data.path().join("dump.rdb"), seed, 20, builder);
        // A checksum leaves nothing undetected.
        let least = if checksum == "yes" { 18 } else { 5 };
        assert!(refusals >= least, "{refusals} refusals");
        assert_ne!(ours(&mut Server::new().dir(data.path()).start().client()), "");
    }
}

#[test]
fn a_damaged_record_in_the_base_of_an_append_only_file_is_refused_or_loaded() {
    let data = folder();
    let aof = || Server::new().appendonly().config("rdbchecksum", "no").dir(data.path());
    let server = aof().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    for number in 0..3 {
        client.show(&["LUA.FUNCTION", "LOAD", &code(&format!("l{number}"), "value value value")]);
    }
    rewrite(&mut client);
    drop(server);
    let folder = fs::read_dir(data.path().join("appendonlydir")).expect("the file's folder");
    let base = folder
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with("base.rdb"))
        .expect("a base file");
    let refusals = survive_damage(&base, 4, 20, |_| aof());
    assert!(refusals >= 5, "{refusals} refusals");
}

#[test]
fn a_record_of_a_newer_format_and_a_broken_library_are_refused_with_a_clear_line() {
    let data = folder();
    let server = Server::new()
        .dir(data.path())
        .config("rdbcompression", "no")
        .config("rdbchecksum", "no")
        .start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    client.show(&["LUA.FUNCTION", "LOAD", &code("a", "1")]);
    client.show(&["LUA.FUNCTION", "LOAD", &code("b", "1")]);
    client.ok(&["SAVE"]);
    drop(server);
    let path = data.path().join("dump.rdb");
    let sound = fs::read(&path).expect("the file");
    let (start, _) = record(&sound);
    let change = |from: &str, to: &str| {
        let at = sound.windows(from.len()).position(|part| part == from.as_bytes());
        let at = at.expect("the text");
        let mut file = sound.clone();
        file[at..at + from.len()].copy_from_slice(to.as_bytes());
        file
    };
    let mut newer = sound.clone();
    newer[start - 1] += 1;
    for (file, mark) in [
        (newer, "format 2"),
        (change("#!lua name=a", "#!lua nime=a"), "RedLua refuses the function libraries: ERR"),
        (change("#!lua name=b", "#!lua name=a"), "already exists"),
        (change("function_name='b'", "function_name='a'"), "already exists"),
        (sound[..start + 5].to_vec(), "the record is damaged"),
        (sound[..start + 20].to_vec(), "the record is damaged"),
    ] {
        fs::write(&path, file).expect("the file");
        let log = refused(Server::new().dir(data.path()));
        assert!(log.contains(mark), "{mark}: {log}");
    }
}

#[test]
fn a_forged_key_of_the_modules_type_is_refused() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]);
    client.ok(&["SET", "k", "v"]);
    let dump = client.value(&["DUMP", "k"]);
    let dump = dump.bytes().expect("a payload");
    let footer = &dump[dump.len() - 10..];
    // A value of a module type: the identifier, and the end of its data.
    let payload = [&[7][..], &type_id(), &[0], footer].concat();
    let reply = client.show(&crate::argv!["RESTORE", "forged", "0", payload]);
    assert_eq!(reply, "-ERR Bad data format");
    assert_eq!(client.text("EXISTS forged"), ":0");
}
