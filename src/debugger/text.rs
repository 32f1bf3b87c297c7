//! Texts as C reads and writes them.

/// The part of `text` that a C string would show.
pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The number a text begins with, as `atoi` reads it, and 0 for none.
pub(super) fn leading_integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    let number = if is_negative { -number } else { number };
    // The result is an `int` of the lower half, as glibc makes it of a `long`.
    i64::from(number as i32)
}

/// A number in the one form that stock takes.
///
/// Stock: `util.c` `string2l`.
pub(super) fn whole_integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Appends a string between quotes, with escapes for what cannot be seen.
///
/// Stock: `sds.c` `sdscatrepr`.
pub(super) fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        let cases: [(&[u8], i64); 8] = [
            (b"12", 12),
            (b" -3x", -3),
            (b"+4", 4),
            (b"", 0),
            (b"x1", 0),
            (b"4294967297", 1),
            (b"99999999999999999999", -1),
            (b"-99999999999999999999", 1),
        ];
        for (text, number) in cases {
            assert_eq!(leading_integer(text), number, "{}", text.escape_ascii());
        }
        assert_eq!(whole_integer(b"-12"), Some(-12));
        for text in [&b"012"[..], b"+1", b" 1", b"1 ", b"", b"-0", b"1\0"] {
            assert_eq!(whole_integer(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        let mut out = Vec::new();
        push_quoted(&mut out, b"a\"\\\n\r\t\x07\x08\0\x7f\xff~");
        assert_eq!(out, br#""a\"\\\n\r\t\a\b\x00\x7f\xff~""#);
    }
}
