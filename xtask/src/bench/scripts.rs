//! The group `scripts`: from the cheapest to the heaviest, each with the data it needs.

use anyhow::Result;

use super::workload::{BASE, Door, Parcel, Workload};
use crate::client::Client;

/// Every workload, in the order of the report.
pub const WORKLOADS: &[Workload] = &[
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
        title: "LRANGE of 1,000 items through a table",
        body: || "local t = redis.call('LRANGE', KEYS[1], 0, -1) return t".to_owned(),
        prepare: push_1000_items,
        counted_runs: 20,
        ..BASE
    },
    Workload {
        name: "fib-27",
        title: "fib(27)",
        body: || {
            "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end \
             return fib(27)"
                .to_owned()
        },
        key: None,
        counted_runs: 1,
        ..BASE
    },
    Workload {
        name: "floats",
        title: "100,000 rounds of a loop over floats",
        body: || {
            "local x, sum = 0.5, 0 \
             for i = 1, 100000 do x = x * 1.5 + 0.25 if x > 100 then x = x - 99.5 end sum = sum + x / i end \
             return tostring(sum)"
                .to_owned()
        },
        key: None,
        counted_runs: 2,
        ..BASE
    },
    Workload {
        name: "concat-10000",
        title: "table.concat of 10,000 made strings",
        body: || {
            "local t = {} for i = 1, 10000 do t[i] = 'item:' .. i end return #table.concat(t, ',')"
                .to_owned()
        },
        key: None,
        counted_runs: 3,
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
    Workload {
        name: "multi-100",
        title: "MULTI of 100 EVALSHA of one GET",
        parcel: Parcel::Transaction(100),
        body: || "return redis.call('GET', KEYS[1])".to_owned(),
        prepare: set_100_bytes,
        counted_runs: 4,
        ..BASE
    },
    Workload {
        name: "pipeline-10000",
        title: "pipeline of 10,000 EVALSHA of one GET",
        parcel: Parcel::Pipeline(10_000),
        body: || "return redis.call('GET', KEYS[1])".to_owned(),
        prepare: set_100_bytes,
        counted_runs: 1,
        ..BASE
    },
    Workload {
        name: "plain-get",
        title: "plain GET under takeover (stock: without the module)",
        door: Door::Beside,
        body: || "GET".to_owned(),
        prepare: set_100_bytes,
        counted_runs: 10_000,
        ..BASE
    },
    Workload {
        name: "plain-get-alone",
        title: "the same, one at a time",
        door: Door::Beside,
        parcel: Parcel::Alone,
        body: || "GET".to_owned(),
        prepare: set_100_bytes,
        counted_runs: 2000,
        ..BASE
    },
    // The last one: the other scripts stay.
    Workload {
        name: "cached-100000",
        title: "`return 1` among 100,000 cached scripts",
        others: 100_000,
        body: || "return 1".to_owned(),
        key: None,
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
pub fn two_kilobytes() -> String {
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
    fn a_body_of_two_kilobytes_is_one() {
        assert!((2048..2200).contains(&two_kilobytes().len()));
    }
}
