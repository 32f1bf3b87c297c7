//! Libraries of functions: what only a server can show of them.

use std::time::{Duration, Instant};

use crate::acl::login;
use crate::argv;
use crate::cluster::{AWAY, ELSEWHERE, HERE, HERE_TOO, half, keeps_to_one_slot};
use crate::doors::{Door, Ours, Scripts, Stock, request, same};
use crate::support::{Client, Server, Value, render, wait_until};

/// What tests of functions ask of a connection again and again.
trait Functions {
    fn load(&mut self, door: Door, code: &str) -> String;
    fn fcall(&mut self, door: Door, name: &str, keys: &[&str], args: &[&str]) -> String;
    fn dump(&mut self, door: Door) -> Vec<u8>;
    fn restore(&mut self, door: Door, payload: &[u8], policy: &str) -> String;
    /// Our libraries with their functions and texts, in one order whatever the server's.
    fn libraries(&mut self, door: Door) -> Vec<String>;
    /// Sends `LUA.FUNCTION CREATE LUA name options… code`.
    fn create(&mut self, name: &str, options: &[&str], code: &str) -> String;
}

impl Functions for Client {
    fn load(&mut self, door: Door, code: &str) -> String {
        self.show(&[&door.name("FUNCTION"), "LOAD", code])
    }

    fn fcall(&mut self, door: Door, name: &str, keys: &[&str], args: &[&str]) -> String {
        self.show(&request(&door.name("FCALL"), name, keys, args))
    }

    fn dump(&mut self, door: Door) -> Vec<u8> {
        match self.value(&[&door.name("FUNCTION"), "DUMP"]) {
            Value::Bulk(payload) => payload,
            other => panic!("DUMP: {other}"),
        }
    }

    fn restore(&mut self, door: Door, payload: &[u8], policy: &str) -> String {
        self.show(&argv![door.name("FUNCTION"), "RESTORE", payload, policy])
    }

    fn libraries(&mut self, door: Door) -> Vec<String> {
        let list = self.value(&[&door.name("FUNCTION"), "LIST", "WITHCODE"]);
        let list = list.elements().expect("a list");
        let mut shown: Vec<_> = list
            .iter()
            .map(|library| {
                let functions = library.field("functions").and_then(Value::elements);
                let functions = functions.expect("functions").iter();
                let mut functions: Vec<_> = functions.map(Value::to_string).collect();
                functions.sort();
                let field = |name| library.field(name).and_then(Value::text);
                format!("{:?} {functions:?} {:?}", field("library_name"), field("library_code"))
            })
            .collect();
        shown.sort();
        shown
    }

    fn create(&mut self, name: &str, options: &[&str], code: &str) -> String {
        let mut argv = vec!["LUA.FUNCTION", "CREATE", "LUA", name];
        argv.extend_from_slice(options);
        argv.push(code);
        self.show(&argv)
    }
}

/// A library with one function `name`, which returns `result`.
fn constant(library: &str, name: &str, result: &str) -> String {
    format!(
        "#!lua name={library}\nredis.register_function('{name}', function() return {result} end)"
    )
}

fn pair(builder: crate::support::ServerBuilder) -> (Server, Server) {
    let master = builder.tcp().start();
    let replica = Server::new().replica_of(&master).start();
    let mut client = replica.client();
    wait_until("the link", || client.info("master_link_status") == "up");
    (master, replica)
}

/// Waits until the replica has all that the master sent.
fn caught_up(master: &mut Client, replica: &mut Client) {
    wait_until("a replica that has caught up", || {
        let sent = master.info("master_repl_offset");
        replica.info("slave_repl_offset") == sent
    });
}

// Functions from plain chunks.

