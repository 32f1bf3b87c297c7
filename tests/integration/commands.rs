//! What the server tells of our commands, beside what it tells of stock's.

use crate::doors::{Door, Ours, Scripts, Stock, same};
use crate::support::{Client, Server, Value, render};

const SCRIPT_COMMANDS: [&str; 4] = ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"];
const SUBCOMMANDS: [&str; 6] = ["LOAD", "EXISTS", "FLUSH", "KILL", "DEBUG", "HELP"];

/// Whether the server's `SCRIPT DEBUG` takes the name of an engine, which ours does not.
pub fn names_engines(client: &mut Client) -> bool {
    info(client, "SCRIPT|DEBUG")[1] == Value::Integer(-3)
}

fn words(value: Option<&Value>) -> Vec<String> {
    let mut words: Vec<String> =
        value.and_then(Value::elements).expect("a list").iter().filter_map(Value::text).collect();
    words.sort();
    words
}

/// The entry of one command in `COMMAND INFO`.
fn info(client: &mut Client, name: &str) -> Vec<Value> {
    let reply = client.value(&["COMMAND", "INFO", name]);
    let entry = &reply.elements().expect("a list")[0];
    entry.elements().unwrap_or_else(|| panic!("no command {name}")).to_vec()
}

/// The flags of a command without those that only say whose it is.
fn flags(entry: &[Value]) -> Vec<String> {
    // Stock hides EVAL from MONITOR because it feeds the script's commands first; a module cannot.
    let own = ["module", "skip_monitor"];
    let mut flags = words(Some(&entry[2]));
    flags.retain(|flag| !own.contains(&flag.as_str()));
    flags
}

#[test]
fn the_server_lists_exactly_the_declared_commands() {
    let server = Server::new().start();
    let list = server.client().value(&["COMMAND", "LIST", "FILTERBY", "MODULE", "redlua"]);
    let expected = [
        "lua.eval",
        "lua.eval_ro",
        "lua.evalsha",
        "lua.evalsha_ro",
        "lua.fcall",
        "lua.fcall_ro",
        "lua.function",
        "lua.function|create",
        "lua.function|delete",
        "lua.function|dump",
        "lua.function|flush",
        "lua.function|help",
        "lua.function|import",
        "lua.function|info",
        "lua.function|kill",
        "lua.function|list",
        "lua.function|load",
        "lua.function|restore",
        "lua.function|stats",
        "lua.profile",
        "lua.profile|get",
        "lua.profile|help",
        "lua.profile|start",
        "lua.profile|stop",
        "lua.script",
        "lua.script|debug",
        "lua.script|doctor",
        "lua.script|exists",
        "lua.script|flush",
        "lua.script|help",
        "lua.script|kill",
        "lua.script|list",
        "lua.script|load",
        "lua.script|show",
        "lua.script|stats",
        "lua.slowlog",
        "lua.slowlog|get",
        "lua.slowlog|help",
        "lua.slowlog|len",
        "lua.slowlog|reset",
        "lua.writeprobe",
    ];
    assert_eq!(words(Some(&list)), expected);
}

#[test]
fn arity_flags_and_key_specifications_are_those_of_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let subcommands = SUBCOMMANDS.map(|name| format!("SCRIPT|{name}"));
    let names = SCRIPT_COMMANDS.iter().map(ToString::to_string);
    let names_engines = names_engines(&mut client);
    for name in names.chain(subcommands) {
        if name == "SCRIPT|DEBUG" && names_engines {
            continue;
        }
        same(&name, |door| {
            let entry = info(&mut client, &door.name(&name));
            let shown = |index: usize| entry[index].to_string();
            let positions = [shown(3), shown(4), shown(5)];
            // Only ours takes a name.
            let arity = if name == "SCRIPT|LOAD" { ":3".to_owned() } else { shown(1) };
            // 7: tips, 8: key specifications.
            (arity, flags(&entry), positions, shown(7), shown(8))
        });
    }
}

