//! Stock's commands led to the module, where what is seen would tell.

use crate::doors::{Scripts, same};
use crate::support::{Client, Server, wait_until};

#[test]
fn scripts_call_what_debug_lets_them() {
    let server = Server::new().start();
    let mut client = server.client();
    let compare = |client: &mut Client| {
        [
            "return redis.call('CLIENT', 'ID') > 0",
            "return redis.call('debug', 'protocol', 'string')",
        ]
        .map(|script| same(script, |door| client.show(&[door.name("EVAL").as_str(), script, "0"])))
    };
    let [id, protocol] = compare(&mut client);
    assert!(id.contains("not allowed") && protocol.contains("not allowed"), "{id} {protocol}");
    client.ok(&["DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"]);
    assert_eq!(compare(&mut client), [":1", "\"Hello World\""]);
    client.ok(&["debug", "set-disable-deny-scripts", "0"]);
    let [id, _] = compare(&mut client);
    assert!(id.contains("not allowed"), "{id}");
}

#[test]
fn a_refused_debug_lets_scripts_call_nothing() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["ACL", "SETUSER", "u", "on", "nopass", "+@all", "-debug"]);
    client.ok(&["AUTH", "u", "x"]);
    let refused = client.show(&["DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"]);
    assert!(refused.contains("NOPERM"), "{refused}");
    let reply = client.show(&["LUA.EVAL", "return redis.call('CLIENT', 'ID')", "0"]);
    assert!(reply.contains("not allowed"), "{reply}");
}

#[test]
fn a_script_never_runs_scripts_of_the_module() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"]);
    for stock in ["EVAL", "eval_ro"] {
        let script = format!("return redis.call('LUA.{stock}', 'return 1', 0)");
        let reply = client.show(&["LUA.EVAL", &script, "0"]);
        assert!(reply.contains("not allowed"), "{reply}");
    }
    assert_eq!(client.show(&["LUA.EVAL", "return 1", "0"]), ":1");
}

#[test]
fn stats_show_the_command_as_it_was_typed() {
    let server = Server::new().module_arg("takeover").module_arg("yes").start();
    let mut client = server.client();
    client.ok(&["CONFIG", "SET", "busy-reply-threshold", "1"]);
    let code = "#!lua name=l\nredis.register_function('endless', function() while true do end end)";
    client.cmd(&["FUNCTION", "LOAD", code]);
    let mut runner = server.client();
    runner.send(&["fCall", "endless", "0"]);
    let mut stats = String::new();
    wait_until("the function is seen", || {
        stats = client.show(&["FUNCTION", "STATS"]);
        stats.contains("endless")
    });
    assert!(stats.contains("\"fCall\"") && !stats.contains("LUA."), "{stats}");
    client.ok(&["FUNCTION", "KILL"]);
    runner.read_frame();
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
fn rights_in_one_database_are_enough_there() {
    let server = Server::new().start();
    let mut client = server.client();
    if client.show(&["ACL", "SETUSER", "u", "on", "nopass", "+@all", "~*", "db=1"]) != "+OK" {
        // Only Valkey 9.1 and newer give rights by database.
        return;
    }
    client.ok(&["SELECT", "1"]);
    client.ok(&["AUTH", "u", "x"]);
    for script in [
        "return redis.call('SET', 'k', 'v')",
        "return redis.call('SELECT', 2)",
        "return {redis.acl_check_cmd('SET', 'k', 'v')}",
    ] {
        same(script, |door| {
            let reply = client.show(&[door.name("EVAL").as_str(), script, "0"]);
            assert!(!reply.contains("'eval'"), "{reply}");
            reply
        });
    }
}
