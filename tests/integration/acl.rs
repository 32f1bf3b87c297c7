//! Users with few rights: a script does nothing its caller may not do, and says so as stock does.

use std::time::Duration;

use crate::doors::{Door, Ours, Scripts, Stock, same};
use crate::support::{Client, Server, Value, render};

/// Makes user `u` anew with `rules` and returns a connection of that user.
pub fn login(server: &Server, admin: &mut Client, rules: &str) -> Client {
    admin.cmd(&["ACL", "DELUSER", "u"]);
    let mut argv = vec!["ACL", "SETUSER", "u", "on", "nopass"];
    argv.extend(rules.split_whitespace());
    admin.ok(&argv);
    let mut client = server.client();
    client.ok(&["AUTH", "u", "x"]);
    client
}

/// Reason, object and user of every entry of the ACL log, newest first.
///
/// The context differs by design: a module's calls are logged as a module's.
fn log(admin: &mut Client) -> Vec<[String; 3]> {
    let reply = admin.value(&["ACL", "LOG"]);
    let entries = reply.elements().expect("a list").iter();
    let field = |entry: &Value, name| entry.field(name).and_then(Value::text).unwrap_or_default();
    entries
        .map(|entry| ["reason", "object", "username"].map(|name| field(entry, name)))
        .map(|entry| entry.map(|text| text.replace("lua.", "")))
        .collect()
}

const COMMANDS: &str = "+eval +lua.eval +evalsha +lua.evalsha +eval_ro +lua.eval_ro";

#[test]
fn commands_keys_channels_and_selectors_are_checked_as_on_stock() {
    let server = Server::new().start();
    let mut admin = server.client();
    let users = [
        "~* &* +@all".to_owned(),
        format!("~* &* {COMMANDS}"),
        format!("~* &* {COMMANDS} +get"),
        format!("~a* &* {COMMANDS} +get +set +del"),
        format!("%R~a* %W~b* &* {COMMANDS} +get +set +getset +copy +del"),
        format!("~* resetchannels &news {COMMANDS} +publish +spublish"),
        format!("{COMMANDS} +ping (+get ~a*) (+set ~b*)"),
        format!("~a* {COMMANDS} +config|get +mget +@write"),
        "~* &* +@all -set".to_owned(),
        "~* &* +@all -@write".to_owned(),
        "~* &* +@all -config|get".to_owned(),
        "~* &* +@all -@dangerous".to_owned(),
        "~* +@all".to_owned(),
        "&* +@all".to_owned(),
        "allkeys allcommands resetchannels".to_owned(),
    ];
    let scripts = [
        "return 1",
        "return redis.call('get', 'a')",
        "return redis.call('get', 'b')",
        "return redis.call('set', 'a', 1)",
        "return redis.call('set', 'b', 1)",
        "return redis.pcall('set', 'b', 1)",
        "return redis.pcall('get', 'b')",
        "return redis.call('getset', 'a', 1)",
        "return redis.call('mget', 'a', 'b')",
        "return redis.call('copy', 'a', 'b')",
        "return redis.call('publish', 'news', 'x')",
        "return redis.call('publish', 'other', 'x')",
        "return redis.call('spublish', 'other', 'x')",
        "return redis.call('config', 'get', 'maxmemory-samples')",
        "return redis.call('config', 'set', 'maxmemory-samples', '5')",
        "return redis.call('ping')",
        "return redis.call('flushall')",
        "return redis.call('nope')",
        "return redis.call('get')",
        "return redis.call('GET', 'b')",
        "return redis.call('select', 1)",
        "return {pcall(redis.call, 'set', 'b', 1)}",
        "redis.pcall('set', 'b', 1) return redis.call('get', 'a')",
        "#!lua\nreturn redis.call('set', 'b', 1)",
        "#!lua flags=no-writes\nreturn redis.call('set', 'b', 1)",
        "return {redis.acl_check_cmd('get', 'a'), redis.acl_check_cmd('get', 'b'), \
         redis.acl_check_cmd('set', 'a', 1), redis.acl_check_cmd('set', 'b', 1)}",
        "return {redis.acl_check_cmd('publish', 'news', 1), redis.acl_check_cmd('publish', 'o', 1), \
         redis.acl_check_cmd('config', 'get', 'x'), redis.acl_check_cmd('ping')}",
        "return {redis.acl_check_cmd('eval', 'x', 0), redis.acl_check_cmd('lua.eval', 'x', 0)}",
        "return redis.acl_check_cmd('nope')",
    ];
    for rules in &users {
        for script in scripts {
            for command in ["EVAL", "EVAL_RO"] {
                same(&format!("user {rules}: {command} {script:?}"), |door| {
                    admin.ok(&["FLUSHALL"]);
                    admin.ok(&["MSET", "a", "va", "b", "vb"]);
                    admin.ok(&["ACL", "LOG", "RESET"]);
                    let mut client = login(&server, &mut admin, rules);
                    let reply = client.show(&[door.name(command).as_str(), script, "0"]);
                    (reply, log(&mut admin), admin.text("MGET a b"))
                });
            }
        }
    }
}

