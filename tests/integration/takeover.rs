//! Stock's names lead to the module.

use crate::doors::{Scripts, request};
use crate::support::{Client, Server, wait_until};

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function() return 'f' end)\n\
    redis.register_function{function_name='g', callback=function(keys) return redis.call('get', keys[1]) end, \
    flags={'no-writes'}}";

fn server() -> Server {
    Server::new().module_arg("takeover").module_arg("yes").start()
}

fn runs(client: &mut Client) -> i64 {
    client.figure("redlua_runs")
}

#[test]
fn every_stock_command_runs_on_the_module_in_any_letter_case() {
    let server = server();
    let mut client = server.client();
    let sha = client.text("SCRIPT LOAD return(1)").trim_matches('"').to_owned();
    assert_eq!(client.text(&format!("LUA.SCRIPT EXISTS {sha}")), "[:1]");
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    let evalsha = format!("EVALSHA {sha} 0");
    let commands = [
        "EVAL return(1) 0",
        "eval return(1) 0",
        "eVaL return(1) 0",
        "EVAL_RO return(1) 0",
        &evalsha,
        &evalsha.to_lowercase(),
        &evalsha.replace("EVALSHA", "EVALSHA_RO"),
        "FCALL f 0",
        "fcall g 1 k",
        "FCALL_RO g 1 k",
    ];
    for (command, done) in commands.iter().zip(1..) {
        let reply = client.text(command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
        assert_eq!(runs(&mut client), done, "{command}");
    }
    assert_eq!(client.figure("number_of_cached_scripts"), 0, "the server's own engine has none");
    client.ok(&["SCRIPT", "FLUSH"]);
    client.ok(&["function", "flush"]);
    assert_eq!(client.figure("redlua_number_of_cached_scripts"), 0);
    assert_eq!(client.figure("redlua_number_of_libraries"), 0);
}

#[test]
fn transactions_and_pipelines_run_on_the_module() {
    let server = server();
    let mut client = server.client();
    client.ok(&["MULTI"]);
    for _ in 0..3 {
        assert_eq!(client.text("EVAL return(redis.call('incr','n')) 0"), "+QUEUED");
    }
    assert_eq!(client.text("EXEC"), "[:1, :2, :3]");
    for _ in 0..100 {
        client.send(&["EVAL", "return redis.call('incr', KEYS[1])", "1", "n"]);
    }
    for expected in 4..104 {
        assert_eq!(client.read_frame(), format!(":{expected}\r\n").into_bytes());
    }
    assert_eq!(runs(&mut client), 103);
}

#[test]
fn what_is_malformed_gets_the_servers_own_words() {
    let taken = server();
    let plain = Server::new().without_module().start();
    let (mut ours, mut stock) = (taken.client(), plain.client());
    for command in [
        "EVAL",
        "EVAL x",
        "eval",
        "EVALSHA",
        "FCALL f",
        "FCALL_RO",
        "SCRIPT",
        "SCRIPT NOPE",
        "SCRIPT LOAD",
        "SCRIPT LOAD a b",
        "SCRIPT EXISTS",
        "SCRIPT KILL x",
        "SCRIPT FLUSH x",
        "SCRIPT FLUSH SYNC x",
        "FUNCTION",
        "FUNCTION NOPE",
        "FUNCTION DELETE",
        "FUNCTION DELETE a b",
        "FUNCTION DELETE a",
        "FUNCTION LOAD",
        "FUNCTION LOAD x",
        "FUNCTION LOAD REPLACE x y",
        "FUNCTION LIST x",
        "FUNCTION FLUSH x",
        "FUNCTION FLUSH SYNC x",
        "FUNCTION RESTORE x y",
        "FUNCTION RESTORE x REPLACE y",
        "FUNCTION KILL",
        "FUNCTION STATS",
        "FUNCTION LIST",
        "FUNCTION HELP",
        "SCRIPT KILL",
        "EVALSHA x 0",
        "EVAL return x",
        "EVAL return 1",
        "EVAL return -1",
        "EVAL error('x') 0",
        "FCALL nope 0",
    ] {
        assert_eq!(ours.text(command), stock.text(command), "{command}");
    }
}

#[test]
fn a_script_is_killed_by_stocks_name_and_the_texts_say_so() {
    let server = Server::new()
        .module_arg("takeover")
        .module_arg("yes")
        .config("busy-reply-threshold", "50")
        .start();
    let mut caller = server.client();
    let mut other = server.client();
    for (start, kill) in [
        (request("EVAL", "while true do end", &[], &[""; 0]), ["SCRIPT", "KILL"]),
        (request("FCALL", "endless", &[], &[""; 0]), ["FUNCTION", "KILL"]),
    ] {
        let code =
            "#!lua name=e\nredis.register_function('endless', function() while true do end end)";
        other.cmd(&["FUNCTION", "LOAD", "REPLACE", code]);
        caller.send(&start);
        let busy = format!(
            "-BUSY Redis is busy running a script. You can only call {} KILL or SHUTDOWN NOSAVE.",
            kill[0]
        );
        let mut reply = String::new();
        wait_until("a busy server", || {
            reply = other.text("PING");
            reply != "+PONG"
        });
        assert_eq!(reply.replace("Valkey", "Redis"), busy);
        other.ok(&kill);
        let frame = String::from_utf8_lossy(&caller.read_frame()).into_owned();
        assert!(frame.starts_with("-ERR Script killed by user with "), "{frame}");
    }
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

/// Whether commands of modules can be in the categories of the ACL, which Redis 7.0 decides by their flags.
fn chooses_categories(client: &mut Client) -> bool {
    client.text("ACL CAT scripting").contains("lua.eval")
}

#[test]
fn who_has_the_category_of_scripts_runs_everything() {
    let server = server();
    let mut admin = server.client();
    if !chooses_categories(&mut admin) {
        return;
    }
    admin.ok(&["ACL", "SETUSER", "worker", "on", "nopass", "~*", "+@scripting"]);
    let mut client = server.client();
    client.ok(&["AUTH", "worker", "x"]);
    let sha = client.text("SCRIPT LOAD return(1)").trim_matches('"').to_owned();
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    for command in [
        "EVAL return(1) 0",
        "EVAL_RO return(1) 0",
        &format!("EVALSHA {sha} 0"),
        &format!("EVALSHA_RO {sha} 0"),
        "FCALL f 0",
        "FUNCTION LIST",
        "FUNCTION DUMP",
        "FUNCTION STATS",
        "FUNCTION DELETE lib",
        "SCRIPT EXISTS x",
        "SCRIPT FLUSH",
    ] {
        let reply = client.text(command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
    }
}

#[test]
fn nothing_becomes_possible_that_the_acl_forbids() {
    let server = server();
    let mut admin = server.client();
    let has_categories = chooses_categories(&mut admin);
    for (rules, is_allowed) in [
        ("+@all", true),
        ("+@scripting", has_categories),
        ("+@all -@scripting +eval", !has_categories),
        ("+@all -@scripting +lua.eval", false),
        ("+@all -eval", false),
        ("+@all -@scripting", false),
        ("+@all -lua.eval", false),
        ("+eval", false),
        ("+lua.eval", false),
        ("+eval +lua.eval", true),
    ] {
        let mut argv = vec!["ACL", "SETUSER", "worker", "reset", "on", "nopass", "~*"];
        argv.extend(rules.split(' '));
        admin.ok(&argv);
        let mut client = server.client();
        client.ok(&["AUTH", "worker", "x"]);
        let reply = client.text("EVAL return(1) 0");
        assert_eq!(reply == ":1", is_allowed, "{rules}: {reply}");
        assert!(is_allowed || reply.starts_with("-NOPERM "), "{rules}: {reply}");
    }
}

#[test]
fn a_takeover_copies_the_libraries_of_the_server_once() {
    let mut server = Server::new().config("save", "3600 1").start();
    let mut client = server.client();
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    let other = "#!lua name=other\nredis.register_function('h', function() return 'stock' end)";
    client.cmd(&["FUNCTION", "LOAD", other]);
    let newer = other.replace("'stock'", "'module'");
    client.cmd(&["LUA.FUNCTION", "LOAD", &newer]);
    client.set("redlua.takeover", "yes");
    assert_eq!(client.text("FCALL f 0"), "\"f\"");
    assert_eq!(client.text("FCALL h 0"), "\"module\"", "what the module has stays");
    server.wait_for_log("RedLua takes over these libraries of the server: lib");
    // A library that goes does not come back with the server's.
    client.ok(&["FUNCTION", "DELETE", "lib"]);
    client.ok(&["CONFIG", "REWRITE"]);
    client.ok(&["SAVE"]);
    server.restart();
    let mut client = server.client();
    assert_eq!(client.text("FCALL f 0"), "-ERR Function not found");
    assert_eq!(client.text("FCALL h 0"), "\"module\"");
    client.set("redlua.takeover", "no");
    assert_eq!(client.text("FCALL f 0"), "-ERR Function not found");
    assert_eq!(client.text("FCALL h 0"), "\"stock\"", "the server's own engine answers again");
}

#[test]
fn libraries_in_a_file_are_copied_when_it_is_loaded() {
    let directory = tempfile::tempdir().expect("a directory");
    let stock = Server::new().without_module().dir(directory.path()).start();
    let mut client = stock.client();
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    client.ok(&["SAVE"]);
    drop(stock);
    for (import, reply) in [("yes", "\"f\""), ("no", "-ERR Function not found")] {
        let server = Server::new()
            .dir(directory.path())
            .module_arg("takeover")
            .module_arg("yes")
            .module_arg("takeover-import")
            .module_arg(import)
            .start();
        assert_eq!(server.client().text("FCALL f 0"), reply, "import {import}");
    }
}

#[test]
fn libraries_reach_replicas_whatever_the_master_runs() {
    let taken = Server::new().module_arg("takeover").module_arg("yes").tcp().start();
    let stock = Server::new().without_module().tcp().start();
    for master in [&taken, &stock] {
        let replica =
            Server::new().module_arg("takeover").module_arg("yes").replica_of(master).start();
        let mut client = master.client();
        client.cmd(&["SET", "k", "v"]);
        client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
        let mut there = replica.client();
        wait_until("the library on the replica", || {
            there.text("FCALL_RO g 1 k") == "\"v\"" && there.text("FUNCTION LIST").contains("lib")
        });
        assert!(runs(&mut there) > 0);
        client.ok(&["FUNCTION", "FLUSH"]);
        wait_until("the flush on the replica", || there.text("FUNCTION LIST") == "[]");
    }
}

#[test]
fn an_append_only_file_is_read_back() {
    let mut server = Server::new().module_arg("takeover").module_arg("yes").appendonly().start();
    let mut client = server.client();
    client.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    assert_eq!(client.text("EVAL return(redis.call('set','k','v')) 0"), "+OK");
    server.restart();
    assert_eq!(server.client().text("FCALL g 1 k"), "\"v\"");
}
