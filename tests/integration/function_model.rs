//! Random changes of libraries against a model of a few lines, with a replica that comes and goes, and with
//! servers that end in an orderly way or are killed, and start again from each kind of file.
//!
//! A failure names the seed, with which the same sequences run again: `REDLUA_SEED=17`. What a sequence
//! did up to the failure is told with it.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::argv;
use crate::doors::Scripts;
use crate::replication::Dice;
use crate::support::{Client, Server, Value, wait_until};

/// How many sequences there are: those without files cost least.
const SEQUENCES: &[(Files, u64)] = &[
    (Files::None, 320),
    (Files::Rdb, 60),
    (Files::AofWithPreamble, 60),
    (Files::AofOfCommands, 60),
];
const STEPS: u64 = 14;

/// What a server of sequences keeps its libraries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    None,
    /// Written when a sequence asks for it.
    Rdb,
    /// Written before each reply.
    AofWithPreamble,
    AofOfCommands,
}

/// The servers of many sequences, one after the other.
struct Pair {
    files: Files,
    master: Server,
    _replica: Server,
    /// Connections to both.
    client: Client,
    copy: Client,
    /// What the master's file holds, where it is not written before each reply.
    saved: Libraries,
}

impl Pair {
    fn start(files: Files) -> Self {
        let server = || {
            // With a fast clock servers notice the end of their children at once. A master that sends its
            // data while it writes them may hear too early that they came, and again only a second later.
            let server = Server::new().config("hz", "500").config("repl-diskless-sync", "no");
            server.config("redlua.memory-limit", "8mb").config("shutdown-timeout", "0")
        };
        let master = match files {
            Files::None | Files::Rdb => server(),
            Files::AofWithPreamble => server().appendonly(),
            Files::AofOfCommands => server().appendonly().config("aof-use-rdb-preamble", "no"),
        };
        let master = master.tcp().start();
        // Where a replica stores the data before it loads them, the newest servers take a second to notice.
        let way = match files {
            Files::None | Files::AofOfCommands => "swapdb",
            Files::Rdb | Files::AofWithPreamble => "disabled",
        };
        let replica = server().config("repl-diskless-load", way).start();
        let (client, copy) = (master.client(), replica.client());
        Self { files, master, _replica: replica, client, copy, saved: Libraries::new() }
    }

    fn save(&mut self, present: &Libraries) {
        self.client.ok(&["SAVE"]);
        self.saved.clone_from(present);
    }

    /// Starts the master again and connects to it.
    fn restart(&mut self) {
        self.master.restart();
        self.client = self.master.client();
    }

    fn detach(&mut self) {
        self.copy.ok(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Makes the replica follow the master, whatever it did before. The master writes its file for it.
    fn attach(&mut self, present: &Libraries) {
        self.detach();
        wait_until("the end of a rewrite", || self.client.info("aof_rewrite_in_progress") == "0");
        self.copy.ok(&["REPLICAOF", "127.0.0.1", &self.master.port().to_string()]);
        wait_until("the link", || self.copy.info("master_link_status") == "up");
        self.saved.clone_from(present);
    }

    /// Waits until the replica follows and has all that the master did.
    fn catch_up(&mut self, present: &Libraries) {
        if self.copy.info("role") != "slave" || self.copy.info("master_link_status") != "up" {
            self.attach(present);
        }
        // WAIT waits for what its connection wrote, which another one may have done here.
        self.client.cmd(&["INCR", "looks"]);
        assert_eq!(self.client.text("WAIT 1 10000"), ":1", "the replica answers");
    }
}

/// Libraries by these names; functions have others of the same kind, so that names collide.
const LIBRARIES: &[&str] = &["a", "b", "c", "A", "F"];
/// Some differ in the case of their letters only, which is no difference between functions.
const FUNCTIONS: &[&str] = &["f", "F", "g", "G", "h", "i", "j", "a"];
const POLICIES: &[&str] = &["APPEND", "REPLACE", "FLUSH"];

/// A library as it should be.
#[derive(Clone, Debug, PartialEq)]
struct Library {
    /// Functions and what they return, in the order of their registration.
    functions: Vec<(String, String)>,
    /// Its text, unless it was made from a chunk.
    code: Option<String>,
}

type Libraries = BTreeMap<String, Library>;

/// The library and the result of a function of this name, in any case.
fn find<'l>(libraries: &'l Libraries, name: &str) -> Option<(&'l String, &'l str)> {
    libraries.iter().find_map(|(library, content)| {
        let functions = &mut content.functions.iter();
        // Of two in one library the first is found.
        let (_, result) = functions.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some((library, result.as_str()))
    })
}

/// The first function of `library` whose name another has taken.
fn collision<'l>(libraries: &Libraries, library: &'l Library) -> Option<&'l str> {
    let names = &mut library.functions.iter().map(|(name, _)| name.as_str());
    names.find(|name| find(libraries, name).is_some())
}

