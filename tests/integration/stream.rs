//! What a script sends to the append-only file and to the replicas, command by command.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::doors::{Door, Scripts, same};
use crate::support::{Client, Server, ServerBuilder, wait_until};

/// A connection that asked for the replication stream.
struct Replica {
    stream: BufReader<UnixStream>,
}

impl Replica {
    /// Attaches to a server that transfers its data by disk, and skips the data.
    fn attach(server: &Server) -> Self {
        let mut socket = UnixStream::connect(server.socket()).expect("the server listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout above zero is accepted");
        socket.write_all(b"SYNC\r\n").expect("the server reads");
        let mut stream = BufReader::new(socket);
        let mut header = String::new();
        // Blank lines keep the connection alive while the data is being written.
        while header.trim().is_empty() {
            header.clear();
            stream.read_line(&mut header).expect("the data in time");
        }
        let length = header.trim().trim_start_matches('$').parse();
        let mut data = vec![0; length.expect("the length of the data")];
        stream.read_exact(&mut data).expect("all the data");
        Self { stream }
    }

    /// Reads commands up to the one that sets `key`, which is not part of the result.
    fn read_until(&mut self, key: &str) -> Vec<String> {
        let mut commands = Vec::new();
        loop {
            let argv = read_command(&mut self.stream).expect("a command in time");
            match argv[0].to_ascii_uppercase().as_str() {
                "PING" | "REPLCONF" => {}
                "SET" if argv[1] == key => return commands,
                _ => commands.push(argv.join(" ")),
            }
        }
    }
}

/// Reads one command in the form of a request; `None` at the end of the input.
fn read_command(input: &mut impl BufRead) -> Option<Vec<String>> {
    let count = loop {
        let mut byte = [0];
        input.read_exact(&mut byte).ok()?;
        match byte[0] {
            b'*' => break number_after(input)?,
            // A keep-alive, or the rest of an annotation.
            b'\r' | b'\n' => {}
            b'#' => {
                input.read_line(&mut String::new()).ok()?;
            }
            other => panic!("not a command: {:?}", char::from(other)),
        }
    };
    let mut argv = Vec::new();
    for _ in 0..count {
        input.read_exact(&mut [0]).ok()?;
        let length = number_after(input)?;
        let mut bytes = vec![0; length + 2];
        input.read_exact(&mut bytes).ok()?;
        argv.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    Some(argv)
}

fn number_after(input: &mut impl BufRead) -> Option<usize> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    line.trim().parse().ok()
}

/// The commands in the append-only file from byte `from` on, and its length.
fn appended(server: &Server, from: usize) -> (Vec<String>, usize) {
    let bytes = fs::read(aof_path(server)).expect("an append-only file");
    let mut rest = &bytes[from..];
    let mut commands = Vec::new();
    while let Some(argv) = read_command(&mut rest) {
        commands.push(argv.join(" "));
    }
    (commands, bytes.len())
}

pub fn aof_path(server: &Server) -> PathBuf {
    let directory = server.home().join("appendonlydir");
    let files = fs::read_dir(directory).expect("the directory of the append-only file");
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".incr.aof"));
    paths.sort();
    paths.pop().expect("a file of increments")
}

/// A server whose effects are watched in both places.
pub struct Watched {
    pub server: Server,
    pub client: Client,
    replica: Replica,
    marks: usize,
    read: usize,
}

/// What one step sent to the file and to the replicas, without the commands that select a database.
pub type Effects = (Vec<String>, Vec<String>);

impl Watched {
    fn start() -> Self {
        Self::of(Server::new())
    }

    /// Starts what `builder` describes, with a file to append to and a replica.
    pub fn of(builder: ServerBuilder) -> Self {
        let server = builder.appendonly().config("repl-diskless-sync", "no").start();
        let client = server.client();
        let replica = Replica::attach(&server);
        let mut watched = Self { server, client, replica, marks: 0, read: 0 };
        watched.effects();
        watched
    }

    /// What was sent since the last call.
    pub fn effects(&mut self) -> Effects {
        self.marks += 1;
        let mark = format!("mark:{}", self.marks);
        self.client.ok(&["SET", &mark, ""]);
        let stream = self.replica.read_until(&mark);
        let (mut file, length) = appended(&self.server, self.read);
        self.read = length;
        assert_eq!(file.pop(), Some(format!("SET {mark} ")));
        (without_select(file), without_select(stream))
    }

