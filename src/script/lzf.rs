//! LZF, as stock packs long strings with it: runs of plain bytes and copies of earlier ones.
//!
//! What is unpacked was written by a client, so nothing in it is trusted. What is packed has the very bytes
//! that stock would write, so the choices are stock's.

/// Unpacks `packed`, which must hold exactly `len` bytes.
///
/// Memory grows with what is unpacked, not with `len`. `None` when the data is cut short or holds
/// another number of bytes, or when a copy reaches back before the start.
///
/// Stock: `lzf_d.c` `lzf_decompress`.
pub fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        rest = match control >> 5 {
            0 => {
                let (run, after) = after.split_at_checked(usize::from(control) + 1)?;
                text.extend_from_slice(run);
                after
            }
            short => {
                // The largest short count says that a byte with more of it follows.
                let (more, after) = if short == 7 { split_byte(after)? } else { (0, after) };
                let (low, after) = split_byte(after)?;
                let distance = (usize::from(control & 0x1f) << 8) + low + 1;
                copy(&mut text, distance, usize::from(short) + more + 2)?;
                after
            }
        };
        if text.len() > len {
            return None;
        }
    }
    (text.len() == len).then_some(text)
}

/// Appends `count` bytes, read `distance` bytes before where they are written.
///
/// What is copied may reach into what it writes, which repeats it.
fn copy(text: &mut Vec<u8>, distance: usize, mut count: usize) -> Option<()> {
    let mut start = text.len().checked_sub(distance)?;
    while count > 0 {
        let part = count.min(distance);
        text.extend_from_within(start..start + part);
        start += part;
        count -= part;
    }
    Some(())
}

/// How many bits a place in the packer's table has.
const TABLE_BITS: u32 = 16;
/// The longest run of plain bytes.
const LONGEST_RUN: usize = 32;
/// How far back a copy may reach.
const FARTHEST: usize = 1 << 13;
/// The most bytes of a copy, but for two.
const LONGEST_COPY: usize = (1 << 8) + (1 << 3);
/// How many bytes packing must save.
const WORTH: usize = 4;

/// Packs `text`; `None` where that saves too little.
///
/// Stock: `rdb.c` `rdbSaveLzfStringObject`, `lzf_c.c` `lzf_compress`.
pub fn pack(text: &[u8]) -> Option<Vec<u8>> {
    let room = text.len().checked_sub(WORTH)?;
    let mut packer = Packer { text, room, out: Vec::with_capacity(room), run: 0, at: 0 };
    let mut table = vec![0_usize; 1 << TABLE_BITS];
    packer.out.push(0);
    // Two bytes, and further ones shifted out above them.
    let mut window = packer.first()?;
    let last = text.len().saturating_sub(2);
    while packer.at < last {
        window = packer.next(window)?;
        let earlier = std::mem::replace(table.get_mut(place(window))?, packer.at);
        let Some(count) = packer.repeated(earlier) else {
            packer.plain()?;
            continue;
        };
        packer.copy(packer.at - earlier - 1, count)?;
        if packer.at >= last {
            break;
        }
        // The last two places of a copy can be found again, not those before.
        packer.at -= 2;
        window = packer.first()?;
        for _ in 0..2 {
            window = packer.next(window)?;
            *table.get_mut(place(window))? = packer.at;
            packer.at += 1;
        }
    }
    if packer.out.len() + 3 > room {
        return None;
    }
    while packer.at < text.len() {
        packer.push()?;
    }
    packer.end_run();
    Some(packer.out)
}

/// Where in the table the bytes of a window are looked up.
fn place(window: u32) -> usize {
    let mixed = (window >> (24 - TABLE_BITS)).wrapping_sub(window.wrapping_mul(5));
    mixed as usize & ((1 << TABLE_BITS) - 1)
}

struct Packer<'a> {
    text: &'a [u8],
    /// The most bytes to write.
    room: usize,
    /// What was written; the head of the run that is open has its place, though not its value.
    out: Vec<u8>,
    /// Plain bytes in the run that is open.
    run: usize,
    at: usize,
}

