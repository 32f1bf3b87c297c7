//! The group `codec`: cjson and cmsgpack on documents of several kinds and sizes.
//!
//! The data comes from a key, and a script repeats the call on it, so that the codec is nearly all
//! of the cost.

use anyhow::Result;

use super::document::{Kind, document};
use super::workload::{BASE, Workload};
use crate::client::Client;

/// A size of documents, and how often a script repeats a call on one.
struct Size {
    bytes: usize,
    /// Of `cjson.decode` and `cmsgpack.unpack`.
    repeats: u32,
    /// What is encoded or packed is this many times the same part, which has to be decoded first:
    /// with the repeats below that leaves decoding a small part of the cost.
    parts: usize,
    encode_repeats: u32,
    pack_repeats: u32,
    /// What a script ends with. Large documents are collected at once: else it depends on where the
    /// collector happens to be who pays for them.
    end: &'static str,
    counted_runs: u32,
}

const KB_1: Size = Size {
    bytes: 1 << 10,
    repeats: 100,
    parts: 1,
    encode_repeats: 100,
    pack_repeats: 100,
    end: "",
    counted_runs: 3,
};

const KB_10: Size = Size {
    bytes: 10 << 10,
    repeats: 20,
    parts: 1,
    encode_repeats: 20,
    pack_repeats: 20,
    end: "",
    counted_runs: 2,
};

const MB_1: Size = Size {
    bytes: 1 << 20,
    repeats: 4,
    parts: 4,
    encode_repeats: 4,
    pack_repeats: 6,
    end: " collectgarbage()",
    counted_runs: 1,
};

/// Declares the four calls on each kind and size of document. The second kind is the one to pack.
macro_rules! codec {
    ($($name:literal, $title:literal, $kind:ident, $packed:ident, $size:ident;)*) => { &[$(
        Workload {
            name: concat!("decode-", $name),
            title: concat!("cjson.decode, ", $title),
            body: || repeat(DATA, "cjson.decode", $size.repeats, $size.end),
            prepare: |client| set_text(client, Kind::$kind, $size.bytes),
            counted_runs: $size.counted_runs,
            ..BASE
        },
        Workload {
            name: concat!("encode-", $name),
            title: concat!("cjson.encode, ", $title),
            body: || repeat(&decoded($size.parts), "cjson.encode", $size.encode_repeats, $size.end),
            prepare: |client| set_text(client, Kind::$kind, $size.bytes / $size.parts),
            counted_runs: $size.counted_runs,
            ..BASE
        },
        Workload {
            name: concat!("pack-", $name),
            title: concat!("cmsgpack.pack, ", $title),
            body: || repeat(&decoded($size.parts), "cmsgpack.pack", $size.pack_repeats, $size.end),
            prepare: |client| set_text(client, Kind::$packed, $size.bytes / $size.parts),
            counted_runs: $size.counted_runs,
            ..BASE
        },
        Workload {
            name: concat!("unpack-", $name),
            title: concat!("cmsgpack.unpack, ", $title),
            body: || repeat(DATA, "cmsgpack.unpack", $size.repeats, $size.end),
            prepare: |client| set_packed(client, Kind::$packed, $size.bytes),
            counted_runs: $size.counted_runs,
            ..BASE
        },
    )*] };
}

/// Every workload, in the order of the report.
pub const WORKLOADS: &[Workload] = codec! {
    "mixed-1kb", "mixed, 1 KB", Mixed, Mixed, KB_1;
    "mixed-10kb", "mixed, 10 KB", Mixed, Mixed, KB_10;
    "mixed-1mb", "mixed, 1 MB", Mixed, Mixed, MB_1;
    "strint-1kb", "strings and integers, 1 KB", Strint, Strint, KB_1;
    "strint-10kb", "strings and integers, 10 KB", Strint, Strint, KB_10;
    "strint-1mb", "strings and integers, 1 MB", Strint, Strint, MB_1;
    "floats-1kb", "floats, 1 KB", Floats, Floats, KB_1;
    "floats-10kb", "floats, 10 KB", Floats, Floats, KB_10;
    "floats-1mb", "floats, 1 MB", Floats, Floats, MB_1;
    "nested-1kb", "deeply nested, 1 KB", Nested, NestedToPack, KB_1;
    "nested-10kb", "deeply nested, 10 KB", Nested, NestedToPack, KB_10;
    "nested-1mb", "deeply nested, 1 MB", Nested, NestedToPack, MB_1;
};

/// Sets up what is decoded or unpacked.
const DATA: &str = "local data = redis.call('GET', KEYS[1])";

/// Sets up what is encoded or packed.
fn decoded(parts: usize) -> String {
    let list = vec!["part"; parts].join(", ");
    format!("local part = cjson.decode(redis.call('GET', KEYS[1])) local data = {{{list}}}")
}

fn repeat(setup: &str, call: &str, repeats: u32, end: &str) -> String {
    format!("{setup} local call = {call} for i = 1, {repeats} do call(data) end{end}")
}

fn set_text(client: &mut Client, kind: Kind, bytes: usize) -> Result<()> {
    let text = document(kind, bytes);
    client.command(&[b"SET", b"bench:key", text.as_bytes()]).map(drop)
}

/// Packed by stock for both sides, so that they unpack the same bytes.
fn set_packed(client: &mut Client, kind: Kind, bytes: usize) -> Result<()> {
    const SCRIPT: &[u8] =
        b"return redis.call('SET', KEYS[1], cmsgpack.pack(cjson.decode(ARGV[1])))";
    let text = document(kind, bytes);
    client.command(&[b"EVAL", SCRIPT, b"1", b"bench:key", text.as_bytes()]).map(drop)
}
