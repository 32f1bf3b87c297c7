//! The module's life: loaded at start and at run time, configured, never unloaded.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::doors::Scripts;
use crate::support::{Client, Server};

/// The module the servers of these tests load.
fn module() -> String {
    let path = std::env::var_os("REDLUA_MODULE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/release/libredlua.so"),
        PathBuf::from,
    );
    let path = path.canonicalize().expect("the module is built");
    path.to_str().expect("a path that is text").to_owned()
}

fn load(client: &mut Client) {
    client.ok(&["MODULE", "LOAD", &module()]);
}

/// Starts a server that is expected to refuse its configuration, and returns what it said.
fn refused_start(settings: &str) -> String {
    let directory = tempfile::tempdir().expect("a temp directory");
    let file = directory.path().join("redis.conf");
    let socket = directory.path().join("redis.sock");
    let settings = format!(
        "port 0\nunixsocket {}\ndir {}\nsave \"\"\n{settings}\n",
        socket.display(),
        directory.path().display()
    );
    fs::write(&file, &settings).expect("the temp directory");
    let binary = std::env::var_os("REDLUA_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut child = Command::new(binary)
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("our own child").is_none() && Instant::now() < deadline {
        // A server listens before it loads modules, but answers only after that.
        if Client::connect(&socket).is_ok_and(|mut client| client.try_cmd(&["PING"]).is_ok()) {
            break;
        }
        std::thread::yield_now();
    }
    let started = child.try_wait().expect("our own child").is_none();
    if started {
        child.kill().expect("our own child");
    }
    let output = child.wait_with_output().expect("our own child");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!started, "the server started with\n{settings}\n{text}");
    text
}

/// Lines of a log that come from the module.
fn own_lines(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("<redlua>") || line.contains("RedLua")).collect()
}

/// Tries to unload the module, which servers refuse for a module with a data type.
fn assert_stays(client: &mut Client) {
    let reply = client.text("MODULE UNLOAD redlua");
    assert!(reply.starts_with("-ERR Error unloading module"), "{reply}");
    assert!(reply.contains("data types"), "{reply}");
}

#[test]
fn the_module_loads_at_run_time_and_stays() {
    let server = Server::new().without_module().start();
    let mut client = server.client();
    assert!(client.lua("return 1").starts_with("-ERR unknown command"));
    load(&mut client);
    for round in 0..3 {
        assert_eq!(client.lua("return redis.call('incr', 'n')"), format!(":{}", round + 1));
        assert_stays(&mut client);
    }
    assert_eq!(client.figure("redlua_number_of_cached_scripts"), 1);
    assert_eq!(own_lines(&server.log()).iter().filter(|it| it.contains("is ready")).count(), 1);
}

#[test]
fn an_attempt_to_unload_leaves_scripts_and_libraries_as_they_are() {
    let server = Server::new().start();
    let mut client = server.client();
    let library = "#!lua name=lib\nredis.register_function('f', function() return 'f' end)";
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return 'kept'"]);
    let sha = sha.text().expect("a digest");
    for round in 0..20 {
        // A flush goes on in a thread.
        client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", library]);
        client.ok(&["LUA.FUNCTION", "FLUSH", "ASYNC"]);
        assert_stays(&mut client);
        assert_eq!(client.show(&["LUA.FUNCTION", "LOAD", library]), "\"lib\"", "round {round}");
        assert_stays(&mut client);
        assert_eq!(client.text("LUA.FCALL f 0"), "\"f\"");
        assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), "\"kept\"");
    }
    assert_eq!(client.text("MODULE LIST").matches("redlua").count(), 2, "the name and the path");
}

#[test]
fn a_second_load_is_refused_and_the_first_goes_on() {
    let server = Server::new().start();
    let mut client = server.client();
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return 'kept'"]);
    let sha = sha.text().expect("a digest");
    client.set("redlua.memory-limit", "100mb");
    for _ in 0..3 {
        assert!(client.show(&["MODULE", "LOAD", &module()]).starts_with("-ERR Error loading"));
    }
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), "\"kept\"");
    assert_eq!(
        client.text("CONFIG GET redlua.memory-limit"),
        format!("[\"redlua.memory-limit\", \"{}\"]", 100 << 20)
    );
    assert_eq!(client.lua("return redis.call('incr', 'n')"), ":1");
    assert_eq!(client.text("COMMAND GETKEYS LUA.EVAL s 1 k"), "[\"k\"]");
    assert_stays(&mut client);
    assert_eq!(client.lua("return 1"), ":1");
}

