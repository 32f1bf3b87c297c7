//! Names of scripts: how they get them, what shows them, and who loses them.

use crate::busy::{FOREVER, impatient, wait_until_busy};
use crate::doors::Scripts;
use crate::support::{Client, Server, Value};

fn load(client: &mut Client, script: &str, name: Option<&str>) -> String {
    let mut words = vec!["LUA.SCRIPT", "LOAD", script];
    words.extend(name.into_iter().flat_map(|name| ["NAME", name]));
    client.value(&words).text().expect("a digest")
}

/// Names by size of the script.
fn names(client: &mut Client) -> Vec<(i64, Option<String>)> {
    let list = client.value(&["LUA.SCRIPT", "LIST"]);
    let entry = |entry: &Value| {
        let size = entry.field("size").and_then(Value::integer).expect("a size");
        (size, entry.field("name").and_then(Value::text))
    };
    let mut names: Vec<_> = list.elements().expect("a list").iter().map(entry).collect();
    names.sort();
    names
}

#[test]
fn scripts_are_named_by_their_first_line_or_when_they_are_loaded() {
    let server = Server::new().start();
    let mut client = server.client();
    let by_line = "#!lua name=by:line\nreturn 1";
    let by_eval = "#!lua flags=no-writes name=by.eval\nreturn 2";
    load(&mut client, by_line, None);
    assert_eq!(client.lua(by_eval), ":2");
    load(&mut client, "return 3", Some("by-word"));
    load(&mut client, "#!lua name=not_this\nreturn 4", Some("but_this"));
    for (name, script) in [
        ("by:line", by_line),
        ("by.eval", by_eval),
        ("by-word", "return 3"),
        ("but_this", "#!lua name=not_this\nreturn 4"),
    ] {
        assert_eq!(client.value(&["LUA.SCRIPT", "SHOW", name]).text().as_deref(), Some(script));
    }
    for name in ["not_this", "BY:LINE", "by", ""] {
        let reply = client.show(&["LUA.SCRIPT", "SHOW", name]);
        assert!(reply.starts_with("-NOSCRIPT "), "{name}: {reply}");
    }
    // A name is no digest.
    assert!(client.text("LUA.EVALSHA by-word 0").starts_with("-NOSCRIPT "));
    assert_eq!(client.text("LUA.SCRIPT EXISTS by-word"), "[:0]");
}

#[test]
fn the_last_one_loaded_has_the_name() {
    let server = Server::new().start();
    let mut client = server.client();
    load(&mut client, "return 1", Some("n"));
    load(&mut client, "return 22", Some("n"));
    assert_eq!(names(&mut client), [(8, None), (9, Some("n".to_owned()))]);
    load(&mut client, "return 1", Some("n"));
    assert_eq!(names(&mut client), [(8, Some("n".to_owned())), (9, None)]);
    // A script has one name, and a load without one leaves it.
    load(&mut client, "return 1", Some("m"));
    load(&mut client, "return 1", None);
    assert_eq!(names(&mut client), [(8, Some("m".to_owned())), (9, None)]);
    assert!(client.show(&["LUA.SCRIPT", "SHOW", "n"]).starts_with("-NOSCRIPT "));
    // One that names itself takes its name back when it is loaded, not when it runs.
    let own = "#!lua name=m\nreturn 1";
    client.lua(own);
    load(&mut client, "return 22", Some("m"));
    client.lua(own);
    assert_eq!(client.value(&["LUA.SCRIPT", "SHOW", "m"]).text().as_deref(), Some("return 22"));
    load(&mut client, own, None);
    assert_eq!(client.value(&["LUA.SCRIPT", "SHOW", "m"]).text().as_deref(), Some(own));
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    assert!(client.show(&["LUA.SCRIPT", "SHOW", "m"]).starts_with("-NOSCRIPT "));
}