/// What came of a change: the reply, and the libraries unless they are as before.
type Outcome = (String, Option<Libraries>);

fn refused(message: String) -> Outcome {
    (format!("-ERR {message}"), None)
}

fn load(libraries: &Libraries, name: &str, library: Library, replace: bool) -> Outcome {
    let mut next = libraries.clone();
    if next.remove(name).is_some() && !replace {
        return refused(format!("Library \\'{name}\\' already exists"));
    }
    if let Some(function) = collision(&next, &library) {
        return refused(format!("Function {function} already exists"));
    }
    next.insert(name.to_owned(), library);
    (format!("\"{name}\""), Some(next))
}

fn create(libraries: &Libraries, name: &str, result: &str, replace: bool) -> Outcome {
    let mut next = libraries.clone();
    if let Some((old, _)) = find(libraries, name) {
        if !replace || libraries[old].code.is_some() {
            return refused("Function already exists".to_owned());
        }
        next.remove(old);
    }
    if next.contains_key(name) {
        return refused(format!("Library \\'{name}\\' already exists"));
    }
    let functions = vec![(name.to_owned(), result.to_owned())];
    next.insert(name.to_owned(), Library { functions, code: None });
    ("+OK".to_owned(), Some(next))
}

fn restore(libraries: &Libraries, payload: &Libraries, policy: &str) -> Outcome {
    let mut next = if policy == "FLUSH" { Libraries::new() } else { libraries.clone() };
    for name in payload.keys() {
        if next.remove(name).is_some() && policy == "APPEND" {
            return refused(format!("Library {name} already exists"));
        }
    }
    if let Some(function) = payload.values().find_map(|library| collision(&next, library)) {
        return refused(format!("Function {function} already exists"));
    }
    next.extend(payload.clone());
    ("+OK".to_owned(), Some(next))
}

/// A server, a replica of it and the model, which must say the same.
struct Run<'s> {
    pair: &'s mut Pair,
    dice: Dice,
    libraries: Libraries,
    /// Payloads of this sequence and what is in them.
    dumps: Vec<(Vec<u8>, Libraries)>,
    /// Makes what functions return distinct.
    made: u64,
    /// What was done and answered.
    story: Vec<String>,
}

