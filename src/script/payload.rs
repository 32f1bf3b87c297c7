//! The payload of `FUNCTION DUMP`: the texts of libraries, as stock servers pass them on.
//!
//! Each library is an opcode and a string as in an RDB file. A footer ends the payload: the version
//! of the RDB format and a checksum over everything before it.

use std::borrow::Cow;

use crc::{CRC_64_REDIS, Crc, Table};

use crate::script::lzf;

/// Says that a library follows.
///
/// Stock: `rdb.h` `RDB_OPCODE_FUNCTION2`.
const LIBRARY: u8 = 245;

/// Says that a library follows in the form of the release candidates of 7.0.
///
/// Stock: `rdb.h` `RDB_OPCODE_FUNCTION_PRE_GA`.
const PRE_GA_LIBRARY: u8 = 246;

/// Is the longest text that may stand for an integer: that of the least one.
const LONGEST_INTEGER: usize = "-2147483648".len();

/// Is the longest text that is never packed.
const LONGEST_PLAIN: usize = 20;

const VERSION_LEN: usize = size_of::<u16>();
const CHECKSUM_LEN: usize = size_of::<u64>();

const CRC64: Crc<u64, Table<1>> = Crc::<u64, Table<1>>::new(&CRC_64_REDIS);

/// Is the reason a payload is refused; each says how stock puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Too short, from a newer server, or damaged: `DUMP payload version or checksum are wrong`.
    Footer,
    /// What follows is from a release candidate: `Pre-GA function format not supported`.
    ///
    /// Stock 7.0 still reads it.
    PreGa,
    /// What follows is no library: `given type is not a function`.
    NotALibrary,
    /// The text of a library cannot be read: `Failed loading library payload`.
    Text,
}

/// Writes the payload that holds these texts, in their order; long ones are packed if `packs`, as by a
/// server with `rdbcompression yes`.
///
/// Stock: `functions.c` `functionDumpCommand`, `rdb.c` `rdbSaveFunctions`.
pub fn dump<'a>(
    texts: impl IntoIterator<Item = &'a [u8]>,
    rdb_version: u16,
    packs: bool,
) -> Vec<u8> {
    let mut body = Vec::new();
    for text in texts {
        body.push(LIBRARY);
        write_string(&mut body, text, packs);
    }
    seal(body, rdb_version)
}

/// Opens a payload written by a server whose RDB format is one that `reads` accepts.
///
/// The texts are read one after the other, as a server loads each library before it looks at the
/// next: an error in a text comes before one in the payload behind it. The packed ones may have
/// `limit` bytes together, since a few bytes can claim to hold any number.
///
/// # Errors
///
/// [`PayloadError::Footer`].
///
/// Stock: `functions.c` `functionRestoreCommand`, `cluster.c` `verifyDumpPayload`.
pub fn restore(
    payload: &[u8],
    reads: impl FnOnce(u16) -> bool,
    limit: usize,
) -> Result<Texts<'_>, PayloadError> {
    open(payload, reads).map(|body| Texts { rest: body, limit }).ok_or(PayloadError::Footer)
}

/// Gives the texts in a payload; ends after the first that cannot be read.
///
/// Stock lets the last text reach into the footer. Here that is an error, like any other text
/// that is cut short.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    rest: &'a [u8],
    limit: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<Cow<'a, [u8]>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&opcode, mut rest) = self.rest.split_first()?;
        let text = match opcode {
            LIBRARY => read_string(&mut rest, &mut self.limit).ok_or(PayloadError::Text),
            PRE_GA_LIBRARY => Err(PayloadError::PreGa),
            _ => Err(PayloadError::NotALibrary),
        };
        self.rest = if text.is_ok() { rest } else { &[] };
        Some(text)
    }
}