#[test]
fn created_functions_answer_as_they_did_before_libraries() {
    let server = Server::new().start();
    let mut client = server.client();
    let show = "return {KEYS,ARGV}";
    assert_eq!(client.create("f", &[], show), "+OK");
    let taken = "-ERR Function already exists";
    assert_eq!(client.show(&["LUA.FUNCTION", "CREATE", "lua", "F", "return 1"]), taken);
    assert_eq!(client.create("f", &["REPLACE"], show), "+OK");
    let set = "return redis.call('set', KEYS[1], ARGV[1])";
    assert_eq!(client.create("g", &["DESCRIPTION", "some text"], set), "+OK");
    assert_eq!(client.create("g2", &["DESC", "some text"], "return 1"), "+OK");
    assert_eq!(client.create("g3", &["FOO"], "return 1"), "+OK");
    assert_eq!(client.fcall(Ours, "g", &["key"], &["value"]), "+OK");
    assert_eq!(client.text("GET key"), "\"value\"");
    assert_eq!(client.create("g", &["replace", "description", "d2"], "return 2"), "+OK");
    assert_eq!(client.create("g4", &["DESCRIPTION"], "return 1"), "-ERR Function code is missing");
    assert_eq!(
        client.show(&["LUA.FUNCTION", "CREATE", "js", "h", "return 1"]),
        "-ERR Engine not found"
    );
    let name = "-ERR Function names can only contain letters and numbers and must be at least one \
                character long";
    for bad in ["bad-name", "", "a b", "a\n", "é"] {
        assert_eq!(client.create(bad, &[], "return 1"), name, "{bad:?}");
    }
    assert_eq!(
        client.create("b", &[], "bad("),
        "-ERR Error compiling function: user_function:1: unexpected symbol near \\'<eof>\\'"
    );
    for short in ["LUA.FUNCTION CREATE LUA x", "LUA.FUNCTION CREATE"] {
        let reply = client.text(short);
        assert!(reply.starts_with("-ERR wrong number of arguments"), "{reply}");
    }

    let info = "[\"name\", \"f\", \"engine\", \"LUA\", \"description\", $-1]";
    assert_eq!(client.text("LUA.FUNCTION INFO f"), info);
    assert_eq!(client.text("LUA.FUNCTION INFO F"), info);
    let info = "[\"name\", \"g\", \"engine\", \"LUA\", \"description\", \"d2\"";
    assert_eq!(client.text("LUA.FUNCTION INFO g FOO"), format!("{info}]"));
    for word in ["WITHCODE", "withcode"] {
        let reply = client.text(&format!("LUA.FUNCTION INFO g {word}"));
        assert_eq!(reply, format!("{info}, \"code\", \"return 2\"]"));
    }
    assert!(client.text("LUA.FUNCTION INFO g2").ends_with("\"some text\"]"));
    assert!(client.text("LUA.FUNCTION INFO g3").ends_with("$-1]"));
    assert_eq!(client.text("LUA.FUNCTION INFO nosuch"), "-ERR Function does not exists");
    let reply = client.text("LUA.FUNCTION INFO g WITHCODE x");
    assert!(reply.starts_with("-ERR wrong number of arguments"), "{reply}");

    assert_eq!(client.fcall(Ours, "f", &["k"], &["a"]), "[[\"k\"], [\"a\"]]");
    assert_eq!(client.fcall(Ours, "F", &[], &[]), "[[], []]");
    assert_eq!(client.text("LUA.FCALL g 0"), ":2");
    assert_eq!(
        client.text("LUA.FCALL_RO f 0"),
        "-ERR Can not execute a script with write flag using *_ro command."
    );

    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    client.cmd(&["HELLO", "3"]);
    assert_eq!(client.create("f", &[], "return 1"), "+OK");
    assert_eq!(
        client.text("LUA.FUNCTION INFO f WITHCODE"),
        "%{\"name\": \"f\", \"engine\": \"LUA\", \"description\": _, \"code\": \"return 1\"}"
    );
}

#[test]
fn errors_of_created_functions_name_the_function() {
    let server = Server::new().start();
    let mut client = server.client();
    client.load(Stock, "#!lua name=e\nredis.register_function('e', function() error('x') end)");
    // Valkey 9.1 does not name the function.
    let is_named = client.fcall(Stock, "e", &[], &[]).contains(" script: e, on @user_function:");
    client.create("e", &[], "error('x')");
    client.create("u", &[], "return foo");
    client.create("w", &[], "foo = 1");
    for (name, expected) in [
        ("e", "x"),
        ("u", "Script attempted to access nonexistent global variable \\'foo\\'"),
        ("w", "Attempt to modify a readonly table"),
    ] {
        let reply = client.fcall(Ours, name, &[], &[]);
        assert!(reply.starts_with("-ERR user_function:") && reply.contains(expected), "{reply}");
        let name = if is_named { format!("{name}, ") } else { String::new() };
        assert!(reply.contains(&format!(" script: {name}on @user_function:")), "{reply}");
    }
}

#[test]
fn a_created_function_is_a_library_of_its_own_name() {
    let server = Server::new().start();
    let mut client = server.client();
    let chunk = "-- a \"comment\"\nlocal n = #KEYS\nreturn {n, ARGV[1]} -- the end";
    client.create("made", &["DESC", "what\n'it' \"does\" \\ \u{e9}"], chunk);
    let list = client.value(&["LUA.FUNCTION", "LIST", "LIBRARYNAME", "made", "WITHCODE"]);
    let library = &list.elements().expect("a list")[0];
    assert_eq!(library.field("library_name").and_then(Value::text).as_deref(), Some("made"));
    let function = &library.field("functions").and_then(Value::elements).expect("functions")[0];
    let text = |name| function.field(name).and_then(Value::text).unwrap_or_default();
    assert_eq!(text("name"), "made");
    assert_eq!(text("description"), "what\n'it' \"does\" \\ \u{e9}");
    let info = client.value(&["LUA.FUNCTION", "INFO", "made", "WITHCODE"]);
    assert_eq!(info.field("code").and_then(Value::text).as_deref(), Some(chunk));

    // Stock takes it as it is.
    let payload = client.dump(Ours);
    assert_eq!(client.restore(Stock, &payload, "APPEND"), "+OK");
    assert_eq!(client.libraries(Stock), client.libraries(Ours));
    same("the function", |door| client.fcall(door, "made", &["a", "b"], &["c"]));

    // And so do we, without forgetting what it was made from.
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    assert_eq!(client.restore(Ours, &payload, "APPEND"), "+OK");
    assert_eq!(client.value(&["LUA.FUNCTION", "INFO", "made", "WITHCODE"]), info);
    assert_eq!(client.create("MADE", &["REPLACE"], "return 'new'"), "+OK");
    assert_eq!(client.fcall(Ours, "made", &[], &[]), "\"new\"");
    assert_eq!(client.libraries(Ours).len(), 1);
    assert_eq!(client.text("LUA.FUNCTION DELETE made"), "-ERR Library not found");
    assert_eq!(client.text("LUA.FUNCTION DELETE MADE"), "+OK");
    assert_eq!(client.fcall(Ours, "made", &[], &[]), "-ERR Function not found");
}

