//! What `LUA.FUNCTION LIST WITHSTATS` tells beyond stock.

use crate::doors::Scripts;
use crate::support::{Client, Server, Value};

const TWO: &str = "#!lua name=two\n\
    redis.register_function('good', function(keys, args) return args[1] end)\n\
    redis.register_function{function_name='bad', description='fails', flags={'no-writes'},\n\
    callback=function() error('always') end}";

fn load(client: &mut Client, code: &str) {
    let reply = client.show(&["LUA.FUNCTION", "LOAD", code]);
    assert!(reply.starts_with('"'), "{reply}");
}

/// The library of that name.
fn library(client: &mut Client, name: &str) -> Value {
    let list = client.value(&["LUA.FUNCTION", "LIST", "LIBRARYNAME", name, "WITHSTATS"]);
    list.elements().expect("a list").first().expect("a library").clone()
}

fn memory(client: &mut Client, name: &str) -> i64 {
    let library = library(client, name);
    let memory = library.field("stats").and_then(|stats| stats.field("memory")?.integer());
    memory.expect("a number of bytes")
}

/// Calls and errors of a library, then of each function by its name.
fn counts(client: &mut Client, name: &str) -> String {
    let library = library(client, name);
    let pair = |entry: &Value| {
        let count = |name| entry.field(name).and_then(Value::integer).expect("a count");
        format!("{} {}", count("calls"), count("errors"))
    };
    let functions = library.field("functions").and_then(Value::elements).expect("functions");
    let function = |it: &Value| {
        let name = it.field("name").and_then(Value::text).expect("a name");
        format!(", {name} {}", pair(it))
    };
    let functions: String = functions.iter().map(function).collect();
    format!("{}{functions}", pair(library.field("stats").expect("figures")))
}

#[test]
fn figures_stand_behind_what_stock_tells() {
    let server = Server::new().start();
    let mut client = server.client();
    load(&mut client, TWO);
    let bytes = memory(&mut client, "two").to_string();
    for (protocol, expected) in [
        (
            "2",
            "[[\"library_name\", \"two\", \"engine\", \"LUA\", \"functions\", \
             [[\"name\", \"good\", \"description\", $-1, \"flags\", [], \
             FIGURES], \
             [\"name\", \"bad\", \"description\", \"fails\", \"flags\", [+no-writes], \
             FIGURES]], \
             \"stats\", [\"memory\", :N, \"calls\", :0, \"errors\", :0]]]",
        ),
        (
            "3",
            "[%{\"library_name\": \"two\", \"engine\": \"LUA\", \"functions\": \
             [%{\"name\": \"good\", \"description\": _, \"flags\": ~[], \
             FIGURES}, \
             %{\"name\": \"bad\", \"description\": \"fails\", \"flags\": ~[+no-writes], \
             FIGURES}], \
             \"stats\": %{\"memory\": :N, \"calls\": :0, \"errors\": :0}}]",
        ),
    ] {
        client.cmd(&["HELLO", protocol]);
        let reply = client.show(&["LUA.FUNCTION", "LIST", "WITHSTATS"]);
        let (between, double, null) =
            if protocol == "2" { (", ", "\"0\"", "$-1") } else { (": ", ",0", "_") };
        let numbers = [
            "calls",
            "errors",
            "kills",
            "total_usec",
            "max_usec",
            "commands",
            "keys_read",
            "keys_written",
            "reply_bytes",
            "memory_peak",
            "first_used",
            "last_used",
        ];
        let numbers = numbers.map(|name| format!("\"{name}\"{between}:0"));
        let times = ["usec_per_call", "p50_usec", "p99_usec"];
        let times = times.map(|name| format!("\"{name}\"{between}{double}"));
        let last = format!("\"last_error\"{between}{null}");
        let figures = [&numbers[..], &times, &[last]].concat().join(", ");
        let expected = expected.replace("FIGURES", &figures);
        assert_eq!(reply.replace(&bytes, "N"), expected, "RESP{protocol}");
    }
}

