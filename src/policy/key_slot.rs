//! The cluster slot of a key.

use crc::{CRC_16_XMODEM, Crc, Table};

/// Is the number of slots of a cluster.
///
/// Stock: `cluster.h` `CLUSTER_SLOTS`.
pub const SLOT_COUNT: u16 = 16384;

const CRC16: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_XMODEM);

/// Computes the slot of a key, from its hash tag if it has one.
///
/// The hash tag is what stands between the first `{` and the first `}` after it, unless empty.
///
/// Stock: `cluster.c` `keyHashSlot`.
pub fn key_slot(key: &[u8]) -> u16 {
    CRC16.checksum(hash_tag(key).unwrap_or(key)) % SLOT_COUNT
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let after = key.get(open + 1..)?;
    let close = after.iter().position(|&byte| byte == b'}')?;
    after.get(..close).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_keys_have_known_slots() {
        let cases: [(&[u8], u16); 18] = [
            (b"", 0),
            (b"a", 15495),
            (b"foo", 12182),
            (b"123456789", 12739),
            (b"{user1000}.following", 3443),
            (b"{user1000}.followers", 3443),
            (b"user1000", 3443),
            (b"foo{}{bar}", 8363),
            (b"foo{{bar}}zap", 4015),
            (b"foo{bar}{zap}", 5061),
            (b"foo{bar", 15278),
            (b"foo}bar{", 11073),
            (b"{}", 15257),
            (b"{", 4092),
            (b"}{a}", 15495),
            (b"\0\xff", 7920),
            (b"{\0}x", 0),
            (b"\0", 0),
        ];
        for (key, slot) in cases {
            assert_eq!(key_slot(key), slot, "{}", key.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_key_has_a_slot(key: Vec<u8>) {
            prop_assert!(key_slot(&key) < SLOT_COUNT);
        }

        #[test]
        fn a_tag_decides_the_slot(before in "[^{]{0,9}", tag in "[^}]{1,9}", after in ".{0,9}") {
            let key = format!("{before}{{{tag}}}{after}");
            prop_assert_eq!(key_slot(key.as_bytes()), CRC16.checksum(tag.as_bytes()) % SLOT_COUNT);
        }
    }
}