#[test]
fn a_failed_replace_keeps_the_function() {
    let server = Server::new().start();
    let mut client = server.client();
    client.create("f", &[], "return 'old'");
    client.load(Ours, &constant("lib", "g", "'of a library'"));
    let before = client.libraries(Ours);
    let locals: Vec<String> = (0..199).map(|number| format!("l{number}")).collect();
    let locals = format!("local {}", locals.join(","));
    for (name, options, code) in [
        ("f", &["REPLACE"][..], "bad("),
        ("F", &["REPLACE"], "bad("),
        ("f", &[], "return 'new'"),
        ("f", &["REPLACE", "DESC"], "return 'new'"),
        // Sound by itself, but there is no room for the two parameters.
        ("f", &["REPLACE"], &locals),
        // What a library registered is not for CREATE to replace.
        ("g", &["REPLACE"], "return 'new'"),
        ("G", &[], "return 'new'"),
        ("lib", &["REPLACE"], "return 'new'"),
    ] {
        let reply = client.create(name, options, code);
        assert!(reply.starts_with("-ERR "), "{name} {code}: {reply}");
        assert_eq!(client.libraries(Ours), before, "{name} {code}");
        assert_eq!(client.fcall(Ours, "f", &[], &[]), "\"old\"");
        assert_eq!(client.fcall(Ours, "g", &[], &[]), "\"of a library\"");
    }
}

#[test]
fn a_chunk_cannot_leave_its_function() {
    let server = Server::new().start();
    let mut client = server.client();
    for chunk in [
        "end) redis.register_function('x', function()",
        "end} redis.register_function{function_name='x', callback=function()",
        "return 1 end} redis.register_function{function_name='x', callback=function()",
        "\nend}\nredis.register_function{function_name='x', callback=function(KEYS, ARGV, ...)\n",
        "end, flags={'no-writes'}, callback=function()",
        "end end end",
        "end",
        "--[[",
        "--[==[ ]]",
        "return [[",
        "return 'a",
        "if true then",
        "return function()",
        "return 1 return 2",
        "}",
        ")",
        "\u{1b}Lua",
        "#!lua name=x\nreturn 1",
    ] {
        let reply = client.create("f", &[], chunk);
        assert!(reply.starts_with("-ERR Error compiling function: "), "{chunk:?}: {reply}");
        assert!(client.libraries(Ours).is_empty(), "{chunk:?}");
    }
    // What only looks like it is the function's own text.
    for chunk in [
        "return 'end} redis.register_function{'",
        "return [[\nend}\n]]",
        "-- end) redis.register_function('x', function()",
        "do return 1 end -- end}",
        "return ... == nil and 1 -- what stock passes on, but nothing here",
    ] {
        assert_eq!(client.create("f", &["REPLACE"], chunk), "+OK", "{chunk:?}");
        let info = client.value(&["LUA.FUNCTION", "INFO", "f", "WITHCODE"]);
        assert_eq!(info.field("code").and_then(Value::text).as_deref(), Some(chunk));
        let reply = client.fcall(Ours, "f", &[], &[]);
        assert!(!reply.starts_with('-'), "{chunk:?}: {reply}");
        assert_eq!(client.libraries(Ours).len(), 1);
    }
    for description in ["', callback=", "\", callback=error, x=\"", "]]", "\\", "\n\r\0", "\\\""] {
        assert_eq!(client.create("f", &["REPLACE", "DESC", description], "return 1"), "+OK");
        let info = client.value(&["LUA.FUNCTION", "INFO", "f"]);
        let kept = info.field("description").and_then(Value::text);
        assert_eq!(kept, Some(stock_description(&mut client, description)));
    }
}

/// What stock keeps of a function's description: Valkey ends it at a NUL.
fn stock_description(client: &mut Client, text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
    let code = format!(
        "#!lua name=described\nredis.register_function{{function_name='described', \
         callback=function() end, description='{bytes}'}}"
    );
    client.cmd(&["FUNCTION", "LOAD", "REPLACE", &code]);
    let list = client.value(&["FUNCTION", "LIST", "LIBRARYNAME", "described"]);
    let library = list.elements().and_then(|libraries| libraries.first().cloned());
    let functions = library.as_ref().and_then(|library| library.field("functions"));
    let function = functions.and_then(|list| list.elements()?.first().cloned());
    let kept = function.as_ref().and_then(|function| function.field("description"));
    kept.and_then(Value::text).expect("a description")
}

// Payloads and what stock has.

#[test]
fn payloads_go_both_ways_between_stock_and_us() {
    let server = Server::new().start();
    let mut client = server.client();
    let long = format!("{} -- {}", constant("long", "l", "'long'"), "x".repeat(30_000));
    let numbers = (0..500).map(|n| format!("-- {n}\n")).collect::<String>();
    let libraries = [
        constant("one", "a", "1"),
        constant("two", "b", "'two'"),
        long,
        format!(
            "#!lua name=packed\n{numbers}redis.register_function{{function_name='p', callback=function(k, a) return a end, flags={{'no-writes', 'allow-stale'}}, description='d'}}"
        ),
    ];
    for (from, to) in [(Stock, Ours), (Ours, Stock)] {
        client.ok(&[&from.name("FUNCTION"), "FLUSH"]);
        client.ok(&[&to.name("FUNCTION"), "FLUSH"]);
        for library in &libraries {
            assert!(client.load(from, library).starts_with('"'), "{library}");
        }
        let payload = client.dump(from);
        for policy in ["APPEND", "replace", "FLUSH"] {
            assert_eq!(client.restore(to, &payload, policy), "+OK", "{policy}");
            assert_eq!(client.libraries(to), client.libraries(from), "{policy}");
        }
        for (name, args) in [("a", &[][..]), ("b", &["x"]), ("l", &[]), ("p", &["1", "2"])] {
            same(name, |door| client.fcall(door, name, &[], args));
        }
    }
    client.ok(&["FUNCTION", "FLUSH"]);
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    assert_eq!(client.dump(Ours), client.dump(Stock), "no libraries");
}

