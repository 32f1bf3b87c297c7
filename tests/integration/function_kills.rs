//! Servers that are killed while libraries are loaded, again and again on one append-only file.
//!
//! A failure names the seed, with which the same loads are sent again: `REDLUA_SEED=17`. The moment of the
//! kill is another one each time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::function_model::{seed, start};
use crate::function_persistence::code;
use crate::replication::Dice;
use crate::support::{Client, Server, Value, render, wait_until};

const ROUNDS: u64 = 10;
const LOADS: usize = 200;
const LIBRARIES: u64 = 25;

/// What the function of each library returns, which has the library's name.
type Libraries = BTreeMap<String, String>;

/// A load that is sent.
struct Load {
    name: String,
    value: String,
    replace: bool,
}

impl Load {
    fn argv(&self) -> Vec<String> {
        let words = ["LUA.FUNCTION", "LOAD"].into_iter().chain(self.replace.then_some("REPLACE"));
        words.map(str::to_owned).chain([code(&self.name, &self.value)]).collect()
    }
}

/// Loads of a round, each of which succeeds if those before it do.
fn loads(dice: &mut Dice, round: u64, present: &Libraries) -> Vec<Load> {
    let mut names: Vec<String> = present.keys().cloned().collect();
    let load = |number| {
        let name = format!("l{}", dice.roll(LIBRARIES));
        let replace = names.contains(&name);
        names.push(name.clone());
        Load { name, value: format!("{round}.{number}"), replace }
    };
    (0..LOADS).map(load).collect()
}

/// Sends loads, some at a time, until the server is gone, and returns how many were acknowledged and how many
/// were sent.
fn send(
    client: &mut Client,
    dice: &mut Dice,
    loads: &[Load],
    told: &AtomicUsize,
) -> (usize, usize) {
    let (mut acknowledged, mut sent) = (0, 0);
    let mut is_there = true;
    while is_there && sent < loads.len() {
        let several = (1 + dice.roll(5) as usize).min(loads.len() - sent);
        for load in &loads[sent..sent + several] {
            is_there = client.try_send(&load.argv()).is_ok();
            if !is_there {
                break;
            }
            sent += 1;
        }
        while acknowledged < sent {
            let Ok(reply) = client.try_read_frame() else { return (acknowledged, sent) };
            let name = &loads[acknowledged].name;
            assert_eq!(render(&reply), format!("\"{name}\""), "load {acknowledged}");
            acknowledged += 1;
            told.store(acknowledged, Ordering::Release);
        }
    }
    (acknowledged, sent)
}

/// All libraries and what their functions return.
fn listed(client: &mut Client) -> Libraries {
    let list = client.value(&["LUA.FUNCTION", "LIST"]);
    let name = |library: &Value| library.field("library_name").and_then(Value::text);
    let names = list.elements().expect("a list").iter().map(|it| name(it).expect("a name"));
    let call = |name: String| {
        let value = client.value(&["LUA.FCALL", &name, "0"]).text().expect("a value");
        (name, value)
    };
    names.map(call).collect()
}

/// Kills a server while it loads libraries, and expects those that were acknowledged afterwards.
fn kill_and_look(server: &mut Server, dice: &mut Dice, round: u64, before: Libraries) -> Libraries {
    let loads = loads(dice, round, &before);
    let mut client = server.client();
    if dice.roll(2) == 0 {
        // It goes on while the libraries are loaded.
        assert!(client.text("BGREWRITEAOF").starts_with('+'));
    }
    let (told, kill_after) = (AtomicUsize::new(0), dice.roll(LOADS as u64 - 20) as usize);
    let (acknowledged, sent) = thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("enough loads", || told.load(Ordering::Acquire) >= kill_after);
            server.kill();
        });
        send(&mut client, dice, &loads, &told)
    });
    server.restart();
    let present = listed(&mut server.client());
    // Those in flight were loaded in their order up to some point.
    let mut expected = before;
    for (number, load) in loads[..sent].iter().enumerate() {
        if number >= acknowledged && present == expected {
            break;
        }
        expected.insert(load.name.clone(), load.value.clone());
    }
    assert_eq!(present, expected, "round {round}, {acknowledged} of {sent} acknowledged");
    present
}

fn check(preamble: &str) {
    let seed = seed();
    println!("REDLUA_SEED={seed}");
    let mut dice = Dice(start(seed, 0));
    let mut server = Server::new().appendonly().config("aof-use-rdb-preamble", preamble).start();
    let mut libraries = Libraries::new();
    for round in 0..ROUNDS {
        libraries = kill_and_look(&mut server, &mut dice, round, libraries);
    }
}

#[test]
fn libraries_that_were_acknowledged_survive_kills() {
    check("yes");
}

#[test]
fn libraries_that_were_acknowledged_survive_kills_with_a_file_of_commands() {
    check("no");
}
