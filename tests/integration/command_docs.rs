//! What `COMMAND DOCS` says of our commands, beside what it says of stock's.
//!
//! What may differ: ours have a field `module`, and the server puts them into a group of their own; summaries and the
//! name of one argument are those of Redis 7.0; some of ours have an argument more, and each container has
//! commands that not every server has.

use std::path::PathBuf;
use std::process::Command;

use crate::commands::names_engines;
use crate::doors::{Ours, Stock};
use crate::support::{Client, Server, Value};

/// Stock's commands that have a counterpart.
const SHARED: [&str; 8] =
    ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "SCRIPT", "FUNCTION"];

/// Ours that stock does not have everywhere, below the containers.
const OWN: &[&str] = &[
    "function|create",
    "function|import",
    "function|info",
    "script|doctor",
    "script|list",
    "script|show",
    "script|stats",
];

/// Arguments that only ours have, by command and name.
const OWN_ARGUMENTS: [(&str, &str); 2] = [("function|list", "withstats"), ("script|load", "name")];

/// An entry of `COMMAND DOCS` as pairs, with our prefix taken out of the names.
type Entry = Vec<(String, Value)>;

fn pairs(value: &Value) -> Vec<(String, Value)> {
    let elements = value.elements().expect("a map");
    let pairs = elements.chunks(2).map(|pair| (pair[0].text().expect("a name"), pair[1].clone()));
    pairs.map(|(name, value)| (name.replace("lua.", ""), value)).collect()
}

/// A command and its subcommands, by name.
fn entries(client: &mut Client, name: &str) -> Vec<(String, Entry)> {
    let docs = client.value(&["COMMAND", "DOCS", name]);
    let mut found = Vec::new();
    for (name, entry) in pairs(&docs) {
        let mut entry = pairs(&entry);
        let below = entry.iter().position(|(field, _)| field == "subcommands");
        let below = below.map(|at| entry.remove(at).1);
        found.push((name, entry));
        for (name, entry) in below.iter().flat_map(pairs) {
            found.push((name, pairs(&entry)));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// What newer servers call the argument that older ones name after its first value.
fn as_older(text: String) -> String {
    text.replace("\"flush-type\"", "\"async\"")
}

/// A field as it is compared: without the entries that ours alone has.
fn shown(command: &str, field: &str, value: &Value) -> String {
    if field != "arguments" {
        return as_older(value.to_string());
    }
    let is_shared = |argument: &&Value| {
        let name = argument.field("name").and_then(Value::text).unwrap_or_default();
        !OWN_ARGUMENTS.contains(&(command, name.as_str()))
    };
    let kept = value.elements().expect("arguments").iter().filter(is_shared);
    as_older(kept.map(Value::to_string).collect::<Vec<_>>().join(", "))
}

#[test]
fn ours_say_what_stocks_say() {
    let server = Server::new().start();
    let mut client = server.client();
    let names_engines = names_engines(&mut client);
    let is_oldest = client.text("INFO server").contains("redis_version:7.0.");
    for name in SHARED {
        let stock = entries(&mut client, &Stock.name(name));
        let ours = entries(&mut client, &Ours.name(name));
        for (command, entry) in &stock {
            if command == "script|debug" && names_engines {
                continue;
            }
            let (_, our_entry) = ours.iter().find(|(name, _)| name == command).expect(command);
            for (field, value) in entry {
                let differs_on_newer = field == "summary" && !is_oldest;
                if field == "group" || differs_on_newer {
                    continue;
                }
                let ours = our_entry.iter().find(|(name, _)| name == field);
                let ours = ours.unwrap_or_else(|| panic!("{command}: no {field}"));
                assert_eq!(
                    shown(command, field, &ours.1),
                    shown(command, field, value),
                    "{command}: {field}"
                );
            }
            for (field, _) in our_entry {
                let is_theirs = entry.iter().any(|(name, _)| name == field);
                assert!(is_theirs || field == "module", "{command} has {field} of its own");
            }
        }
        for (command, _) in &ours {
            let is_theirs = stock.iter().any(|(name, _)| name == command);
            assert!(is_theirs || OWN.contains(&command.as_str()), "{command} is not known here");
        }
    }
}

#[test]
fn every_command_of_ours_is_described() {
    let server = Server::new().start();
    let mut client = server.client();
    let list = client.value(&["COMMAND", "LIST", "FILTERBY", "MODULE", "redlua"]);
    for name in list.elements().expect("a list").iter().filter_map(Value::text) {
        if name.contains('|') {
            continue;
        }
        for (command, entry) in entries(&mut client, &name) {
            let text = |field: &str| {
                let value = entry.iter().find(|(name, _)| name == field);
                value.and_then(|(_, value)| value.text()).unwrap_or_default()
            };
            for field in ["summary", "since", "complexity"] {
                assert!(!text(field).is_empty(), "{command}: no {field}");
            }
            let info = client.value(&["COMMAND", "INFO", &command_of(&name, &command)]);
            let arity = info.elements().and_then(|it| it[0].elements()?[1].integer());
            let words = if command.contains('|') { 2 } else { 1 };
            let has_arguments = entry.iter().any(|(field, _)| field == "arguments");
            let is_container = entries(&mut client, &name).len() > 1 && !command.contains('|');
            assert!(
                arity == Some(words) || has_arguments || is_container,
                "{command}: no arguments"
            );
        }
    }
}

/// The full name of a command that is shown without our prefix.
fn command_of(name: &str, command: &str) -> String {
    if name.starts_with("lua.") { format!("lua.{command}") } else { command.to_owned() }
}

/// The `redis-cli` that belongs to the server under test, if it can be asked for hints.
fn hinting_client(server: &Server) -> Option<PathBuf> {
    let program = std::env::var_os("REDLUA_SERVER").map_or("redis-server".into(), PathBuf::from);
    let name = program.file_name()?.to_string_lossy().replace("-server", "-cli");
    let client = program.with_file_name(name);
    let hint = hint(&client, server, "GET ")?;
    (hint.trim() == "key").then_some(client)
}

fn hint(client: &PathBuf, server: &Server, typed: &str) -> Option<String> {
    let output = Command::new(client)
        .args(["-s".as_ref(), server.socket().as_os_str()])
        .args(["--test_hint", typed])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn redis_cli_shows_hints() {
    let server = Server::new().start();
    let Some(client) = hinting_client(&server) else {
        println!("skipped: the redis-cli of this server cannot be asked for hints");
        return;
    };
    for (typed, stock) in [
        ("LUA.EVAL ", "EVAL "),
        ("LUA.EVALSHA_RO x ", "EVALSHA_RO x "),
        ("LUA.FCALL ", "FCALL "),
        ("LUA.FUNCTION RESTORE ", "FUNCTION RESTORE "),
        ("LUA.SCRIPT EXISTS ", "SCRIPT EXISTS "),
    ] {
        let hint_of = |typed| hint(&client, &server, typed).expect("it runs");
        assert_eq!(hint_of(typed), hint_of(stock), "{typed}");
        assert!(!hint_of(typed).is_empty(), "{typed}");
    }
    for (typed, expected) in [
        ("LUA.PROFILE GET ", "[TEXT|FOLDED|SVG]"),
        ("LUA.PROFILE START ", "[name]"),
        (
            "LUA.FUNCTION CREATE ",
            "engine function-name [REPLACE] [DESCRIPTION description] function-code",
        ),
    ] {
        assert_eq!(hint(&client, &server, typed).expect("it runs"), expected, "{typed}");
    }
}