#[test]
fn names_that_scripts_may_not_have_are_refused_and_nothing_is_loaded() {
    let server = Server::new().start();
    let mut client = server.client();
    let long = "x".repeat(65);
    let huge = "y".repeat(1_000_000);
    let digest = "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB";
    for name in ["", " ", "a b", "a*", "é", "a\0b", "a\r\n+OK", "\u{7f}", "'", &long, &huge, digest]
    {
        let reply = client.show(&["LUA.SCRIPT", "LOAD", "return 1", "NAME", name]);
        assert!(reply.starts_with("-ERR Bad script name \\'"), "{name}: {reply}");
        assert!(!reply.contains("\\r\\n+OK"), "{reply}");
    }
    assert!(
        client
            .show(&[&b"LUA.SCRIPT"[..], b"LOAD", b"return 1", b"NAME", b"\xff\xfe"])
            .starts_with("-ERR Bad")
    );
    for line in
        ["name=", "name=a/b", "name=a name=b", "\"name=a b\"", "name='\\x0a'", "name=\u{e9}"]
    {
        let script = format!("#!lua {line}\nreturn 1");
        let reply = client.lua(&script);
        assert!(reply.starts_with("-ERR Bad script name"), "{line}: {reply}");
        let reply = client.show(&["LUA.SCRIPT", "LOAD", &script]);
        assert!(reply.starts_with("-ERR Bad script name"), "{line}: {reply}");
    }
    for words in ["return(1) n", "return(1) name", "return(1) NAMES n", "return(1) NAME a b"] {
        let reply = client.text(&format!("LUA.SCRIPT LOAD {words}"));
        assert_eq!(reply, "-ERR wrong number of arguments for \\'lua.script|load\\' command");
    }
    assert_eq!(names(&mut client), []);
    // What is longest, and what looks most like a digest.
    load(&mut client, "return 1", Some(&"x".repeat(64)));
    load(&mut client, "return 2", Some(&"g".repeat(40)));
    load(&mut client, "return 3", Some(&"a".repeat(39)));
    assert_eq!(names(&mut client).len(), 3);
}

#[test]
fn errors_show_the_name_of_a_script_that_has_one() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(&mut client, "return redis.call('nosuch')", None);
    let unnamed = client.show(&["LUA.EVALSHA", &digest, "0"]);
    assert!(
        unnamed.contains(&format!(" script: {digest}, on @user_script:1."))
            // Valkey 9.1 names no script there.
            || unnamed.contains(" script: on @user_script:1."),
        "{unnamed}"
    );
    load(&mut client, "return redis.call('nosuch')", Some("shop:buy"));
    let named = client.show(&["LUA.EVALSHA", &digest, "0"]);
    assert_eq!(named, unnamed.replace(&digest, "shop:buy"));
    let bare = client.lua("#!lua name=bare\nlocal x = nil + 1");
    assert!(bare.contains("user_script:2: attempt to perform arithmetic"), "{bare}");
}

#[test]
fn a_busy_script_is_called_by_its_name() {
    let server = impatient().start();
    let (mut client, mut runner) = (server.client(), server.client());
    let script = format!("#!lua name=endless\n{FOREVER}");
    runner.send(&["LUA.EVAL", &script, "0"]);
    wait_until_busy(&mut client);
    server.wait_for_log("Script name is: endless.");
    client.ok(&["LUA.SCRIPT", "KILL"]);
    runner.read_frame();
}

#[test]
fn names_cost_their_memory_and_give_it_back() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(&mut client, "return 1", None);
    let memory = |client: &mut Client| client.figure("redlua_used_memory_scripts_eval");
    for number in 0..1000 {
        load(&mut client, "return 1", Some(&format!("name{number}")));
    }
    let before = memory(&mut client);
    for number in 0..1000 {
        load(&mut client, "return 1", Some(&format!("name{number}")));
    }
    assert_eq!(memory(&mut client), before);
    for number in 0..2000 {
        client.lua(&format!("#!lua name=n{number}\nreturn 1"));
    }
    let named = names(&mut client).iter().filter(|(_, name)| name.is_some()).count();
    assert_eq!(named, 501, "names went with the scripts that were evicted");
    assert_eq!(client.text(&format!("LUA.SCRIPT EXISTS {digest}")), "[:1]");
}
