//! The one client that changes everything around the scripts, and ends those that do not end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::arena::Arena;
use super::dice::Dice;
use super::scene::Scene;
use super::script::{LIBRARIES, Scripts};
use super::wire::{Answer, Trouble, Wire};

/// How long a server that was told to end its scripts may go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each action was taken.
pub type Actions = BTreeMap<&'static str, u64>;

/// What may be set, to which values. Those that come first are set at the start and at the end.
const SETTINGS: &[(&str, &[&str])] = &[
    ("busy-reply-threshold", &["100", "20", "1000"]),
    ("maxmemory", &["0", "0", "1mb", "30mb", "200mb"]),
    ("maxmemory-policy", &["noeviction", "allkeys-lru", "allkeys-random", "volatile-ttl"]),
    ("redlua.memory-limit", &["16mb", "2mb", "4mb", "64mb"]),
    ("redlua.max-script-size", &["16mb", "1000", "1mb"]),
    ("redlua.max-run-time", &["0", "300", "2000"]),
    ("redlua.max-run-time-after-write", &["0", "200", "5000"]),
    // Never without: nothing else ends a script within EXEC.
    ("redlua.exec-time-limit", &["1000", "100", "3000"]),
    ("lazyfree-lazy-user-flush", &["no", "yes"]),
    ("rdbcompression", &["yes", "no"]),
    ("aof-use-rdb-preamble", &["yes", "no"]),
    ("appendfsync", &["no", "everysec"]),
    ("hz", &["10", "100"]),
];

/// Acts until the scene is over.
pub fn reign(scene: &Scene, arena: &Arena, scripts: &Scripts, seed: u64) -> Actions {
    let mut chaos = Chaos { arena, scripts, dice: Dice::new(seed, 0), dumps: Vec::new() };
    let mut actions = Actions::new();
    while !scene.is_over() {
        // A connection of its own for a few actions: it may be killed like everybody's.
        let Ok(mut wire) = Wire::connect(&scene.socket) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        for _ in 0..20 {
            if scene.is_over() {
                break;
            }
            match chaos.act(&mut wire) {
                Ok(action) => *actions.entry(action).or_default() += 1,
                Err(Trouble::Closed) => break,
                Err(trouble) => scene.fail(format!("the client that makes chaos: {trouble}")),
            }
            std::thread::sleep(Duration::from_millis(chaos.dice.roll(30) as u64));
        }
    }
    actions
}

/// Ends whatever still runs, and sets everything that was changed back.
///
/// # Errors
/// A script does not end, or the server is gone.
pub fn calm(arena: &Arena) -> Result<()> {
    let start = Instant::now();
    let mut wire = Wire::connect(&arena.master.socket)?;
    loop {
        let answer = wire.ask(&["PING"]).context("the server does not come to rest")?;
        if !answer.is_error("BUSY") {
            break;
        }
        if start.elapsed() > PATIENCE {
            bail!("a script does not end: {}", String::from_utf8_lossy(&answer.text));
        }
        let _ = wire.ask(&["LUA.SCRIPT", "KILL"]);
        let _ = wire.ask(&["LUA.FUNCTION", "KILL"]);
        std::thread::sleep(Duration::from_millis(20));
    }
    for (name, values) in SETTINGS {
        // Not every server has every setting.
        let _ = wire.ask(&["CONFIG", "SET", name, values[0]]);
    }
    Ok(())
}

struct Chaos<'a> {
    arena: &'a Arena,
    scripts: &'a Scripts,
    dice: Dice,
    /// Payloads of libraries as they were at some time.
    dumps: Vec<Vec<u8>>,
}

