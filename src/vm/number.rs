//! Numbers as text and as integers, the way C code of Redis and Lua makes them.
//!
//! Redis 7.0 prints a Lua number with `%.17g`. Later servers print integers as such and the rest
//! by Grisu2, which in about one case of a thousand is not the shortest text that reads back, so
//! a shortest-text crate would differ: the algorithm is here, with the choices stock makes.

use std::fmt::{self, Write};

use crate::dialect::{Dialect, Hosts};

/// Selects how a number becomes an argument of `redis.call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberStyle {
    /// Up to 17 significant digits, as `printf` with `%.17g`: Redis 7.0.
    Precision17,
    /// An integer in plain digits, else the text of Grisu2: Redis 7.2 and later, and Valkey.
    Shortest,
}

impl NumberStyle {
    /// The style of a server.
    pub fn of(dialect: Dialect) -> Self {
        if dialect.is(Hosts::Redis70) { Self::Precision17 } else { Self::Shortest }
    }
}

/// Is the room any number's text fits in.
pub type NumberBuffer = [u8; 32];

/// Writes a number as an argument of `redis.call`, and gives the text.
///
/// Stock: `script_lua.c` `luaArgsToRedisArgv`.
pub fn format(style: NumberStyle, value: f64, buffer: &mut NumberBuffer) -> &[u8] {
    match style {
        NumberStyle::Precision17 => format_precision(17, value, buffer),
        NumberStyle::Shortest => format_shortest(value, buffer),
    }
}

/// Writes a number as `printf` does with `%.Ng`, for a precision of 1 to 17, and gives the text.
///
/// Not-a-number has its sign, as glibc prints it.
pub fn format_precision(precision: usize, value: f64, buffer: &mut NumberBuffer) -> &[u8] {
    let precision = precision.clamp(1, 17);
    let mut text = Text::new(buffer);
    if value.is_sign_negative() {
        text.push(b'-');
    }
    let value = value.abs();
    if !value.is_finite() {
        text.append(if value.is_nan() { b"nan" } else { b"inf" });
    } else if let Some(integer) = small_integer(value, precision) {
        text.append_integer(integer);
    } else if precision > SURE_DIGITS || !append_shortened(&mut text, precision, value) {
        append_rounded(&mut text, precision, value);
    }
    text.finish()
}

/// The most digits that the shortest text of a number decides on.
const SURE_DIGITS: usize = 15;

/// Appends a finite number above zero, rounded to at most [`SURE_DIGITS`] digits; false, with nothing
/// appended, where its shortest text does not tell how.
///
/// The shortest text that reads back is nearer to the number than half a unit of its 16th digit, and no
/// decimal of fewer digits lies between the two. So rounding the text rounds the number, unless the text
/// lies just in the middle, where the number may lie on either side.
fn append_shortened(text: &mut Text<'_>, precision: usize, value: f64) -> bool {
    if !value.is_normal() {
        return false; // fewer than 16 digits are sure
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value).as_bytes();
    if (1e-4..1e15).contains(&value) {
        // Most numbers have few digits and stand as they are. An integer ends in `.0` here; those with
        // no more digits than wanted were dealt with before.
        let zeros = shortest.iter().take_while(|&&byte| matches!(byte, b'0' | b'.')).count();
        let digits = if zeros == 0 { shortest.len() - 1 } else { shortest.len() - zeros };
        if digits <= precision {
            text.append(shortest);
            return true;
        }
    }
    let Some((mut digits, exponent)) = read_shortest(shortest) else { return false };
    let Some(exponent) = digits.round(precision, exponent) else { return false };
    append_general(text, precision, &mut digits, exponent);
    true
}

/// The digits of a number as `zmij` writes it, and the exponent of the first one.
fn read_shortest(shortest: &[u8]) -> Option<(Digits, i32)> {
    let end = shortest.iter().position(|&byte| byte == b'e').unwrap_or(shortest.len());
    let (mantissa, exponent) = shortest.split_at_checked(end)?;
    let mut exponent = read_exponent(exponent.get(1..).unwrap_or_default());
    let point = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
    exponent += i32::try_from(point).ok()? - 1;
    let mut digits = Digits::new();
    for &byte in mantissa.iter().filter(|&&byte| byte != b'.') {
        if byte != b'0' || digits.len > 0 {
            digits.push(byte - b'0');
        } else {
            exponent -= 1;
        }
    }
    digits.trim_zeros();
    Some((digits, exponent))
}