impl Run<'_> {
    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.dice.roll(words.len() as u64) as usize]
    }

    /// Sends what has to answer as the model did, and takes over the model's libraries.
    fn change(&mut self, told: String, argv: &[Vec<u8>], expected: Outcome) {
        let reply = self.pair.client.show(argv);
        self.story.push(format!("{told}: {reply}"));
        let (expected, next) = expected;
        assert_eq!(reply, expected, "{told}");
        if let Some(next) = next {
            self.libraries = next;
        }
    }

    fn library(&mut self, name: &str) -> Library {
        let mut functions: Vec<(String, String)> = Vec::new();
        let mut code = format!("#!lua name={name}\n");
        for _ in 0..=self.dice.roll(3) {
            let function = self.pick(FUNCTIONS);
            if functions.iter().any(|(other, _)| other == function) {
                continue;
            }
            self.made += 1;
            let result = format!("{function} {}", self.made);
            code += &format!(
                "redis.register_function{{function_name='{function}', flags={{'no-writes'}}, \
                 callback=function() return '{result}' end}}\n"
            );
            functions.push((function.to_owned(), result));
        }
        Library { functions, code: Some(code) }
    }

    fn step(&mut self) {
        let kinds = if self.pair.files == Files::None { 22 } else { 26 };
        match self.dice.roll(kinds) {
            0..=5 => {
                let name = self.pick(LIBRARIES);
                let library = self.library(name);
                let replace = self.dice.roll(2) == 0;
                let code = library.code.clone().unwrap_or_default();
                let mut argv = argv!["LUA.FUNCTION", "LOAD"].to_vec();
                argv.extend(replace.then(|| b"REPLACE".to_vec()));
                argv.push(code.clone().into_bytes());
                let outcome = load(&self.libraries, name, library, replace);
                self.change(format!("load {replace} {code:?}"), &argv, outcome);
            }
            6 => self.fail_to_load(),
            7..=8 => {
                let name = self.pick(LIBRARIES);
                let mut next = self.libraries.clone();
                let outcome = match next.remove(name) {
                    Some(_) => ("+OK".to_owned(), Some(next)),
                    None => refused("Library not found".to_owned()),
                };
                self.change(
                    format!("delete {name}"),
                    &argv!["LUA.FUNCTION", "DELETE", name],
                    outcome,
                );
            }
            9 => {
                let mode = self.pick(&["SYNC", "ASYNC"]);
                let outcome = ("+OK".to_owned(), Some(Libraries::new()));
                self.change(
                    format!("flush {mode}"),
                    &argv!["LUA.FUNCTION", "FLUSH", mode],
                    outcome,
                );
            }
            10..=12 => {
                let name = self.pick(FUNCTIONS);
                let replace = self.dice.roll(2) == 0;
                self.made += 1;
                let result = format!("{name} {}", self.made);
                let mut argv = argv!["LUA.FUNCTION", "CREATE", "LUA", name].to_vec();
                argv.extend(replace.then(|| b"REPLACE".to_vec()));
                argv.push(format!("return '{result}'").into_bytes());
                let outcome = create(&self.libraries, name, &result, replace);
                self.change(format!("create {replace} {name} {result:?}"), &argv, outcome);
            }
            13..=14 => {
                let payload = self.dump();
                self.dumps.push((payload, self.libraries.clone()));
                self.story.push("dump".to_owned());
            }
            15..=17 => self.restore_one(),
            18 => self.compare_all(),
            19 => self.compare_replica(),
            20 => {
                self.story.push("detach the replica".to_owned());
                self.pair.detach();
            }
            21 => {
                self.story.push("attach the replica".to_owned());
                self.pair.attach(&self.libraries);
                self.compare_replica();
            }
            22 | 23 => self.write_file(),
            24 => self.shut_down(),
            _ => self.kill(),
        }
        for _ in 0..2 {
            self.call();
        }
    }

    fn fail_to_load(&mut self) {
        let name = self.pick(LIBRARIES);
        let code = self.pick(&[
            "bad(",
            "redis.register_function('f', function() end) bad()",
            "-- nothing",
            "redis.register_function('f', function() end) redis.register_function('f', function() end)",
            // Too much memory, which costs the virtual machine.
            "local t, i = {}, 0 while true do i = i + 1 t[i] = ('x'):rep(1000000) .. i end",
        ]);
        let code = format!("#!lua name={name}\n{code}");
        let reply = self.pair.client.show(&["LUA.FUNCTION", "LOAD", "REPLACE", &code]);
        self.story.push(format!("load {code:?}: {reply}"));
        assert!(reply.starts_with("-ERR "), "{code:?}: {reply}");
    }

    /// Saves, or has the append-only file rewritten, which goes on while the next steps are made.
    fn write_file(&mut self) {
        if self.pair.files == Files::Rdb {
            self.story.push("save".to_owned());
            self.pair.save(&self.libraries);
        } else {
            let reply = self.pair.client.text("BGREWRITEAOF");
            self.story.push(format!("rewrite: {reply}"));
            let goes_on = "-ERR Background append only file rewriting already in progress";
            assert!(reply.starts_with('+') || reply == goes_on, "{reply}");
        }
    }

    fn shut_down(&mut self) {
        let how = if self.pair.files == Files::Rdb { "SAVE" } else { "NOSAVE" };
        self.story.push(format!("shut down {how} and start"));
        self.pair.client.send(&["SHUTDOWN", how, "FORCE"]);
        let status = self.pair.master.wait_for_exit();
        assert!(status.success(), "the end of the server: {status}");
        self.pair.restart();
        self.pair.saved.clone_from(&self.libraries);
        self.compare_lists("after an orderly shutdown");
        self.follow_again();
    }

    fn kill(&mut self) {
        self.story.push("kill and start".to_owned());
        self.pair.restart();
        if self.pair.files == Files::Rdb {
            self.libraries.clone_from(&self.pair.saved);
        }
        self.compare_lists("after a kill");
        self.follow_again();
    }

    /// Sees to it that the replica does not come back at any time, for which the master would write its file.
    fn follow_again(&mut self) {
        if self.pair.files == Files::Rdb {
            self.pair.attach(&self.libraries);
        }
    }

    fn compare_lists(&mut self, when: &str) {
        assert_eq!(listed(&mut self.pair.client), shown(&self.libraries), "{when}");
    }

    fn restore_one(&mut self) {
        if self.dumps.is_empty() {
            return;
        }
        let number = self.dice.roll(self.dumps.len() as u64) as usize;
        let policy = self.pick(POLICIES);
        let (payload, content) = self.dumps[number].clone();
        let outcome = restore(&self.libraries, &content, policy);
        let told = format!("restore {policy} dump {number}");
        self.change(told, &argv!["LUA.FUNCTION", "RESTORE", payload, policy], outcome);
    }

    fn call(&mut self) {
        let name = self.pick(FUNCTIONS);
        let expected = match find(&self.libraries, name) {
            Some((_, result)) => format!("\"{result}\""),
            None => "-ERR Function not found".to_owned(),
        };
        assert_eq!(self.pair.client.show(&["LUA.FCALL", name, "0"]), expected, "call of {name}");
    }

    fn dump(&mut self) -> Vec<u8> {
        match self.pair.client.value(&["LUA.FUNCTION", "DUMP"]) {
            Value::Bulk(payload) => payload,
            other => panic!("DUMP: {other}"),
        }
    }

    /// Compares the list of all libraries, before and after a round trip through a payload.
    fn compare_all(&mut self) {
        self.compare_lists("before a round trip");
        let payload = self.dump();
        let outcome = ("+OK".to_owned(), Some(self.libraries.clone()));
        let told = "restore what was dumped".to_owned();
        self.change(told, &argv!["LUA.FUNCTION", "RESTORE", payload, "FLUSH"], outcome);
        self.compare_lists("after a round trip");
        assert_eq!(self.dump(), payload, "a payload of the same libraries");
    }

    fn compare_replica(&mut self) {
        self.story.push("look at the replica".to_owned());
        self.pair.catch_up(&self.libraries);
        let Pair { client, copy, .. } = &mut *self.pair;
        assert_eq!(listed(copy), shown(&self.libraries), "on the replica");
        let dump = ["LUA.FUNCTION", "DUMP"];
        assert!(copy.cmd(&dump) == client.cmd(&dump), "payloads of both");
        for name in FUNCTIONS {
            if let Some((library, result)) = find(&self.libraries, name)
                && self.libraries[library].code.is_some()
            {
                let reply = self.pair.copy.show(&["LUA.FCALL_RO", name, "0"]);
                assert_eq!(reply, format!("\"{result}\""), "{name} on the replica");
            }
        }
    }
}