#[test]
fn import_copies_what_stock_has() {
    let (master, replica) = pair(Server::new());
    let mut client = master.client();
    let mut there = replica.client();
    // Nothing to copy.
    assert_eq!(client.text("LUA.FUNCTION IMPORT"), "+OK");
    client.load(Stock, &constant("a", "fa", "'stock a'"));
    client.load(Stock, &constant("b", "fb", "'stock b'"));
    assert_eq!(client.text("LUA.FUNCTION IMPORT"), "+OK");
    assert_eq!(client.libraries(Ours), client.libraries(Stock));
    assert_eq!(client.fcall(Ours, "fb", &[], &[]), "\"stock b\"");

    // What is there already is in the way, and nothing comes of the rest.
    client.load(Stock, &constant("c", "fc", "'stock c'"));
    let before = client.libraries(Ours);
    for words in ["LUA.FUNCTION IMPORT", "LUA.FUNCTION IMPORT append"] {
        let reply = client.text(words);
        assert!(
            reply.starts_with("-ERR Library ") && reply.ends_with(" already exists"),
            "{reply}"
        );
        assert_eq!(client.libraries(Ours), before);
    }
    client.load(Ours, &constant("mine", "f", "'mine'"));
    assert_eq!(client.text("LUA.FUNCTION IMPORT REPLACE"), "+OK");
    assert_eq!(client.libraries(Ours).len(), 4);
    assert_eq!(client.fcall(Ours, "f", &[], &[]), "\"mine\"");

    // A function of another library is in the way even then.
    client.load(Stock, &constant("d", "F", "'stock d'"));
    let before = client.libraries(Ours);
    assert_eq!(client.text("LUA.FUNCTION IMPORT REPLACE"), "-ERR Function F already exists");
    assert_eq!(client.libraries(Ours), before);
    assert_eq!(client.fcall(Ours, "f", &[], &[]), "\"mine\"");
    assert_eq!(client.text("LUA.FUNCTION IMPORT FLUSH"), "+OK");
    assert_eq!(client.libraries(Ours), client.libraries(Stock));
    assert_eq!(client.fcall(Ours, "f", &[], &[]), "\"stock d\"");
    let reply = client.text("LUA.FUNCTION IMPORT NOW");
    assert!(reply.starts_with("-ERR Wrong restore policy given"), "{reply}");
    let reply = client.text("LUA.FUNCTION IMPORT FLUSH x");
    assert!(reply.starts_with("-ERR "), "{reply}");

    caught_up(&mut client, &mut there);
    assert_eq!(there.libraries(Ours), client.libraries(Ours));
    // A replica is sent what was copied, whatever its own engine has.
    let calls = there.text("INFO commandstats");
    assert!(calls.contains("cmdstat_lua.function|restore:calls="), "{calls}");
    assert!(!calls.contains("cmdstat_lua.function|import"), "{calls}");
}

#[test]
fn a_payload_is_restored_whole_or_not_at_all() {
    let server = Server::new().start();
    let mut client = server.client();
    for door in [Ours, Stock] {
        client.load(door, &constant("a", "fa", "1"));
        client.load(door, &constant("z", "fz", "1"));
    }
    let payload = client.dump(Ours);
    for (library, policy) in
        [(constant("z", "fz", "2"), "APPEND"), (constant("other", "FZ", "2"), "REPLACE")]
    {
        let errors = same(policy, |door| {
            client.ok(&[&door.name("FUNCTION"), "FLUSH"]);
            client.load(door, &library);
            let before = client.libraries(door);
            let reply = client.restore(door, &payload, policy);
            assert_eq!(client.libraries(door), before);
            assert_eq!(client.fcall(door, "fz", &[], &[]), ":2");
            assert_eq!(client.fcall(door, "fa", &[], &[]), "-ERR Function not found");
            reply
        });
        assert!(errors.ends_with(" already exists"), "{errors}");
    }
    // Damaged anywhere, it is refused.
    let before = client.libraries(Ours);
    for at in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[at] ^= 1;
        let reply = client.restore(Ours, &damaged, "FLUSH");
        assert_eq!(reply, "-ERR DUMP payload version or checksum are wrong", "byte {at}");
    }
    assert_eq!(client.libraries(Ours), before);
}

// Limits.

#[test]
fn loading_ends_after_half_a_second() {
    let server = Server::new().start();
    let mut client = server.client();
    client.load(Ours, &constant("kept", "kept", "'kept'"));
    let before = client.libraries(Ours);
    for code in [
        "while true do end",
        "repeat until false",
        "local function f() return f() end f()",
        // The library of strings is there by its methods, and calls back.
        "while true do local s = ('x'):rep(100000) end",
        "local s = ('x'):rep(1000) while true do s:find('y', 1, true) s:find('x-y') s:gsub('x', 'z') end",
        "('x'):gsub('x', function() while true do end end)",
        "while true do ('x'):gsub('x', function() while true do end end) end",
        "for _ in ('x'):rep(10):gmatch('x') do while true do end end",
        // Long within one call.
        "local s = ('a'):rep(50000) s:find(('.-'):rep(8) .. 'b')",
        "local s = ('a'):rep(1000):gsub('a', function() return ('x'):rep(1000):gsub('x', function() for i = 1, 1e6 do end end) end)",
        // What was registered before is not kept.
        "redis.register_function('late', function() end) while true do end",
    ] {
        let start = Instant::now();
        let reply = client.load(Ours, &format!("#!lua name=slow\n{code}"));
        let taken = start.elapsed();
        assert_eq!(reply, "-ERR Error registering functions: ERR FUNCTION LOAD timeout", "{code}");
        assert!(taken >= Duration::from_millis(490), "{code}: {taken:?}");
        assert!(taken < Duration::from_millis(2_500), "{code}: {taken:?}");
        assert_eq!(client.libraries(Ours), before, "{code}");
        assert_eq!(client.fcall(Ours, "kept", &[], &[]), "\"kept\"", "{code}");
    }
    let slow = constant("slow", "late", "'here'");
    assert_eq!(client.load(Ours, &slow), "\"slow\"");
    assert_eq!(client.fcall(Ours, "late", &[], &[]), "\"here\"");
    // Nor does one that replaces do away with what it does not come to replace.
    let reply =
        client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", "#!lua name=slow\nrepeat until false"]);
    assert!(reply.ends_with("FUNCTION LOAD timeout"), "{reply}");
    assert_eq!(client.fcall(Ours, "late", &[], &[]), "\"here\"");
    // The limit is for loading only.
    let spin = "function() local n = 0 for i = 1, 3e7 do n = n + 1 end return n end";
    client.load(Ours, &format!("#!lua name=spin\nredis.register_function('spin', {spin})"));
    assert_eq!(client.fcall(Ours, "spin", &[], &[]), ":30000000");
}