#[test]
fn keys_are_checked_when_a_script_is_called_with_them() {
    let server = Server::new().start();
    let mut admin = server.client();
    for rules in [
        format!("~a* {COMMANDS}"),
        format!("%R~a* {COMMANDS}"),
        format!("%W~a* {COMMANDS}"),
        format!("{COMMANDS} (%R~a* +eval_ro +lua.eval_ro)"),
    ] {
        for command in ["EVAL", "EVAL_RO"] {
            for keys in [&["0", "b"][..], &["1", "a"], &["1", "b"], &["2", "a", "b"], &["x", "b"]] {
                same(&format!("user {rules}: {command} with {keys:?}"), |door| {
                    admin.ok(&["ACL", "LOG", "RESET"]);
                    let mut client = login(&server, &mut admin, &rules);
                    let name = door.name(command);
                    let mut argv = vec![name.as_str(), "return 'ran'"];
                    argv.extend_from_slice(keys);
                    (client.show(&argv), log(&mut admin))
                });
            }
        }
    }
}

/// A request for each of our commands.
fn requests(door: Door) -> Vec<Vec<String>> {
    let lines = [
        "EVAL return(1) 0",
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
        "EVAL_RO return(1) 0",
        "EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
        "SCRIPT LOAD return(1)",
        "SCRIPT EXISTS x",
        "SCRIPT FLUSH",
    ];
    let words = lines.map(|line| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words[0] = door.name(&words[0]);
        words
    });
    words.into()
}

#[test]
fn who_may_not_use_stocks_command_may_not_use_ours() {
    let server = Server::new().start();
    let mut admin = server.client();
    for rules in [
        "~* &* +@all -@scripting",
        "~* &* -@all +ping",
        "~* &* +@all -eval -evalsha -eval_ro -evalsha_ro -script",
        "~* &* +@all -eval",
        "~* &* +@all -script|flush",
        "~* &* +@all -script|load",
    ] {
        for (number, request) in requests(Stock).iter().enumerate() {
            let (reply, _) = same(&format!("user {rules}: {request:?}"), |door| {
                admin.ok(&["ACL", "LOG", "RESET"]);
                let mut client = login(&server, &mut admin, rules);
                let reply = client.show(&requests(door)[number]);
                let log = log(&mut admin);
                assert_eq!(reply.starts_with("-NOPERM"), !log.is_empty(), "{reply}: {log:?}");
                (reply.replace("lua.", ""), log.len())
            });
            assert!(!reply.contains("unknown"), "{reply}");
        }
    }
}

#[test]
fn the_right_to_stocks_command_is_not_enough_for_ours() {
    let server = Server::new().start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* +eval +script");
    assert!(client.lua("return 1").starts_with("-NOPERM "));
    assert!(client.text("LUA.SCRIPT LOAD return(1)").starts_with("-NOPERM "));
    let mut client = login(&server, &mut admin, "~* +lua.eval +lua.script");
    assert!(client.lua("return 1").starts_with("-NOPERM "));
    assert!(client.text("LUA.SCRIPT LOAD return(1)").starts_with("-NOPERM "));
    let mut client = login(&server, &mut admin, "~* +eval +lua.eval");
    assert_eq!(client.lua("return 1"), ":1");
}

