//! What is measured, and the scripts from the cheapest to the heaviest, each with the data it needs.

use anyhow::Result;

use super::codec;
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
}

/// One script to measure.
pub struct Workload {
    /// How it is named on the command line.
    pub name: &'static str,
    /// What it does, for the report.
    pub title: &'static str,
    /// How it is sent.
    pub door: Door,
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
const KEY: Option<&str> = Some("bench:key");

/// What a workload is unless it says otherwise.
pub const BASE: Workload = Workload {
    name: "",
    title: "",
    door: Door::Sha,
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
    Group { name: "scripts", workloads: SCRIPTS },
    Group { name: "codec", workloads: codec::WORKLOADS },
];

const SCRIPTS: &[Workload] = &[
    Workload {
        name: "return-1",
        title: "`return 1`",
        body: || "return 1".to_owned(),
        key: None,
        ..BASE
    },
    Workload {
        name: "get",
        title: "one GET",
        body: || "return redis.call('GET', KEYS[1])".to_owned(),
        prepare: set_100_bytes,
        ..BASE
    },
    Workload {
        name: "set",
        title: "one SET",
        body: || "return redis.call('SET', KEYS[1], ARGV[1])".to_owned(),
        argument: Some("a value of some bytes"),
        ..BASE
    },
    Workload {
        name: "incr-1000",
        title: "loop of 1,000 INCR",
        body: || "for i = 1, 1000 do redis.call('INCR', KEYS[1]) end".to_owned(),
        prepare: |client| client.command(&[b"DEL", b"bench:key"]).map(drop),
        counted_runs: 10,
        ..BASE
    },
    Workload {
        name: "get-1000",
        title: "loop of 1,000 GET of 100 bytes",
        body: || "for i = 1, 1000 do redis.call('GET', KEYS[1]) end".to_owned(),
        prepare: set_100_bytes,
        counted_runs: 10,
        ..BASE
    },
    Workload {
        name: "hset-1000",
        title: "loop of 1,000 HSET with made strings",
        body: || {
            "for i = 1, 1000 do redis.call('HSET', KEYS[1], 'field:' .. i % 100, i) end".to_owned()
        },
        prepare: |client| client.command(&[b"DEL", b"bench:key"]).map(drop),
        counted_runs: 10,
        ..BASE
    },
    Workload {
        name: "hgetall-sum",
        title: "HGETALL of 100 fields, summed",
        body: || {
            "local all, sum = redis.call('HGETALL', KEYS[1]), 0 \
             for i = 2, #all, 2 do sum = sum + all[i] end return sum"
                .to_owned()
        },
        prepare: set_100_fields,
        counted_runs: 100,
        ..BASE
    },
    Workload {
        name: "eval-2kb",
        title: "EVAL with a body of 2 KB",
        door: Door::Body,
        body: two_kilobytes,
        key: None,
        ..BASE
    },
    Workload {
        name: "fcall-empty",
        title: "FCALL of `return 1`",
        door: Door::Function,
        body: || "return 1".to_owned(),
        key: None,
        ..BASE
    },
    Workload {
        name: "fcall-get",
        title: "FCALL of one GET",
        door: Door::Function,
        body: || "return redis.call('GET', KEYS[1])".to_owned(),
        prepare: set_100_bytes,
        ..BASE
    },
    Workload {
        name: "lrange-1000",
        title: "`return redis.call('LRANGE', …)` of 1,000 items",
        body: || "return redis.call('LRANGE', KEYS[1], 0, -1)".to_owned(),
        prepare: push_1000_items,
        counted_runs: 20,
        ..BASE
    },
    Workload {
        name: "lrange-table",
        title: "the same through a table",
        body: || "local t = redis.call('LRANGE', KEYS[1], 0, -1) return t".to_owned(),
        prepare: push_1000_items,
        counted_runs: 20,
        ..BASE
    },
    Workload {
        name: "fib-24",
        title: "fib(24)",
        body: || {
            "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end \
             return fib(24)"
                .to_owned()
        },
        key: None,
        counted_runs: 4,
        ..BASE
    },
    Workload {
        name: "sort-10000",
        title: "table.sort of 10,000 numbers",
        // Its own generator, so that both sides sort the same numbers.
        body: || {
            "local t, x = {}, 1 \
             for i = 1, 10000 do x = (x * 16807) % 2147483647; t[i] = x end \
             table.sort(t) return t[1]"
                .to_owned()
        },
        key: None,
        counted_runs: 3,
        ..BASE
    },
];

fn set_100_bytes(client: &mut Client) -> Result<()> {
    client.command(&[b"SET", b"bench:key", &[b'v'; 100]]).map(drop)
}

fn set_100_fields(client: &mut Client) -> Result<()> {
    client.command(&[b"DEL", b"bench:key"])?;
    for field in 0..100_u32 {
        let (name, value) = (format!("field:{field}"), (field * 37).to_string());
        client.command(&[b"HSET", b"bench:key", name.as_bytes(), value.as_bytes()])?;
    }
    Ok(())
}

fn push_1000_items(client: &mut Client) -> Result<()> {
    client.command(&[b"DEL", b"bench:key"])?;
    for item in 0..1000 {
        client.command(&[b"RPUSH", b"bench:key", format!("item:{item:05}").as_bytes()])?;
    }
    Ok(())
}

/// A body as long as real ones are, of which one line runs: what is measured is how it is found.
fn two_kilobytes() -> String {
    let mut body = String::from("if #ARGV == 0 then return 1 end\n");
    let mut line = 0;
    while body.len() < 2048 {
        line += 1;
        body.push_str(&format!("redis.call('HSET', KEYS[1], 'field:{line}', ARGV[{line}])\n"));
    }
    body
}

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
        assert!((2048..2200).contains(&two_kilobytes().len()));
    }
}
