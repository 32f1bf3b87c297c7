//! Running one workload on one side, a block at a time.

use anyhow::{Context, Result};

use super::workload::{Door, Workload};
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

/// One workload ready to run on one side.
pub struct Prepared {
    one: Vec<u8>,
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
        let script = match workload.door {
            Door::Body => body.into_bytes(),
            Door::Sha => client.command(&[side.script_command(), b"LOAD", body.as_bytes()])?,
            Door::Function => load_function(client, side, &body)?,
        };
        let mut argv = vec![side.command(workload.door).as_bytes(), &script];
        argv.push(if workload.key.is_some() { b"1" } else { b"0" });
        argv.extend(workload.key.map(str::as_bytes));
        argv.extend(workload.argument.map(str::as_bytes));
        let one = encode(&argv);
        let many = one.repeat(PIPELINE as usize);
        let prepared = Self { one, many };
        prepared
            .run(client, 1)
            .with_context(|| format!("{} of '{}'", side.command(workload.door), workload.name))?;
        Ok(prepared)
    }

    /// Runs the script `count` times.
    ///
    /// # Errors
    /// The server answers with an error, or not at all.
    pub fn run(&self, client: &mut Client, count: u32) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let batch = left.min(PIPELINE);
            if batch == PIPELINE {
                client.send(&self.many)?;
            } else {
                client.send(&self.one.repeat(batch as usize))?;
            }
            for _ in 0..batch {
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