#[test]
fn rights_can_be_given_for_single_subcommands() {
    let server = Server::new().start();
    let mut admin = server.client();
    let rules = "~* +script|load +lua.script|load +script|exists";
    let mut client = login(&server, &mut admin, rules);
    assert!(client.text("LUA.SCRIPT LOAD return(1)").starts_with('"'));
    assert!(client.text("LUA.SCRIPT FLUSH").starts_with("-NOPERM "));
    assert!(client.text("LUA.SCRIPT EXISTS x").starts_with("-NOPERM "));
}

#[test]
fn where_stock_has_no_counterpart_another_right_stands_for_it() {
    let server = Server::new().start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* +lua.script");
    assert!(client.text("LUA.SCRIPT SHOW x").starts_with("-NOPERM "));
    let mut client = login(&server, &mut admin, "~* +lua.script +script");
    assert!(client.text("LUA.SCRIPT SHOW x").starts_with("-NOSCRIPT "));
}

#[test]
fn a_loaded_script_has_the_rights_of_its_caller_only() {
    let server = Server::new().start();
    let mut admin = server.client();
    let script = "redis.call('set', 'secret', ARGV[1]) return redis.call('get', 'secret')";
    same("a script loaded by one user and called by another", |door| {
        admin.ok(&["FLUSHALL"]);
        let sha = admin.value(&[&door.name("SCRIPT"), "LOAD", script]);
        let sha = sha.text().expect("a digest");
        let evalsha = door.name("EVALSHA");
        let first = admin.show(&[&evalsha, &sha, "0", "by admin"]);
        let mut client = login(&server, &mut admin, &format!("~public* {COMMANDS} +get +set"));
        let second = client.show(&[&evalsha, &sha, "0", "by user"]);
        let third = admin.show(&[&evalsha, &sha, "0", "by admin again"]);
        (first, second, third)
    });
    assert_eq!(admin.text("GET secret"), "\"by admin again\"");
    let mut client = login(&server, &mut admin, &format!("~public* {COMMANDS} +get +set"));
    let reply = client.eval(Ours, script, &[], &["x"]);
    assert!(reply.starts_with('-'), "{reply}");
}

#[test]
fn rights_taken_away_between_runs_are_gone_at_once() {
    let server = Server::new().start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* &* +@all");
    let script = "return redis.call('set', 'k', 1)";
    same("a right that goes", |door| {
        admin.ok(&["ACL", "SETUSER", "u", "+set"]);
        let before = client.eval(door, script, &[], &[]);
        admin.ok(&["ACL", "SETUSER", "u", "-set"]);
        (before, client.eval(door, script, &[], &[]))
    });
}

/// Runs `change` between two calls of the connection of user `u` and expects the second to be refused.
///
/// `u` may do everything before. The first two calls let the module learn that.
#[track_caller]
fn refused_after(what: &str, change: impl FnOnce(&Server, &mut Client, &mut Client)) {
    let server = Server::new().config("user", "poor on nopass ~* &* +@all -@scripting").start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* &* +@all");
    for _ in 0..2 {
        assert_eq!(client.lua("return 1"), ":1", "{what}");
    }
    change(&server, &mut admin, &mut client);
    let reply = client.lua("return 1");
    assert!(reply.starts_with("-NOPERM "), "{what}: {reply}");
}

