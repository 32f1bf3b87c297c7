//! Running one workload on one side, a block at a time.

use std::ops::Range;

use anyhow::{Context, Result};

use super::workload::{Door, Parcel, Workload};
use crate::client::{Client, encode};

/// Requests on the wire at once. Without this, most of a short script's time would be the system
/// calls of its connection, which are the same on both sides and would hide the difference.
pub const PIPELINE: u32 = 32;

/// Whose commands run the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// EVAL, FCALL and their family, by the server itself.
    Stock,
    /// LUA.EVAL, LUA.FCALL and their family.
    Module,
}

impl Side {
    fn command(self, door: Door) -> &'static str {
        match (self, door) {
            (_, Door::Beside) => "GET",
            (Self::Stock, Door::Sha) => "EVALSHA",
            (Self::Stock, Door::Body) => "EVAL",
            (Self::Stock, Door::Function) => "FCALL",
            (Self::Module, Door::Sha) => "LUA.EVALSHA",
            (Self::Module, Door::Body) => "LUA.EVAL",
            (Self::Module, Door::Function) => "LUA.FCALL",
        }
    }

    fn script_command(self) -> &'static [u8] {
        match self {
            Self::Stock => b"SCRIPT",
            Self::Module => b"LUA.SCRIPT",
        }
    }

    fn function_command(self) -> &'static [u8] {
        match self {
            Self::Stock => b"FUNCTION",
            Self::Module => b"LUA.FUNCTION",
        }
    }
}

/// The function of workloads that are one, and its library.
const FUNCTION: &str = "bench";

/// Loads a library whose function has this body, in place of the one before, and gives its name.
fn load_function(client: &mut Client, side: Side, body: &str) -> Result<Vec<u8>> {
    let library = format!(
        "#!lua name={FUNCTION}\nredis.register_function('{FUNCTION}', function(KEYS, ARGV) {body}\nend)"
    );
    client.command(&[side.function_command(), b"LOAD", b"REPLACE", library.as_bytes()])?;
    Ok(FUNCTION.as_bytes().to_vec())
}

/// Loads scripts that differ, by their numbers.
///
/// # Errors
/// The server refuses one.
pub fn load_scripts(
    client: &mut Client,
    side: Side,
    numbers: Range<u32>,
    body: impl Fn(u32) -> String,
) -> Result<()> {
    for start in numbers.clone().step_by(500) {
        let batch = start..numbers.end.min(start + 500);
        let load = |number| encode(&[side.script_command(), b"LOAD", body(number).as_bytes()]);
        client.send(&batch.clone().flat_map(load).collect::<Vec<_>>())?;
        batch.into_iter().try_for_each(|_| client.reply().map(drop))?;
    }
    Ok(())
}

/// One workload ready to run on one side.
pub struct Prepared {
    one: Vec<u8>,
    /// How many replies one run has.
    replies: u32,
    /// So many runs at once, and how they look on the wire.
    batch: u32,
    many: Vec<u8>,
}

impl Prepared {
    /// Loads the script and runs it once, which also shows that it works.
    ///
    /// # Errors
    /// The server refuses the script or its data.
    pub fn new(client: &mut Client, workload: &Workload, side: Side) -> Result<Self> {
        let body = (workload.body)();
        (workload.prepare)(client)?;
        load_scripts(client, side, 0..workload.others, |number| format!("return {number}.5"))?;
        let mut argv = vec![side.command(workload.door).as_bytes().to_vec()];
        match workload.door {
            Door::Body => argv.push(body.into_bytes()),
            Door::Sha => {
                argv.push(client.command(&[side.script_command(), b"LOAD", body.as_bytes()])?);
            }
            Door::Function => argv.push(load_function(client, side, &body)?),
            Door::Beside => {}
        }
        if workload.door != Door::Beside {
            argv.push(if workload.key.is_some() { b"1".to_vec() } else { b"0".to_vec() });
        }
        argv.extend(workload.key.map(|key| key.as_bytes().to_vec()));
        argv.extend(workload.argument.map(|argument| argument.as_bytes().to_vec()));
        let request = encode(&argv.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (one, replies) = match workload.parcel {
            Parcel::Single | Parcel::Alone => (request, 1),
            Parcel::Pipeline(count) => (request.repeat(count as usize), count),
            Parcel::Transaction(count) => {
                let (multi, exec) = (encode(&[b"MULTI"]), encode(&[b"EXEC"]));
                ([multi, request.repeat(count as usize), exec].concat(), count + 2)
            }
        };
        let batch = match workload.parcel {
            Parcel::Single => PIPELINE,
            _ => 1,
        };
        let prepared = Self { many: one.repeat(batch as usize), one, replies, batch };
        prepared
            .run(client, 1)
            .with_context(|| format!("{} of '{}'", side.command(workload.door), workload.name))?;
        Ok(prepared)
    }

    /// Runs it `count` times.
    ///
    /// # Errors
    /// The server answers with an error, or not at all.
    pub fn run(&self, client: &mut Client, count: u32) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let batch = left.min(self.batch);
            if batch == self.batch {
                client.send(&self.many)?;
            } else {
                client.send(&self.one.repeat(batch as usize))?;
            }
            for _ in 0..batch * self.replies {
                client.reply()?;
            }
            left -= batch;
        }
        Ok(())
    }
}

/// The value of a field in an INFO reply.
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_field_takes_whole_names_only() {
        let info = "# CPU\r\nused_cpu_sys_children:9\r\nused_cpu_sys:1.5\r\n";
        assert_eq!(info_field(info, "used_cpu_sys"), Some("1.5"));
        assert_eq!(info_field(info, "used_cpu"), None);
    }
}
