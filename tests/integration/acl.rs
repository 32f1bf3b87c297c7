//! Users with few rights: a script does nothing its caller may not do, and says so as stock does.

use crate::doors::{Door, Ours, Scripts, Stock, same};
use crate::support::{Client, Server, Value};

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
