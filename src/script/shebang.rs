//! The first line of a script: `#!lua flags=no-writes,allow-oom`.
//!
//! Stock reads the line with C string functions, so a NUL byte ends whatever is being read: the
//! script before its first line feed, a word when it is compared, an argument of an error text.
//! The rules here do the same.

use crate::script::flags::ScriptFlags;
use crate::script::limits::{LimitWord, RunLimits};
use crate::script::sha1::Sha1;

/// Is what a script says about itself, and where its Lua source starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The declared flags; `None` without a shebang, when the old, lenient rules apply.
    pub flags: Option<ScriptFlags>,
    /// The limits it sets itself.
    pub limits: RunLimits,
    /// The name it gives itself.
    pub name: Option<Vec<u8>>,
    /// The offset of the Lua source: the line feed that ends the shebang, which stays so that
    /// line numbers match the text; zero without a shebang.
    pub code_offset: usize,
}

/// Is the reason a shebang is refused, with the bytes its error text quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShebangError {
    /// The line has no end.
    Invalid,
    /// The quotes in the line do not balance.
    InvalidEngine,
    /// The first word is not `#!lua`; holds that word.
    UnexpectedEngine(Vec<u8>),
    /// A word after the first is neither `flags=…` nor a limit; holds that word.
    UnknownOption(Vec<u8>),
    /// A limit has no proper value; holds the word.
    BadLimit(Vec<u8>),
    /// The name is none that a script may have, or the second one; holds it.
    BadName(Vec<u8>),
    /// A flag has no meaning; holds its name.
    UnexpectedFlag(Vec<u8>),
}

/// Reads the shebang of a script's text, if it has one.
///
/// # Errors
///
/// Gives the first fault in reading order, as a [`ShebangError`].
///
/// Stock: `eval.c` `evalExtractShebangFlags`.
pub fn parse(body: &[u8]) -> Result<Shebang, ShebangError> {
    parse_as(body, Rules::Redis)
}

/// Whose rules a shebang is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The engine is `lua` and is looked at first.
    Redis,
    /// The engine is found whatever its case, after the options were read.
    Valkey,
}

/// Reads the shebang of a script's text by the rules of one family of servers.
///
/// # Errors
///
/// As [`parse`]; by the rules of Valkey the engine is named without its `#!`.
pub fn parse_as(body: &[u8], rules: Rules) -> Result<Shebang, ShebangError> {
    if !body.starts_with(b"#!") {
        return Ok(Shebang {
            flags: None,
            limits: RunLimits::default(),
            name: None,
            code_offset: 0,
        });
    }
    let text = until_nul(body);
    let code_offset = text.iter().position(|&byte| byte == b'\n').ok_or(ShebangError::Invalid)?;
    let line = text.get(..code_offset).unwrap_or_default();
    let words = split_words(line).ok_or(ShebangError::InvalidEngine)?;
    let (engine, options) = words.split_first().ok_or(ShebangError::InvalidEngine)?;
    let engine = until_nul(engine);
    if rules == Rules::Redis && engine != b"#!lua" {
        return Err(ShebangError::UnexpectedEngine(engine.to_vec()));
    }
    let mut flags = ScriptFlags::empty();
    let mut limits = RunLimits::default();
    let mut name = None;
    for option in options {
        if let Some(list) = option.strip_prefix(b"flags=") {
            flags |= parse_flags(list)?;
        } else if let Some(given) = option.strip_prefix(b"name=") {
            if name.is_some() || !is_valid_name(given) {
                return Err(ShebangError::BadName(until_nul(given).to_vec()));
            }
            name = Some(given.to_vec());
        } else {
            set_limit(&mut limits, until_nul(option))?;
        }
    }
    if rules == Rules::Valkey && !engine.eq_ignore_ascii_case(b"#!lua") {
        return Err(ShebangError::UnexpectedEngine(engine.get(2..).unwrap_or_default().to_vec()));
    }
    Ok(Shebang { flags: Some(flags), limits, name, code_offset })
}

/// Whether a script may have this name: some letters, digits and marks that no digest can be mistaken for.
pub fn is_valid_name(name: &[u8]) -> bool {
    let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte);
    (1..=64).contains(&name.len()) && name.iter().all(is_sound) && Sha1::from_hex(name).is_none()
}

