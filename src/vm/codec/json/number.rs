//! Numbers as C's `strtod` reads them.

/// A number at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    /// Bytes that were read.
    pub(super) len: usize,
    /// Whether it is an integer in plain digits that [`Number::value`] may not tell from others.
    pub(super) is_big: bool,
}

/// The integers up to here are exact as `f64`.
const EXACT: u64 = 1 << 53;

/// The powers of ten that are exact as `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads the number at the start of `text`; `None` if there is none.
///
/// Leading blanks are not skipped.
#[inline]
pub(super) fn read(text: &[u8]) -> Option<Number> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let is_negative = text.first() == Some(&b'-');
    let mut at = sign;

    // Short numbers, which are nearly all, get by with one multiplication or division.
    let mut digits = 0_u64;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    let integer_len = at - sign;
    let next = text.get(at).copied().unwrap_or_default();
    if (1..=19).contains(&integer_len) && !matches!(next, b'.' | b'e' | b'E' | b'x' | b'X') {
        let value = signed(digits as f64, is_negative);
        return Some(Number { value, len: at, is_big: digits > EXACT });
    }
    let mut scale = 0_usize;
    if next == b'.' {
        at += 1;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
            scale += 1;
        }
        let next = text.get(at).copied().unwrap_or_default();
        let known = (1..=19).contains(&(integer_len + scale)) && digits <= EXACT;
        if known
            && !matches!(next, b'e' | b'E')
            && let Some(power) = POWERS.get(scale)
        {
            let value = digits as f64 / power;
            return Some(Number { value: signed(value, is_negative), len: at, is_big: false });
        }
    }
    read_any(text, sign, is_negative)
}

fn signed(value: f64, is_negative: bool) -> f64 {
    if is_negative { -value } else { value }
}

/// Reads a number of any form.
fn read_any(text: &[u8], sign: usize, is_negative: bool) -> Option<Number> {
    let rest = text.get(sign..)?;
    let (value, len, is_big) = if matches!(rest, [b'0', b'x' | b'X', ..]) {
        let (value, len) = hexadecimal(rest);
        (value, len, false)
    } else if let Some(found) = decimal(rest) {
        found
    } else {
        let (value, len) = named(rest)?;
        (value, len, false)
    };
    Some(Number { value: signed(value, is_negative), len: sign + len, is_big })
}

/// Reads digits with a point and an exponent; the value, the length, and whether it is a big integer.
fn decimal(text: &[u8]) -> Option<(f64, usize, bool)> {
    let integer = digits(text);
    let mut end = integer;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(text.get(end + 1..).unwrap_or_default());
        if integer + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if end == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(text.get(end + 1 + sign..).unwrap_or_default());
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let text = std::str::from_utf8(text.get(..end)?).ok()?;
    let value = text.parse().ok()?;
    // What does not fit is big.
    let is_big = end == integer && text.parse::<u64>().map_or(true, |value| value > EXACT);
    Some((value, end, is_big))
}

/// How many digits `text` begins with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Reads a hexadecimal number, which begins with `0x`; only the zero if no digit follows.
fn hexadecimal(text: &[u8]) -> (f64, usize) {
    let digits = text.get(2..).unwrap_or_default();
    let mut mantissa = 0_u64;
    // The exponent of two of the mantissa.
    let mut exponent = 0_i64;
    let (mut at, mut seen, mut has_point) = (0, 0, false);
    while let Some(&byte) = digits.get(at) {
        if byte == b'.' && !has_point {
            has_point = true;
        } else if let Some(digit) = char::from(byte).to_digit(16) {
            seen += 1;
            if mantissa >> 60 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= if has_point { 4 } else { 0 };
            } else {
                // Beyond the digits that count it only matters whether there is anything.
                mantissa |= u64::from(digit != 0);
                exponent += if has_point { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if seen == 0 {
        return (0.0, 1);
    }
    // A lone point at the end belongs to the number, as after decimal digits.
    let mut len = 2 + at;
    if let Some(b'p' | b'P') = text.get(len) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'-' | b'+')));
        let number = text.get(len + 1 + sign..).unwrap_or_default();
        let count = self::digits(number);
        if count > 0 {
            let value = number.iter().take(count).fold(0_i64, |value, digit| {
                value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
            });
            let is_negative = text.get(len + 1) == Some(&b'-');
            exponent = exponent.saturating_add(if is_negative { -value } else { value });
            len += 1 + sign + count;
        }
    }
    (scaled(mantissa, exponent), len)
}

