//! What a measurement is made of.

use anyhow::Result;

use super::{codec, scripts};
use crate::client::Client;

/// How a script is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// By its digest: EVALSHA.
    Sha,
    /// With its body: EVAL.
    Body,
    /// As the body of a function, by its name: FCALL.
    Function,
    /// Not at all: the body is a plain command, sent to a server with the module in the place of its
    /// engine, and to one without the module.
    Beside,
}

/// How many requests make one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// One, while others are on the wire.
    Single,
    /// One, and nothing else is on the wire.
    Alone,
    /// So many between MULTI and EXEC.
    Transaction(u32),
    /// So many, sent before the first reply is read.
    Pipeline(u32),
}

/// One script to measure.
pub struct Workload {
    /// How it is named on the command line.
    pub name: &'static str,
    /// What it does, for the report.
    pub title: &'static str,
    /// How it is sent.
    pub door: Door,
    /// How many of it make one run.
    pub parcel: Parcel,
    /// How many other scripts are cached meanwhile.
    pub others: u32,
    /// Its source.
    pub body: fn() -> String,
    /// Its only key, where it has one.
    pub key: Option<&'static str>,
    /// Its only argument, where it has one.
    pub argument: Option<&'static str>,
    /// Makes the data it works on.
    pub prepare: fn(&mut Client) -> Result<()>,
    /// Runs per block when instructions are counted, where the server is fifty times slower.
    pub counted_runs: u32,
}

const NO_DATA: fn(&mut Client) -> Result<()> = |_| Ok(());

/// The key of every workload that has one.
pub const KEY: Option<&str> = Some("bench:key");

/// What a workload is unless it says otherwise.
pub const BASE: Workload = Workload {
    name: "",
    title: "",
    door: Door::Sha,
    parcel: Parcel::Single,
    others: 0,
    body: String::new,
    key: KEY,
    argument: None,
    prepare: NO_DATA,
    counted_runs: 400,
};

/// Workloads that are measured together.
pub struct Group {
    /// How it is named on the command line.
    pub name: &'static str,
    /// Its members, in the order of the report.
    pub workloads: &'static [Workload],
}

/// Every group; the first one is measured when none is named.
pub const GROUPS: &[Group] = &[
    Group { name: "scripts", workloads: scripts::WORKLOADS },
    Group { name: "codec", workloads: codec::WORKLOADS },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_bodies_are_there() {
        let all: Vec<_> = GROUPS.iter().flat_map(|group| group.workloads).collect();
        for (at, workload) in all.iter().enumerate() {
            assert!(!workload.name.is_empty() && !workload.title.is_empty());
            assert!(!(workload.body)().is_empty(), "{}", workload.name);
            assert!(all[at + 1..].iter().all(|other| other.name != workload.name));
        }
    }
}
