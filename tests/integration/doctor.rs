//! Advice about scripts and functions.

use crate::doors::Scripts;
use crate::support::{Client, Server};

fn advice(client: &mut Client) -> String {
    client.value(&["LUA.SCRIPT", "DOCTOR"]).text().expect("a text")
}

/// The advice about one thing, or nothing.
fn advice_on(client: &mut Client, headline: &str) -> Option<String> {
    let advice = advice(client);
    let found = advice.split("* ").find(|part| part.starts_with(headline))?;
    Some(found.trim_end().to_owned())
}

#[test]
fn sound_scripts_get_no_advice() {
    let server = Server::new().start();
    let mut client = server.client();
    assert_eq!(advice(&mut client), "There is nothing to improve in 0 scripts and 0 functions.\n");
    client.show(&["LUA.EVAL", "#!lua\nreturn redis.call('SET', KEYS[1], 1)", "1", "k"]);
    client.show(&["LUA.FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('GET', keys[1]) end)"]);
    client.text("LUA.FCALL f 1 k");
    assert_eq!(advice(&mut client), "There is nothing to improve in 1 scripts and 1 functions.\n");
    client.cmd(&["HELLO", "3"]);
    assert!(client.cmd(&["LUA.SCRIPT", "DOCTOR"]).starts_with(b"="), "a text of RESP3");
}

#[test]
fn scripts_without_a_shebang_are_counted() {
    let server = Server::new().start();
    let mut client = server.client();
    client.show(&["LUA.SCRIPT", "LOAD", "return 0", "NAME", "plain"]);
    for number in 1..10 {
        client.lua(&format!("return {number}"));
    }
    let advice = advice_on(&mut client, "Scripts without a first line").expect("advice");
    assert!(advice.contains(": plain, ") && advice.contains(", and 7 more. "), "{advice}");
}

#[test]
fn undeclared_keys_are_seen() {
    let server = Server::new().start();
    let mut client = server.client();
    let script = "#!lua name=hides\nredis.call('SET', KEYS[1], 1) redis.call('PING') return redis.call('GET', 'user:' .. ARGV[1])";
    client.show(&["LUA.EVAL", script, "1", "k", "7\n*"]);
    client.show(&["LUA.FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return redis.call('GET', 'made up') end)"]);
    client.text("LUA.FCALL f 0");
    let advice = advice_on(&mut client, "Keys that were not declared").expect("advice");
    assert!(advice.contains("hides (key 'user:7\\n*')"), "{advice}");
    assert!(advice.contains("function f (key 'made up')"), "{advice}");
}

#[test]
fn globals_are_seen() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("#!lua name=reads\nreturn print");
    client.lua("#!lua name=makes\nx = 1");
    client.lua("#!lua name=fine\nlocal x = 1");
    let advice = advice_on(&mut client, "Globals").expect("advice");
    assert!(advice.contains("reads ('print')") && advice.contains("makes"), "{advice}");
    assert!(!advice.contains("fine"), "{advice}");
}

#[test]
fn runs_near_their_limits_are_named() {
    let server = Server::new().config("redlua.memory-limit", "16mb").start();
    let mut client = server.client();
    client.lua("#!lua name=big\nlocal s = ('x'):rep(6500000) return #s");
    client.lua("#!lua name=modest memory=20mb\nreturn 1");
    client.lua("#!lua name=own memory=1mb\nlocal s = ('x'):rep(420000) return #s");
    client.lua(
        "#!lua name=long max-run-time=100\nlocal t = os.clock() repeat until os.clock() - t > 0.09",
    );
    client.lua("#!lua name=killed max-run-time=30\nwhile true do end");
    let memory = advice_on(&mut client, "Runs near a limit of memory").expect("advice");
    assert!(!memory.contains("modest"), "{memory}");
    assert!(memory.contains("big (") || memory.contains("own ("), "{memory}");
    let time = advice_on(&mut client, "Runs near a limit of time").expect("advice");
    assert!(time.contains("long (") && time.contains(" of 100 milliseconds)"), "{time}");
    let killed = advice_on(&mut client, "Killed runs").expect("advice");
    assert!(killed.contains("killed (1 times)"), "{killed}");
}

#[test]
fn a_flood_of_scripts_is_known_by_how_they_begin() {
    let server = Server::new().start();
    let mut client = server.client();
    for number in 0..99 {
        client.lua(&format!("#!lua\nreturn redis.call('SET', 'user:{number}', 1)"));
    }
    assert_eq!(advice_on(&mut client, "Scripts that are new each time"), None, "too few");
    for number in 99..700 {
        client.lua(&format!("#!lua\nreturn redis.call('SET', 'user:{number}', 1)"));
    }
    for _ in 0..3 {
        client.lua("#!lua\nreturn 'often'");
    }
    let advice = advice_on(&mut client, "Scripts that are new each time").expect("advice");
    assert!(advice.contains("499 of the cached ones"), "{advice}");
    assert!(advice.contains("begin with 'return redis.call(\\'SET\\', \\'user:'"), "{advice}");
    assert!(advice.contains("201 scripts were evicted"), "{advice}");
}

#[test]
fn without_figures_the_doctor_says_so() {
    let server = Server::new().config("redlua.stats", "no").start();
    let mut client = server.client();
    assert!(advice(&mut client).contains("redlua.stats no"));
}