/// In large bites, to be done before the time for loading is over.
const HUNGRY: &str =
    "local t, i = {}, 0 while true do i = i + 1 t[i] = ('x'):rep(1000000) .. i end";

#[test]
fn too_much_memory_costs_no_other_library() {
    let server = Server::new().config("redlua.memory-limit", "16mb").start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(30));
    let counter = "local n = 0 redis.register_function('count', function() n = n + 1 return n end)";
    client.load(Ours, &format!("#!lua name=counter\n{counter}"));
    client.load(Ours, &constant("kept", "kept", "'kept'"));
    client.create("made", &[], "return ARGV");
    let hungry =
        format!("#!lua name=hungry\nredis.register_function('eat', function() {HUNGRY} end)");
    client.load(Ours, &hungry);
    let before = client.libraries(Ours);
    assert_eq!(client.lua("return 'script'"), "\"script\"");
    for round in 1..=3 {
        for expected in [":1", ":2"] {
            assert_eq!(client.fcall(Ours, "count", &[], &[]), expected, "round {round}");
        }
        assert_eq!(client.fcall(Ours, "made", &[], &["x"]), "[\"x\"]");
        // While it runs, and while it is loaded.
        let replies = [
            client.fcall(Ours, "eat", &[], &[]),
            client.load(Ours, &format!("#!lua name=never\n{HUNGRY}")),
            client.load(
                Ours,
                &format!("#!lua name=never\n('x'):gsub('x', function() {HUNGRY} end) {counter}"),
            ),
            client.show(&[
                "LUA.FUNCTION",
                "LOAD",
                "REPLACE",
                &format!("#!lua name=kept\n{HUNGRY}"),
            ]),
        ];
        for reply in replies {
            assert!(reply.starts_with("-ERR ") && reply.contains("not enough memory"), "{reply}");
        }
        assert_eq!(client.libraries(Ours), before);
        assert_eq!(client.figure("redlua_rebuilt_vms"), round * 4);
        assert_eq!(client.fcall(Ours, "kept", &[], &[]), "\"kept\"");
    }
    // Functions of a lost VM can be deleted, replaced and dumped.
    assert!(client.fcall(Ours, "eat", &[], &[]).contains("not enough memory"));
    let payload = client.dump(Ours);
    assert_eq!(client.text("LUA.FUNCTION DELETE counter"), "+OK");
    assert_eq!(client.create("made", &["REPLACE"], "return #ARGV"), "+OK");
    assert_eq!(client.fcall(Ours, "made", &[], &["x"]), ":1");
    assert_eq!(client.restore(Ours, &payload, "REPLACE"), "+OK");
    assert_eq!(client.fcall(Ours, "count", &[], &[]), ":1");
    assert_eq!(client.libraries(Ours), before);
}

#[test]
fn functions_and_scripts_do_not_see_each_other() {
    let server = Server::new().start();
    let mut client = server.client();
    let library = "#!lua name=state
        local n = 0
        redis.register_function('count', function() n = n + 1 return n end)
        redis.register_function('loose', function()
            cjson.encode_sparse_array(true)
            return cjson.encode({[1] = 1, [1000] = 2}) ~= nil
        end)
        redis.register_function('look', function()
            return {tostring(pcall(function() return KEYS end)), tostring(redis.replicate_commands == nil)}
        end)";
    assert_eq!(client.load(Ours, library), "\"state\"");
    for expected in [":1", ":2"] {
        assert_eq!(client.fcall(Ours, "count", &[], &[]), expected);
        client.lua("n = 100");
        client.lua("rawset(_G, 'n', 100)");
        client.lua("string.rep = nil");
    }
    assert_eq!(client.fcall(Ours, "loose", &[], &[]), ":1");
    let sparse = "return cjson.encode({[1] = 1, [1000] = 2})";
    assert!(client.lua(sparse).contains("excessively sparse array"));
    same("what a function sees", |door| {
        client.load(door, library);
        client.fcall(door, "look", &[], &[])
    });
    same("what a script sees", |door| {
        client.eval(door, "return tostring(redis.register_function)", &[], &[])
    });
    // Emptying one leaves the other alone.
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return 1"]).text().expect("a digest");
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    assert_eq!(client.fcall(Ours, "count", &[], &[]), ":3");
    client.cmd(&["LUA.SCRIPT", "LOAD", "return 1"]);
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    assert_eq!(client.text(&format!("LUA.SCRIPT EXISTS {sha}")), "[:1]");
    assert_eq!(client.fcall(Ours, "count", &[], &[]), "-ERR Function not found");
}

