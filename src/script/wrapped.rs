//! Functions made from a plain chunk, as libraries of their own.
//!
//! A chunk that uses `KEYS` and `ARGV` becomes the body of a library's only function, so that it is kept,
//! dumped and replicated like every library, by stock servers too. The text tells it from others, and gives
//! the chunk back.

/// What a library made from a chunk begins with, up to its name.
const HEAD: &[u8] = b"#!lua name=";
/// What follows the name.
const NAMED: &[u8] = b"\nredis.register_function{function_name='";
/// What follows the name again, up to the description.
const DESCRIBED: &[u8] = b"', description=";
/// What stands before the chunk.
const BODY: &[u8] = b"callback=function(KEYS, ARGV, ...)\n";
/// What stands behind it.
const TAIL: &[u8] = b"\nend}\n";

/// A function made from a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped<'a> {
    /// The function's name, which is its library's too.
    pub name: &'a [u8],
    /// The chunk.
    pub chunk: &'a [u8],
}

/// The text of the library for `chunk`, which must be sound by itself, under a valid name.
pub fn wrap(name: &[u8], description: Option<&[u8]>, chunk: &[u8]) -> Vec<u8> {
    let mut text = [HEAD, name, NAMED, name].concat();
    match description {
        Some(description) => {
            text.extend_from_slice(DESCRIBED);
            quote(&mut text, description);
            text.extend_from_slice(b", ");
        }
        None => text.extend_from_slice(b"', "),
    }
    text.extend_from_slice(BODY);
    text.extend_from_slice(chunk);
    text.extend_from_slice(TAIL);
    text
}

/// The function in a library's text, if [`wrap`] made it.
pub fn unwrap(text: &[u8]) -> Option<Wrapped<'_>> {
    let rest = text.strip_prefix(HEAD)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (name, rest) = rest.split_at_checked(end)?;
    let rest = rest.strip_prefix(NAMED)?.strip_prefix(name)?;
    let rest = match rest.strip_prefix(DESCRIBED) {
        Some(rest) => unquote(rest)?.strip_prefix(b", ")?,
        None => rest.strip_prefix(b"', ")?,
    };
    let chunk = rest.strip_prefix(BODY)?.strip_suffix(TAIL)?;
    Some(Wrapped { name, chunk })
}

/// Appends `bytes` as a string of Lua on one line.
fn quote(text: &mut Vec<u8>, bytes: &[u8]) {
    text.push(b'"');
    for &byte in bytes {
        match byte {
            b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' => text.push(byte),
            _ => text.extend_from_slice(format!("\\{byte:03}").as_bytes()),
        }
    }
    text.push(b'"');
}

/// What follows the string that [`quote`] wrote.
fn unquote(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|&byte| byte == b'"')?;
    text.get(end + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_as_they_were() {
        for description in [None, Some(&b""[..]), Some(b"a \"quoted\" \\ text\n\0\xff', callback=")]
        {
            for chunk in [&b"return 1"[..], b"", b"-- nothing", b"\nend}\n", b"return KEYS, '\0'"] {
                let text = wrap(b"f_1", description, chunk);
                assert_eq!(unwrap(&text), Some(Wrapped { name: b"f_1", chunk }));
            }
        }
    }

    #[test]
    fn other_libraries_are_none() {
        for text in [
            &b"#!lua name=x\nredis.register_function('x', function() end)"[..],
            b"#!lua name=x\nredis.register_function{function_name='y', callback=function(KEYS, ARGV, ...)\n\nend}\n",
            b"",
        ] {
            assert_eq!(unwrap(text), None);
        }
    }
}
