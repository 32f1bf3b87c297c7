//! What a cached script takes of the server's memory.

use anyhow::Result;

use super::machine::Machine;
use super::report::{Pair, Row};
use super::runner::{Side, load_scripts};
use super::scripts::two_kilobytes;
use super::workload::{BASE, Workload};

const SCRIPTS: u32 = 20_000;

/// Loads scripts of 2 KB into a fresh server for each side, and tells the bytes of resident memory that one
/// takes. Memory as the system counts it, because servers differ in what of Lua's they count themselves.
///
/// # Errors
/// A server does not start, or refuses a script.
pub fn per_script(start: impl Fn(Side) -> Result<Machine>) -> Result<Row> {
    let bytes = |side| {
        let machine = start(side)?;
        let mut client = machine.connect()?;
        // What the first ones make the server allocate is not theirs.
        load_scripts(&mut client, side, 0..100, body)?;
        let before = machine.resident()?;
        load_scripts(&mut client, side, 100..100 + SCRIPTS, body)?;
        Ok::<_, anyhow::Error>((machine.resident()? - before) * 1024.0 / f64::from(SCRIPTS))
    };
    let mut row = Row::new(
        &Workload {
            name: "memory-2kb",
            title: "bytes of memory per cached script of 2 KB",
            ..BASE
        },
        SCRIPTS,
    );
    row.cost.push(Pair { stock: bytes(Side::Stock)?, module: bytes(Side::Module)? });
    Ok(row)
}

fn body(number: u32) -> String {
    format!("{}return {number}", two_kilobytes())
}
