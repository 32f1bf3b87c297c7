//! [`RunRequest`]: what to run, as a command was given it.

use crate::dialect::Dialect;
use crate::policy::admission::Access;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::vm::Inputs;

register!(ERRORS: KEYS_NOT_A_NUMBER: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "value is not an integer or out of range",
    "The number of keys is not an integer.",
));
register!(ERRORS: TOO_MANY_KEYS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Number of keys can't be greater than number of args",
    "The number of keys is larger than the number of arguments after it.",
));
register!(ERRORS: NEGATIVE_KEYS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Number of keys can't be negative",
    "The number of keys is negative.",
));

/// An argument that is not there; arity keeps it from being used.
pub const NOTHING: &[u8] = b"";

/// The script of a run.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Its text.
    Body(&'a [u8]),
    /// Its SHA1 digest in hexadecimal, in any case.
    Digest(&'a [u8]),
}

/// One run as a client asked for it.
#[derive(Clone, Copy, Debug)]
pub struct RunRequest<'a> {
    /// The script.
    pub source: Source<'a>,
    /// The number of keys, the keys and the other arguments, not checked yet: a script that may not
    /// run now is refused before its arguments are looked at.
    pub arguments: &'a [&'a [u8]],
    /// Whether the command lets the script write.
    pub access: Access,
}

impl<'a> RunRequest<'a> {
    /// Splits the arguments into keys and the others.
    ///
    /// # Errors
    /// The number of keys is wrong.
    ///
    /// Stock: `eval.c` `evalGenericCommand`.
    pub(super) fn inputs(&self, dialect: Dialect) -> Result<Inputs<'a>, ErrorReply> {
        let (count, rest) = self.arguments.split_first().unwrap_or((&NOTHING, &[]));
        let count = integer(count).ok_or_else(|| ErrorReply::new(&KEYS_NOT_A_NUMBER, dialect))?;
        split(count, rest, dialect)
    }
}

/// Splits arguments into `count` keys and the others.
///
/// # Errors
/// There are not so many.
pub(super) fn split<'a>(
    count: i64,
    arguments: &'a [&'a [u8]],
    dialect: Dialect,
) -> Result<Inputs<'a>, ErrorReply> {
    if count < 0 {
        return Err(ErrorReply::new(&NEGATIVE_KEYS, dialect));
    }
    usize::try_from(count)
        .ok()
        .and_then(|count| arguments.split_at_checked(count))
        .map(|(keys, args)| Inputs { keys, args })
        .ok_or_else(|| ErrorReply::new(&TOO_MANY_KEYS, dialect))
}

/// An integer in the only form Redis takes: no sign but a minus, no blanks, no leading zeros.
///
/// Stock: `util.c` `string2ll`.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    // Downwards, since the least number is further from 0 than the greatest.
    let number = digits.iter().try_fold(0_i64, |number, digit| {
        number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
    })?;
    if digits.len() < text.len() { Some(number) } else { number.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        let cases: &[(&[u8], Option<i64>)] = &[
            (b"0", Some(0)),
            (b"12", Some(12)),
            (b"-1", Some(-1)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"", None),
            (b"-", None),
            (b"-0", None),
            (b"+1", None),
            (b"01", None),
            (b" 1", None),
            (b"1 ", None),
            (b"1x", None),
            (b"1.0", None),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text), *expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn keys_are_split_from_arguments() {
        let host = Dialect::redis(7, 0, 15);
        let split = |arguments: &[&[u8]]| {
            let request =
                RunRequest { source: Source::Body(b""), arguments, access: Access::ReadWrite };
            request.inputs(host).map(|inputs| (inputs.keys.len(), inputs.args.len()))
        };
        assert_eq!(split(&[b"0"]), Ok((0, 0)));
        assert_eq!(split(&[b"1", b"k", b"a"]), Ok((1, 1)));
        assert_eq!(split(&[b"2", b"k"]), Err(ErrorReply::new(&TOO_MANY_KEYS, host)));
        assert_eq!(split(&[b"-1", b"k"]), Err(ErrorReply::new(&NEGATIVE_KEYS, host)));
        assert_eq!(split(&[b"x"]), Err(ErrorReply::new(&KEYS_NOT_A_NUMBER, host)));
    }
}
