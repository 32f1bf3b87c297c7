//! What a function library says about itself in its first line.

use super::shebang::{split_words, until_nul};

/// The first line of a library, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryMetadata {
    /// The engine it is written for, as it spells it.
    pub engine: Vec<u8>,
    /// Its name, not checked yet.
    pub name: Vec<u8>,
    /// Where the code begins: at the line feed, so that lines keep their numbers.
    pub code_offset: usize,
}

/// Why a first line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryError {
    /// It does not begin with `#!`.
    Missing,
    /// It does not end, or has a quote that does not.
    Invalid,
    /// It has two names.
    NameTwice,
    /// It has something that is no name.
    Unknown(Vec<u8>),
    /// It has no name.
    NoName,
}

/// Reads the first line of a library.
///
/// # Errors
/// See [`LibraryError`].
///
/// Stock: `functions.c` `functionExtractLibMetaData`.
pub fn metadata(code: &[u8]) -> Result<LibraryMetadata, LibraryError> {
    if !code.starts_with(b"#!") {
        return Err(LibraryError::Missing);
    }
    let end = until_nul(code).iter().position(|&byte| byte == b'\n');
    let end = end.ok_or(LibraryError::Invalid)?;
    let words = code.get(..end).and_then(split_words).ok_or(LibraryError::Invalid)?;
    let (first, others) = words.split_first().ok_or(LibraryError::Invalid)?;
    let mut name = None;
    for word in others {
        match word.split_at_checked(5) {
            Some((key, _)) if key.eq_ignore_ascii_case(b"name=") && name.is_some() => {
                return Err(LibraryError::NameTwice);
            }
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => name = Some(value.to_vec()),
            _ => return Err(LibraryError::Unknown(until_nul(word).to_vec())),
        }
    }
    Ok(LibraryMetadata {
        engine: first.get(2..).unwrap_or_default().to_vec(),
        name: name.ok_or(LibraryError::NoName)?,
        code_offset: end,
    })
}

/// Whether a library or a function may have this name.
///
/// Stock: `functions.c` `functionsVerifyName`.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_read_or_refused() {
        let read = |code: &[u8]| {
            metadata(code).map(|it| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(&it.engine), text(&it.name), it.code_offset)
            })
        };
        let found = |engine: &str, name: &str, at| Ok((engine.to_owned(), name.to_owned(), at));
        assert_eq!(read(b"#!lua name=lib\nx"), found("lua", "lib", 14));
        assert_eq!(read(b"#!LUA NAME=lib\n"), found("LUA", "lib", 14));
        assert_eq!(read(b"#!lua name=\"a b\"\n"), found("lua", "a b", 16));
        assert_eq!(read(b"#!lua name=\n"), found("lua", "", 11));
        assert_eq!(read(b"#! name=x\n"), found("", "x", 9));
        assert_eq!(read(b"return 1"), Err(LibraryError::Missing));
        assert_eq!(read(b"#!lua name=x"), Err(LibraryError::Invalid));
        assert_eq!(read(b"#!lua name=\"x\n"), Err(LibraryError::Invalid));
        assert_eq!(read(b"#!lua\0 name=x\n"), Err(LibraryError::Invalid));
        assert_eq!(read(b"#!lua name=x name=y\n"), Err(LibraryError::NameTwice));
        assert_eq!(read(b"#!lua foo=x\n"), Err(LibraryError::Unknown(b"foo=x".to_vec())));
        assert_eq!(read(b"#!lua\n"), Err(LibraryError::NoName));
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        assert!(is_valid_name(b"a_Z9"));
        for name in [&b""[..], b"a-b", b"a b", b"a\0", "é".as_bytes()] {
            assert!(!is_valid_name(name));
        }
    }
}