/// The names and texts of libraries with their functions, as [`listed`] gives them.
fn shown(libraries: &Libraries) -> Vec<String> {
    let show = |(name, library): (&String, &Library)| {
        let mut functions: Vec<&str> =
            library.functions.iter().map(|(name, _)| name.as_str()).collect();
        functions.sort_unstable();
        let code = library.code.as_deref().unwrap_or("made from a chunk");
        format!("{name}: {functions:?}, {code:?}")
    };
    libraries.iter().map(show).collect()
}

fn listed(client: &mut Client) -> Vec<String> {
    let list = client.value(&["LUA.FUNCTION", "LIST", "WITHCODE"]);
    let text = |value: &Value, field| value.field(field).and_then(Value::text).unwrap_or_default();
    let show = |library: &Value| {
        let functions = library.field("functions").and_then(Value::elements).unwrap_or_default();
        let mut functions: Vec<String> =
            functions.iter().map(|function| text(function, "name")).collect();
        functions.sort_unstable();
        let mut code = text(library, "library_code");
        if code.contains("callback=function(KEYS, ARGV, ...)") {
            "made from a chunk".clone_into(&mut code);
        }
        format!("{}: {functions:?}, {code:?}", text(library, "library_name"))
    };
    let mut shown: Vec<String> = list.elements().expect("a list").iter().map(show).collect();
    shown.sort_unstable();
    shown
}