#[test]
fn bad_arguments_are_refused_with_one_clear_line() {
    for (arguments, reason) in [
        ("nope 1", "there is no argument 'nope'"),
        ("takeover", "the argument 'takeover' has no value"),
        ("takeover maybe", "the value 'maybe' of 'takeover' is neither yes nor no"),
        ("memory-limit 1", "the value '1' of 'memory-limit' is out of range"),
        ("max-run-time 1 prefix a/b", "the prefix 'a/b' is not 1 to 16 letters, digits"),
    ] {
        let log = refused_start(&format!("loadmodule {} {arguments}", module()));
        let lines = own_lines(&log);
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains(&format!("RedLua does not load: {reason}")), "{log}");
    }

    let server = Server::new().without_module().start();
    let mut client = server.client();
    let reply = client.show(&["MODULE", "LOAD", &module(), "x"]);
    assert!(reply.starts_with("-ERR Error loading the extension"), "{reply}");
    assert_eq!(own_lines(&server.log()).len(), 1, "{}", server.log());
    assert!(client.lua("return 1").starts_with("-ERR unknown command"));
    load(&mut client);
    assert_eq!(client.lua("return 1"), ":1");
}

#[test]
fn settings_may_be_arguments_of_the_load() {
    let mut server = Server::new()
        .config("redlua.memory-limit", "64mb")
        .config("redlua.max-run-time", "7")
        .module_arg("memory-limit")
        .module_arg("32mb")
        .module_arg("redlua.PERSIST")
        .module_arg("no")
        .start();
    for _ in 0..2 {
        let mut client = server.client();
        let shown = |client: &mut Client, name: &str| client.text(&format!("CONFIG GET {name}"));
        assert!(shown(&mut client, "redlua.memory-limit").ends_with(&format!("\"{}\"]", 32 << 20)));
        assert!(shown(&mut client, "redlua.persist").ends_with("\"no\"]"));
        assert!(shown(&mut client, "redlua.max-run-time").ends_with("\"7\"]"));
        client.ok(&["CONFIG", "REWRITE"]);
        server.restart();
    }
}

#[test]
fn two_builds_run_side_by_side_under_prefixes_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = directory.path().join("libother.so");
    std::fs::copy(module(), &other).expect("a copy of the module");
    let mut server = Server::new().config("save", "3600 1").start();
    let load = |client: &mut Client| {
        client.ok(&["MODULE", "LOAD", &other.to_string_lossy(), "prefix", "Two."]);
    };
    let mut client = server.client();
    load(&mut client);
    assert_eq!(client.text("TWO.EVAL return(1) 0"), ":1");
    assert_eq!(client.text("LUA.EVAL return(1) 0"), ":1");
    assert!(client.text("TWO.SCRIPT HELP").contains("+TWO.SCRIPT <subcommand>"));
    client.set("redlua-two.memory-limit", "32mb");
    assert!(
        client.text("CONFIG GET redlua.memory-limit").ends_with(&format!("\"{}\"]", 256 << 20))
    );
    for (name, value) in [("LUA.FUNCTION", "1"), ("TWO.FUNCTION", "2")] {
        let code =
            format!("#!lua name=l\nredis.register_function('f', function() return {value} end)");
        assert_eq!(client.show(&[name, "LOAD", &code]), "\"l\"");
    }
    client.ok(&["CONFIG", "SET", "save", ""]);
    client.ok(&["SAVE"]);
    client.set("redlua-two.max-run-time", "50");
    assert!(
        client.text("TWO.EVAL while(true)do()end 0").starts_with("-ERR Error compiling script")
    );
    let reply = client.show(&["TWO.EVAL", "while true do end", "0"]);
    assert!(reply.starts_with("-ERR Script killed: it ran longer than max-run-time"), "{reply}");
    // Both records are in one file; each module finds its own.
    client.ok(&["CONFIG", "REWRITE"]);
    server.restart();
    let mut client = server.client();
    assert_eq!(client.text("LUA.FCALL f 0"), ":1");
    assert_eq!(client.text("TWO.FCALL f 0"), ":2");
}