impl Packer<'_> {
    fn first(&self) -> Option<u32> {
        let pair = self.text.get(self.at..self.at + 2)?;
        Some(u32::from(pair[0]) << 8 | u32::from(pair[1]))
    }

    fn next(&self, window: u32) -> Option<u32> {
        Some(window << 8 | u32::from(*self.text.get(self.at + 2)?))
    }

    /// How many bytes here are the same as at `earlier`, counted as stock counts them: the number to write,
    /// which is two less than that of the bytes.
    fn repeated(&self, earlier: usize) -> Option<usize> {
        let same = |count: usize| {
            let (one, other) = (self.text.get(earlier + count), self.text.get(self.at + count));
            one.is_some() && one == other
        };
        let is_near = earlier > 0 && self.at - earlier - 1 < FARTHEST;
        if !is_near || !same(0) || !same(1) || !same(2) {
            return None;
        }
        let most = (self.text.len() - self.at - 2).min(LONGEST_COPY);
        let mut count = 2;
        if most > 16 {
            for _ in 0..16 {
                count += 1;
                if !same(count) {
                    return Some(count - 2);
                }
            }
        }
        loop {
            count += 1;
            if count >= most || !same(count) {
                return Some(count - 2);
            }
        }
    }

    /// Writes a copy from `distance` and one bytes before.
    fn copy(&mut self, distance: usize, count: usize) -> Option<()> {
        let open = usize::from(self.run == 0);
        if self.out.len() - open + 4 >= self.room {
            return None;
        }
        self.end_run();
        let high = (distance >> 8) as u8;
        if count < 7 {
            self.out.push(high | (count as u8) << 5);
        } else {
            self.out.push(high | 7 << 5);
            self.out.push((count - 7) as u8);
        }
        self.out.push(distance as u8);
        self.out.push(0);
        self.at += count + 2;
        Some(())
    }

    /// Writes a plain byte, if there is room.
    fn plain(&mut self) -> Option<()> {
        if self.out.len() >= self.room {
            return None;
        }
        self.push()
    }

    fn push(&mut self) -> Option<()> {
        self.out.push(*self.text.get(self.at)?);
        self.at += 1;
        self.run += 1;
        if self.run == LONGEST_RUN {
            self.end_run();
            self.out.push(0);
        }
        Some(())
    }

    /// Gives the open run its head, or takes it back if the run is empty.
    fn end_run(&mut self) {
        if self.run == 0 {
            self.out.pop();
        } else {
            let head = self.out.len() - self.run - 1;
            if let Some(head) = self.out.get_mut(head) {
                *head = (self.run - 1) as u8;
            }
        }
        self.run = 0;
    }
}

fn split_byte(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(&byte, rest)| (usize::from(byte), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_packed_is_what_stock_writes() {
        let text = b"#!lua name=lib\nredis.register_function('f', function() return \
            'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' end)";
        let packed =
            b"\x1f#!lua name=lib\nredis.register_fu\x0bnction('f', \xe0\x00\r\n) return 'a\
            \xe0-\x00\x05' end)";
        assert_eq!(pack(text).as_deref(), Some(&packed[..]));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            words in prop::collection::vec(prop::collection::vec(b'a'..=b'c', 1..9), 0..200),
        ) {
            let text = words.concat();
            if let Some(packed) = pack(&text) {
                prop_assert!(packed.len() + WORTH <= text.len());
                prop_assert_eq!(unpack(&packed, text.len()), Some(text));
            }
        }
    }

    #[test]
    fn runs_and_copies_are_unpacked() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"", b""),
            (b"\x00a", b"a"),
            (b"\x02abc", b"abc"),
            (b"\x00a\x00b", b"ab"),
            (b"\x02abc\x20\x02", b"abcabc"),
            (b"\x02abc\x20\x00", b"abcccc"),
            (b"\x01ab\x60\x01\x00c", b"abababac"),
            (b"\x01ab\xe0\x00\x01", b"abababababa"),
        ];
        for (packed, text) in cases {
            let name = packed.escape_ascii();
            assert_eq!(unpack(packed, text.len()).as_deref(), Some(text), "{name}");
            assert_eq!(unpack(packed, text.len() + 1), None, "{name}");
            if let Some(less) = text.len().checked_sub(1) {
                assert_eq!(unpack(packed, less), None, "{name}");
            }
        }
    }

    #[test]
    fn the_longest_run_and_the_farthest_copy_are_unpacked() {
        let text: Vec<u8> = (0..8192_u32).map(|at| (at * at / 7) as u8).collect();
        let mut packed = Vec::new();
        for run in text.chunks(32) {
            packed.push(31);
            packed.extend_from_slice(run);
        }
        packed.extend_from_slice(b"\xff\xff\xff");
        let expected = [&text[..], &text[..264]].concat();
        assert_eq!(unpack(&packed, expected.len()), Some(expected));
    }

    #[test]
    fn broken_data_is_refused() {
        let cases: [&[u8]; 8] = [
            b"\x00",
            b"\x02ab",
            b"\x20",
            b"\xe0",
            b"\xe0\x00",
            b"\x20\x00",
            b"\x01ab\x20\x02",
            b"\x01ab\xff\xff\xff",
        ];
        for packed in cases {
            for len in 0..300 {
                assert_eq!(unpack(packed, len), None, "{} {len}", packed.escape_ascii());
            }
        }
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        assert_eq!(unpack(b"\x00a", usize::MAX), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(packed in any::<Vec<u8>>(), len in 0..600_usize) {
            if let Some(text) = unpack(&packed, len) {
                prop_assert_eq!(text.len(), len);
            }
        }
    }
}
