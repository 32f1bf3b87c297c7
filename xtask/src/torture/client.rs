//! A client that sends hostile scripts in every way there is, and looks at nothing but whether each
//! request gets its one reply.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::dice::Dice;
use super::scene::Scene;
use super::script::{Scripts, function_name, key};
use super::wire::{Answer, Trouble, Wire};
use crate::client::encode;

/// How long a server may refuse connections; it does while it is out of them or of time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many replies began with a type byte or an error code.
pub type Replies = BTreeMap<String, u64>;

/// Sends scripts until the scene is over, and tells what came back.
pub fn attack(scene: &Scene, scripts: &Scripts, seed: u64, number: usize) -> Replies {
    let dice = Dice::new(seed, number as u64 + 1);
    let mut attacker = Attacker { scene, scripts, dice, number, replies: Replies::new() };
    while !scene.is_over() {
        let Some(mut wire) = attacker.connect() else { break };
        match attacker.one_connection(&mut wire) {
            Ok(()) | Err(Trouble::Closed) => {}
            Err(trouble) => scene.fail(format!("client {number}: {trouble}")),
        }
    }
    attacker.replies
}

struct Attacker<'a> {
    scene: &'a Scene,
    scripts: &'a Scripts,
    dice: Dice,
    number: usize,
    replies: Replies,
}

/// One request: its words.
type Request = Vec<Vec<u8>>;

impl Attacker<'_> {
    fn connect(&self) -> Option<Wire> {
        let start = Instant::now();
        loop {
            match connect_anew(&self.scene.socket) {
                Ok(wire) => return Some(wire),
                Err(_) if self.scene.is_over() => return None,
                Err(error) if start.elapsed() > PATIENCE => {
                    self.scene.fail(format!("client {}: cannot connect: {error}", self.number));
                    return None;
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Uses one connection for a while.
    fn one_connection(&mut self, wire: &mut Wire) -> Result<(), Trouble> {
        if self.dice.percent(50) {
            self.exchange(wire, &[words(&["HELLO", "3"])])?;
        }
        if self.dice.percent(20) {
            let database = self.dice.roll(4).to_string();
            self.exchange(wire, &[words(&["SELECT", &database])])?;
        }
        for _ in 0..1 + self.dice.roll(60) {
            if self.scene.is_over() {
                return Ok(());
            }
            match self.dice.roll(20) {
                0 | 1 => {
                    let requests: Vec<_> =
                        (0..2 + self.dice.roll(8)).map(|_| self.request()).collect();
                    self.exchange(wire, &requests)?;
                }
                2 | 3 => {
                    let mut requests = vec![words(&["MULTI"])];
                    requests.extend((0..1 + self.dice.roll(4)).map(|_| self.request()));
                    requests.push(words(&[self.dice.one(&["EXEC", "EXEC", "DISCARD"])]));
                    self.exchange(wire, &requests)?;
                    // The server may have been too busy to take the end of it.
                    self.exchange(wire, &[words(&["RESET"])])?;
                }
                4 => {
                    let requests = [self.request()];
                    self.note(&requests);
                    wire.send(&encoded(&requests))?;
                    return Ok(());
                }
                5 | 6 => {
                    let script = self.scripts.script(&mut self.dice);
                    let digest = self.exchange(wire, &[words(&["LUA.SCRIPT", "LOAD", &script])])?;
                    let digest = String::from_utf8_lossy(&digest.text).into_owned();
                    let request = self.run("LUA.EVALSHA", &digest);
                    self.exchange(wire, &[request])?;
                }
                _ => {
                    let request = self.request();
                    self.exchange(wire, &[request])?;
                }
            }
        }
        Ok(())
    }

    fn request(&mut self) -> Request {
        match self.dice.roll(20) {
            0..9 => {
                let script = self.scripts.script(&mut self.dice);
                self.run("LUA.EVAL", &script)
            }
            9 | 10 => {
                let script = self.scripts.script(&mut self.dice);
                self.run("LUA.EVAL_RO", &script)
            }
            11 => words(&["LUA.SCRIPT", "LOAD", &self.scripts.script(&mut self.dice)]),
            12 => self.run("LUA.EVALSHA", "ffffffffffffffffffffffffffffffffffffffff"),
            13 => {
                let library = self.scripts.library(&mut self.dice);
                words(&["LUA.FUNCTION", "LOAD", "REPLACE", &library])
            }
            14 => {
                let name = function_name(&mut self.dice);
                self.run("LUA.FCALL_RO", &name)
            }
            _ => {
                let name = function_name(&mut self.dice);
                self.run("LUA.FCALL", &name)
            }
        }
    }

    /// A command that runs a script, with keys and arguments.
    fn run(&mut self, command: &str, what: &str) -> Request {
        let mut request = words(&[command, what, "2"]);
        request.extend([key(&mut self.dice).into(), key(&mut self.dice).into()]);
        request.extend(
            (0..self.dice.roll(3)).map(|length| vec![b'0' + length as u8; 1 + 30 * length]),
        );
        request
    }

    /// Sends requests, reads the reply of each, and asks for an echo, which only comes in its turn
    /// when each request had one reply. Returns the last reply of a request.
    fn exchange(&mut self, wire: &mut Wire, requests: &[Request]) -> Result<Answer, Trouble> {
        self.note(requests);
        wire.send(&encoded(requests))?;
        let mut last = Answer { kind: b'_', text: Vec::new() };
        for _ in requests {
            last = wire.answer()?;
            self.count(&last);
        }
        let token = format!("echo-{}", self.dice.roll(1_000_000));
        let echo = wire.ask(&["ECHO", &token])?;
        let is_in_turn = echo.text == token.as_bytes()
            || echo.is_error("BUSY")
            // Inside MULTI, whose EXEC a busy server refused.
            || echo.text == b"QUEUED"
            || echo.is_error("LOADING");
        if !is_in_turn {
            return Err(Trouble::Garbled(format!("{echo:?} instead of {token}")));
        }
        Ok(last)
    }

    fn count(&mut self, answer: &Answer) {
        let kind = match answer.kind {
            b'-' => {
                let line = String::from_utf8_lossy(&answer.text).into_owned();
                let code = line.split(' ').next().unwrap_or_default();
                let is_code = code.len() < 16 && code.bytes().all(|byte| byte.is_ascii_uppercase());
                format!("-{}", if is_code { code } else { "other" })
            }
            kind => char::from(kind).to_string(),
        };
        *self.replies.entry(kind).or_default() += 1;
    }

    fn note(&self, requests: &[Request]) {
        self.scene.note(self.number, encoded(requests));
    }
}

fn connect_anew(socket: &Path) -> std::io::Result<Wire> {
    Wire::connect(socket)
}

fn words(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn encoded(requests: &[Request]) -> Vec<u8> {
    let encode = |request: &Request| encode(&request.iter().map(Vec::as_slice).collect::<Vec<_>>());
    requests.iter().flat_map(encode).collect()
}