/// Converts a number to an integer as a C cast does on the machine the module is built for.
///
/// Numbers out of range, infinities and not-a-number become the least integer on x86, and the
/// nearest integer, or zero for not-a-number, elsewhere.
///
/// Stock: `script_lua.c` `luaReplyToRedisReply`.
#[inline]
pub fn to_integer(value: f64) -> i64 {
    let in_range = value >= i64::MIN as f64 && value < -(i64::MIN as f64);
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) && !in_range {
        i64::MIN
    } else {
        value as i64
    }
}

/// Converts a number to a C `int` as a cast does on the machine the module is built for.
///
/// Stock: the level of `redis.log`, the version of `redis.setresp`.
pub fn to_int(value: f64) -> i32 {
    let in_range = value > f64::from(i32::MIN) - 1.0 && value < f64::from(i32::MAX) + 1.0;
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) && !in_range {
        i32::MIN
    } else {
        value as i32
    }
}

/// Writes an integer in plain digits and any other number by Grisu2.
fn format_shortest(value: f64, buffer: &mut NumberBuffer) -> &[u8] {
    // Stock looks for integers only this far, though more would fit.
    const INTEGER_LIMIT: f64 = (1_u64 << 62) as f64;
    let mut text = Text::new(buffer);
    let integer = value as i64;
    if value.abs() <= INTEGER_LIMIT && integer as f64 == value {
        if integer < 0 {
            text.push(b'-');
        }
        text.append_integer(integer.unsigned_abs());
        return text.finish();
    }
    if value.is_sign_negative() {
        text.push(b'-');
    }
    if value.is_finite() {
        let digits = grisu2(value.abs());
        append_decimal(&mut text, &digits);
    } else {
        text.append(if value.is_nan() { b"nan" } else { b"inf" });
    }
    text.finish()
}

/// Gives an integer that `%.Ng` prints with no exponent.
fn small_integer(value: f64, precision: usize) -> Option<u64> {
    let limit = 10_i64.checked_pow(u32::try_from(precision).ok()?)?;
    let integer = value as i64;
    let is_exact = value < limit as f64 && integer as f64 == value;
    is_exact.then_some(integer.unsigned_abs())
}

/// Appends a finite number above zero, correctly rounded to `precision` digits.
fn append_rounded(text: &mut Text<'_>, precision: usize, value: f64) {
    let mut scientific_buffer = [0; 32];
    let mut scientific = Text::new(&mut scientific_buffer);
    // Cannot fail: 17 digits, a point and an exponent are at most 23 bytes.
    let _ = write!(scientific, "{:.*e}", precision - 1, value);
    let scientific = scientific.finish();
    let mut parts = scientific.splitn(2, |&byte| byte == b'e');
    let mantissa = parts.next().unwrap_or_default();
    let exponent = parts.next().map_or(0, read_exponent);
    let mut digits = Digits::new();
    for &byte in mantissa.iter().filter(|&&byte| byte != b'.') {
        digits.push(byte - b'0');
    }
    digits.trim_zeros();
    append_general(text, precision, &mut digits, exponent);
}

/// Appends digits the first of which has `exponent`, in the form that `%.Ng` chooses for them.
fn append_general(text: &mut Text<'_>, precision: usize, digits: &mut Digits, exponent: i32) {
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if (-4..limit).contains(&exponent) {
        digits.exponent = exponent - digits.len() + 1;
        append_plain(text, digits);
    } else {
        append_scientific(text, digits, exponent, 2);
    }
}

fn read_exponent(text: &[u8]) -> i32 {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix(b"+").unwrap_or(text)),
    };
    sign * digits.iter().fold(0, |value, &digit| value * 10 + i32::from(digit - b'0'))
}

/// Appends digits in the form stock chooses for them.
///
/// Stock: `fpconv_dtoa.c` `emit_digits`.
fn append_decimal(text: &mut Text<'_>, digits: &Digits) {
    let first_exponent = digits.exponent + digits.len() - 1;
    let is_plain_integer = (0..8).contains(&digits.exponent);
    let is_plain_fraction =
        digits.exponent < 0 && (digits.exponent > -7 || first_exponent.abs() < 4);
    if is_plain_integer || is_plain_fraction {
        append_plain(text, digits);
    } else {
        append_scientific(text, digits, first_exponent, 1);
    }
}

