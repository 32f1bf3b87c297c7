//! Runs cases through both doors.

use std::io;

use crate::allowed::{self, Allowed, Difference};
use crate::case::{self, Case, Text, numbers};
use crate::comparison::{covers, difference, tell, words};
use crate::support::{Client, Server, Value, render};

/// The commands a side uses.
#[derive(Clone, Copy, PartialEq)]
pub enum Door {
    Stock,
    Ours,
}

impl Door {
    /// What stands before the names of this side's commands.
    fn prefix(self) -> &'static str {
        match self {
            Self::Stock => "",
            Self::Ours => "LUA.",
        }
    }
}

/// What one side did.
pub struct Outcome {
    /// One raw frame per step.
    pub replies: Vec<Vec<u8>>,
    /// Why the connection ended early, if it did.
    pub end: Option<String>,
    /// The data afterwards, a line per key.
    pub data: Vec<String>,
}

/// What became of one case.
#[derive(Default)]
pub struct Verdict {
    /// Unexpected differences with the protocol they were seen in, told for a person.
    pub differences: Vec<(u8, String)>,
    /// Whether an allowed difference was seen.
    pub excused: bool,
}

/// What server this is.
pub struct Host {
    /// Whether it is Valkey, whose `version` is that of the Redis it is compatible with.
    pub valkey: bool,
    version: Vec<u32>,
    /// Valkey's own.
    valkey_version: Vec<u32>,
}

impl Host {
    fn ask(client: &mut Client) -> Self {
        let info = client.value(&["INFO", "server"]).text().expect("INFO answers text");
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        let valkey = field("valkey_version:");
        Self {
            valkey: valkey.is_some(),
            valkey_version: valkey.map(numbers).unwrap_or_default(),
            version: numbers(field("redis_version:").expect("INFO names the version")),
        }
    }

    /// Answers whether the server is Valkey of a version or a newer one.
    pub fn is_valkey_since(&self, version: &str) -> bool {
        self.valkey && self.valkey_version >= numbers(version)
    }

    /// Answers whether the server is older than a version of Redis.
    pub fn is_before(&self, version: &str) -> bool {
        self.version < numbers(version)
    }
}

/// Runs the cases of one file and fails with all that is wrong.
pub fn check(topic: &str, cases: &[Case]) {
    Runner::start(door_under_test()).check(topic, cases);
}

/// Runs cases that are made by asking the server.
pub fn check_generated(topic: &str, generate: fn(&mut Client) -> Vec<Case>) {
    let mut runner = Runner::start(door_under_test());
    let cases = generate(&mut runner.admin);
    runner.check(topic, &cases);
}

/// The side that is compared with stock.
pub fn door_under_test() -> Door {
    match std::env::var_os("REDLUA_ORACLE_ONLY") {
        Some(_) => Door::Stock,
        None => Door::Ours,
    }
}

/// A server and what is known of it.
pub struct Runner {
    server: Server,
    /// Resets the server and reads the data, apart from the connection that runs the case.
    admin: Client,
    host: Host,
    other: Door,
}

impl Runner {
    /// Starts a server, with the module if the other side needs it.
    pub fn start(other: Door) -> Self {
        let server = match other {
            Door::Stock => Server::new().without_module(),
            Door::Ours => Server::new(),
        };
        // What is slow on a busy machine shall not show in one side's slow log.
        let server = server.config("slowlog-log-slower-than", "-1").start();
        let mut admin = server.client();
        let host = Host::ask(&mut admin);
        Self { server, admin, host, other }
    }

    fn check(&mut self, topic: &str, cases: &[Case]) {
        let (mut skipped, mut excused) = (0, 0);
        let mut failures = Vec::new();
        for case in cases {
            if case.since.as_deref().is_some_and(|since| self.host.is_before(since)) {
                skipped += 1;
                continue;
            }
            let entry = match self.other {
                Door::Stock => None,
                Door::Ours => allowed::find(&case.name, &self.host),
            };
            let verdict = self.compare(case, case, entry);
            let told = match (entry, tell(&verdict.differences)) {
                (Some(entry), told)
                    if told.is_empty()
                        && !verdict.excused
                        && !matches!(entry.difference, Difference::ByChance(_)) =>
                {
                    format!("no longer needed in allowed.rs: '{}'\n", entry.reason)
                }
                (_, told) => told,
            };
            if !told.is_empty() {
                failures.push(format!("--- {}\n{told}", case.name));
            } else if verdict.excused {
                excused += 1;
            }
        }
        let differ = failures.len();
        let counts = format!(
            "{topic}: {} cases, {} equal, {excused} allowed to differ, {skipped} skipped, \
             {differ} differ",
            cases.len(),
            cases.len() - skipped - excused - differ,
        );
        println!("{counts}");
        assert!(failures.is_empty(), "\n{}\n{counts}", failures.join("\n"));
    }

    /// Runs one case through stock's door and another, usually the same, through the other door.
    pub fn compare(&mut self, stock: &Case, other: &Case, allowed: Option<&Allowed>) -> Verdict {
        let mut verdict = Verdict::default();
        for protocol in [2, 3] {
            let (left, right) = self.run_both(stock, other, protocol);
            if let Some(difference) = difference(&left, &right, other) {
                if allowed.is_some_and(|entry| covers(entry, &left, &right)) {
                    verdict.excused = true;
                } else {
                    verdict.differences.push((protocol, difference));
                }
            }
        }
        verdict
    }

    /// The server.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Runs one case through stock's door and another through the other door.
    pub fn run_both(&mut self, stock: &Case, other: &Case, protocol: u8) -> (Outcome, Outcome) {
        (self.run(stock, Door::Stock, protocol), self.run(other, self.other, protocol))
    }