#[test]
fn settings_are_read_and_set_at_run_time() {
    let server = Server::new().start();
    let mut client = server.client();
    let settings = client.value(&["CONFIG", "GET", "redlua.*"]);
    let field = |name: &str| settings.field(name).and_then(crate::support::Value::text);
    assert_eq!(field("redlua.memory-limit"), Some((256 << 20).to_string()));
    assert_eq!(field("redlua.max-script-size"), Some((16 << 20).to_string()));
    assert_eq!(field("redlua.persist"), Some("yes".to_owned()));
    assert_eq!(field("redlua.script-time-limit"), Some("5000".to_owned()));
    assert_eq!(field("redlua.max-run-time"), Some("0".to_owned()));
    assert_eq!(field("redlua.max-run-time-after-write"), Some("0".to_owned()));
    assert_eq!(field("redlua.exec-time-limit"), Some("30000".to_owned()));
    assert_eq!(field("redlua.error-traceback"), Some("log".to_owned()));
    assert_eq!(settings.elements().expect("a list").len(), 26);
    for (name, value, shown) in [
        ("redlua.memory-limit", "64mb", 64 << 20),
        ("redlua.memory-limit", "5000000", 5_000_000),
        ("REDLUA.Memory-Limit", "1gb", 1 << 30),
        ("redlua.max-script-size", "1kb", 1 << 10),
        ("redlua.max-script-size", "1", 1),
    ] {
        client.set(name, value);
        let name = name.to_lowercase();
        assert_eq!(
            client.text(&format!("CONFIG GET {name}")),
            format!("[\"{name}\", \"{shown}\"]")
        );
    }
    for (name, value) in [
        ("redlua.memory-limit", "1mb"),
        ("redlua.memory-limit", "0"),
        ("redlua.memory-limit", "-1"),
        ("redlua.memory-limit", "many"),
        ("redlua.memory-limit", ""),
        ("redlua.memory-limit", "10%"),
        ("redlua.memory-limit", "99999999999999999999"),
        ("redlua.max-script-size", "0"),
        ("redlua.max-script-size", "2gb"),
        ("redlua.max-script-size", "x"),
        ("redlua.persist", "no"),
        ("redlua.nope", "1"),
    ] {
        let reply = client.show(&["CONFIG", "SET", name, value]);
        assert!(reply.starts_with("-ERR "), "{name} {value}: {reply}");
    }
    // A fixed setting takes the value it has, so that a whole configuration can be written back.
    client.set("redlua.persist", "yes");
    assert_eq!(
        client.text("CONFIG GET redlua.memory-limit"),
        format!("[\"redlua.memory-limit\", \"{}\"]", 1 << 30)
    );
}

#[test]
fn changes_of_other_settings_leave_no_trace_of_the_module() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("slowlog-log-slower-than", "0");
    client.text("SLOWLOG RESET");
    client.set("slowlog-max-len", "64");
    client.set("slowlog-log-slower-than", "-1");
    let logged = client.text("SLOWLOG GET");
    assert_eq!(client.text("SLOWLOG LEN"), ":2", "{logged}");
}

#[test]
fn settings_in_the_configuration_file_hold_and_are_rewritten() {
    let mut server = Server::new()
        .config("redlua.memory-limit", "32mb")
        .config("redlua.max-script-size", "100kb")
        .start();
    let mut client = server.client();
    let limit = |client: &mut Client, name: &str| client.text(&format!("CONFIG GET {name}"));
    assert!(limit(&mut client, "redlua.memory-limit").contains(&(32 << 20).to_string()));
    let long = format!("return 1 --{}", "x".repeat(100 << 10));
    assert!(client.lua(&long).contains("redlua.max-script-size"));
    client.set("redlua.memory-limit", "48mb");
    client.ok(&["CONFIG", "REWRITE"]);
    server.restart();
    let mut client = server.client();
    assert!(limit(&mut client, "redlua.memory-limit").contains(&(48 << 20).to_string()));
    assert!(limit(&mut client, "redlua.max-script-size").contains(&(100 << 10).to_string()));
}