/// Appends digits without an exponent.
fn append_plain(text: &mut Text<'_>, digits: &Digits) {
    let before_point = digits.len() + digits.exponent;
    if before_point <= 0 {
        text.append(b"0.");
        for _ in before_point..0 {
            text.push(b'0');
        }
    }
    for (place, digit) in (0..).zip(digits.as_slice()) {
        if place == before_point && place > 0 {
            text.push(b'.');
        }
        text.push(b'0' + digit);
    }
    for _ in 0..digits.exponent {
        text.push(b'0');
    }
}

/// Appends digits with one before the point, and an exponent of at least `width` digits.
fn append_scientific(text: &mut Text<'_>, digits: &Digits, exponent: i32, width: usize) {
    for (place, digit) in digits.as_slice().iter().enumerate() {
        if place == 1 {
            text.push(b'.');
        }
        text.push(b'0' + digit);
    }
    text.append(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if width == 2 && exponent < 10 {
        text.push(b'0');
    }
    text.append_integer(exponent.into());
}

/// Is a decimal number: its digits as an integer, times a power of ten.
struct Digits {
    digits: [u8; 20],
    len: u8,
    exponent: i32,
}

impl Digits {
    fn new() -> Digits {
        Digits { digits: [0; 20], len: 0, exponent: 0 }
    }

    fn len(&self) -> i32 {
        self.len.into()
    }

    fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.len.into()).unwrap_or_default()
    }

    fn push(&mut self, digit: u8) {
        if let Some(place) = self.digits.get_mut(usize::from(self.len)) {
            *place = digit;
            self.len += 1;
        }
    }

    fn trim_zeros(&mut self) {
        while self.len > 1 && self.as_slice().last() == Some(&0) {
            self.len -= 1;
        }
    }

    /// Rounds to at most `precision` digits, and gives the new exponent of the first digit, which had
    /// `exponent`; `None` if what is cut off is just a half.
    fn round(&mut self, precision: usize, exponent: i32) -> Option<i32> {
        let (kept, cut) = match self.as_slice().split_at_checked(precision) {
            None | Some((_, [])) => return Some(exponent),
            Some((kept, cut)) => (kept.len(), cut),
        };
        let up = match cut {
            [5] => return None,
            [first, ..] => *first >= 5,
            [] => false,
        };
        self.len = u8::try_from(kept).ok()?;
        let mut exponent = exponent;
        if up {
            let nines = self.as_slice().iter().rev().take_while(|&&digit| digit == 9).count();
            self.len -= u8::try_from(nines).ok()?;
            if self.len == 0 {
                self.push(1);
                exponent += 1;
            } else if let Some(last) = self.digits.get_mut(usize::from(self.len) - 1) {
                *last += 1;
            }
        }
        self.trim_zeros();
        Some(exponent)
    }

    fn decrease_last(&mut self) {
        if let Some(last) = self.digits.get_mut(usize::from(self.len).saturating_sub(1)) {
            *last = last.saturating_sub(1);
        }
    }
}

/// Is a binary number: an integer times a power of two.
#[derive(Clone, Copy)]
struct Binary {
    fraction: u64,
    exponent: i32,
}

impl Binary {
    fn normalize(self) -> Binary {
        let shift = self.fraction.leading_zeros();
        Binary { fraction: self.fraction << shift, exponent: self.exponent - shift.cast_signed() }
    }

