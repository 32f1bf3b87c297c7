//! What runs did, as replies tell it.

use crate::resp::ReplySink;
use crate::stats::Summary;

/// Sends figures as pairs of a map that was begun, and gives how many.
pub(super) fn send(summary: &Summary, reply: &mut impl ReplySink) -> usize {
    for (name, number) in summary.numbers {
        reply.bulk(name.as_bytes());
        reply.integer(count(number));
    }
    for (name, time) in summary.times {
        reply.bulk(name.as_bytes());
        reply.double(time);
    }
    reply.bulk(b"last_error");
    match &summary.last_error {
        None => reply.null(),
        Some(error) => {
            reply.map_start();
            reply.bulk(b"message");
            reply.bulk(&error.text);
            reply.bulk(b"line");
            match error.line {
                Some(line) => reply.integer(count(line)),
                None => reply.null(),
            }
            reply.bulk(b"time");
            reply.integer(count(error.time));
            reply.map_end(3);
        }
    }
    summary.numbers.len() + summary.times.len() + 1
}

/// A count as RESP has numbers.
pub(super) fn count(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
