//! The limit on what the virtual machine may hold: clean errors, and no harm to those who come next.

use std::time::Duration;

use crate::doors::Scripts;
use crate::support::{Client, Server, wait_until};

const HUNGRY: &str = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end";

fn limited(limit: &str) -> (Server, Client) {
    let server = Server::new().config("redlua.memory-limit", limit).start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(30));
    (server, client)
}

#[test]
fn a_script_beyond_the_limit_ends_and_the_server_goes_on() {
    let (_server, mut client) = limited("16mb");
    let run_id = client.info("run_id");
    client.lua("return 1");
    let before = client.figure("used_memory");
    for round in 1..=5 {
        let reply = client.lua(HUNGRY);
        assert!(reply.starts_with("-ERR ") && reply.contains("not enough memory"), "{reply}");
        assert_eq!(client.figure("redlua_rebuilt_vms"), round);
        assert_eq!(client.lua("return redis.call('incr', 'n')"), format!(":{round}"));
        let after = client.figure("used_memory");
        assert!(after < before + 1_000_000, "{before} bytes became {after}");
    }
    assert_eq!(client.info("run_id"), run_id);
}

#[test]
fn what_was_written_before_the_error_stays_as_with_any_error() {
    let (_server, mut client) = limited("16mb");
    client.lua(&format!("redis.call('set', 'k', 'v') {HUNGRY}"));
    assert_eq!(client.text("GET k"), "\"v\"");
}

#[test]
fn no_protected_call_goes_on_after_the_limit() {
    let (_server, mut client) = limited("16mb");
    client.ok(&["SET", "big", &"x".repeat(5_000_000)]);
    let scripts = [
        format!("pcall(function() {HUNGRY} end) redis.call('set', 'went-on', 1)"),
        format!("xpcall(function() {HUNGRY} end, function() redis.call('set', 'went-on', 1) end)"),
        format!("coroutine.wrap(function() pcall(function() {HUNGRY} end) end)() redis.call('set', 'went-on', 1)"),
        format!("local co = coroutine.create(function() {HUNGRY} end) coroutine.resume(co) redis.call('set', 'went-on', 1)"),
        format!("while true do pcall(function() {HUNGRY} end) redis.call('set', 'went-on', 1) end"),
        "local t = {} while true do pcall(function() t[#t + 1] = redis.call('get', 'big') .. #t end) end"
            .to_owned(),
        "local t = {} for i = 1, 10 do t[i] = redis.call('get', 'big') .. i end redis.call('set', 'went-on', 1)"
            .to_owned(),
    ];
    for script in scripts {
        let reply = client.lua(&script);
        assert!(reply.contains("not enough memory"), "{script}: {reply}");
        assert_eq!(client.text("EXISTS went-on"), ":0", "{script}");
    }
}

#[test]
fn a_reply_of_a_million_elements_is_no_way_around_the_limit() {
    let (_server, mut client) = limited("16mb");
    let fill = "local t = {} for i = 1, 1000 do t[i] = 'element ' .. ARGV[1] .. ' ' .. i end \
                return redis.call('rpush', 'l', unpack(t))";
    for round in 0..1_000 {
        let round = round.to_string();
        client.send(&["LUA.EVAL", fill, "0", &round]);
    }
    for _ in 0..1_000 {
        client.read_frame();
    }
    assert_eq!(client.text("LLEN l"), ":1000000");
    client.lua("return 1");
    let before = client.figure("used_memory");
    for script in [
        "return #redis.call('lrange', 'l', 0, -1)",
        "return redis.call('lrange', 'l', 0, -1)",
        "return #redis.pcall('lrange', 'l', 0, -1)",
        "return pcall(redis.call, 'lrange', 'l', 0, -1)",
    ] {
        let reply = client.lua(script);
        assert!(
            reply.contains("not enough memory"),
            "{script}: {}",
            &reply[..reply.len().min(200)]
        );
        assert_eq!(client.lua("return redis.call('llen', 'l')"), ":1000000");
    }
    wait_until("memory to be given back", || client.figure("used_memory") < before + 2_000_000);
    client.set("redlua.memory-limit", "512mb");
    assert_eq!(client.lua("return #redis.call('lrange', 'l', 0, -1)"), ":1000000");
}