    /// Clears the data, prepares with plain commands, runs a script and returns reply and effects.
    fn run(&mut self, door: Door, prepare: &[&str], script: &str) -> (String, Effects) {
        self.client.ok(&["FLUSHALL"]);
        for words in prepare {
            let reply = self.client.text(words);
            assert!(!reply.starts_with('-'), "{words}: {reply}");
        }
        self.effects();
        let reply = self.client.eval(door, script, &["k", "l"], &["1", "2"]);
        (reply, self.effects())
    }
}

/// Which database a command is for shows in other tests; whether it is named again does not matter.
fn without_select(mut commands: Vec<String>) -> Vec<String> {
    commands.retain(|command| command != "SELECT 0" && command != "select 0");
    commands
}

pub fn both(commands: &[&str]) -> Effects {
    let list: Vec<String> = commands.iter().map(ToString::to_string).collect();
    (list.clone(), list)
}

#[test]
fn one_write_goes_bare_and_several_as_one_transaction() {
    let mut watched = Watched::start();
    let cases: &[(&str, &[&str])] = &[
        ("return redis.call('get', KEYS[1])", &[]),
        ("return redis.call('set', KEYS[1], 'v')", &["set k v"]),
        (
            "redis.call('set', KEYS[1], 'v') redis.call('incr', KEYS[2])",
            &["MULTI", "set k v", "incr l", "EXEC"],
        ),
        ("redis.call('del', KEYS[1])", &[]),
        ("redis.call('set', KEYS[1], 'v') error('half-way')", &["set k v"]),
        (
            "redis.call('set', KEYS[1], 'v') redis.pcall('lpush', KEYS[1], 'x') \
             redis.call('incr', KEYS[2]) redis.call('nope')",
            &["MULTI", "set k v", "incr l", "EXEC"],
        ),
    ];
    for (script, expected) in cases {
        let (_, effects) = same(script, |door| watched.run(door, &[], script));
        assert_eq!(effects, both(expected), "{script}");
    }
}

#[test]
fn effects_are_the_same_commands_as_those_of_stock() {
    let mut watched = Watched::start();
    let prepare = ["SET n 1", "RPUSH list a b c", "SADD set m", "HSET h f 1", "ZADD z 1 m"];
    let scripts = [
        "return redis.call('expire', 'n', 100000) and 1",
        "return redis.call('set', KEYS[1], 'v', 'EXAT', 4102444800)",
        "return redis.call('expireat', 'n', 4102444800)",
        "return redis.call('pexpireat', 'n', 1)",
        "return redis.call('expire', 'n', -1)",
        "return redis.call('spop', 'set')",
        "return redis.call('incrbyfloat', 'n', '1.5')",
        "return redis.call('hincrbyfloat', 'h', 'f', '1.5')",
        "return redis.call('lmove', 'list', 'l', 'left', 'right')",
        "return redis.call('blpop', 'list', 0)",
        "return redis.call('blpop', 'nothing', 0)",
        "return redis.call('brpoplpush', 'list', 'l', 0)",
        "return redis.call('blmpop', 0, 1, 'list', 'left')",
        "return redis.call('bzpopmin', 'z', 0)",
        "return redis.call('getex', 'n', 'persist')",
        "return redis.call('getdel', 'n')",
        "return redis.call('sort', 'list', 'alpha', 'desc', 'store', 'l')",
        "return redis.call('zunionstore', 'l', 1, 'z')",
        "return redis.call('xadd', 'x', '1-1', 'a', 'b')",
        "redis.call('xadd', 'x', '1-1', 'a', 'b') redis.call('xgroup', 'create', 'x', 'g', '0') \
         return redis.call('xreadgroup', 'group', 'g', 'c', 'streams', 'x', '>') and 1",
        "return redis.call('publish', 'c', 'm')",
        "return redis.call('spublish', 'c', 'm')",
        "redis.call('publish', 'c', 'm') return redis.call('incr', 'n')",
        "return redis.call('pfadd', 'hll', 'a', 'b')",
        "redis.call('pfadd', 'hll', 'a') return redis.call('pfcount', 'hll')",
        "return redis.call('rename', 'n', 'l')",
        "return redis.call('copy', 'n', 'l')",
        "return redis.call('unlink', 'n', 'list', 'nothing')",
        "return redis.call('flushdb')",
        "return redis.call('flushall', 'async')",
        "return redis.call('mset', 'a', 1, 'b', 2)",
        "return redis.call('msetnx', 'a', 1, 'n', 2)",
        "return redis.call('setnx', 'n', 2)",
        "return redis.call('restore', 'l', 0, redis.call('dump', 'list'))",
        "return redis.call('script', 'flush')",
        "return redis.call('eval', 'return 1', 0)",
        "return redis.call('geoadd', 'geo', '1', '1', 'm')",
        "return redis.call('setbit', 'bits', 100, 1)",
        "return redis.call('append', 'n', '\\0\\255')",
        "redis.call('select', 3) redis.call('set', 'k', 1) redis.call('select', 0) \
         return redis.call('set', 'k', 2)",
        "redis.call('select', 3) redis.call('set', 'k', 1) error('in database 3')",
        "redis.call('select', 3) return redis.call('move', 'nothing', 4)",
        "return redis.call('swapdb', 0, 1)",
        "for i = 1, 300 do redis.call('rpush', KEYS[1], i) end",
        "local t = {} for i = 1, 300 do t[i] = i end return redis.call('rpush', KEYS[1], unpack(t))",
    ];
    for script in scripts {
        same(script, |door| {
            let (reply, effects) = watched.run(door, &prepare, script);
            (reply, without_times(effects))
        });
    }
}