#[test]
fn a_right_to_stocks_command_that_is_taken_away_is_gone_at_the_next_call() {
    let rules = ["-@scripting", "-eval", "nocommands", "reset"];
    for rule in rules {
        for name in ["ACL", "acl", "aCl"] {
            refused_after(rule, |_, admin, _| {
                // What is left of the rights lets the client in, and to our command.
                let argv = [name, "SETUSER", "u", rule, "on", "nopass", "+lua.eval"];
                admin.ok(&argv);
            });
        }
    }
    refused_after("by the client itself", |_, _, client| {
        client.ok(&["ACL", "SETUSER", "u", "-eval"]);
    });
    refused_after("after it was given back", |_, admin, client| {
        admin.ok(&["ACL", "SETUSER", "u", "-eval"]);
        assert!(client.lua("return 1").starts_with("-NOPERM "));
        admin.ok(&["ACL", "SETUSER", "u", "+eval"]);
        assert_eq!(client.lua("return 1"), ":1");
        admin.ok(&["ACL", "SETUSER", "u", "-eval"]);
    });
}

#[test]
fn a_client_has_the_rights_of_the_user_it_has_become() {
    refused_after("AUTH", |_, _, client| client.ok(&["AUTH", "poor", "x"]));
    refused_after("auth", |_, _, client| client.ok(&["auth", "poor", "x"]));
    for protocol in ["2", "3"] {
        refused_after("HELLO", |_, _, client| {
            client.cmd(&["hello", protocol, "AUTH", "poor", "x"]);
        });
    }
    refused_after("RESET", |_, admin, client| {
        admin.ok(&["ACL", "SETUSER", "default", "-eval"]);
        assert_eq!(client.lua("return 1"), ":1");
        assert_eq!(client.text("Reset"), "+RESET");
    });
}

#[test]
fn a_transaction_that_changes_rights_changes_them_at_once() {
    let take = ["ACL", "SETUSER", "u", "-eval"];
    refused_after("in a transaction of another", |_, admin, client| {
        admin.ok(&["MULTI"]);
        admin.cmd(&take);
        // Queued only: the filter saw it, but nothing has changed.
        assert_eq!(client.lua("return 1"), ":1");
        assert_eq!(client.lua("return 1"), ":1");
        admin.cmd(&["exec"]);
    });
    refused_after("in its own transaction", |_, _, client| {
        client.ok(&["MULTI"]);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        client.cmd(&take);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        let replies = client.text("EXEC");
        assert!(replies.starts_with("[:1, :1, +OK, -NOPERM "), "{replies}");
    });
    refused_after("by stock's script between", |_, _, client| {
        client.ok(&["MULTI"]);
        client.cmd(&["EVAL", "return redis.call('PING')", "0"]);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        client.cmd(&take);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        let replies = client.text("EXEC");
        assert!(replies.contains(":1, +OK, -NOPERM "), "{replies}");
    });
    refused_after("AUTH in its own transaction", |_, _, client| {
        client.ok(&["MULTI"]);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        client.cmd(&["AUTH", "poor", "x"]);
        client.cmd(&["LUA.EVAL", "return 1", "0"]);
        let replies = client.text("EXEC");
        assert!(replies.starts_with("[:1, +OK, -NOPERM "), "{replies}");
    });
}

#[test]
fn a_pipeline_sees_the_rights_of_each_moment() {
    let eval = ["LUA.EVAL", "return 1", "0"];
    let requests: [&[&str]; 8] = [
        &eval,
        &eval,
        &["ACL", "SETUSER", "u", "-eval"],
        &eval,
        &["ACL", "SETUSER", "u", "+eval"],
        &eval,
        &["AUTH", "poor", "x"],
        &eval,
    ];
    refused_after("in a pipeline", |_, _, client| {
        for request in requests {
            client.send(request);
        }
        let replies: Vec<_> = requests.iter().map(|_| render(&client.read_frame())).collect();
        let starts = [":1", ":1", "+OK", "-NOPERM", "+OK", ":1", "+OK", "-NOPERM"];
        for (reply, start) in replies.iter().zip(starts) {
            assert!(reply.starts_with(start), "{replies:?}");
        }
    });
}