#[test]
fn there_may_be_many_libraries_and_functions() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(60));
    for number in 0..200 {
        let code = constant(&format!("lib{number}"), &format!("f{number}"), &number.to_string());
        assert_eq!(client.load(Ours, &code), format!("\"lib{number}\""));
    }
    let many = "#!lua name=many\nfor i = 1, 5000 do \
                redis.register_function('many' .. i, function() return i end) end";
    assert_eq!(client.load(Ours, many), "\"many\"");
    let stats = client.text("LUA.FUNCTION STATS");
    assert!(stats.contains("\"libraries_count\", :201, \"functions_count\", :5200"), "{stats}");
    for number in [0, 7, 199] {
        assert_eq!(client.fcall(Ours, &format!("f{number}"), &[], &[]), format!(":{number}"));
    }
    for number in [1, 2500, 5000] {
        assert_eq!(client.fcall(Ours, &format!("MANY{number}"), &[], &[]), format!(":{number}"));
    }
    let before = client.libraries(Ours);
    let payload = client.dump(Ours);
    assert_eq!(client.restore(Ours, &payload, "FLUSH"), "+OK");
    assert_eq!(client.libraries(Ours), before);
    assert_eq!(client.fcall(Ours, "many4999", &[], &[]), ":4999");
    assert_eq!(client.text("LUA.FUNCTION DELETE many"), "+OK");
    assert_eq!(client.fcall(Ours, "many4999", &[], &[]), "-ERR Function not found");
    let used = client.figure("used_memory");
    for _ in 0..5 {
        client.load(Ours, many);
        client.ok(&["LUA.FUNCTION", "DELETE", "many"]);
    }
    client.ok(&["LUA.FUNCTION", "FLUSH", "SYNC"]);
    assert!(client.figure("used_memory") < used + 1_000_000);
}

// Where changes and effects go.

#[test]
fn libraries_and_effects_reach_a_replica() {
    let (master, replica) = pair(Server::new());
    let mut client = master.client();
    let mut there = replica.client();
    let code = "#!lua name=lib
        redis.register_function('write', function(keys, args)
            redis.call('set', keys[1], args[1])
            redis.call('incr', 'n')
            return redis.call('time')
        end)
        redis.register_function{function_name='read', flags={'no-writes'}, callback=function(keys)
            return redis.call('get', keys[1])
        end}";
    client.load(Ours, code);
    client.load(Ours, &constant("gone", "gone", "1"));
    client.load(Ours, &constant("other", "other", "1"));
    client.create("made", &["DESC", "d"], "return redis.call('incrby', KEYS[1], ARGV[1])");
    client.ok(&["LUA.FUNCTION", "DELETE", "gone"]);
    client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", &constant("other", "other", "2")]);
    // What fails goes nowhere.
    client.load(Ours, code);
    client.load(Ours, "#!lua name=bad\nerror('x')");
    client.create("made", &[], "return 1");
    caught_up(&mut client, &mut there);
    assert_eq!(there.libraries(Ours), client.libraries(Ours));
    assert_eq!(there.libraries(Ours).len(), 3);

    client.fcall(Ours, "write", &["k"], &["v"]);
    client.fcall(Ours, "made", &["m"], &["5"]);
    caught_up(&mut client, &mut there);
    assert_eq!(there.text("MGET k n m"), "[\"v\", \"1\", \"5\"]");
    assert_eq!(there.digest(), client.digest());
    let calls = there.text("INFO commandstats");
    assert!(!calls.contains("cmdstat_lua.fcall"), "effects and not calls: {calls}");
    assert!(calls.contains("cmdstat_multi:calls=1,"), "two effects as one: {calls}");

    // A transaction goes there as one.
    client.ok(&["MULTI"]);
    client.load(Ours, &constant("brief", "brief", "1"));
    client.fcall(Ours, "write", &["k"], &["v"]);
    client.create("made", &["REPLACE"], "return redis.call('incrby', KEYS[1], ARGV[1])");
    client.cmd(&["LUA.FUNCTION", "DELETE", "brief"]);
    client.cmd(&["EXEC"]);
    caught_up(&mut client, &mut there);
    assert_eq!(there.libraries(Ours), client.libraries(Ours));
    assert_eq!(there.digest(), client.digest());

    // A replica answers what only reads, and changes nothing of its own.
    assert_eq!(there.fcall(Ours, "read", &["k"], &[]), "\"v\"");
    assert_eq!(there.text("LUA.FCALL_RO read 1 k"), "\"v\"");
    assert_eq!(there.fcall(Ours, "other", &[], &[]).split(' ').next(), Some("-READONLY"));
    assert!(there.fcall(Ours, "write", &["k"], &["x"]).starts_with("-READONLY "));
    let payload = client.dump(Ours);
    let before = there.libraries(Ours);
    for request in [
        argv!["LUA.FUNCTION", "LOAD", constant("x", "x", "1")].to_vec(),
        argv!["LUA.FUNCTION", "DELETE", "lib"].to_vec(),
        argv!["LUA.FUNCTION", "FLUSH"].to_vec(),
        argv!["LUA.FUNCTION", "RESTORE", payload, "REPLACE"].to_vec(),
        argv!["LUA.FUNCTION", "CREATE", "LUA", "x", "return 1"].to_vec(),
        argv!["LUA.FUNCTION", "IMPORT"].to_vec(),
    ] {
        let reply = there.show(&request);
        assert!(reply.starts_with("-READONLY "), "{reply}");
    }
    assert_eq!(there.libraries(Ours), before);

    client.ok(&["LUA.FUNCTION", "FLUSH", "ASYNC"]);
    caught_up(&mut client, &mut there);
    assert!(there.libraries(Ours).is_empty());
    assert_eq!(client.restore(Ours, &payload, "FLUSH"), "+OK");
    caught_up(&mut client, &mut there);
    assert_eq!(there.libraries(Ours), before);
    assert_eq!(client.libraries(Ours), before);
}