#[test]
fn the_configuration_can_be_written_back() {
    let server = Server::new().start();
    let mut client = server.client();
    // Valkey 9.1 ended here when a setting asked the server for its value meanwhile.
    client.ok(&["CONFIG", "REWRITE"]);
    client.ok(&["CONFIG", "SET", "lua-time-limit", "1234"]);
    let limit = client.value(&["CONFIG", "GET", "redlua.script-time-limit"]);
    assert_eq!(limit.field("redlua.script-time-limit").and_then(|it| it.text()).unwrap(), "1234");
    client.ok(&["CONFIG", "REWRITE"]);
}

#[test]
fn bad_settings_in_the_configuration_file_stop_the_server_with_a_clear_line() {
    let load = format!("loadmodule {}", module());
    for (line, mark) in [
        ("redlua.memory-limit 1", "memory-limit"),
        ("redlua.memory-limit lots", "memory-limit"),
        ("redlua.max-script-size 0", "max-script-size"),
        ("redlua.persist maybe", "persist"),
        ("redlua.nope 1", "Module Configuration"),
    ] {
        let log = refused_start(&format!("{load}\n{line}"));
        assert!(log.contains(mark), "{line}:\n{log}");
    }
}

#[test]
fn the_module_lists_itself() {
    let server = Server::new().start();
    let mut client = server.client();
    let list = client.text("MODULE LIST");
    assert!(list.contains("\"redlua\""), "{list}");
    let info = client.value(&["INFO", "redlua"]).text().expect("text");
    for field in ["redlua_runs:", "redlua_number_of_cached_scripts:", "redlua_evicted_scripts:"] {
        assert!(info.contains(field), "{info}");
    }
    let ready = own_lines(&server.log()).join("\n");
    assert!(ready.contains("is ready"), "{}", server.log());
}

#[test]
fn a_shutdown_is_clean_and_a_killed_server_starts_again() {
    let mut server = Server::new().start();
    let mut client = server.client();
    client.lua("return 1");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait_for_exit().success(), "{}", server.log());
    assert!(!server.log().contains("REDIS BUG REPORT"), "{}", server.log());
    server.restart();
    assert_eq!(server.client().lua("return 1"), ":1");
    server.restart();
    assert_eq!(server.client().lua("return 1"), ":1");
}

#[test]
fn no_symbol_of_lua_leaves_the_library_or_is_taken_from_the_server() {
    // Servers export a Lua of their own: a missing symbol of ours would be found there.
    let (defined, wanted) = dynamic_symbols(&fs::read(module()).expect("the module"));
    assert!(defined.iter().any(|it| it == "RedisModule_OnLoad"), "{defined:?}");
    let is_lua = |name: &&String| name.starts_with("lua") || name.starts_with("redlua_");
    let lua: Vec<_> = defined.iter().chain(&wanted).filter(is_lua).collect();
    assert!(lua.is_empty(), "{lua:?}");
}

/// The names an ELF library of 64 bits defines for others, and those it wants from others.
fn dynamic_symbols(elf: &[u8]) -> (Vec<String>, Vec<String>) {
    const DYNSYM: u64 = 11;
    const SECTION: usize = 64;
    const SYMBOL: usize = 24;
    let number = |at: usize, size: usize| -> u64 {
        let bytes = elf[at..at + size].iter().rev();
        bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
    };
    let word = |at: usize| usize::try_from(number(at, 8)).expect("an offset in the file");
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "an ELF file of 64 bits, little-endian");
    let sections = word(0x28);
    let section = |index: usize| sections + index * SECTION;
    let count = usize::try_from(number(0x3c, 2)).expect("a small number");
    let symbols = (0..count).map(section).find(|&at| number(at + 4, 4) == DYNSYM);
    let symbols = symbols.expect("a table of dynamic symbols");
    let strings = section(usize::try_from(number(symbols + 0x28, 4)).expect("a small number"));
    let names = word(strings + 0x18);
    let (start, size) = (word(symbols + 0x18), word(symbols + 0x20));
    let name = |at: usize| {
        let from = names + usize::try_from(number(at, 4)).expect("a small number");
        let name = elf[from..].split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    let entries = (start..start + size).step_by(SYMBOL);
    let (defined, wanted): (Vec<_>, Vec<_>) = entries.partition(|&at| number(at + 6, 2) != 0);
    (defined.into_iter().map(name).collect(), wanted.into_iter().map(name).collect())
}