#[test]
fn the_container_has_its_subcommands() {
    let server = Server::new().start();
    let mut client = server.client();
    let entry = info(&mut client, "LUA.SCRIPT");
    assert_eq!(entry[1], Value::Integer(-2));
    let subcommands = entry[9].elements().expect("a list");
    let mut names: Vec<String> =
        subcommands.iter().filter_map(|entry| entry.elements()?.first()?.text()).collect();
    names.sort();
    // Servers before Valkey 8 have no SHOW, and none has the others.
    let mut expected: Vec<String> = SUBCOMMANDS
        .iter()
        .chain(&["SHOW", "LIST", "STATS", "DOCTOR"])
        .map(|name| format!("lua.script|{}", name.to_lowercase()))
        .collect();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn docs_describe_the_same_arguments_as_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    for name in SCRIPT_COMMANDS {
        same(name, |door| {
            let name = door.name(name);
            let docs = client.value(&["COMMAND", "DOCS", &name]);
            let entry = docs.field(&name.to_lowercase()).expect("an entry").clone();
            let field = |name| entry.field(name).map(ToString::to_string);
            let fields = ["since", "complexity", "arguments"];
            fields.map(field)
        });
    }
    let names_engines = names_engines(&mut client);
    for subcommand in SUBCOMMANDS {
        if subcommand == "DEBUG" && names_engines {
            continue;
        }
        same(subcommand, |door| {
            let name = door.name(&format!("SCRIPT|{subcommand}"));
            let docs = client.value(&["COMMAND", "DOCS", &name]);
            let entry = docs.field(&name.to_lowercase()).expect("an entry").clone();
            // What newer servers call the argument that older ones name after its first value.
            // Only ours takes a name.
            let elements = entry.field("arguments").and_then(Value::elements);
            let taken = if subcommand == "LOAD" { 1 } else { usize::MAX };
            let arguments = elements
                .map(|them| them.iter().take(taken).map(ToString::to_string).collect::<String>());
            let arguments = arguments.map(|text| text.replace("\"flush-type\"", "\"async\""));
            (arguments, entry.field("since").map(ToString::to_string))
        });
    }
}

#[test]
fn keys_are_found_in_requests_as_in_those_of_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let requests: &[&[&str]] = &[
        &["0"],
        &["0", "a"],
        &["1", "a"],
        &["2", "a", "b", "c"],
        &["3", "a", "a", "a"],
        &["3", "a"],
        &["-1", "a"],
        &["x", "a"],
        &["01", "a"],
        &["1 ", "a"],
        &["99999999999", "a"],
        &["9223372036854775807", "a"],
    ];
    for name in SCRIPT_COMMANDS {
        for rest in requests {
            // Stock leaves the flags of keys out of a request that is no use anyway.
            let well_formed = rest[0]
                .parse()
                .is_ok_and(|count: usize| count < rest.len() && rest[0] == count.to_string());
            let subcommands =
                if well_formed { &["GETKEYS", "GETKEYSANDFLAGS"][..] } else { &["GETKEYS"] };
            for sub in subcommands {
                same(&format!("{sub} {name} {rest:?}"), |door| {
                    let name = door.name(name);
                    let mut argv = vec!["COMMAND", sub, &name, "return 1"];
                    argv.extend_from_slice(rest);
                    client.show(&argv)
                });
            }
        }
    }
}

/// What a command answers, with our prefix taken out of the names it echoes.
fn unprefixed(client: &mut Client, argv: &[&str]) -> String {
    let text = client.show(argv);
    text.replace("LUA.", "").replace("lua.", "")
}

#[test]
fn wrong_arity_and_unknown_subcommands_are_refused_in_the_words_of_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let cases: &[&[&str]] = &[
        &["EVAL"],
        &["EVAL", "return 1"],
        &["EVALSHA", "x"],
        &["EVAL_RO", "return 1"],
        &["EVALSHA_RO"],
        &["SCRIPT"],
        &["SCRIPT", "LOAD"],
        &["SCRIPT", "LOAD", "return 1", "x"],
        &["SCRIPT", "EXISTS"],
        &["SCRIPT", "FLUSH", "x"],
        &["SCRIPT", "FLUSH", "SYNC", "x"],
        &["SCRIPT", "NOPE"],
        &["SCRIPT", "HELP", "x"],
        &["SCRIPT|LOAD", "return 1"],
    ];
    for case in cases {
        let reply = same(&case.join(" "), |door| {
            let name = door.name(case[0]);
            let mut argv = vec![name.as_str()];
            argv.extend_from_slice(&case[1..]);
            unprefixed(&mut client, &argv)
        });
        assert!(reply.starts_with('-'), "{case:?}: {reply}");
    }
}

#[test]
fn help_has_the_lines_of_stock_for_what_there_is() {
    let server = Server::new().start();
    let mut client = server.client();
    let lines = |client: &mut Client, door: Door| -> Vec<String> {
        let reply = client.value(&[door.name("SCRIPT"), "HELP".to_owned()]);
        let lines = reply.elements().expect("a list");
        lines.iter().map(|line| line.to_string()).collect()
    };
    let stock = lines(&mut client, Stock);
    let ours = lines(&mut client, Ours);
    assert_eq!(ours[0], stock[0].replace("SCRIPT", "LUA.SCRIPT"));
    // Valkey broke the lines elsewhere.
    let text =
        |lines: &[String]| lines.iter().map(|line| line[1..].trim()).collect::<Vec<_>>().join(" ");
    let (ours_text, stock_text) = (text(&ours[1..]), text(&stock[1..]));
    let names_engines = names_engines(&mut client);
    for sentence in ours_text.split_inclusive(". ") {
        if sentence.starts_with("DEBUG ") && names_engines {
            continue;
        }
        assert!(stock_text.contains(sentence.trim()), "stock does not say {sentence}");
    }
    for line in ["+DEBUG", "+EXISTS", "+FLUSH", "+KILL", "+LOAD", "+HELP"] {
        assert!(ours.iter().any(|ours| ours.starts_with(line)), "{line}");
    }
}