    /// Runs a case through one door on a server without data and scripts.
    pub fn run(&mut self, case: &Case, door: Door, protocol: u8) -> Outcome {
        self.reset();
        let settings = self.settings_of(case);
        let mut client = self.server.client();
        if protocol == 3 {
            client.cmd(&["HELLO", "3"]);
        }
        for step in &case.setup {
            let argv = case::argv(step, door.prefix(), &[]);
            let frame = client.cmd(&argv);
            let what = format!("'{}', setup {}", case.name, words(&argv));
            assert!(!frame.starts_with(b"-"), "{what}: {}", render(&frame));
        }
        let mut replies = Vec::new();
        let mut end = None;
        for step in &case.steps {
            match client.try_cmd(&case::argv(step, door.prefix(), &replies)) {
                Ok(frame) => replies.push(frame),
                Err(error) => {
                    end = Some(self.mourn(&error));
                    break;
                }
            }
        }
        drop(client);
        for (name, value) in settings {
            self.admin.ok(&[b"CONFIG", b"SET".as_slice(), &name, &value]);
        }
        if uses_acl(case) {
            self.reset_users();
        }
        let data = self.data();
        if case.uses_functions() {
            self.flush_functions();
        }
        Outcome { replies, end, data }
    }

    fn reset(&mut self) {
        self.admin.ok(&["SELECT", "0"]);
        self.admin.ok(&["FLUSHALL"]);
        self.admin.ok(&["SCRIPT", "FLUSH"]);
        if self.other == Door::Ours {
            self.admin.ok(&["LUA.SCRIPT", "FLUSH"]);
        }
    }

    /// Removes the functions that the case has left. Redis 8.0 does not survive that when one of them
    /// has called a command with an argument of a wrong type, which is not the case's business.
    fn flush_functions(&mut self) {
        if self.other == Door::Ours {
            self.admin.ok(&["LUA.FUNCTION", "FLUSH", "SYNC"]);
        }
        match self.admin.try_cmd(&["FUNCTION", "FLUSH", "SYNC"]) {
            Ok(frame) => assert_eq!(frame, b"+OK\r\n", "{}", render(&frame)),
            Err(error) => drop(self.mourn(&error)),
        }
    }

    /// After a broken connection: brings a dead or hung server back, so that the rest can run.
    fn mourn(&mut self, error: &io::Error) -> String {
        let timed_out = error.kind() == io::ErrorKind::WouldBlock;
        // A server on its way out may still be in the process table, but it does not answer.
        if !timed_out && self.admin.try_cmd(&["PING"]).is_ok() {
            return "the server closed the connection".to_owned();
        }
        self.server.restart();
        self.admin = self.server.client();
        if timed_out { "no reply in time" } else { "the server died" }.to_owned()
    }

    /// Reads the settings that a case is going to change, with their values so far.
    fn settings_of(&mut self, case: &Case) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut settings = Vec::new();
        for step in case.setup.iter().chain(&case.steps) {
            let [Text::Plain(command), Text::Plain(subcommand), pairs @ ..] = &step[..] else {
                continue;
            };
            if !command.eq_ignore_ascii_case("config") || !subcommand.eq_ignore_ascii_case("set") {
                continue;
            }
            for name in case::argv(pairs, "", &[]).into_iter().step_by(2) {
                let found = self.admin.value(&[b"CONFIG", b"GET".as_slice(), &name]);
                let found = found.elements().and_then(|found| found.get(1));
                settings.extend(found.and_then(Value::bytes).map(|value| (name, value.to_vec())));
            }
        }
        settings
    }

    fn reset_users(&mut self) {
        let users = self.admin.value(&["ACL", "USERS"]);
        let names = users.elements().unwrap_or_default().iter().filter_map(Value::text);
        for name in names.filter(|name| name != "default") {
            self.admin.cmd(&["ACL", "DELUSER", &name]);
        }
    }

    /// Describes every key of every database in a line.
    fn data(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for database in self.databases() {
            self.admin.ok(&["SELECT", &database]);
            let reply = self.admin.value(&["KEYS", "*"]);
            let keys = reply.elements().unwrap_or_default();
            let mut keys: Vec<&[u8]> = keys.iter().filter_map(Value::bytes).collect();
            keys.sort_unstable();
            for key in &keys {
                self.admin.send(&[b"TYPE", *key]);
                self.admin.send(&[b"PTTL", *key]);
                self.admin.send(&[b"OBJECT", b"ENCODING".as_slice(), key]);
                self.admin.send(&[b"DUMP", *key]);
            }
            for key in keys {
                let kind = render(&self.admin.read_frame());
                let persists = self.admin.read_frame() == b":-1\r\n";
                let expires = if persists { "" } else { ", expires" };
                let encoding = render(&self.admin.read_frame());
                let dump = render(&self.admin.read_frame());
                let key = key.escape_ascii();
                lines.push(format!("db{database} {key} {kind} {encoding}{expires} {dump}"));
            }
        }
        lines
    }

    fn databases(&mut self) -> Vec<String> {
        let info = self.admin.value(&["INFO", "keyspace"]).text().unwrap_or_default();
        info.lines()
            .filter_map(|line| line.strip_prefix("db")?.split_once(':'))
            .map(|(number, _)| number.to_owned())
            .collect()
    }
}

fn uses_acl(case: &Case) -> bool {
    let is_acl = |step: &Vec<Text>| match step.first() {
        Some(Text::Plain(command)) => command.eq_ignore_ascii_case("acl"),
        _ => false,
    };
    case.setup.iter().chain(&case.steps).any(is_acl)
}
