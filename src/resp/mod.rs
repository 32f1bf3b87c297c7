//! The wire's vocabulary: what replies consist of, with no input or output.
//!
//! A reply that comes from the server is raw bytes, read by [`Tokens`]. A reply that goes out is
//! told, event by event, to a [`ReplySink`]; [`Encoder`] is the sink that writes bytes.

mod counted;
pub mod encode;
mod error;
pub mod sink;
pub mod token;

pub use self::counted::Counted;
pub use self::encode::Encoder;
pub use self::error::{ERRORS, ErrorReply, ErrorSpec, Origin};
pub use self::sink::ReplySink;
pub use self::token::{Token, Tokens};

/// Is the version of the protocol a client or a script speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RespVersion {
    /// The protocol every client speaks.
    #[default]
    Resp2,
    /// The protocol with maps, sets, doubles and booleans, asked for by `HELLO 3`.
    Resp3,
}

impl RespVersion {
    /// Gives the version of this number, which is 2 or 3.
    pub fn from_number(number: i64) -> Option<RespVersion> {
        match number {
            2 => Some(RespVersion::Resp2),
            3 => Some(RespVersion::Resp3),
            _ => None,
        }
    }

    /// Gives the number of the version.
    pub fn number(self) -> i64 {
        match self {
            RespVersion::Resp2 => 2,
            RespVersion::Resp3 => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_their_numbers() {
        for version in [RespVersion::Resp2, RespVersion::Resp3] {
            assert_eq!(RespVersion::from_number(version.number()), Some(version));
        }
        for number in [i64::MIN, -2, 0, 1, 4, i64::MAX] {
            assert_eq!(RespVersion::from_number(number), None);
        }
    }
}