#[test]
fn names_are_taken_in_any_case() {
    let server = Server::new().start();
    let mut client = server.client();
    assert_eq!(client.text("lua.eval return(1) 0"), ":1");
    assert_eq!(client.text("Lua.Eval return(1) 0"), ":1");
    assert_eq!(client.text("lUa.ScRiPt eXiStS x"), "[:0]");
}

#[test]
fn scripts_of_neither_engine_can_start_a_script_of_the_other() {
    let server = Server::new().start();
    let mut client = server.client();
    // Valkey 9.1 words it with its own name.
    let is_refused = |reply: &str| {
        reply
            .replace("Valkey", "Redis")
            .starts_with("-ERR This Redis command is not allowed from script")
    };
    for name in SCRIPT_COMMANDS {
        for inner in [name.to_owned(), Ours.name(name)] {
            let script = format!("return redis.pcall('{inner}', 'return 1', 0)");
            let reply = same(&script, |door| client.eval(door, &script, &[], &[]));
            assert!(is_refused(&reply), "{inner}: {reply}");
        }
    }
    for inner in ["'script','load','return 1'", "'lua.script','load','return 1'"] {
        let script = format!("return redis.pcall({inner})");
        let reply = same(&script, |door| client.eval(door, &script, &[], &[]));
        assert!(is_refused(&reply), "{inner}: {reply}");
    }
}

#[test]
fn the_internal_probe_is_harmless_to_call() {
    let server = Server::new().start();
    let mut client = server.client();
    assert_eq!(client.text("LUA.WRITEPROBE"), "+OK");
    assert!(client.text("LUA.WRITEPROBE x").starts_with("-ERR wrong number"));
    assert_eq!(client.text("DBSIZE"), ":0");
    let frame = client.cmd(&["COMMAND", "INFO", "LUA.WRITEPROBE"]);
    assert!(render(&frame).contains("skip_monitor"));
}

#[test]
fn commands_of_the_module_answer_scripts_that_may_call_them() {
    let server = Server::new().start();
    let mut client = server.client();
    // The client of such a call is no connection, and has no number the server would know.
    for script in [
        "return #redis.call('lua.script', 'help')",
        "return redis.call('lua.writeprobe')",
        "return redis.call('lua.eval', 'return 1', 0)",
        "return redis.call('lua.script', 'load', 'return 1')",
    ] {
        let stock = client.cmd(&[b"EVAL", script.as_bytes(), b"0"]);
        let ours = client.cmd(&[b"LUA.EVAL", script.as_bytes(), b"0"]);
        assert_eq!(render(&stock), render(&ours), "{script}");
    }
}

#[test]
fn scripts_call_commands_by_the_names_they_were_given() {
    let server = Server::new()
        .config("rename-command", "GET MYGET")
        .config("rename-command", "CONFIG MYCONFIG")
        .config("rename-command", "APPEND \"\"")
        .start();
    let mut client = server.client();
    for script in [
        "redis.call('set', 'k', 'v') return {redis.call('MYGET', 'k'), redis.call('myGet', 'k')}",
        "return redis.call('get', 'k')",
        "return redis.pcall('CONFIG', 'get', 'x')",
        "return redis.pcall('MYCONFIG', 'get', 'x')",
        "return redis.pcall('myconfig', 'nosuch')",
        "return redis.pcall('append', 'k', 'v')",
        "return redis.acl_check_cmd('myget', 'k')",
        "return redis.acl_check_cmd('get', 'k')",
    ] {
        let stock = client.cmd(&[b"EVAL", script.as_bytes(), b"0"]);
        let ours = client.cmd(&[b"LUA.EVAL", script.as_bytes(), b"0"]);
        assert_eq!(render(&stock), render(&ours), "{script}");
    }
}

#[test]
fn newer_servers_have_our_commands_in_the_categories_of_stocks() {
    let server = Server::new().start();
    let mut client = server.client();
    if !client.text("ACL CAT scripting").contains("lua.eval") {
        // Redis 7.0 puts modules' commands into categories by their flags alone.
        return;
    }
    for category in ["scripting", "slow", "fast", "read", "write", "admin", "dangerous"] {
        let listed = client.value(&["ACL", "CAT", category]);
        let names = words(Some(&listed));
        for name in names.iter().filter(|name| !name.starts_with("lua.")) {
            let container = name.split('|').next().unwrap_or_default();
            let is_replaced = ["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"]
                .contains(&container)
                || ["script", "function", "slowlog"].contains(&container);
            let ours = format!("lua.{name}");
            assert_eq!(names.contains(&ours), is_replaced, "{ours} in @{category}");
        }
    }
}