#[test]
fn garbage_of_one_script_does_not_fail_the_next() {
    let (_server, mut client) = limited("64mb");
    let reply =
        client.lua("local t = {} for i = 1, 45 do t[i] = ('x'):rep(1e6) .. i end return #t");
    assert_eq!(reply, ":45");
    assert_eq!(client.lua("return #('x'):rep(3e7)"), ":30000000");
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

#[test]
fn garbage_of_one_script_is_not_held_for_ever() {
    let (_server, mut client) = limited("64mb");
    client.lua("return 1");
    let before = client.figure("used_memory");
    client.lua("local t = {} for i = 1, 45 do t[i] = ('x'):rep(1e6) .. i end return #t");
    for _ in 0..100 {
        client.lua("return 1");
    }
    let after = client.figure("used_memory");
    assert!(after < before + 10_000_000, "{before} bytes became {after}");
}

#[test]
fn values_that_are_dropped_within_a_script_do_not_add_up() {
    let (_server, mut client) = limited("64mb");
    for number in 1..=5 {
        let value = format!("{}{number}", "x".repeat(10_000_000));
        client.ok(&["SET", &format!("big{number}"), &value]);
    }
    for script in [
        "local n = 0 for i = 1, 100 do n = n + #redis.call('get', 'big' .. i % 5 + 1) end return n",
        "local n = 0 for i = 1, 100 do n = n + #(('x'):rep(1e6) .. i) end return n",
        "local s, n = ('x'):rep(5e6), 0 for i = 1, 50 do n = n + #(s .. i) end return n",
        "local n = 0 for i = 1, 1e6 do local t = {i, i, i} n = n + #t end return n",
        "local s = '' for i = 1, 3000 do s = s .. 'xxxxxxxxxx' end return #s",
    ] {
        let reply = client.lua(script);
        assert!(reply.starts_with(':'), "{script}: {reply}");
    }
    assert_eq!(client.figure("redlua_rebuilt_vms"), 0);
}

#[test]
fn lowering_the_limit_fails_no_script_that_fits() {
    let (_server, mut client) = limited("256mb");
    client.lua("local t = {} for i = 1, 45 do t[i] = ('x'):rep(1e6) .. i end return #t");
    client.set("redlua.memory-limit", "8mb");
    assert_eq!(client.lua("return #redis.call('info', 'everything') > 0"), ":1");
    assert_eq!(client.lua("return 1"), ":1");
    assert!(client.lua("return #('x'):rep(2e7)").contains("not enough memory"));
    client.set("redlua.memory-limit", "256mb");
    assert_eq!(client.lua("return #('x'):rep(2e7)"), ":20000000");
}

#[test]
fn the_servers_own_account_sees_what_scripts_hold() {
    let (_server, mut client) = limited("256mb");
    let script = "local t = {} for i = 1, 40 do t[i] = ('x'):rep(1e6) .. i end \
                  return tonumber(redis.call('info', 'memory'):match('used_memory:(%d+)'))";
    let before = client.figure("used_memory");
    let within = client.value(&["LUA.EVAL", script, "0"]).integer().expect("a number");
    assert!(within > before + 40_000_000, "{before} bytes became {within}");
}

#[test]
fn compiling_beyond_the_limit_is_a_clean_error() {
    let (_server, mut client) = limited("4mb");
    let script = format!("return {{{}}}", "'x',".repeat(500_000));
    let reply = client.lua(&script);
    assert!(reply.contains("not enough memory"), "{}", &reply[..reply.len().min(200)]);
    let reply = client.show(&["LUA.SCRIPT", "LOAD", &script]);
    assert!(reply.contains("not enough memory"), "{}", &reply[..reply.len().min(200)]);
    assert_eq!(client.lua("return 1"), ":1");
    let sha = client.value(&["LUA.SCRIPT", "LOAD", "return 'loaded'"]).text().expect("a digest");
    client.lua(&script);
    assert_eq!(client.text(&format!("LUA.EVALSHA {sha} 0")), "\"loaded\"");
}

#[test]
fn libraries_take_no_more_than_there_is() {
    let (_server, mut client) = limited("32mb");
    client.lua("return 1");
    let before = client.figure("used_memory");
    for script in [
        "cjson.encode_sparse_array(false, 0) return cjson.encode({[2^31 - 1] = 1})",
        "local t = {'xxxxxxxxxxxxxxxx'} for i = 1, 30 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 14 do t = {t, t, t, t} end return cmsgpack.pack(t)",
        "local s = ('x'):rep(5e6) return struct.pack(('c0'):rep(8), s, s, s, s, s, s, s, s)",
        "return cjson.decode('[' .. ('[],'):rep(2e6) .. '1]')",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255' .. ('\\144'):rep(2e6))",
        "local s = ('\\0'):rep(5e6) return cjson.encode({s, s})",
        "local s = ('x'):rep(5e6) return cmsgpack.pack(s, s, s, s, s, s, s, s)",
    ] {
        let reply = client.lua(script);
        assert!(reply.contains("not enough memory"), "{script}: {reply}");
        assert_eq!(
            client.lua("return cjson.encode({1, cmsgpack.unpack(cmsgpack.pack(2))})"),
            "\"[1,2]\""
        );
    }
    let after = client.figure("used_memory");
    assert!(after < before + 1_000_000, "{before} bytes became {after}");
}

#[test]
fn garbage_makes_room_for_what_a_library_writes() {
    let (_server, mut client) = limited("32mb");
    let script = "collectgarbage('stop') local s = ('x'):rep(3e6) local out \
        for i = 1, 20 do out = <call>({s, i}) end return #out";
    assert_eq!(client.lua(&script.replace("<call>", "cjson.encode")), ":3000007");
    assert_eq!(client.lua(&script.replace("<call>", "cmsgpack.pack")), ":3000007");
}