/// Puts the footer under a payload.
pub(crate) fn seal(mut body: Vec<u8>, rdb_version: u16) -> Vec<u8> {
    body.extend_from_slice(&rdb_version.to_le_bytes());
    let checksum = CRC64.checksum(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

/// Takes the footer off a payload, if it is right. No value of the checksum turns the check off, as
/// zero does at the end of an RDB file.
fn open(payload: &[u8], reads: impl FnOnce(u16) -> bool) -> Option<&[u8]> {
    let (summed, checksum) = payload.split_last_chunk::<CHECKSUM_LEN>()?;
    let (body, version) = summed.split_last_chunk::<VERSION_LEN>()?;
    let known = reads(u16::from_le_bytes(*version));
    (known && u64::from_le_bytes(*checksum) == CRC64.checksum(summed)).then_some(body)
}

/// Is what a string starts with.
///
/// Stock: `rdb.c` `rdbLoadLenByRef`.
enum Length {
    /// So many bytes follow.
    Bytes(u64),
    /// The string follows in another form, with this number.
    Encoded(u8),
}

/// The forms of a string that are not just its bytes.
///
/// Stock: `rdb.h` `RDB_ENC_INT8` and what follows it.
const INT8: u8 = 0;
const INT16: u8 = 1;
const INT32: u8 = 2;
const LZF: u8 = 3;

/// Is what the first byte of a string has set when the string has another form.
const ENCODED: u8 = 0b1100_0000;
/// Is what the first byte of a length has set when another byte of the length follows.
const LENGTH_14: u8 = 0b0100_0000;
/// Is the first byte of a length that follows in four bytes.
const LENGTH_32: u8 = 0x80;
/// Is the first byte of a length that follows in eight bytes.
const LENGTH_64: u8 = 0x81;

/// Stock: `rdb.c` `rdbSaveRawString`.
fn write_string(out: &mut Vec<u8>, text: &[u8], packs: bool) {
    if let Some(number) = integer(text) {
        if let Ok(number) = i8::try_from(number) {
            out.push(ENCODED | INT8);
            out.extend_from_slice(&number.to_le_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            out.push(ENCODED | INT16);
            out.extend_from_slice(&number.to_le_bytes());
        } else {
            out.push(ENCODED | INT32);
            out.extend_from_slice(&number.to_le_bytes());
        }
    } else if packs
        && text.len() > LONGEST_PLAIN
        && let Some(packed) = lzf::pack(text)
    {
        out.push(ENCODED | LZF);
        write_length(out, packed.len() as u64);
        write_length(out, text.len() as u64);
        out.extend_from_slice(&packed);
    } else {
        write_length(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// Stock: `rdb.c` `rdbSaveLen`.
fn write_length(out: &mut Vec<u8>, len: u64) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => {
            out.extend_from_slice(&(u16::from(LENGTH_14) << 8 | len as u16).to_be_bytes())
        }
        0x4000..0x1_0000_0000 => {
            out.push(LENGTH_32);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(LENGTH_64);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Gives the integer whose one and only text this is.
///
/// Stock: `util.c` `string2ll`.
fn integer(text: &[u8]) -> Option<i32> {
    if text.len() > LONGEST_INTEGER {
        return None;
    }
    let number: i32 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Takes a string off `rest`, and what it unpacks to off `limit`.
///
/// Stock: `rdb.c` `rdbGenericLoadStringObject`.
fn read_string<'a>(rest: &mut &'a [u8], limit: &mut usize) -> Option<Cow<'a, [u8]>> {
    let number = match read_length(rest)? {
        Length::Bytes(len) => return read_bytes(rest, len).map(Cow::Borrowed),
        Length::Encoded(INT8) => i32::from(i8::from_le_bytes(read_array(rest)?)),
        Length::Encoded(INT16) => i32::from(i16::from_le_bytes(read_array(rest)?)),
        Length::Encoded(INT32) => i32::from_le_bytes(read_array(rest)?),
        Length::Encoded(LZF) => return read_packed(rest, limit).map(Cow::Owned),
        Length::Encoded(_) => return None,
    };
    Some(Cow::Owned(number.to_string().into_bytes()))
}

/// Stock: `rdb.c` `rdbLoadLzfStringObject`.
fn read_packed(rest: &mut &[u8], limit: &mut usize) -> Option<Vec<u8>> {
    let (Length::Bytes(packed), Length::Bytes(len)) = (read_length(rest)?, read_length(rest)?)
    else {
        return None;
    };
    let len = usize::try_from(len).ok()?;
    let left = limit.checked_sub(len)?;
    let text = lzf::unpack(read_bytes(rest, packed)?, len)?;
    *limit = left;
    Some(text)
}

fn read_length(rest: &mut &[u8]) -> Option<Length> {
    let [first] = read_array(rest)?;
    let low = first & !ENCODED;
    Some(match first & ENCODED {
        0 => Length::Bytes(low.into()),
        LENGTH_14 => {
            let [second] = read_array(rest)?;
            Length::Bytes(u16::from_be_bytes([low, second]).into())
        }
        ENCODED => Length::Encoded(low),
        _ => match first {
            LENGTH_32 => Length::Bytes(u32::from_be_bytes(read_array(rest)?).into()),
            LENGTH_64 => Length::Bytes(u64::from_be_bytes(read_array(rest)?)),
            _ => return None,
        },
    })
}

fn read_bytes<'a>(rest: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    rest.split_off(..usize::try_from(count).ok()?)
}

fn read_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEWEST: u16 = 10;
    const LIMIT: usize = 1 << 20;

    fn is_known(version: u16) -> bool {
        version <= NEWEST
    }

    // What `FUNCTION DUMP` of Redis 7.0.15 gave.
    const NONE: &str = "0a005d9b5c400f7fa2da";
    const ONE: &str = "f5404323216c7561206e616d653d610a72656469732e72656769737465725f66756e6374\
        696f6e282766272c66756e6374696f6e28292072657475726e2027662720656e64290a00ed0c08b736ba2475";
    const TWO: &str = "f5404323216c7561206e616d653d610a72656469732e72656769737465725f66756e6374\
        696f6e282766272c66756e6374696f6e28292072657475726e2027662720656e6429f5404323216c7561206e\
        616d653d620a72656469732e72656769737465725f66756e6374696f6e282767272c66756e6374696f6e2829\
        2072657475726e2027672720656e64290a006faa153f9c234d59";
    const PACKED: &str = "f5c3409b44261f23216c7561206e616d653d6c6f6e670a72656469732e7265676973746\
        5725f660c756e6374696f6e28276630272ce0000d106b6579732c61726773292072657475726e200640370a6\
        3616c6c2827474554272c4022085b315d2920656e6429e012560031e04d560032e04d560033e04d560034e04\
        d560035e04d560036e04d560037e04d560038e04d560039e04d560031e34f66e3326701290a0a00b23167845\
        1deafeb";

    fn unhex(text: &str) -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    fn library(name: &str, function: &str) -> String {
        format!(
            "#!lua name={name}\nredis.register_function('{function}',function() return '{function}' end)"
        )
    }

    fn long_library() -> String {
        let functions = (0..12).map(|at| {
            format!(
                "redis.register_function('f{at}',function(keys,args) \
                 return redis.call('GET',keys[1]) end)\n"
            )
        });
        "#!lua name=long\n".to_owned() + &functions.collect::<String>()
    }

    fn stock_payloads() -> [(Vec<u8>, Vec<String>); 4] {
        [
            (unhex(NONE), vec![]),
            (unhex(ONE), vec![library("a", "f")]),
            (unhex(TWO), vec![library("a", "f"), library("b", "g")]),
            (unhex(PACKED), vec![long_library()]),
        ]
    }

    fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, PayloadError> {
        restore(payload, is_known, LIMIT)?.map(|text| text.map(Cow::into_owned)).collect()
    }

    /// Reads what stands above the footer of a payload.
    fn read_body(body: &[u8]) -> Result<Vec<Vec<u8>>, PayloadError> {
        read(&seal(body.to_vec(), NEWEST))
    }

    fn body(payload: &[u8]) -> &[u8] {
        &payload[..payload.len() - VERSION_LEN - CHECKSUM_LEN]
    }

    fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len() * 8).map(|bit| {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    }

    #[test]
    fn payloads_of_stock_are_read() {
        for (payload, texts) in stock_payloads() {
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            assert_eq!(read(&payload), Ok(texts));
        }
    }

    #[test]
    fn payloads_are_written_as_stock_does_without_packing() {
        for (payload, texts) in &stock_payloads()[..3] {
            assert_eq!(&dump(texts.iter().map(String::as_bytes), NEWEST, false), payload);
        }
    }

    #[test]
    fn plain_texts_are_borrowed() {
        let payload = unhex(ONE);
        let text = restore(&payload, is_known, 0).unwrap().next();
        assert!(matches!(text, Some(Ok(Cow::Borrowed(_)))), "{text:?}");
    }

    /// `DUMP` of a key writes its string as `FUNCTION DUMP` writes a text, which cannot be so short.
    #[test]
    fn strings_are_read_and_written_as_stock_does() {
        let cases = [
            ("", "00000a005d9b5c400f7fa2da"),
            ("0", "00c0000a009840a778f8500308"),
            ("-0", "00022d300a00d5411fd9d6d050cc"),
            ("00", "000230300a00d2e5848f3d1d6f50"),
            ("+1", "00022b310a00c286f0d7439aee6f"),
            (" 1", "000220310a003fe5791ae5defb1b"),
            ("127", "00c07f0a000db5eb315254c514"),
            ("-128", "00c0800a009966326d2f0c5bd9"),
            ("128", "00c180000a00eb7ab3b510cf4b65"),
            ("-129", "00c17fff0a001760822854808480"),
            ("32767", "00c1ff7f0a00495a37da17f4d52b"),
            ("-32768", "00c100800a00b540064753bb1ace"),
            ("32768", "00c2008000000a0045d82eedd5bda910"),
            ("2147483647", "00c2ffffff7f0a002c74e59ee02eada1"),
            ("-2147483648", "00c2000000800a00c74f873e33558187"),
            ("2147483648", "000a323134373438333634380a00e7b129a34c1d76ee"),
            ("-2147483649", "000b2d323134373438333634390a00c261377908f2028c"),
            ("12345678901", "000b31323334353637383930310a00304e52d727176510"),
            (
                "aaaaaaaaaaaaaaaaaaaa",
                "001461616161616161616161616161616161616161610a0083b46b5e1b11acf1",
            ),
            (
                "abcdefghijklmnopqrstu",
                "00156162636465666768696a6b6c6d6e6f7071727374750a00ad1c23029a10e306",
            ),
        ];
        for (text, hex) in cases {
            let mut payload = unhex(hex);
            assert_eq!(read(&payload), Err(PayloadError::NotALibrary), "{text}");
            payload[0] = LIBRARY;
            assert_eq!(read_body(body(&payload)), Ok(vec![text.into()]), "{text}");
            let written = dump([text.as_bytes()], NEWEST, false);
            assert_eq!(body(&written), body(&payload), "{text}");
        }
    }

    #[test]
    fn strings_that_stock_packed_are_read() {
        let many = "ab".repeat(20) + &"c".repeat(300);
        let cases = [
            ("a".repeat(21), "00c30615016161e00a000a00fd0cb36807413f68"),
            ("a".repeat(63), "00c3093f016161e032000161610a00c7b454c16b8866cb"),
            (many, "00c312415402616261e01c010063e0ff00e018000163630a002739c8257159665e"),
        ];
        for (text, hex) in cases {
            let mut payload = unhex(hex);
            assert_eq!(read(&payload), Err(PayloadError::NotALibrary), "{text}");
            payload[0] = LIBRARY;
            assert_eq!(read_body(body(&payload)), Ok(vec![text.into()]));
        }
    }

    #[test]
    fn cut_and_damaged_payloads_are_refused() {
        for (payload, _) in stock_payloads() {
            for len in 0..payload.len() {
                assert_eq!(read(&payload[..len]), Err(PayloadError::Footer), "{len}");
            }
            for flipped in flips(&payload) {
                assert_eq!(read(&flipped), Err(PayloadError::Footer), "{flipped:02x?}");
            }
        }
    }

    #[test]
    fn texts_that_are_cut_are_refused_under_a_right_footer() {
        for hex in [ONE, PACKED] {
            let payload = unhex(hex);
            let whole = body(&payload);
            for len in 1..whole.len() {
                assert_eq!(read_body(&whole[..len]), Err(PayloadError::Text), "{len}");
            }
        }
    }

    #[test]
    fn damage_under_a_right_footer_does_no_harm() {
        for (payload, texts) in stock_payloads() {
            for flipped in flips(body(&payload)) {
                let Ok(read) = read_body(&flipped) else { continue };
                let bytes: usize = read.iter().map(Vec::len).sum();
                assert!(bytes <= texts.iter().map(String::len).sum(), "{flipped:02x?}");
            }
        }
    }

    #[test]
    fn versions_up_to_the_newest_are_read() {
        for (version, newest, is_read) in
            [(0, 0, true), (9, 10, true), (10, 10, true), (11, 10, false), (256, 255, false)]
        {
            let payload = dump([], version, true);
            assert_eq!(payload[..2], version.to_le_bytes());
            assert_eq!(
                restore(&payload, |version| version <= newest, 0).is_ok(),
                is_read,
                "{version} {newest}"
            );
        }
    }

    #[test]
    fn a_checksum_of_zero_is_wrong() {
        let mut payload = unhex(ONE);
        let at = payload.len() - CHECKSUM_LEN;
        payload[at..].fill(0);
        assert_eq!(read(&payload), Err(PayloadError::Footer));
    }

    #[test]
    fn other_things_than_libraries_are_refused_after_what_stands_before_them() {
        for (opcode, error) in [
            (0, PayloadError::NotALibrary),
            (244, PayloadError::NotALibrary),
            (246, PayloadError::PreGa),
            (247, PayloadError::NotALibrary),
        ] {
            let payload = seal(vec![LIBRARY, 1, b'a', opcode, 1, b'b'], NEWEST);
            let read: Vec<_> = restore(&payload, is_known, 0).unwrap().collect();
            assert_eq!(read, [Ok(Cow::Borrowed(&b"a"[..])), Err(error)], "{opcode}");
        }
    }

    #[test]
    fn lengths_have_the_shortest_form() {
        let cases: [(u64, &[u8]); 8] = [
            (0, b"\x00"),
            (0x3f, b"\x3f"),
            (0x40, b"\x40\x40"),
            (0x3fff, b"\x7f\xff"),
            (0x4000, b"\x80\x00\x00\x40\x00"),
            (0xffff_ffff, b"\x80\xff\xff\xff\xff"),
            (0x1_0000_0000, b"\x81\x00\x00\x00\x01\x00\x00\x00\x00"),
            (u64::MAX, b"\x81\xff\xff\xff\xff\xff\xff\xff\xff"),
        ];
        for (len, bytes) in cases {
            let mut written = Vec::new();
            write_length(&mut written, len);
            assert_eq!(written, bytes, "{len}");
            let mut rest = bytes;
            assert!(matches!(read_length(&mut rest), Some(Length::Bytes(read)) if read == len));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn lengths_may_have_a_longer_form() {
        for length in [
            &b"\x01"[..],
            b"\x40\x01",
            b"\x80\x00\x00\x00\x01",
            b"\x81\x00\x00\x00\x00\x00\x00\x00\x01",
        ] {
            let plain = [&[LIBRARY], length, b"a"].concat();
            assert_eq!(read_body(&plain), Ok(vec![b"a".to_vec()]), "{length:?}");
            let packed = [&[LIBRARY, ENCODED | LZF, 2], length, b"\x00a"].concat();
            assert_eq!(read_body(&packed), Ok(vec![b"a".to_vec()]), "{length:?}");
        }
    }

    #[test]
    fn broken_strings_are_refused() {
        let cases: [&[u8]; 15] = [
            b"",
            b"\x01",
            b"\x40",
            b"\x80\x00\x00\x00",
            b"\x80\xff\xff\xff\xffa",
            b"\x81\x00\x00\x00\x00\x00\x00\x00",
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xffa",
            b"\x82\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xbf",
            b"\xc0",
            b"\xc1\x00",
            b"\xc2\x00\x00\x00",
            b"\xc4\x00\x00\x00\x00",
            // The lengths of a packed string are plain.
            b"\xc3\xc2\x01\x00a",
            b"\xc3\x02\xc1\x00a",
        ];
        for string in cases {
            let name = string.escape_ascii();
            assert_eq!(
                read_body(&[&[LIBRARY], string].concat()),
                Err(PayloadError::Text),
                "{name}"
            );
        }
    }

    #[test]
    fn packed_texts_share_the_limit() {
        let packed = b"\xf5\xc3\x05\x0a\x00a\xe0\x00\x00";
        let payload = seal(packed.repeat(3), NEWEST);
        for (limit, read) in [(9, 0), (10, 1), (29, 2), (30, 3)] {
            let texts: Vec<_> = restore(&payload, is_known, limit).unwrap().collect();
            assert_eq!(texts.iter().filter(|text| text.is_ok()).count(), read, "{limit}");
            assert_eq!(texts.len(), 3.min(read + 1), "{limit}");
        }
        let claim = b"\xf5\xc3\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00a".to_vec();
        let payload = seal(claim, NEWEST);
        let texts: Vec<_> = restore(&payload, is_known, usize::MAX).unwrap().collect();
        assert_eq!(texts, [Err(PayloadError::Text)]);
    }

    proptest! {
        #[test]
        fn texts_round_trip(texts in any::<Vec<Vec<u8>>>(), version in 0..=NEWEST) {
            let payload = dump(texts.iter().map(Vec::as_slice), version, true);
            prop_assert_eq!(read(&payload), Ok(texts));
        }

        #[test]
        fn integers_round_trip(number in any::<i32>(), shift in 0..32_u32) {
            let text = (number >> shift).to_string().into_bytes();
            let payload = dump([text.as_slice()], NEWEST, true);
            prop_assert!(body(&payload).len() <= 6);
            prop_assert_eq!(read(&payload), Ok(vec![text]));
        }

        #[test]
        fn long_texts_round_trip(byte in any::<u8>(), len in 0..100_000_usize) {
            let text = vec![byte; len];
            prop_assert_eq!(read(&dump([text.as_slice()], NEWEST, true)), Ok(vec![text]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read_body(&bytes);
            let _ = read_body(&[&[LIBRARY, ENCODED | LZF], bytes.as_slice()].concat());
        }
    }
}