#[test]
fn who_may_not_use_stocks_functions_may_not_use_ours() {
    let server = Server::new().start();
    let mut admin = server.client();
    let code = constant("lib", "f", "1");
    let all = [
        "LOAD", "DELETE", "LIST", "STATS", "KILL", "FLUSH", "DUMP", "RESTORE", "CREATE", "INFO",
        "IMPORT",
    ];
    let call = |client: &mut Client, subcommand: &str| {
        let argv = match subcommand {
            "LOAD" => vec![code.as_str()],
            "DELETE" => vec!["lib"],
            "RESTORE" => vec!["x"],
            "CREATE" => vec!["LUA", "made", "return 1"],
            "INFO" => vec!["f"],
            _ => vec![],
        };
        client.show(&[&["LUA.FUNCTION", subcommand], argv.as_slice()].concat())
    };
    for (rules, denied) in [
        ("~* &* +@all -function", &all[..]),
        ("~* &* +@all -@scripting", &all),
        ("~* &* -@all +lua.function +lua.fcall", &all),
        ("~* &* +@all -lua.function", &all),
        ("~* &* +@all -function|load", &["LOAD", "CREATE"]),
        ("~* &* +@all -function|restore", &["RESTORE", "IMPORT"]),
        ("~* &* +@all -function|dump", &["DUMP"]),
        ("~* &* +@all -@write", &["LOAD", "DELETE", "FLUSH", "RESTORE", "CREATE", "IMPORT"]),
        ("~* &* +@all", &[]),
    ] {
        for subcommand in all {
            admin.ok(&["LUA.FUNCTION", "FLUSH"]);
            admin.load(Ours, &code);
            let reply = call(&mut login(&server, &mut admin, rules), subcommand);
            let expected = denied.contains(&subcommand);
            assert_eq!(reply.starts_with("-NOPERM "), expected, "{rules}: {subcommand}: {reply}");
        }
    }
    admin.ok(&["LUA.FUNCTION", "FLUSH"]);
    let read = "#!lua name=lib\nredis.register_function{function_name='f', flags={'no-writes'}, \
                callback=function(keys) return redis.call('get', keys[1] or 'b') end}";
    for door in [Ours, Stock] {
        admin.load(door, read);
    }
    admin.ok(&["MSET", "a", "1", "b", "2"]);
    for rules in [
        "~* &* +@all -fcall",
        "~* &* +@all -fcall_ro",
        "~* &* -@all +fcall +fcall_ro +lua.fcall +lua.fcall_ro",
        "~a &* -@all +get +fcall +fcall_ro +lua.fcall +lua.fcall_ro",
        "%R~a &* -@all +get +fcall +fcall_ro +lua.fcall +lua.fcall_ro",
        "%W~a &* -@all +get +fcall +fcall_ro +lua.fcall +lua.fcall_ro",
        "~* &* +@all",
    ] {
        for command in ["FCALL", "FCALL_RO"] {
            for keys in [&[][..], &["a"], &["b"]] {
                same(&format!("{rules}: {command} {keys:?}"), |door| {
                    let mut client = login(&server, &mut admin, rules);
                    let reply = client.show(&request(&door.name(command), "f", keys, &[]));
                    reply.replace("lua.", "")
                });
            }
        }
    }
    for rules in ["~* +fcall", "~* +lua.fcall"] {
        let reply = login(&server, &mut admin, rules).fcall(Ours, "f", &[], &[]);
        assert!(reply.starts_with("-NOPERM "), "{rules}: {reply}");
    }
}

#[test]
fn a_server_out_of_memory_takes_no_libraries_and_no_writes() {
    let server = Server::new().start();
    let mut client = server.client();
    let function = |name: &str, flags: &str| {
        format!(
            "redis.register_function{{function_name='{name}', flags={{{flags}}}, callback=function(keys)
                 return redis.call(keys[2] or 'get', keys[1], keys[3])
             end}}\n"
        )
    };
    let code = format!(
        "#!lua name=lib\n{}{}{}",
        function("plain", ""),
        function("reads", "'no-writes'"),
        function("grows", "'allow-oom'"),
    );
    for door in [Ours, Stock] {
        client.load(door, &code);
    }
    let payload = client.dump(Ours);
    client.set("maxmemory", "1");
    for request in [
        argv!["FUNCTION", "LOAD", "REPLACE", code].to_vec(),
        argv!["FUNCTION", "RESTORE", payload, "FLUSH"].to_vec(),
        argv!["FUNCTION", "DELETE", "none"].to_vec(),
    ] {
        same("a change of libraries", |door| {
            let name = door.name("FUNCTION").into_bytes();
            client.show(&[&[name], &request[1..]].concat())
        });
    }
    for words in ["LUA.FUNCTION CREATE LUA f return(1)", "LUA.FUNCTION IMPORT"] {
        assert!(client.text(words).starts_with("-OOM "), "{words}");
    }
    for name in ["plain", "reads", "grows"] {
        for command in ["FCALL", "FCALL_RO"] {
            for keys in [&["k"][..], &["k", "del"], &["k", "set", "v"]] {
                same(&format!("{command} {name} {keys:?}"), |door| {
                    client.show(&request(&door.name(command), name, keys, &[]))
                });
            }
        }
    }
    client.set("maxmemory", "0");
    same("what is left", |door| client.libraries(door));
}