/// `mantissa` times two to the power of `exponent`, rounded once, to the nearest even.
///
/// The lowest bit of a mantissa of more than 60 bits may stand for all bits that were cut off.
fn scaled(mantissa: u64, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    // The value is 1.fraction times two to this power.
    let power = exponent.saturating_add(63 - i64::from(zeros));
    if power > 1023 {
        return f64::INFINITY;
    }
    if power < -1075 {
        return 0.0;
    }
    // Bits that a number of this size has.
    let bits = if power < -1022 { 53 - (-1022 - power) } else { 53 };
    let cut = 64 - bits;
    let (kept, lost) = match cut {
        64.. => (0, (u128::from(mantissa)) << (128 - cut)),
        _ => (mantissa >> cut, u128::from(mantissa) << (128 - cut)),
    };
    let half = 1_u128 << 127;
    let up = lost > half || (lost == half && kept & 1 == 1);
    let rounded = kept + u64::from(up);
    let biased = if power < -1022 { 0 } else { (power + 1022) as u64 };
    // A mantissa that got longer by rounding carries into the exponent, which is just right.
    f64::from_bits((biased << 52) + rounded)
}

/// Reads a word for a number: the value and the length.
fn named(text: &[u8]) -> Option<(f64, usize)> {
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins(b"infinity") {
        Some((f64::INFINITY, 8))
    } else if begins(b"inf") {
        Some((f64::INFINITY, 3))
    } else if begins(b"nan") {
        let rest = text.get(3..).unwrap_or_default();
        let inside = rest.strip_prefix(b"(").unwrap_or_default();
        let word = inside.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        let word = word.count();
        let is_closed = inside.get(word) == Some(&b')');
        Some((f64::NAN, if is_closed { 5 + word } else { 3 }))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        let number = read(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"));
        assert_eq!(number.len, text.len(), "{text}");
        number.value
    }

    #[test]
    fn numbers_of_every_form_are_read() {
        for text in [
            "0",
            "7",
            "123456789012345",
            "1234567890123456",
            "9007199254740993",
            "1.5",
            "0.1",
            "1.",
            ".5",
            "123456.789",
            "0.30000000000000004",
            "1e5",
            "1E+5",
            "1.5e-7",
            "1e400",
            "1e-400",
            "18446744073709551616",
            "123456789.123456789123456789",
            "2.2250738585072011e-308",
        ] {
            assert_eq!(value(text), text.parse::<f64>().unwrap(), "{text}");
            assert_eq!(value(&format!("-{text}")), -text.parse::<f64>().unwrap(), "-{text}");
        }
        assert!(value("-0").is_sign_negative());
    }

    #[test]
    fn what_is_no_part_of_a_number_is_left() {
        for (text, len) in [
            ("1e", 1),
            ("1e+", 1),
            ("1.e", 2),
            ("12abc", 2),
            ("0x", 1),
            ("0xg", 1),
            ("0x.", 1),
            ("0x.p1", 1),
            ("0x1p", 3),
            ("1..2", 2),
            ("infinit", 3),
            ("nan(12", 3),
            ("nan(1-2)", 3),
            ("nan(a_1)x", 8),
            ("1,2", 1),
            ("00", 2),
        ] {
            assert_eq!(read(text.as_bytes()).map(|number| number.len), Some(len), "{text}");
        }
        for text in ["", "-", "+", ".", "-.", "e5", "- 5", "x", "--1"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_numbers_are_rounded_once() {
        for (text, expected) in [
            ("0x10", 16.0),
            ("0X1.8p1", 3.0),
            ("0x.8", 0.5),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.000_000_000_000_000_4),
            ("0x1.000000000000080000000000000000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffff8p1023", f64::INFINITY),
            ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p-99999999999999999999", 0.0),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn integers_beyond_the_exact_ones_are_marked() {
        let is_big = |text: &str| read(text.as_bytes()).unwrap().is_big;
        assert!(is_big("9007199254740993") && is_big("-123456789012345678901234567890"));
        assert!(!is_big("9007199254740991") && !is_big("1e300") && !is_big("9007199254740993.0"));
    }
}
