//! Commands that do something else when a script calls them.
//!
//! The server tells its own scripts' calls from a module's. For the few commands that look, the difference is
//! made up for here.

use std::borrow::Cow;

use crate::dialect::{Dialect, Flavour, version};

/// Names of these commands, in lower case.
pub const QUIRKS: &[&[u8]] = &[b"select", b"sort", b"sort_ro", b"xread", b"xreadgroup"];

/// What to do about a call of one of [`QUIRKS`].
#[derive(Debug, PartialEq, Eq)]
pub enum Quirk<'a> {
    /// Call it as it is.
    None,
    /// Call it; when it succeeds, the script goes on in that database.
    Select(i32),
    /// Refuse it: the command is not allowed with BLOCK.
    NoBlock,
    /// If the value at the key is a set, call it with these arguments instead.
    SortedSet {
        /// The key.
        key: &'a [u8],
        /// The arguments with the name.
        argv: Vec<Cow<'a, [u8]>>,
    },
}

/// Decides about a call of one of [`QUIRKS`].
pub fn quirk<'a>(argv: &[&'a [u8]], dialect: Dialect) -> Quirk<'a> {
    let Some((name, args)) = argv.split_first() else {
        return Quirk::None;
    };
    match name.to_ascii_lowercase().as_slice() {
        b"select" => select(args),
        b"sort" | b"sort_ro" => sort(name, args),
        b"xread" | b"xreadgroup" if !may_block(dialect) && asks_to_block(args) => Quirk::NoBlock,
        _ => Quirk::None,
    }
}

/// A module's call of `SELECT` changes nothing that lasts.
///
/// Stock: `db.c` `selectCommand`.
fn select<'a>(args: &[&[u8]]) -> Quirk<'a> {
    let db = args.first().and_then(|db| std::str::from_utf8(db).ok()?.parse().ok());
    db.map_or(Quirk::None, Quirk::Select)
}

/// Stock sorts the members of a set alphabetically when a script wants them unsorted, so that the order does
/// not depend on the encoding.
///
/// Stock: `sort.c` `sortCommandGeneric`.
fn sort<'a>(name: &'a [u8], args: &[&'a [u8]]) -> Quirk<'a> {
    let Some((key, options)) = args.split_first() else {
        return Quirk::None;
    };
    let mut argv: Vec<Cow<'a, [u8]>> = vec![name.into(), (*key).into()];
    let mut unsorted = false;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let values = match option.to_ascii_lowercase().as_slice() {
            b"by" => {
                let Some(pattern) = rest.next() else {
                    return Quirk::None;
                };
                unsorted |= !pattern.contains(&b'*');
                continue;
            }
            b"limit" => 2,
            b"get" => 1,
            // The server sorts then by itself.
            b"store" => return Quirk::None,
            _ => 0,
        };
        argv.push((*option).into());
        argv.extend(rest.by_ref().take(values).map(|value| Cow::from(*value)));
    }
    if !unsorted {
        return Quirk::None;
    }
    argv.push(b"ALPHA".as_slice().into());
    Quirk::SortedSet { key, argv }
}

/// Redis 7.4 and Valkey answer BLOCK in a script with what is there.
fn may_block(dialect: Dialect) -> bool {
    dialect.flavour == Flavour::Valkey || dialect.version >= version(7, 4, 0)
}

/// Whether an `XREAD` has BLOCK among its options.
///
/// Stock: `t_stream.c` `xreadCommand`.
fn asks_to_block(args: &[&[u8]]) -> bool {
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        let values = match option.to_ascii_lowercase().as_slice() {
            b"block" => return rest.len() > 0,
            b"count" => 1,
            b"group" => 2,
            b"noack" => 0,
            _ => return false,
        };
        for _ in 0..values {
            rest.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Dialect = Dialect::redis(7, 0, 15);

    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ').map(str::as_bytes).collect()
    }

    #[test]
    fn select_names_its_database() {
        assert_eq!(quirk(&words("SELECT 3"), OLD), Quirk::Select(3));
        assert_eq!(quirk(&words("select x"), OLD), Quirk::None);
    }

    #[test]
    fn a_set_is_sorted_when_a_script_does_not_sort_it() {
        let sorted = |line: &str| match quirk(&words(line), OLD) {
            Quirk::SortedSet { argv, .. } => {
                let argv: Vec<_> = argv.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
                Some(argv.join(" "))
            }
            _ => None,
        };
        assert_eq!(sorted("sort s by nosort").as_deref(), Some("sort s ALPHA"));
        assert_eq!(
            sorted("sort s LIMIT 0 2 BY x DESC get #").as_deref(),
            Some("sort s LIMIT 0 2 DESC get # ALPHA")
        );
        assert_eq!(sorted("sort s by w_*"), None);
        assert_eq!(sorted("sort s get by"), None);
        assert_eq!(sorted("sort s by nosort store d"), None);
        assert_eq!(sorted("sort s"), None);
        assert_eq!(sorted("sort s by"), None);
    }

    #[test]
    fn block_is_seen_where_the_server_looks_for_it() {
        let refused = |line: &str, dialect| quirk(&words(line), dialect) == Quirk::NoBlock;
        assert!(refused("xread block 0 streams s $", OLD));
        assert!(refused("XREADGROUP GROUP g c COUNT 1 BLOCK 5 STREAMS s >", OLD));
        assert!(!refused("xread count block streams s $", OLD));
        assert!(!refused("xread streams block 0", OLD));
        assert!(!refused("xread block", OLD));
        assert!(!refused("xread block 0 streams s $", Dialect::redis(8, 0, 2)));
        assert!(!refused("xread block 0 streams s $", Dialect::valkey(8, 1, 1)));
    }
}