#[test]
fn a_change_that_waits_for_a_pause_to_end_is_not_missed() {
    let change = |transaction: bool| {
        refused_after("after a pause", |server, admin, client| {
            let mut other = server.client();
            if transaction {
                other.ok(&["MULTI"]);
                other.cmd(&["ACL", "SETUSER", "u", "-eval"]);
            }
            admin.ok(&["CLIENT", "PAUSE", "300", "ALL"]);
            client.send(&["LUA.EVAL", "return 1", "0"]);
            client.send(&["LUA.EVAL", "return 1", "0"]);
            std::thread::sleep(Duration::from_millis(50));
            if transaction {
                other.send(&["EXEC"]);
            } else {
                other.send(&["ACL", "SETUSER", "u", "-eval"]);
            }
            for _ in 0..2 {
                assert_eq!(render(&client.read_frame()), ":1");
            }
            other.read_frame();
        });
    };
    change(false);
    change(true);
}

#[test]
fn users_that_are_deleted_or_loaded_anew_have_no_rights_left() {
    let server = Server::new().start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* &* +@all");
    assert_eq!(client.lua("return 1"), ":1");
    admin.cmd(&["ACL", "DELUSER", "u"]);
    assert!(client.try_cmd(&["LUA.EVAL", "return 1", "0"]).is_err());

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users.acl");
    std::fs::write(&file, "user default on nopass ~* &* +@all\n").expect("a file");
    let server = Server::new().config("aclfile", &file.display().to_string()).start();
    let mut client = server.client();
    assert_eq!(client.lua("return 1"), ":1");
    assert_eq!(client.lua("return 1"), ":1");
    std::fs::write(&file, "user default on nopass ~* &* +@all -eval\n").expect("a file");
    client.ok(&["ACL", "LOAD"]);
    assert!(client.lua("return 1").starts_with("-NOPERM "));
}

#[test]
fn what_is_granted_to_one_client_or_command_is_not_to_another() {
    let server = Server::new().start();
    let mut admin = server.client();
    let mut client = login(&server, &mut admin, "~* &* +@all -evalsha");
    assert_eq!(client.lua("return 1"), ":1");
    assert!(
        client
            .text("LUA.EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0")
            .starts_with("-NOPERM ")
    );
    assert_eq!(admin.text("LUA.EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0"), ":1");
    assert!(
        client
            .text("LUA.EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0")
            .starts_with("-NOPERM ")
    );
}

#[test]
fn a_command_with_another_name_changes_rights_as_well() {
    for name in ["ACL", "AUTH", "EXEC"] {
        let server = Server::new().config("rename-command", &format!("{name} other")).start();
        let other = |stock: &str| if stock == name { "other".to_owned() } else { stock.to_owned() };
        let mut admin = server.client();
        admin.ok(&[other("ACL").as_str(), "SETUSER", "u", "on", "nopass", "~*", "&*", "+@all"]);
        let mut client = server.client();
        client.ok(&[other("AUTH").as_str(), "u", "x"]);
        assert_eq!(client.lua("return 1"), ":1");
        assert_eq!(client.lua("return 1"), ":1");
        admin.ok(&["MULTI"]);
        admin.cmd(&[other("ACL").as_str(), "SETUSER", "u", "-eval"]);
        assert_eq!(client.lua("return 1"), ":1");
        admin.cmd(&[other("EXEC")]);
        assert!(client.lua("return 1").starts_with("-NOPERM "), "{name}");
    }
}

#[test]
fn dry_runs_answer_as_for_stock() {
    let server = Server::new().start();
    let mut admin = server.client();
    for rules in ["~a* +eval +lua.eval", "~* -@all", "~* &* +@all", "%R~a* +eval +lua.eval"] {
        login(&server, &mut admin, rules);
        for keys in [&["0"][..], &["1", "a"], &["1", "b"], &["2", "a", "b"]] {
            same(&format!("user {rules}: {keys:?}"), |door| {
                let name = door.name("EVAL");
                let mut argv = vec!["ACL", "DRYRUN", "u", name.as_str(), "return 1"];
                argv.extend_from_slice(keys);
                admin.show(&argv).to_lowercase().replace("lua.", "")
            });
        }
    }
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
