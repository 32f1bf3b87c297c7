//! The SHA1 digest that names a script.
//!
//! A digest is kept as its 20 bytes; the 40 hexadecimal digits exist only at the edges.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha1::Digest;

/// Is the SHA1 digest of a script's text, its shebang included.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha1([u8; 20]);

impl Sha1 {
    /// Computes the digest of `bytes`.
    ///
    /// Stock: `eval.c` `sha1hex`.
    pub fn of(bytes: &[u8]) -> Sha1 {
        Sha1(sha1::Sha1::digest(bytes).into())
    }

    /// Reads a digest from exactly 40 hexadecimal digits of either case.
    ///
    /// Anything else gives `None`: stock takes any 40 bytes as a name, but only hexadecimal ones
    /// can be the name of a script.
    ///
    /// Stock: `eval.c` `evalCalcFunctionName`.
    pub fn from_hex(hex: &[u8]) -> Option<Sha1> {
        let nibbles = <[u8; 40]>::try_from(hex).ok()?.map(nibble);
        let mut digest = [0; 20];
        for (byte, [high, low]) in digest.iter_mut().zip(nibbles.as_chunks().0) {
            *byte = high << 4 | (low & 0xf);
        }
        let all = nibbles.iter().fold(0, |all, nibble| all | nibble);
        (all <= 0xf).then_some(Sha1(digest))
    }

    /// Gives the digest as 40 lower-case hexadecimal digits.
    ///
    /// Stock: `eval.c` `sha1hex`.
    pub fn to_hex(&self) -> [u8; 40] {
        let mut hex = [0; 40];
        let (pairs, _) = hex.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        hex
    }

    /// Gives the 20 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Gives the first eight bytes as a number: a digest is its own hash.
    pub fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

impl Hash for Sha1 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha1({self})")
    }
}

/// Gives the value of a hexadecimal digit, or a value above 15.
#[inline]
fn nibble(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    if decimal < 10 {
        decimal
    } else if letter < 6 {
        letter + 10
    } else {
        0xff
    }
}

/// Gives the lower-case digit of a value below 16.
#[inline]
fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_are_the_published_ones() {
        let cases: [(&[u8], &str); 4] = [
            (b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (b"return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            (b"\0", "5ba93c9db0cff93f52b521d7420e43f6eda2784f"),
        ];
        for (body, hex) in cases {
            assert_eq!(Sha1::of(body).to_hex(), hex.as_bytes());
            assert_eq!(Sha1::of(body).to_string(), hex);
            assert_eq!(Sha1::from_hex(hex.as_bytes()), Some(Sha1::of(body)));
            assert_eq!(Sha1::from_hex(hex.to_uppercase().as_bytes()), Some(Sha1::of(body)));
        }
    }

    #[test]
    fn every_byte_is_a_digit_or_refused_at_every_place() {
        for place in 0..40 {
            for byte in 0..=u8::MAX {
                let mut hex = [b'0'; 40];
                hex[place] = byte;
                let read = Sha1::from_hex(&hex);
                assert_eq!(read.is_some(), byte.is_ascii_hexdigit(), "{byte} at {place}");
                if let Some(sha1) = read {
                    assert_eq!(sha1.to_hex(), hex.to_ascii_lowercase().as_slice());
                }
            }
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        for len in (0..40).chain(41..90) {
            assert_eq!(Sha1::from_hex(&vec![b'a'; len]), None, "{len}");
        }
    }

    proptest! {
        #[test]
        fn hex_round_trips(bytes: [u8; 20]) {
            let sha1 = Sha1(bytes);
            prop_assert_eq!(Sha1::from_hex(&sha1.to_hex()), Some(sha1));
            prop_assert_eq!(sha1.as_bytes(), &bytes);
        }
    }
}
