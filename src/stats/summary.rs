//! Figures as people read them.

use super::figures::Figures;
use super::pace::Scale;

/// The error a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its text, cut.
    pub text: Vec<u8>,
    /// The line of the source that raised it, where the text tells it.
    pub line: Option<u64>,
    /// Seconds from 1970 to the begin of the run.
    pub time: u64,
}

/// Figures with times in microseconds and moments in seconds from 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Whole numbers by name, in the order in which they are told; times among them are of runs.
    pub numbers: [(&'static str, u64); 12],
    /// Microseconds of the mean run, of the middle one, and of the one that 99 of 100 do not pass.
    pub times: [(&'static str, f64); 3],
    /// The error of the last run that ended with one.
    pub last_error: Option<Failure>,
}

impl Scale {
    /// Figures as people read them.
    pub fn summary(&self, figures: &Figures) -> Summary {
        let moment = |ticks| if figures.calls == 0 { 0 } else { self.unix_seconds(ticks) };
        let total = self.fine_micros(figures.ticks);
        let hundredths = |micros: f64| (micros * 100.0).round() / 100.0;
        Summary {
            numbers: [
                ("calls", figures.calls),
                ("errors", figures.errors),
                ("kills", figures.kills),
                ("total_usec", total as u64),
                ("max_usec", self.micros(figures.longest)),
                ("commands", figures.commands),
                ("keys_read", figures.keys_read),
                ("keys_written", figures.keys_written),
                ("reply_bytes", figures.reply_bytes),
                ("memory_peak", figures.memory),
                ("first_used", moment(figures.first)),
                ("last_used", moment(figures.last)),
            ],
            times: [
                ("usec_per_call", hundredths(total / figures.calls.max(1) as f64)),
                ("p50_usec", hundredths(self.fine_micros(figures.quantile(0.5)))),
                ("p99_usec", hundredths(self.fine_micros(figures.quantile(0.99)))),
            ],
            last_error: figures.last_error().map(|error| Failure {
                text: error.text.to_vec(),
                line: line_of(&error.text),
                time: self.unix_seconds(error.at),
            }),
        }
    }
}

/// The line that an error's text names last: `… on @user_script:12.`, or `user_script:12: …`.
fn line_of(text: &[u8]) -> Option<u64> {
    let places = [&b"user_script:"[..], b"user_function:"];
    let last = |place: &[u8]| {
        let at = text.windows(place.len()).rposition(|part| part == place)?;
        let rest = text.get(at + place.len()..)?;
        let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let line = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((at, line))
    };
    places.iter().filter_map(|place| last(place)).max().map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        for (text, line) in [
            (&b"ERR no script: abc, on @user_script:12."[..], Some(12)),
            (b"ERR user_script:3: no script: abc, on @user_script:12.", Some(12)),
            (b"ERR Error running script f, user_function:7: no", Some(7)),
            (b"ERR no", None),
            (b"ERR user_script:", None),
            (b"ERR user_script:99999999999999999999999", None),
        ] {
            assert_eq!(line_of(text), line, "{}", text.escape_ascii());
        }
    }
}
