//! Reads what `COMMAND` and `COMMAND INFO` say of a command.

use super::call_rules::{CommandFacts, KeyPlaces, Traits};
use super::quirks::QUIRKS;
use crate::resp::{Token, Tokens};

/// One command with its subcommands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandInfo {
    /// Its name in lower case; a subcommand's is `container|name`.
    pub name: Vec<u8>,
    /// What the rules need to know.
    pub facts: CommandFacts,
    /// Its subcommands.
    pub subcommands: Vec<CommandInfo>,
}

/// Commands that may replicate though they write nothing: the server does not tell of any but these.
const MAY_REPLICATE: &[&[u8]] = &[b"pfcount", b"publish", b"spublish"];

/// Reads the commands in a raw reply; entries that are not understood are left out.
pub fn parse(proto: &[u8]) -> Vec<CommandInfo> {
    parse_list(&mut Tokens::new(proto))
}

fn parse_list(tokens: &mut Tokens<'_>) -> Vec<CommandInfo> {
    match tokens.next() {
        Token::Array(len) => (0..len).filter_map(|_| parse_command(tokens)).collect(),
        _ => Vec::new(),
    }
}

fn parse_command(tokens: &mut Tokens<'_>) -> Option<CommandInfo> {
    let Token::Array(fields) = tokens.next() else {
        return None;
    };
    if fields < 6 {
        tokens.skip(fields);
        return None;
    }
    let name = match tokens.next() {
        Token::Bulk(name) => name.to_ascii_lowercase(),
        _ => Vec::new(),
    };
    let arity = match tokens.next() {
        Token::Integer(arity) => i32::try_from(arity).unwrap_or_default(),
        _ => 0,
    };
    let (mut traits, is_module) = parse_flags(tokens);
    let first = place(tokens);
    if first == 1 && !is_module {
        traits |= Traits::KEY_FIRST;
    }
    let keys = KeyPlaces { first, last: place(tokens), step: place(tokens) };
    if MAY_REPLICATE.contains(&name.as_slice()) {
        traits |= Traits::MAY_REPLICATE;
    }
    if QUIRKS.contains(&name.as_slice()) {
        traits |= Traits::QUIRK;
    }
    // Since 7.0 categories, tips and key specifications.
    let mut subcommands = Vec::new();
    if fields >= 10 {
        tokens.skip(2);
        if mentions(tokens, b"keynum") {
            traits |= Traits::COUNTED_KEYS;
        }
        subcommands = parse_list(tokens);
        tokens.skip(fields - 10);
    } else {
        tokens.skip(fields - 6);
    }
    Some(CommandInfo { name, facts: CommandFacts { arity, traits, keys }, subcommands })
}

/// The place of a key.
fn place(tokens: &mut Tokens<'_>) -> i16 {
    match tokens.next() {
        Token::Integer(place) => i16::try_from(place).unwrap_or_default(),
        _ => 0,
    }
}

/// Whether `word` is among the strings of the next value.
fn mentions(tokens: &mut Tokens<'_>, word: &[u8]) -> bool {
    let mut found = false;
    let mut left = 1_usize;
    while left > 0 {
        left -= 1;
        left = left.saturating_add(match tokens.next() {
            Token::Array(len) | Token::Set(len) => len,
            Token::Map(len) => len.saturating_mul(2),
            Token::Malformed => return found,
            Token::Bulk(text) => {
                found |= text == word;
                0
            }
            _ => 0,
        });
    }
    found
}

/// The traits among the flags, and whether a module made the command.
fn parse_flags(tokens: &mut Tokens<'_>) -> (Traits, bool) {
    let len = match tokens.next() {
        Token::Array(len) | Token::Set(len) => len,
        _ => 0,
    };
    (0..len).fold((Traits::empty(), false), |(traits, is_module), _| match tokens.next() {
        Token::Status(flag) | Token::Bulk(flag) => {
            (traits | trait_of(flag), is_module || flag == b"module")
        }
        _ => (traits, is_module),
    })
}

fn trait_of(flag: &[u8]) -> Traits {
    match flag {
        b"write" => Traits::WRITE,
        b"denyoom" => Traits::DENY_OOM,
        b"noscript" => Traits::NO_SCRIPT,
        b"stale" => Traits::ALLOW_STALE,
        _ => Traits::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_subcommands_are_read() {
        let proto = b"*3\r\n\
            *10\r\n$3\r\nset\r\n:-3\r\n*2\r\n+write\r\n+denyoom\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n\
            $-1\r\n\
            *10\r\n$6\r\nCONFIG\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*1\r\n\
            *10\r\n$10\r\nconfig|get\r\n:-3\r\n*1\r\n+noscript\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
        let commands = parse(proto);
        let names: Vec<_> = commands.iter().map(|it| it.name.as_slice()).collect();
        assert_eq!(names, [&b"set"[..], b"config"]);
        let facts = |it: &CommandInfo| (it.facts.arity, it.facts.traits);
        assert_eq!(
            commands.first().map(facts),
            Some((-3, Traits::WRITE | Traits::DENY_OOM | Traits::KEY_FIRST))
        );
        let get = commands.get(1).and_then(|it| it.subcommands.first());
        assert_eq!(get.map(facts), Some((-3, Traits::NO_SCRIPT)));
    }

    #[test]
    fn a_short_reply_gives_nothing() {
        assert_eq!(parse(b"*1\r\n$3\r\nset\r\n"), []);
        assert_eq!(parse(b"-ERR\r\n"), []);
    }
}
