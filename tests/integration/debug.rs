//! What `DEBUG SET-DISABLE-DENY-SCRIPTS` lets scripts call that is forbidden to them.

use crate::doors::{Scripts, same};
use crate::support::{Client, Server};

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
