//! Cases made from the server's own list of commands.

use crate::case::{Case, Text};
use crate::support::{Client, Value};

/// Commands whose reply without arguments is different each time, and one that takes seconds.
const SKIPPED: [&str; 5] = ["info", "lastsave", "lolwut", "time", "pfselftest"];

/// Calls every command with nothing but its name.
pub fn without_arguments(client: &mut Client) -> Vec<Case> {
    commands(client)
        .into_iter()
        .filter(|command| !SKIPPED.contains(&command.name.as_str()))
        .map(|command| call(&command.name, 0))
        .collect()
}

/// Calls every command that is closed to scripts, with as many arguments as it asks for.
pub fn noscript(client: &mut Client) -> Vec<Case> {
    commands(client)
        .into_iter()
        .filter(|command| command.noscript)
        .map(|command| call(&command.name, command.arity.unsigned_abs().saturating_sub(1)))
        .collect()
}

fn call(command: &str, arguments: u64) -> Case {
    let script = format!("return redis.call('{command}'{})", ",'x'".repeat(arguments as usize));
    Case {
        name: format!("{command} with {arguments} arguments"),
        setup: Vec::new(),
        steps: vec![vec![Text::from("EVAL"), Text::Plain(script), Text::from("0")]],
        since: None,
        prelude: String::new(),
    }
}

struct Command {
    name: String,
    arity: i64,
    noscript: bool,
}

/// Asks for all commands, sorted, as the server lists them in the order of its hash table.
fn commands(client: &mut Client) -> Vec<Command> {
    let reply = client.value(&["COMMAND"]);
    let mut commands: Vec<Command> = reply
        .elements()
        .expect("COMMAND answers an array")
        .iter()
        .map(|command| {
            let fields = command.elements().expect("a command is an array");
            let flags = fields[2].elements().expect("flags are a list");
            Command {
                name: fields[0].text().expect("the name is first"),
                arity: fields[1].integer().expect("the arity is second"),
                noscript: flags.contains(&Value::Status(b"noscript".to_vec())),
            }
        })
        .collect();
    commands.sort_by(|one, other| one.name.cmp(&other.name));
    commands
}