fn set_limit(limits: &mut RunLimits, option: &[u8]) -> Result<(), ShebangError> {
    match limits.set(option) {
        LimitWord::Set => Ok(()),
        LimitWord::BadValue => Err(ShebangError::BadLimit(option.to_vec())),
        LimitWord::Unknown => Err(ShebangError::UnknownOption(option.to_vec())),
    }
}

/// Splits a line into words at blanks, as in Redis's configuration file.
///
/// Inside `"…"` the escapes are `\xHH`, `\n`, `\r`, `\t`, `\b` and `\a`, and any other escaped
/// byte stands for itself; inside `'…'` only `\'` is one. Quotes may open within a word, but a
/// closing quote must end it. `None` when quotes do not balance. The line ends at a NUL byte.
///
/// Stock: `sds.c` `sdssplitargs`.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = until_nul(line);
    let mut words = Vec::new();
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_space(byte)).count();
        rest = rest.get(blanks..).unwrap_or_default();
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?;
        words.push(word);
    }
}

/// Gives the part of `bytes` that a C string function sees.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn parse_flags(list: &[u8]) -> Result<ScriptFlags, ShebangError> {
    let mut flags = ScriptFlags::empty();
    // An empty list has no elements, while a trailing comma is followed by an empty one.
    if list.is_empty() {
        return Ok(flags);
    }
    for name in list.split(|&byte| byte == b',') {
        let name = until_nul(name);
        flags |= ScriptFlags::from_flag_name(name)
            .ok_or_else(|| ShebangError::UnexpectedFlag(name.to_vec()))?;
    }
    Ok(flags)
}

/// Appends the first word of `rest`, which starts with it, and gives what follows the word.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&first, after) = match rest.split_first() {
            Some(split) => split,
            None => return Some(rest),
        };
        match first {
            // Vertical tab and form feed separate words but do not end one.
            b' ' | b'\n' | b'\r' | b'\t' => return Some(after),
            b'"' => return read_double_quoted(after, word),
            b'\'' => return read_single_quoted(after, word),
            _ => word.push(first),
        }
        rest = after;
    }
}

fn read_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_value(*high) << 4 | hex_value(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(unescape(*escaped));
                after
            }
            [b'"', after @ ..] => return end_of_word(after),
            [plain, after @ ..] => {
                word.push(*plain);
                after
            }
            [] => return None,
        };
    }
}

fn read_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return end_of_word(after),
            [plain, after @ ..] => {
                word.push(*plain);
                after
            }
            [] => return None,
        };
    }
}

