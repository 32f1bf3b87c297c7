//! Numbers as the server's configuration file writes them.

/// Reads a number without a sign.
pub fn number(text: &[u8]) -> Option<u64> {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// Reads a number of bytes, such as `512`, `100kb` or `2GB`.
///
/// Stock: `util.c` `memtoull`.
pub fn bytes(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1024,
        b"m" => 1000 * 1000,
        b"mb" => 1024 * 1024,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number(digits)?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_units_of_the_configuration_file() {
        let cases: [(&[u8], Option<u64>); 16] = [
            (b"1", Some(1)),
            (b"1b", Some(1)),
            (b"1k", Some(1000)),
            (b"1kb", Some(1024)),
            (b"1M", Some(1_000_000)),
            (b"1MB", Some(1 << 20)),
            (b"1g", Some(1_000_000_000)),
            (b"9gb", Some(9 << 30)),
            (b"", None),
            (b"mb", None),
            (b"1tb", None),
            (b"1 mb", None),
            (b"-1", None),
            (b"+1", None),
            (b"1.5mb", None),
            (b"99999999999gb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{}", text.escape_ascii());
        }
    }
}
