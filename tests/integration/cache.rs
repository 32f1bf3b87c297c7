//! The script cache: what is kept, what is evicted, what a flush gives back.

use crate::doors::{Door, Ours, Scripts, request, same};
use crate::support::{Client, Server, wait_until};

/// Scripts known only by EVAL that are kept.
const LIMIT: i64 = 500;

fn load(client: &mut Client, door: Door, script: &str) -> String {
    let reply = client.value(&[&door.name("SCRIPT"), "LOAD", script]);
    reply.text().expect("a digest")
}

fn exists(client: &mut Client, digest: &str) -> bool {
    client.text(&format!("LUA.SCRIPT EXISTS {digest}")) == "[:1]"
}

fn digest(client: &mut Client, script: &str) -> String {
    let reply = client.value(&["LUA.EVAL", "return redis.sha1hex(ARGV[1])", "0", script]);
    reply.text().expect("a digest")
}

/// Sends `count` different scripts by EVAL in one go and checks every reply.
fn eval_different(client: &mut Client, count: usize) {
    for number in 0..count {
        let script = format!("return {number} -- of many");
        client.send(&request::<&str>("LUA.EVAL", script, &[], &[]));
    }
    for number in 0..count {
        assert_eq!(client.read_frame(), format!(":{number}\r\n").into_bytes());
    }
}

#[test]
fn show_gives_the_text_of_a_script() {
    let server = Server::new().start();
    let mut client = server.client();
    let script = "#!lua flags=no-writes\nreturn 1";
    let digest = load(&mut client, Ours, script);
    for digest in [digest.clone(), digest.to_uppercase()] {
        assert_eq!(client.value(&["LUA.SCRIPT", "SHOW", &digest]).text().unwrap(), script);
    }
    for unknown in ["", "x", &"0".repeat(40), &format!("{digest}0")] {
        let reply = client.show(&["LUA.SCRIPT", "SHOW", unknown]);
        assert!(reply.starts_with("-NOSCRIPT No matching script."), "{reply}");
    }
}

#[test]
fn load_exists_and_flush_answer_as_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    same("a cache from load to flush", |door| {
        let script = door.name("SCRIPT");
        let evalsha = door.name("EVALSHA");
        let mut show = |words: &[&str]| client.show(words);
        let sha = "7413dc2440db1fea7c0a0bde841fa68eefaf149c";
        let upper = sha.to_uppercase();
        let mut replies = vec![
            show(&[&script, "EXISTS", sha, "x"]),
            show(&[&evalsha, sha, "0"]),
            show(&[&script, "LOAD", "return 9"]),
            show(&[&script, "LOAD", "return 9"]),
            show(&[&script, "LOAD", "return 1"]),
            show(&[
                &script,
                "EXISTS",
                sha,
                &upper,
                "x",
                "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
            ]),
            show(&[&evalsha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]),
            show(&[&evalsha, "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0"]),
            show(&[&evalsha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8d", "0"]),
            show(&[&evalsha, "z0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]),
            show(&[&script, "LOAD", "return ("]),
            show(&[&script, "LOAD", "#!lua flags=nope\nreturn 1"]),
            show(&[&script, "LOAD", ""]),
        ];
        for mode in [&[][..], &["SYNC"], &["ASYNC"], &["sync"], &["Async"], &["later"]] {
            let mut argv = vec![script.as_str(), "FLUSH"];
            argv.extend_from_slice(mode);
            replies.push(show(&[&script, "LOAD", "return 1"]));
            replies.push(show(&argv));
            replies.push(show(&[&evalsha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]));
        }
        replies
    });
}

#[test]
fn the_two_engines_do_not_share_their_caches() {
    let server = Server::new().start();
    let mut client = server.client();
    let ours = load(&mut client, Ours, "return 'ours'");
    let stock = load(&mut client, Door::Stock, "return 'stock'");
    assert_eq!(client.text(&format!("SCRIPT EXISTS {ours}")), "[:0]");
    assert!(!exists(&mut client, &stock));
    client.ok(&["SCRIPT", "FLUSH", "SYNC"]);
    assert_eq!(client.text(&format!("LUA.EVALSHA {ours} 0")), "\"ours\"");
}

#[test]
fn scripts_known_by_eval_are_evicted_beyond_500_and_loaded_ones_never() {
    let server = Server::new().start();
    let mut client = server.client();
    let kept = load(&mut client, Ours, "return 'kept'");
    eval_different(&mut client, 600);
    assert_eq!(client.figure("redlua_number_of_cached_scripts"), LIMIT + 1);
    assert_eq!(client.figure("redlua_number_of_evictable_scripts"), LIMIT);
    assert_eq!(client.figure("redlua_evicted_scripts"), 100);
    assert_eq!(client.text(&format!("LUA.EVALSHA {kept} 0")), "\"kept\"");

    // Asking for the digests evaluates one more script, which pushes out one more.
    let oldest = digest(&mut client, "return 99 -- of many");
    let still = digest(&mut client, "return 101 -- of many");
    let newest = digest(&mut client, "return 599 -- of many");
    assert!(!exists(&mut client, &oldest));
    assert!(exists(&mut client, &still));
    assert!(exists(&mut client, &newest));
    assert!(client.text(&format!("LUA.EVALSHA {oldest} 0")).starts_with("-NOSCRIPT "));
}

#[test]
fn a_use_keeps_a_script_from_being_the_oldest() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 'by eval'");
    client.lua("return 'by digest'");
    client.lua("return 'idle'");
    let by_digest = digest(&mut client, "return 'by digest'");
    let idle = digest(&mut client, "return 'idle'");
    let by_eval = digest(&mut client, "return 'by eval'");
    eval_different(&mut client, 450);
    client.lua("return 'by eval'");
    client.text(&format!("LUA.EVALSHA {by_digest} 0"));
    for number in 0..100 {
        client.lua(&format!("return {number} -- others"));
    }
    assert!(exists(&mut client, &by_eval));
    assert!(exists(&mut client, &by_digest));
    assert!(!exists(&mut client, &idle));
}

#[test]
fn loading_a_script_that_came_by_eval_keeps_it_for_good() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 'both'");
    let both = load(&mut client, Ours, "return 'both'");
    eval_different(&mut client, 700);
    assert!(exists(&mut client, &both));
}

#[test]
fn ten_thousand_different_scripts_leave_a_cache_of_500() {
    let server = Server::new().start();
    let mut client = server.client();
    eval_different(&mut client, 1_000);
    let before = client.figure("used_memory");
    eval_different(&mut client, 10_000);
    assert_eq!(client.figure("redlua_number_of_cached_scripts"), LIMIT);
    assert_eq!(client.figure("redlua_evicted_scripts"), 10_500);
    // Evicted functions are garbage until the collector comes round.
    client.lua("collectgarbage() return 1");
    let after = client.figure("used_memory");
    assert!(after < before + 2_000_000, "{before} bytes became {after}");
}

#[test]
fn a_client_that_is_told_noscript_loads_and_goes_on() {
    let mut server = Server::new().start();
    let mut client = server.client();
    let flow = |client: &mut Client| {
        let script = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
        let sha = load(client, Ours, script);
        let evalsha = request("LUA.EVALSHA", &sha, &["n"], &["5"]);
        assert_eq!(client.show(&evalsha), ":5");
        client.ok(&["LUA.SCRIPT", "FLUSH"]);
        let missing = client.show(&request("EVALSHA", &sha, &["n"], &["5"]));
        assert!(missing.starts_with("-NOSCRIPT No matching script."), "{missing}");
        assert_eq!(client.show(&evalsha), missing);
        load(client, Ours, script);
        assert_eq!(client.show(&evalsha), ":10");
        evalsha
    };
    let evalsha = flow(&mut client);
    server.restart();
    let mut client = server.client();
    assert!(client.show(&evalsha).starts_with("-NOSCRIPT "));
    flow(&mut client);
}

#[test]
fn loaded_scripts_survive_a_virtual_machine_that_ran_out_of_memory() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("redlua.memory-limit", "4mb");
    let sha = load(&mut client, Ours, "return 'still here'");
    let shebang =
        load(&mut client, Ours, "#!lua flags=no-writes\nreturn redis.pcall('set','a','b')");
    client.lua("return 'by eval'");
    let reply = client.lua("local t = {} while true do t[#t + 1] = {} end");
    assert!(reply.contains("not enough memory"), "{reply}");
    assert_eq!(client.figure("redlua_rebuilt_vms"), 1);
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), "\"still here\"");
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), "\"still here\"");
    let refused = client.text(&format!("LUA.EVALSHA {shebang} 0"));
    assert!(refused.starts_with("-ERR Write commands are not allowed"), "{refused}");
    let digest = digest(&mut client, "return 'by eval'");
    assert_eq!(client.text(&format!("LUA.EVALSHA {digest} 0")), "\"by eval\"");
}