/// Relative times become absolute ones in milliseconds on the way, which differ from run to run.
fn without_times((file, stream): Effects) -> Effects {
    let is_time = |word: &str| word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit());
    let cut = |command: String| {
        let words = command.split(' ');
        let words = words.map(|word| if is_time(word) { "<time>" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    (file.into_iter().map(cut).collect(), stream.into_iter().map(cut).collect())
}

#[test]
fn a_transaction_of_the_client_holds_the_effects_without_a_nested_one() {
    let mut watched = Watched::start();
    let script = "redis.call('set', KEYS[1], 'v') return redis.call('incr', KEYS[2])";
    let effects = same("a script in MULTI", |door| {
        watched.client.ok(&["FLUSHALL"]);
        watched.effects();
        let eval = door.name("EVAL");
        watched.client.ok(&["MULTI"]);
        for argv in [
            vec!["SET", "before", "1"],
            vec![&eval, script, "2", "k", "l"],
            vec![&eval, "return redis.call('get', KEYS[1])", "1", "k"],
            vec![&eval, "redis.call('set', KEYS[1], 1) error('x')", "1", "m"],
            vec!["SET", "after", "1"],
        ] {
            assert_eq!(watched.client.show(&argv), "+QUEUED");
        }
        watched.client.cmd(&["EXEC"]);
        watched.effects()
    });
    let expected = ["MULTI", "SET before 1", "set k v", "incr l", "set m 1", "SET after 1", "EXEC"];
    assert_eq!(effects, both(&expected));
}

#[test]
fn set_repl_chooses_where_effects_go() {
    let mut watched = Watched::start();
    let one = |value: &str| vec![value.to_owned()];
    let none = Vec::<String>::new;
    let cases: &[(&str, Effects)] = &[
        ("REPL_ALL", (one("set k v"), one("set k v"))),
        ("REPL_AOF", (one("set k v"), none())),
        ("REPL_REPLICA", (none(), one("set k v"))),
        ("REPL_SLAVE", (none(), one("set k v"))),
        ("REPL_NONE", (none(), none())),
    ];
    for (flags, expected) in cases {
        let script = format!("redis.set_repl(redis.{flags}) redis.call('set', KEYS[1], 'v')");
        let (_, effects) = same(flags, |door| watched.run(door, &[], &script));
        assert_eq!(&effects, expected, "{flags}");
    }
    let mixed = [
        "redis.call('set', 'a', 1) redis.set_repl(redis.REPL_NONE) redis.call('set', 'b', 1) \
         redis.set_repl(redis.REPL_ALL) redis.call('set', 'c', 1)",
        "redis.set_repl(redis.REPL_AOF) redis.call('set', 'a', 1) \
         redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'b', 1)",
        "redis.set_repl(redis.REPL_NONE) redis.call('set', 'a', 1) error('x')",
        "redis.set_repl(redis.REPL_AOF) redis.call('publish', 'c', 'm')",
        "redis.set_repl(redis.REPL_NONE) redis.call('spop', 'nothing')",
    ];
    for script in mixed {
        same(script, |door| watched.run(door, &[], script));
    }
}

#[test]
fn a_key_found_expired_is_deleted_everywhere_whatever_set_repl_says() {
    let mut watched = Watched::start();
    // Without the cycle that looks for expired keys, only the script finds this one.
    watched.client.ok(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    let scripts = [
        "return redis.call('get', 'gone')",
        "redis.set_repl(redis.REPL_NONE) return redis.call('get', 'gone')",
        "redis.set_repl(redis.REPL_AOF) return redis.call('get', 'gone')",
        "redis.set_repl(redis.REPL_NONE) return redis.call('incr', 'gone')",
        "redis.call('set', 'k', 1) return redis.call('exists', 'gone')",
        "redis.call('select', 2) return redis.call('exists', 'gone')",
        "#!lua flags=no-writes\nreturn redis.call('get', 'gone')",
    ];
    for script in scripts {
        let (_, (file, stream)) = same(script, |door| {
            watched.client.ok(&["FLUSHALL"]);
            // A time in the past would delete the key at once, so it lives for a moment.
            watched.client.ok(&["SET", "gone", "1", "PX", "1"]);
            watched.effects();
            let mut aside = watched.server.client();
            // Asking for the key would delete it, so a clock is asked.
            let start = now(&mut aside);
            wait_until("the key to expire", || now(&mut aside) > start + 2);
            let reply = watched.client.eval(door, script, &[], &[]);
            (reply, watched.effects())
        });
        // Valkey frees what expires in a thread.
        let is_deletion = |line: &String| line == "DEL gone" || line == "UNLINK gone";
        let deletes = |list: &[String]| list.iter().any(is_deletion);
        let expected = !script.contains("'select', 2");
        assert_eq!((deletes(&file), deletes(&stream)), (expected, expected), "{script}");
    }
}

/// The server's clock in milliseconds.
fn now(client: &mut Client) -> i64 {
    let reply = client.value(&["TIME"]);
    let parts = reply.elements().expect("two numbers");
    let part = |index: usize| -> i64 {
        let text = parts[index].text().expect("a number");
        text.parse().expect("a number")
    };
    part(0) * 1000 + part(1) / 1000
}

#[test]
fn the_selected_database_of_the_client_stays_whatever_a_script_selects() {
    let server = Server::new().start();
    let mut client = server.client();
    let scripts = [
        "redis.call('select', 3) return redis.call('set', 'k', 'three')",
        "redis.call('select', 3) error('x')",
        "redis.call('select', 3) redis.call('nope')",
        "redis.call('select', 3) redis.call('select', 99)",
        "redis.call('select', 3) redis.pcall('select', 'x') return redis.call('get', 'k')",
        "return redis.pcall('select', 16)",
        "return redis.pcall('select', -1)",
        "return redis.pcall('select')",
        "redis.call('SeLeCt', '4') return redis.call('dbsize')",
        "return coroutine.wrap(function() redis.call('select', 5) coroutine.yield(1) end)()",
    ];
    for script in scripts {
        same(script, |door| {
            client.ok(&["FLUSHALL"]);
            client.ok(&["SELECT", "1"]);
            let reply = client.eval(door, script, &[], &[]);
            client.ok(&["SET", "here", "1"]);
            let info = client.value(&["CLIENT", "INFO"]).text().expect("text");
            assert!(info.contains(" db=1 "), "{script}: {info}");
            let keys = (0..6).map(|db| {
                client.ok(&["SELECT", &db.to_string()]);
                client.text("DBSIZE")
            });
            (reply, keys.collect::<Vec<_>>())
        });
    }
}
