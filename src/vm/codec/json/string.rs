//! Where plain text ends, and what stands for the characters that are not.

/// What is written for each byte; empty where it stands for itself.
static ESCAPES: [&[u8]; 256] = escapes();

const fn escapes() -> [&'static [u8]; 256] {
    /// Those of the control characters, six bytes each.
    const CONTROLS: &[u8; 192] = b"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\
        \\u0008\\u0009\\u000a\\u000b\\u000c\\u000d\\u000e\\u000f\
        \\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\
        \\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f";
    let mut table: [&[u8]; 256] = [b""; 256];
    let mut byte = 0;
    while byte < 32 {
        table[byte] = CONTROLS.split_at(6 * byte).1.split_at(6).0;
        byte += 1;
    }
    table[8] = b"\\b";
    table[9] = b"\\t";
    table[10] = b"\\n";
    table[12] = b"\\f";
    table[13] = b"\\r";
    table[b'"' as usize] = b"\\\"";
    table[b'/' as usize] = b"\\/";
    table[b'\\' as usize] = b"\\\\";
    table[127] = b"\\u007f";
    table
}

/// What is written for `byte`; empty where it stands for itself.
pub(super) fn escape(byte: u8) -> &'static [u8] {
    ESCAPES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Bytes looked at together; compilers make vector code of it.
const LANES: usize = 16;

/// How many bytes at the start of `text` are written as they are.
#[inline]
pub(super) fn plain_to_write(text: &[u8]) -> usize {
    prefix(text, |byte| byte < 32 || matches!(byte, b'"' | b'/' | b'\\' | 127))
}

/// How many bytes at the start of `text` stand for themselves in a JSON string.
#[inline]
pub(super) fn plain_to_read(text: &[u8]) -> usize {
    prefix(text, |byte| matches!(byte, b'"' | b'\\' | 0))
}

#[inline(always)]
fn prefix(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut clean = 0;
    for lanes in text.chunks_exact(LANES) {
        if lanes.iter().fold(false, |found, &byte| found | ends(byte)) {
            break;
        }
        clean += LANES;
    }
    let rest = text.get(clean..).unwrap_or_default();
    clean + rest.iter().position(|&byte| ends(byte)).unwrap_or(rest.len())
}

/// The character that `\` and `letter` stand for; `None` where they stand for nothing, or for `\u`.
pub(super) fn unescaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 8,
        b't' => 9,
        b'n' => 10,
        b'f' => 12,
        b'r' => 13,
        _ => return None,
    })
}

/// The character that the `\uXXXX` at the start of `text` stands for, and how long that is; two of them
/// where the first is a surrogate.
pub(super) fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if first & 0xF800 != 0xD800 {
        return Some((char::from_u32(first)?, 6));
    }
    let second = hex4(text.get(6..)?)?;
    let is_pair = first & 0x400 == 0 && second & 0xFC00 == 0xDC00;
    let code = 0x1_0000 + ((first & 0x3FF) << 10) + (second & 0x3FF);
    if is_pair { Some((char::from_u32(code)?, 12)) } else { None }
}

/// The number in the `\uXXXX` at the start of `text`.
fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_ends_plain_text_where_it_must() {
        for byte in 0..=255_u8 {
            for before in [0, 1, 15, 16, 17, 40] {
                let mut text = vec![b'a'; before];
                text.push(byte);
                text.extend_from_slice(b"rest of the text, long enough for lanes");
                let end = if ESCAPES[usize::from(byte)].is_empty() { text.len() } else { before };
                assert_eq!(plain_to_write(&text), end, "{byte}");
                let end = if matches!(byte, 0 | b'"' | b'\\') { before } else { text.len() };
                assert_eq!(plain_to_read(&text), end, "{byte}");
            }
        }
    }

    #[test]
    fn surrogates_come_in_pairs() {
        assert_eq!(unicode_escape(b"\\u0041..."), Some(('A', 6)));
        assert_eq!(unicode_escape(b"\\ud83d\\ude00"), Some(('\u{1F600}', 12)));
        for wrong in ["\\ud83d", "\\ud83dxx", "\\ude00", "\\ud83d\\u0041", "\\u00", "\\u00g0"] {
            assert_eq!(unicode_escape(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