impl Chaos<'_> {
    /// Does one thing and tells what.
    fn act(&mut self, wire: &mut Wire) -> Result<&'static str, Trouble> {
        let action = match self.dice.roll(32) {
            0..6 => "SCRIPT KILL",
            6..9 => "FUNCTION KILL",
            9..13 => "CONFIG SET",
            13..16 => "FUNCTION LOAD",
            16 => "FUNCTION DELETE",
            17 => "FUNCTION FLUSH",
            18 => "FUNCTION DUMP",
            19 | 20 => "FUNCTION RESTORE",
            21 | 22 => "SCRIPT FLUSH",
            23 => "BGSAVE",
            24 => "BGREWRITEAOF",
            25 => "REPLICAOF NO ONE",
            26 => "REPLICAOF",
            27 => "FLUSHALL",
            28 => "CLIENT KILL",
            29 => "disconnect",
            30 => "INFO",
            _ => "FUNCTION LIST",
        };
        let answer = self.perform(wire, action)?;
        if answer.is_error("BUSY") {
            // One of them is right.
            wire.ask(&["LUA.SCRIPT", "KILL"])?;
            wire.ask(&["LUA.FUNCTION", "KILL"])?;
            return Ok("refused: BUSY");
        }
        Ok(action)
    }

    fn perform(&mut self, wire: &mut Wire, action: &str) -> Result<Answer, Trouble> {
        match action {
            "SCRIPT KILL" => wire.ask(&["LUA.SCRIPT", "KILL"]),
            "FUNCTION KILL" => wire.ask(&["LUA.FUNCTION", "KILL"]),
            "CONFIG SET" => {
                let (name, values) = self.dice.one(SETTINGS);
                wire.ask(&["CONFIG", "SET", name, self.dice.one(values)])
            }
            "FUNCTION LOAD" => {
                let library = self.scripts.library(&mut self.dice);
                wire.ask(&["LUA.FUNCTION", "LOAD", "REPLACE", &library])
            }
            "FUNCTION DELETE" => {
                let name = format!("l{}", self.dice.roll(LIBRARIES));
                wire.ask(&["LUA.FUNCTION", "DELETE", &name])
            }
            "FUNCTION FLUSH" => wire.ask(&["LUA.FUNCTION", "FLUSH", self.mode()]),
            "FUNCTION DUMP" => {
                let dump = wire.ask(&["LUA.FUNCTION", "DUMP"])?;
                if dump.kind == b'$' && self.dumps.len() < 20 {
                    self.dumps.push(dump.text.clone());
                }
                Ok(dump)
            }
            "FUNCTION RESTORE" => {
                let payload = self.payload();
                let policy = self.dice.one(&["FLUSH", "APPEND", "REPLACE"]);
                wire.ask(&[&b"LUA.FUNCTION"[..], b"RESTORE", &payload, policy.as_bytes()])
            }
            "SCRIPT FLUSH" => wire.ask(&["LUA.SCRIPT", "FLUSH", self.mode()]),
            "FLUSHALL" => wire.ask(&["FLUSHALL", self.mode()]),
            "CLIENT KILL" => {
                let kind = self.dice.one(&["normal", "normal", "replica"]);
                wire.ask(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"])
            }
            "REPLICAOF" => self.arena.attach(),
            "REPLICAOF NO ONE" => self.arena.detach(),
            "FUNCTION LIST" => wire.ask(&["LUA.FUNCTION", "LIST", "WITHCODE"]),
            "disconnect" => {
                let script = self.scripts.script(&mut self.dice);
                let mut other = Wire::connect(&self.arena.master.socket)?;
                other.send(&crate::client::encode(&[
                    b"LUA.EVAL",
                    script.as_bytes(),
                    b"2",
                    b"k1",
                    b"k2",
                ]))?;
                std::thread::sleep(Duration::from_millis(self.dice.roll(10) as u64));
                drop(other);
                wire.ask(&["PING"])
            }
            word => wire.ask(&[word]),
        }
    }

    fn mode(&mut self) -> &'static str {
        self.dice.one(&["SYNC", "ASYNC"])
    }

    /// A payload of earlier, at times with a byte changed.
    fn payload(&mut self) -> Vec<u8> {
        if self.dumps.is_empty() || self.dice.percent(10) {
            return b"no payload at all".to_vec();
        }
        let mut payload = self.dumps[self.dice.roll(self.dumps.len())].clone();
        if self.dice.percent(20) {
            let place = self.dice.roll(payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 1 << self.dice.roll(8);
            }
        }
        payload
    }
}