    /// Multiplies, and rounds to the upper 64 bits.
    fn times(self, other: Binary) -> Binary {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Binary { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Finds digits that read back as `value`, which is finite and above zero.
///
/// This is Grisu2 of Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with
/// Integers": all digits between the two neighbours' midpoints, narrowed by the possible error, are
/// good; stop as soon as the rest does not matter, then walk the last digit towards the value.
///
/// Stock: `fpconv_dtoa.c` `grisu2`.
fn grisu2(value: f64) -> Digits {
    const HIDDEN_BIT: u64 = 1 << 52;
    let bits = value.to_bits();
    let (fraction, biased) = (bits & (HIDDEN_BIT - 1), (bits >> 52) as i32);
    let exact = match biased {
        0 => Binary { fraction, exponent: -1074 },
        _ => Binary { fraction: fraction | HIDDEN_BIT, exponent: biased - 1075 },
    };
    let upper = Binary { fraction: (exact.fraction << 1) + 1, exponent: exact.exponent - 1 };
    let upper = upper.normalize();
    // Below a power of two, numbers are twice as dense.
    let closeness = if exact.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower = Binary {
        fraction: (exact.fraction << closeness) - 1,
        exponent: exact.exponent - closeness,
    };
    let lower_shift = lower.exponent - upper.exponent;
    let lower = Binary { fraction: lower.fraction << lower_shift, exponent: upper.exponent };

    let (power, decimal_exponent) = cached_power(upper.exponent);
    let scaled = exact.normalize().times(power);
    let mut upper = upper.times(power);
    let mut lower = lower.times(power);
    upper.fraction -= 1;
    lower.fraction += 1;
    let mut digits = generate_digits(scaled, lower, upper);
    digits.exponent -= decimal_exponent;
    digits
}

/// Finds a power of ten that scales a normalized number of this binary exponent so that its
/// integer part has at most 32 bits, and gives the power and its decimal exponent.
///
/// Two powers may do, and the choice can show in the last digit, so it is stock's choice.
///
/// Stock: `fpconv_powers.h` `find_cachedpow10`.
fn cached_power(exponent: i32) -> (Binary, i32) {
    const LOG10_OF_2: f64 = 0.301_029_995_663_981_14;
    let guess = (-f64::from(exponent + POWERS.len() as i32) * LOG10_OF_2) as i32;
    let mut index = (guess - FIRST_POWER) / POWER_STEP;
    loop {
        let decimal_exponent = FIRST_POWER + index * POWER_STEP;
        // The exact exponent is that of the logarithm, rounded down, for all these powers.
        let power_exponent = ((decimal_exponent * 217_706) >> 16) - 63;
        let scaled = exponent + power_exponent + 64;
        if scaled < -60 {
            index += 1;
        } else if scaled > -32 {
            index -= 1;
        } else {
            let fraction = usize::try_from(index).ok().and_then(|index| POWERS.get(index));
            let fraction = fraction.copied().unwrap_or(1 << 63);
            return (Binary { fraction, exponent: power_exponent }, decimal_exponent);
        }
    }
}

/// Writes the digits of `upper` until what is left is within the interval.
///
/// Stock: `fpconv_dtoa.c` `generate_digits`.
fn generate_digits(value: Binary, lower: Binary, upper: Binary) -> Digits {
    let mut distance = upper.fraction.wrapping_sub(value.fraction);
    let mut delta = upper.fraction.wrapping_sub(lower.fraction);
    let shift = upper.exponent.unsigned_abs();
    let one = 1_u64 << shift;
    let mut integer = upper.fraction >> shift;
    let mut fraction = upper.fraction & (one - 1);
    let mut digits = Digits::new();

    let mut unit = 1_000_000_000;
    for exponent in (0..10).rev() {
        let digit = (integer / unit) as u8;
        if digit != 0 || digits.len > 0 {
            digits.push(digit);
        }
        integer %= unit;
        let rest = (integer << shift) + fraction;
        if rest <= delta {
            digits.exponent = exponent;
            approach(&mut digits, delta, rest, unit << shift, distance);
            return digits;
        }
        unit /= 10;
    }
    for exponent in 1.. {
        fraction = fraction.wrapping_mul(10);
        delta = delta.wrapping_mul(10);
        distance = distance.wrapping_mul(10);
        let digit = (fraction >> shift) as u8;
        if digit != 0 || digits.len > 0 {
            digits.push(digit);
        }
        fraction &= one - 1;
        if fraction < delta {
            digits.exponent = -exponent;
            approach(&mut digits, delta, fraction, one, distance);
            break;
        }
    }
    digits
}

/// Lowers the last digit while that brings the number nearer to the value.
///
/// Stock: `fpconv_dtoa.c` `round_digit`.
fn approach(digits: &mut Digits, delta: u64, mut rest: u64, unit: u64, distance: u64) {
    while rest < distance && delta - rest >= unit {
        let next = rest.wrapping_add(unit);
        if next >= distance && distance - rest <= next - distance {
            break;
        }
        digits.decrease_last();
        rest = next;
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// Holds the upper 64 bits, rounded, of every eighth power of ten from [`FIRST_POWER`].
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288,
    0xbaae_e17f_a23e_bf76,
    0x8b16_fb20_3055_ac76,
    0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d,
    0xe61a_cf03_3d1a_45df,
    0xab70_fe17_c79a_c6ca,
    0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c,
    0x8dd0_1fad_907f_fc3c,
    0xd351_5c28_3155_9a83,
    0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb,
    0xaecc_4991_4078_536d,
    0x823c_1279_5db6_ce57,
    0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f,
    0xd774_85cb_2582_3ac7,
    0xa086_cfcd_97bf_97f4,
    0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e,
    0x84c8_d4df_d2c6_3f3b,
    0xc5dd_4427_1ad3_cdba,
    0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584,
    0xa3ab_6658_0d5f_daf6,
    0xf3e2_f893_dec3_f126,
    0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b,
    0xc9bc_ff60_34c1_3053,
    0x964e_858c_91ba_2655,
    0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f,
    0xf8a9_5fcf_8874_7d94,
    0xb944_7093_8fa8_9bcf,
    0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6,
    0x993f_e2c6_d07b_7fac,
    0xe45c_10c4_2a2b_3b06,
    0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e,
    0xbce5_0864_9211_1aeb,
    0x8cbc_cc09_6f50_88cc,
    0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000,
    0xe8d4_a510_0000_0000,
    0xad78_ebc5_ac62_0000,
    0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3,
    0x8f7e_32ce_7bea_5c70,
    0xd5d2_38a4_abe9_8068,
    0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27,
    0xb0de_6538_8cc8_ada8,
    0x83c7_088e_1aab_65db,
    0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758,
    0xda01_ee64_1a70_8dea,
    0xa26d_a399_9aef_774a,
    0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877,
    0x865b_8692_5b9b_c5c2,
    0xc835_53c5_c896_5d3d,
    0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3,
    0xa59b_c234_db39_8c25,
    0xf6c6_9a72_a398_9f5c,
    0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2,
    0xcc20_ce9b_d35c_78a5,
    0x9816_5af3_7b21_53df,
    0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396,
    0xfb9b_7cd9_a4a7_443c,
    0xbb76_4c4c_a7a4_4410,
    0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c,
    0x9b10_a4e5_e991_3129,
    0xe710_9bfb_a19c_0c9d,
    0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85,
    0xbf21_e440_03ac_dd2d,
    0x8e67_9c2f_5e44_ff8f,
    0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9,
    0xeb96_bf6e_badf_77d9,
    0xaf87_023b_9bf0_ee6b,
];

/// Is text being written into a buffer; what does not fit is dropped.
struct Text<'b> {
    buffer: &'b mut NumberBuffer,
    len: usize,
}

impl<'b> Text<'b> {
    fn new(buffer: &'b mut NumberBuffer) -> Text<'b> {
        Text { buffer, len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn append_integer(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut len = 0;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
            len += 1;
            if value == 0 {
                break;
            }
        }
        self.append(digits.get(digits.len() - len..).unwrap_or_default());
    }

    fn finish(self) -> &'b [u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.append(part.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resp::{Encoder, ReplySink, RespVersion};

    fn text(style: NumberStyle, value: f64) -> String {
        let mut buffer = [0; 32];
        String::from_utf8(format(style, value, &mut buffer).to_vec()).unwrap()
    }

    fn precision_text(precision: usize, value: f64) -> String {
        let mut buffer = [0; 32];
        String::from_utf8(format_precision(precision, value, &mut buffer).to_vec()).unwrap()
    }

    /// The texts are those of C: `%.17g`, what Redis 8.0 sends, `%.14g`.
    #[test]
    #[expect(clippy::excessive_precision, reason = "these values are written out in full")]
    fn numbers_have_the_text_c_gives_them() {
        let cases: [(f64, &str, &str, &str); 45] = [
            (0.0, "0", "0", "0"),
            (-0.0, "-0", "0", "-0"),
            (1.0, "1", "1", "1"),
            (-3.0, "-3", "-3", "-3"),
            (0.1, "0.10000000000000001", "0.1", "0.1"),
            (-0.1, "-0.10000000000000001", "-0.1", "-0.1"),
            (0.5, "0.5", "0.5", "0.5"),
            (1.5, "1.5", "1.5", "1.5"),
            (100.0, "100", "100", "100"),
            (1.0 / 3.0, "0.33333333333333331", "0.3333333333333333", "0.33333333333333"),
            (1e-4, "0.0001", "0.0001", "0.0001"),
            (1e-5, "1.0000000000000001e-05", "0.00001", "1e-05"),
            (-1e-5, "-1.0000000000000001e-05", "-0.00001", "-1e-05"),
            (1.25e-7, "1.2499999999999999e-07", "1.25e-7", "1.25e-07"),
            (0.0001234, "0.00012339999999999999", "1.234e-4", "0.0001234"),
            (0.00001234, "1.234e-05", "1.234e-5", "1.234e-05"),
            (123456.789, "123456.789", "123456.789", "123456.789"),
            (9007199254740993.0, "9007199254740992", "9007199254740992", "9.007199254741e+15"),
            (12345678901234.5625, "12345678901234.562", "12345678901234.562", "12345678901235"),
            (12345678901234.6875, "12345678901234.688", "12345678901234.688", "12345678901235"),
            (99999999999999999.0, "1e+17", "100000000000000000", "1e+17"),
            (1e15, "1000000000000000", "1000000000000000", "1e+15"),
            (1e16, "10000000000000000", "10000000000000000", "1e+16"),
            (1e17, "1e+17", "100000000000000000", "1e+17"),
            (1e18, "1e+18", "1000000000000000000", "1e+18"),
            (-1e18, "-1e+18", "-1000000000000000000", "-1e+18"),
            (5e18, "5e+18", "5e+18", "5e+18"),
            (
                4611686018427387904.0,
                "4.6116860184273879e+18",
                "4611686018427387904",
                "4.6116860184274e+18",
            ),
            (
                4611686018427389000.0,
                "4.6116860184273889e+18",
                "4611686018427389000",
                "4.6116860184274e+18",
            ),
            (
                9223372036854775808.0,
                "9.2233720368547758e+18",
                "9223372036854776000",
                "9.2233720368548e+18",
            ),
            (
                123456789012345678.0,
                "1.2345678901234568e+17",
                "123456789012345680",
                "1.2345678901235e+17",
            ),
            (65294498705027984.0, "65294498705027984", "65294498705027984", "6.5294498705028e+16"),
            (35279572654.306534, "35279572654.306534", "35279572654.306534", "35279572654.307"),
            (1.2345678e25, "1.2345678e+25", "1.2345678e+25", "1.2345678e+25"),
            (1e20, "1e+20", "1e+20", "1e+20"),
            (1e21, "1e+21", "1e+21", "1e+21"),
            (1e100, "1e+100", "1e+100", "1e+100"),
            (
                -1.7976931348623157e308,
                "-1.7976931348623157e+308",
                "-1.7976931348623157e+308",
                "-1.7976931348623e+308",
            ),
            (
                2.2250738585072014e-308,
                "2.2250738585072014e-308",
                "2.2250738585072014e-308",
                "2.2250738585072e-308",
            ),
            (5e-324, "4.9406564584124654e-324", "5e-324", "4.9406564584125e-324"),
            (-5e-324, "-4.9406564584124654e-324", "-5e-324", "-4.9406564584125e-324"),
            (f64::INFINITY, "inf", "inf", "inf"),
            (f64::NEG_INFINITY, "-inf", "-inf", "-inf"),
            (f64::NAN, "nan", "nan", "nan"),
            (-f64::NAN, "-nan", "-nan", "-nan"),
        ];
        for (value, precise, shortest, lua) in cases {
            assert_eq!(text(NumberStyle::Precision17, value), precise);
            assert_eq!(text(NumberStyle::Shortest, value), shortest);
            assert_eq!(precision_text(14, value), lua);
        }
    }

    /// The text that does not go by the shortest one.
    fn exact_text(precision: usize, value: f64) -> String {
        let mut buffer = NumberBuffer::default();
        let mut text = Text::new(&mut buffer);
        append_rounded(&mut text, precision, value);
        String::from_utf8_lossy(text.finish()).into_owned()
    }

    #[test]
    fn the_shortest_text_is_rounded_as_the_number_is() {
        let mut seed = 1_u64;
        for _ in 0..300_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = seed ^ (seed >> 29);
            let halves = f64::from(bits as u32) / 8192.0 + 0.5_f64.powi((bits >> 40) as i32 & 63);
            for value in [f64::from_bits(bits & (i64::MAX as u64)), halves, 1.0 / halves] {
                if value.is_normal() || value.is_subnormal() {
                    let precision = 1 + (bits >> 55) as usize % SURE_DIGITS;
                    for precision in [precision, 14] {
                        let mut buffer = NumberBuffer::default();
                        let mut text = Text::new(&mut buffer);
                        if small_integer(value, precision).is_none()
                            && append_shortened(&mut text, precision, value)
                        {
                            let text = String::from_utf8_lossy(text.finish()).into_owned();
                            assert_eq!(text, exact_text(precision, value), "{value:e} {precision}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn low_precisions_round_half_to_even() {
        let cases = [
            (1, 2.5, "2"),
            (1, 3.5, "4"),
            (1, 9.5, "1e+01"),
            (1, 15.0, "2e+01"),
            (2, 99.5, "1e+02"),
            (3, 0.00012345, "0.000123"),
            (0, 2.0, "2"),
            (99, 0.1, "0.10000000000000001"),
        ];
        for (precision, value, expected) in cases {
            assert_eq!(precision_text(precision, value), expected);
        }
    }

    #[test]
    fn integers_are_cut_towards_zero() {
        let cases = [
            (0.0, 0),
            (-0.0, 0),
            (3.99, 3),
            (-3.99, -3),
            (9_223_372_036_854_774_784.0, 9_223_372_036_854_774_784),
            (-9_223_372_036_854_775_808.0, i64::MIN),
        ];
        for (value, integer) in cases {
            assert_eq!(to_integer(value), integer, "{value}");
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    fn numbers_out_of_range_become_the_least_integer() {
        for value in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert_eq!(to_integer(value), i64::MIN, "{value}");
        }
        assert_eq!(to_integer(9_223_372_036_854_775_808.0), i64::MIN);
        assert_eq!(to_integer(-9_223_372_036_854_777_856.0), i64::MIN);
    }

    #[test]
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    fn numbers_out_of_range_become_the_nearest_integer() {
        assert_eq!(to_integer(f64::NAN), 0);
        assert_eq!(to_integer(f64::INFINITY), i64::MAX);
        assert_eq!(to_integer(-1e300), i64::MIN);
    }

    /// Checks the properties that hold for every number.
    fn check(value: f64) {
        for style in [NumberStyle::Precision17, NumberStyle::Shortest] {
            let read: f64 = text(style, value).parse().unwrap();
            // The integer form of zero has no sign.
            let is_same = read.to_bits() == value.to_bits() || (value == 0.0 && read == 0.0);
            assert!(is_same || (read.is_nan() && value.is_nan()), "{value:e} {style:?}");
        }
        let mut encoder = Encoder::new(RespVersion::Resp3);
        encoder.double(value);
        let line = format!(",{}\r\n", text(NumberStyle::Precision17, value));
        assert_eq!(encoder.out, line.as_bytes());
    }

    #[test]
    fn every_binary_exponent_reads_back() {
        for exponent in 0..2048_u64 {
            for fraction in [0, 1, (1 << 52) - 1] {
                check(f64::from_bits(exponent << 52 | fraction));
            }
        }
    }

    proptest! {
        #[test]
        fn any_number_reads_back(bits: u64) {
            check(f64::from_bits(bits));
        }

        #[test]
        fn everyday_numbers_read_back(integer in -1_000_000_000_i64..1_000_000_000, scale in 1..9) {
            check(integer as f64 / 10_f64.powi(scale));
            check(integer as f64);
        }

        #[test]
        fn integers_print_as_themselves(integer in -(1_i64 << 53)..(1_i64 << 53)) {
            for style in [NumberStyle::Precision17, NumberStyle::Shortest] {
                prop_assert_eq!(text(style, integer as f64), integer.to_string());
            }
        }
    }
}