#[test]
fn the_option_stands_in_any_place_and_once() {
    let server = Server::new().start();
    let mut client = server.client();
    load(&mut client, TWO);
    let whole = client.show(&["LUA.FUNCTION", "LIST", "WITHCODE", "WITHSTATS"]);
    assert!(whole.contains("library_code") && whole.contains("\"stats\""), "{whole}");
    for words in [
        "WITHSTATS WITHCODE",
        "withstats LIBRARYNAME two withcode",
        "LibraryName t* WithCode WithStats",
        "WITHCODE LIBRARYNAME * WITHSTATS",
    ] {
        assert_eq!(client.text(&format!("LUA.FUNCTION LIST {words}")), whole, "{words}");
    }
    for (words, refused) in [
        ("WITHSTATS WITHSTATS", "WITHSTATS"),
        ("withstats WITHCODE withstats", "withstats"),
        ("WITHSTATSX", "WITHSTATSX"),
        ("WITHSTATS x", "x"),
    ] {
        let reply = client.text(&format!("LUA.FUNCTION LIST {words}"));
        assert_eq!(reply, format!("-ERR Unknown argument {refused}"));
    }
    let reply = client.text("LUA.FUNCTION LIST LIBRARYNAME WITHSTATS");
    assert_eq!(reply, "[]", "it is a pattern there");
}

#[test]
fn calls_and_errors_are_counted_from_the_load_on() {
    let server = Server::new().config("redlua.memory-limit", "8mb").start();
    let mut client = server.client();
    load(&mut client, TWO);
    load(&mut client, "#!lua name=other\nredis.register_function('other', function() end)");
    assert_eq!(counts(&mut client, "two"), "0 0, good 0 0, bad 0 0");
    for _ in 0..3 {
        assert_eq!(client.text("LUA.FCALL GOOD 0 x"), "\"x\"");
    }
    for _ in 0..2 {
        assert!(client.text("LUA.FCALL_RO bad 0").contains("always"));
    }
    assert_eq!(counts(&mut client, "two"), "5 2, good 3 0, bad 2 2");
    assert_eq!(counts(&mut client, "other"), "0 0, other 0 0");

    // These never ran.
    for words in ["LUA.FCALL good 1", "LUA.FCALL good x", "LUA.FCALL_RO good 0"] {
        assert!(client.text(words).starts_with("-ERR "), "{words}");
    }
    assert_eq!(counts(&mut client, "two"), "5 2, good 3 0, bad 2 2");

    // A virtual machine that is lost takes no counts with it.
    let rebuilt = client.figure("redlua_rebuilt_vms");
    let hungry = "#!lua name=hungry\nredis.register_function('hungry', function()\n\
        local t, i = {}, 0 while true do i = i + 1 t[i] = ('x'):rep(1000000) .. i end end)";
    load(&mut client, hungry);
    let reply = client.text("LUA.FCALL hungry 0");
    assert!(reply.contains("memory"), "{reply}");
    assert_eq!(client.figure("redlua_rebuilt_vms"), rebuilt + 1);
    assert_eq!(client.text("LUA.FCALL good 0 x"), "\"x\"");
    assert_eq!(counts(&mut client, "two"), "6 2, good 4 0, bad 2 2");
    assert_eq!(counts(&mut client, "hungry"), "1 1, hungry 1 1");

    // A library that is not replaced after all keeps them; one that is begins anew.
    let taken = "#!lua name=two\nredis.register_function('other', function() end)";
    let reply = client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", taken]);
    assert_eq!(reply, "-ERR Function other already exists");
    assert_eq!(counts(&mut client, "two"), "6 2, good 4 0, bad 2 2");
    client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", TWO]);
    assert_eq!(counts(&mut client, "two"), "0 0, good 0 0, bad 0 0");
}

#[test]
fn memory_is_that_of_the_text_and_of_what_the_library_keeps() {
    let server = Server::new().start();
    let mut client = server.client();
    load(&mut client, TWO);
    let small = memory(&mut client, "two");
    assert!(small > TWO.len() as i64 && small < 100_000, "{small}");
    let big = "#!lua name=big\nlocal kept = ('x'):rep(1000000)\n\
        redis.register_function('big', function() return #kept end)";
    load(&mut client, big);
    let kept = memory(&mut client, "big");
    assert!((1_000_000..3_000_000).contains(&kept), "{kept}");
    let comment = "-".repeat(500_000);
    let long =
        format!("#!lua name=long\n{comment}\nredis.register_function('long', function() end)");
    load(&mut client, &long);
    assert!(memory(&mut client, "long") >= long.len() as i64);

    // What others left behind is collected while a library is loaded, and is not held against it.
    for number in 0..50 {
        let code = big.replace("big", &format!("big{number}"));
        load(&mut client, &code);
        assert!(memory(&mut client, &format!("big{number}")) >= code.len() as i64);
        client.ok(&["LUA.FUNCTION", "DELETE", &format!("big{number}")]);
    }
    assert_eq!(memory(&mut client, "two"), small);
}

#[test]
fn the_option_is_documented() {
    let server = Server::new().start();
    let docs = server.client().text("COMMAND DOCS LUA.FUNCTION|LIST");
    assert!(docs.contains("withstats"), "{docs}");
}