/// Tells what a sequence did when it fails.
struct Teller<'s> {
    seed: u64,
    number: u64,
    run: Run<'s>,
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("sequence {} of REDLUA_SEED={}:", self.number, self.seed);
            for line in &self.run.story {
                eprintln!("  {line}");
            }
            eprintln!("  the model: {:#?}", shown(&self.run.libraries));
        }
    }
}

/// Runs the sequences of servers with these files, and returns the servers.
fn run_sequences(files: Files) -> Pair {
    let seed = seed();
    let (_, count) = SEQUENCES.iter().find(|(kind, _)| *kind == files).expect("a listed kind");
    let mut pair = Pair::start(files);
    for number in 0..*count {
        if files == Files::Rdb {
            pair.save(&Libraries::new());
        }
        let run = Run {
            pair: &mut pair,
            dice: Dice(start(seed, number)),
            libraries: Libraries::new(),
            dumps: Vec::new(),
            made: 0,
            story: Vec::new(),
        };
        let mut teller = Teller { seed, number, run };
        for _ in 0..STEPS {
            teller.run.step();
        }
        teller.run.compare_lists("at the end");
        teller.run.pair.client.ok(&["LUA.FUNCTION", "FLUSH"]);
    }
    pair
}

#[test]
fn random_changes_leave_what_a_model_says() {
    let mut pair = run_sequences(Files::None);
    assert!(pair.client.figure("redlua_rebuilt_vms") > 10, "some lost their virtual machine");
}

#[test]
fn random_changes_and_restarts_leave_what_was_saved() {
    run_sequences(Files::Rdb);
}

#[test]
fn random_changes_and_restarts_lose_nothing_of_an_append_only_file() {
    run_sequences(Files::AofWithPreamble);
}

#[test]
fn random_changes_and_restarts_lose_nothing_of_an_append_only_file_of_commands() {
    run_sequences(Files::AofOfCommands);
}

/// What a run of a random test begins with: another number each time, or the one that is asked for.
pub fn seed() -> u64 {
    let seed = std::env::var("REDLUA_SEED").ok();
    seed.map_or_else(
        || RandomState::new().hash_one(0),
        |seed| seed.parse().expect("REDLUA_SEED is a number"),
    )
}

/// Where the generator of a sequence starts: never at zero, and far from that of its neighbours.
pub fn start(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}