// How a call comes in and what goes back.

#[test]
fn calls_in_transactions_and_both_protocols_answer_as_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let code = "#!lua name=lib
        redis.register_function('types', function(keys, args)
            if args[1] then redis.setresp(3) end
            return {1, 'bulk', true, false, {ok='fine'}, {double=1.5}, {map={a=1}}, {set={x=true}},
                    {big_number='123'}, {verbatim_string={format='txt', string='t'}}}
        end)
        redis.register_function('got', function(keys, args)
            if args[1] then redis.setresp(3) end
            return {type(redis.call('hgetall', 'h')), redis.call('get', 'none') == nil}
        end)
        redis.register_function('fails', function() return redis.call('lpush', 's', 1) end)
        redis.register_function('incr', function(keys) return redis.call('incr', keys[1]) end)";
    for door in [Ours, Stock] {
        client.load(door, code);
    }
    client.ok(&["SET", "s", "text"]);
    client.cmd(&["HSET", "h", "f", "v"]);
    for version in ["2", "3"] {
        client.cmd(&["HELLO", version]);
        for name in ["types", "got", "fails", "none"] {
            for args in [&[][..], &["3"]] {
                same(&format!("{name} {args:?} as RESP{version}"), |door| {
                    client.fcall(door, name, &[], args)
                });
            }
        }
        same("a transaction", |door| {
            client.ok(&["SET", "n", "0"]);
            client.ok(&["MULTI"]);
            let mut replies = Vec::new();
            for (name, keys) in
                [("incr", &["n"][..]), ("fails", &[]), ("none", &[]), ("incr", &["n"])]
            {
                replies.push(client.fcall(door, name, keys, &[]));
            }
            replies.push(client.text("EXEC"));
            replies.push(client.text("GET n"));
            replies
        });
    }
    client.cmd(&["HELLO", "2"]);
    same("libraries changed in a transaction", |door| {
        client.ok(&["MULTI"]);
        client.load(door, &constant("new", "new", "'new'"));
        client.fcall(door, "new", &[], &[]);
        client.show(&[&door.name("FUNCTION"), "DELETE", "new"]);
        client.fcall(door, "new", &[], &[]);
        client.text("EXEC")
    });
    same("from a script", |door| {
        let name = door.name("FUNCTION");
        let script = format!("return redis.pcall('{name}', 'LIST')");
        client.eval(door, &script, &[], &[]).starts_with("[")
    });
    for door in [Ours, Stock] {
        let fcall = door.name("FCALL");
        let script = format!("return redis.call('{fcall}', 'incr', 1, 'n')");
        for through in [Ours, Stock] {
            let reply = client.eval(through, &script, &[], &[]);
            assert!(reply.contains("not allowed from script"), "{reply}");
        }
    }
}

#[test]
fn a_cluster_routes_calls_by_their_keys() {
    let server = half();
    let mut client = server.client();
    let library = |name: &str, flags: &str| {
        format!(
            "redis.register_function{{function_name='{name}', flags={{{flags}}}, callback=function(keys, args)
                 local last
                 for _, key in ipairs(args) do last = redis.call('get', key) end
                 return last or 'ran'
             end}}\n"
        )
    };
    let code = ["#!lua name=lib\n".to_owned()]
        .into_iter()
        .chain([
            library("plain", ""),
            library("reads", "'no-writes'"),
            library("alone", "'no-cluster'"),
            library("across", "'allow-cross-slot-keys'"),
        ])
        .collect::<String>();
    for door in [Ours, Stock] {
        assert_eq!(client.load(door, &code), "\"lib\"");
    }
    let is_newer = keeps_to_one_slot(&mut client);
    let mut all = String::new();
    for name in ["plain", "reads", "alone", "across", "none"] {
        for command in ["FCALL", "FCALL_RO"] {
            for keys in
                [&[][..], &[HERE], &[HERE, HERE_TOO], &[HERE, ELSEWHERE], &[AWAY], &[AWAY, HERE]]
            {
                if is_newer && name == "across" && !keys.is_empty() {
                    continue;
                }
                for args in [&[][..], &[HERE], &[HERE, ELSEWHERE], &[AWAY], &[HERE_TOO, AWAY]] {
                    let what = format!("{command} {name} {keys:?} {args:?}");
                    all += &same(&what, |door| {
                        client.show(&request(&door.name(command), name, keys, args))
                    });
                    all.push('\n');
                }
            }
        }
    }
    for mark in [
        "-CROSSSLOT ",
        "-CLUSTERDOWN Hash slot not served",
        // A key that is not local, or, as newer servers say, in a slot not served.
        "ttempted to access a ",
        "access keys that do not hash to the same slot",
        "\\'no-cluster\\' flag is set",
        "\"ran\"",
    ] {
        assert!(all.contains(mark), "no reply has {mark:?}:\n{all}");
    }
}

#[test]
fn a_flush_in_a_thread_leaves_room_for_what_comes_next() {
    let server = Server::new().start();
    let mut client = server.client();
    for round in 0..50 {
        let code = constant("lib", "f", &format!("{round}"));
        assert_eq!(client.load(Ours, &code), "\"lib\"");
        assert_eq!(client.fcall(Ours, "f", &[], &[]), format!(":{round}"));
        client.ok(&["LUA.FUNCTION", "FLUSH", if round % 2 == 0 { "ASYNC" } else { "SYNC" }]);
        assert_eq!(render(&client.cmd(&["LUA.FUNCTION", "LIST"])), "[]");
    }
}