/// Loads scripts that take some tens of megabytes.
fn fill(client: &mut Client) {
    let filler = "do local t = {1,2,3} end ".repeat(250);
    for number in 0..1_000 {
        let script = format!("{filler} return {number}");
        client.send(&["LUA.SCRIPT", "LOAD", &script]);
    }
    for _ in 0..1_000 {
        assert!(client.read_frame().starts_with(b"$40"));
    }
}

#[test]
fn memory_returns_to_its_former_level_after_a_flush() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 1");
    client.ok(&["LUA.SCRIPT", "FLUSH", "SYNC"]);
    let before = client.figure("used_memory");
    for mode in ["SYNC", "ASYNC"] {
        fill(&mut client);
        let full = client.figure("used_memory");
        assert!(full > before + 10_000_000, "{before} bytes became only {full}");
        client.ok(&["LUA.SCRIPT", "FLUSH", mode]);
        if mode == "SYNC" {
            let after = client.figure("used_memory");
            assert!(after < before + 1_000_000, "{before} bytes became {after}");
        }
        wait_until("memory to be given back", || client.figure("used_memory") < before + 1_000_000);
        assert_eq!(client.figure("redlua_number_of_cached_scripts"), 0);
    }
}

/// Flushes a large cache and looks at the memory in the same breath.
fn held_right_after(client: &mut Client, flush: &[&str]) -> i64 {
    fill(client);
    client.send(flush);
    client.send(&["LUA.EVAL", "return redis.call('INFO','memory')", "0"]);
    assert_eq!(client.read_frame(), b"+OK\r\n");
    let info = String::from_utf8(client.read_frame()).expect("text");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.expect("a figure").parse().expect("a number")
}

#[test]
fn a_flush_without_a_mode_does_what_lazyfree_lazy_user_flush_says() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 1");
    let before = client.figure("used_memory");
    let frees_at_once =
        |client: &mut Client, flush: &[&str]| held_right_after(client, flush) < before + 5_000_000;
    let plain = ["LUA.SCRIPT", "FLUSH"];
    client.set("lazyfree-lazy-user-flush", "no");
    assert!(frees_at_once(&mut client, &plain));
    client.set("lazyfree-lazy-user-flush", "yes");
    assert!(frees_at_once(&mut client, &["LUA.SCRIPT", "FLUSH", "SYNC"]));
    // The thread may be done before the server takes the next request, so once has to do.
    let later = (0..10).any(|_| !frees_at_once(&mut client, &plain));
    assert!(later, "a lazy flush never left memory for later");
}