/// Accepts a closing quote only where the word ends.
fn end_of_word(rest: &[u8]) -> Option<&[u8]> {
    match rest.first() {
        Some(&next) if !is_space(next) => None,
        _ => Some(rest),
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

/// Answers as `isspace` does in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ShebangError::*;
    use super::*;

    const NONE: ScriptFlags = ScriptFlags::empty();
    const NO_WRITES: ScriptFlags = ScriptFlags::NO_WRITES;
    const ALLOW_OOM: ScriptFlags = ScriptFlags::ALLOW_OOM;

    #[test]
    fn valkey_reads_the_options_before_the_engine() {
        let parse = |body: &str| parse_as(body.as_bytes(), Rules::Valkey);
        assert!(parse("#!LUA flags=no-writes\n").is_ok());
        assert_eq!(parse("#!js\n"), Err(ShebangError::UnexpectedEngine(b"js".to_vec())));
        assert_eq!(parse("#!js x\n"), Err(ShebangError::UnknownOption(b"x".to_vec())));
    }

    #[test]
    fn texts_without_shebang_are_in_compatibility_mode() {
        for body in ["", "#", "return 1", " #!lua\n", "\n#!lua\n", "!#lua\n", "#\0!lua\n"] {
            let shebang = parse(body.as_bytes());
            let limits = RunLimits::default();
            let plain = Shebang { flags: None, limits, name: None, code_offset: 0 };
            assert_eq!(shebang, Ok(plain), "{body:?}");
        }
    }

    #[test]
    fn accepted_lines_give_flags_and_the_place_of_the_line_feed() {
        let cases: [(&[u8], ScriptFlags); 22] = [
            (b"#!lua\n", NONE),
            (b"#!lua\nreturn 1\n", NONE),
            (b"#!lua \t\r\n", NONE),
            (b"#!lua flags=\n", NONE),
            (b"#!lua flags=no-writes\n", NO_WRITES),
            (b"#!lua \x0b\x0c flags=no-writes\r\n", NO_WRITES),
            (b"#!lua flags=no-writes,allow-oom\n", NO_WRITES.union(ALLOW_OOM)),
            (b"#!lua flags=no-writes flags=allow-oom\n", NO_WRITES.union(ALLOW_OOM)),
            (b"#!lua flags=no-writes,no-writes\n", NO_WRITES),
            (
                b"#!lua flags=no-writes,allow-oom,allow-stale,no-cluster,allow-cross-slot-keys\n",
                ScriptFlags::all(),
            ),
            (b"#!lua \"flags=no-writes\"\n", NO_WRITES),
            (b"#!lua 'flags=no-writes'\n", NO_WRITES),
            (b"#!lua flags=\"no-writes,allow-oom\"\n", NO_WRITES.union(ALLOW_OOM)),
            (b"#!lua flags='no-writes' flags=allow-oom\n", NO_WRITES.union(ALLOW_OOM)),
            (b"#!lua \"flags=no\\x2dwrites\"\n", NO_WRITES),
            (b"#!lua \"flags=no\\-writes\"\n", NO_WRITES),
            (b"#!\"lua\"\n", NONE),
            (b"#!'lua' flags=no-writes\n", NO_WRITES),
            // What follows an escaped NUL is not compared.
            (b"#!\"lua\\x00zz\"\n", NONE),
            (b"#!lua \"flags=no-writes\\x00zz\"\n", NO_WRITES),
            (b"#!lua \"flags=no-writes\\x00zz,allow-oom\"\n", NO_WRITES.union(ALLOW_OOM)),
            (b"#!lua\n\0return 1", NONE),
        ];
        for (body, flags) in cases {
            let code_offset = body.iter().position(|&byte| byte == b'\n').unwrap();
            let limits = RunLimits::default();
            let expected = Ok(Shebang { flags: Some(flags), limits, name: None, code_offset });
            assert_eq!(parse(body), expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn refused_lines_name_their_fault() {
        let cases: [(&[u8], ShebangError); 34] = [
            (b"#!", Invalid),
            (b"#!lua", Invalid),
            (b"#!lua flags=no-writes", Invalid),
            (b"#!lua\0\n", Invalid),
            (b"#!\0lua\n", Invalid),
            (b"#!lua flags=no-writes\0\nreturn 1", Invalid),
            (b"#!lua \"\n", InvalidEngine),
            (b"#!lua '\n", InvalidEngine),
            (b"#!lua \"flags=no-writes\"x\n", InvalidEngine),
            (b"#!lua 'flags=no-writes'x\n", InvalidEngine),
            (b"#!lua \"flags=no-writes\\\"\n", InvalidEngine),
            (b"#!lua \"\\\n", InvalidEngine),
            (b"#!lua 'it\\'s\n", InvalidEngine),
            (b"#!\n", UnexpectedEngine(b"#!".to_vec())),
            (b"#! lua\n", UnexpectedEngine(b"#!".to_vec())),
            (b"#!LUA\n", UnexpectedEngine(b"#!LUA".to_vec())),
            (b"#!js foo=1\n", UnexpectedEngine(b"#!js".to_vec())),
            (b"#!\"j\\ts\\x00x\"\n", UnexpectedEngine(b"#!j\ts".to_vec())),
            (b"#!lua\x0bflags=\n", UnexpectedEngine(b"#!lua\x0bflags=".to_vec())),
            (b"#!lua foo=1\n", UnknownOption(b"foo=1".to_vec())),
            (b"#!lua name=\n", BadName(b"".to_vec())),
            (b"#!lua name=a/b\n", BadName(b"a/b".to_vec())),
            (b"#!lua \"name=a\\x00b\"\n", BadName(b"a".to_vec())),
            (b"#!lua name=a name=b\n", BadName(b"b".to_vec())),
            (b"#!lua Flags=no-writes\n", UnknownOption(b"Flags=no-writes".to_vec())),
            (b"#!lua flags\n", UnknownOption(b"flags".to_vec())),
            (b"#!lua \"\"\n", UnknownOption(b"".to_vec())),
            (b"#!lua \"a\\x00b\"\n", UnknownOption(b"a".to_vec())),
            (b"#!lua flags=bad foo=1\n", UnexpectedFlag(b"bad".to_vec())),
            (b"#!lua flags=No-Writes\n", UnexpectedFlag(b"No-Writes".to_vec())),
            (b"#!lua flags=no-writes,\n", UnexpectedFlag(b"".to_vec())),
            (b"#!lua flags=,\n", UnexpectedFlag(b"".to_vec())),
            (b"#!lua \"flags=x\\x00,y\"\n", UnexpectedFlag(b"x".to_vec())),
            (b"#!lua \"flags=a b\\r\\n\"\n", UnexpectedFlag(b"a b\r\n".to_vec())),
        ];
        for (body, error) in cases {
            assert_eq!(parse(body), Err(error), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn limits_are_options_of_their_own() {
        let shebang = parse(b"#!lua max-run-time=50 flags=no-writes memory=1mb\n").unwrap();
        let limits = RunLimits { run_time: 50, memory: 1 << 20, ..RunLimits::default() };
        assert_eq!((shebang.flags, shebang.limits), (Some(NO_WRITES), limits));
        assert_eq!(parse(b"#!lua memory=x\n"), Err(BadLimit(b"memory=x".to_vec())));
        assert_eq!(parse(b"#!lua Memory=1\n"), Err(UnknownOption(b"Memory=1".to_vec())));
    }

    #[test]
    fn scripts_may_name_themselves() {
        let name = |body: &str| parse(body.as_bytes()).unwrap().name;
        assert_eq!(
            name("#!lua flags=no-writes name=cart:add_v1.2-b\n"),
            Some(b"cart:add_v1.2-b".to_vec())
        );
        assert_eq!(name("#!lua \"name=x\"\n"), Some(b"x".to_vec()));
        assert!(is_valid_name(&[b'x'; 64]) && !is_valid_name(&[b'x'; 65]));
        assert!(!is_valid_name(&[b'a'; 40]) && is_valid_name(&[b'g'; 40]));
        for bad in [&b""[..], b" ", b"a\n", b"a\0", b"\xff", b"*", "\u{e9}".as_bytes()] {
            assert!(!is_valid_name(bad));
        }
    }

    #[test]
    fn words_are_split_and_unquoted() {
        let cases: [(&[u8], &[&[u8]]); 14] = [
            (b"", &[]),
            (b" \t\r\n\x0b\x0c", &[]),
            (b"a b", &[b"a", b"b"]),
            (b"  a\t\tb  ", &[b"a", b"b"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"\x0ba", &[b"a"]),
            (b"\"\" ''", &[b"", b""]),
            (b"\"a b\" 'c d'", &[b"a b", b"c d"]),
            (b"x\"a b\"", &[b"xa b"]),
            (b"\"\\n\\r\\t\\b\\a\\q\\\\\\\"\"", &[b"\n\r\t\x08\x07q\\\""]),
            (b"\"\\x4f\\X4f\\x4\\xzz\"", &[b"OX4fx4xzz"]),
            (b"'\\n\\'\\x41'", &[b"\\n'\\x41"]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
            (b"a\0b", &[b"a"]),
        ];
        for (line, words) in cases {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
            assert_eq!(split_words(line), Some(words), "{}", line.escape_ascii());
        }
        for line in ["\"", "'", "\"a\"b", "'a'b", "\"\"\"", "''\"\"", "\"\\", "'\\'", "\"\0\""] {
            assert_eq!(split_words(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "#!(lua)?[ \"'\\\\a-z,=\0\n-]{0,40}\n?") {
            if let Ok(Shebang { flags: Some(_), code_offset, .. }) = parse(line.as_bytes()) {
                prop_assert_eq!(line.as_bytes()[code_offset], b'\n');
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&[b"#!lua ", bytes.as_slice()].concat());
            let _ = split_words(&bytes);
        }
    }
}
