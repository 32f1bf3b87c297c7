//! What becomes of the traceback of a run that failed.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::state::Engine;
use crate::config::{ErrorTraceback, error_traceback};
use crate::host::{Host, LogLevel};
use crate::resp::ErrorReply;
use crate::vm::{RunContext, RunName, Vm};

/// Lines that are logged within [`PERIOD`]: a script that fails all the time must not fill the log.
const LINES: u32 = 5;
const PERIOD: Duration = Duration::from_secs(1);
/// Bytes of the error that are logged; the server cuts lines at 1024.
const LONGEST_ERROR: usize = 200;

/// What was logged of late.
#[derive(Default)]
pub(super) struct FailureLog {
    /// When the present period began.
    since: Cell<Option<Instant>>,
    /// Lines logged in it.
    lines: Cell<u32>,
    /// Failures since the last line that got none.
    suppressed: Cell<u64>,
}

impl FailureLog {
    /// Whether one more line may be logged at `now`; if so, the number of failures before it that got none.
    fn admit(&self, now: Instant) -> Option<u64> {
        if self.since.get().is_none_or(|since| now.duration_since(since) >= PERIOD) {
            self.since.set(Some(now));
            self.lines.set(0);
        }
        if self.lines.get() == LINES {
            self.suppressed.set(self.suppressed.get() + 1);
            return None;
        }
        self.lines.set(self.lines.get() + 1);
        Some(self.suppressed.take())
    }
}

impl Engine {
    /// Tells how a run came to its error, where the setting wants it told; gives the error for the caller.
    #[cold]
    pub(super) fn trace(&self, run: &RunContext<'_>, vm: &Vm, error: ErrorReply) -> ErrorReply {
        let traceback = vm.take_traceback();
        match error_traceback() {
            ErrorTraceback::No => error,
            ErrorTraceback::Log => {
                if let Some(suppressed) = self.failures.admit(Instant::now()) {
                    run.host.log(LogLevel::Notice, &line(run, &error, traceback, suppressed));
                }
                error
            }
            ErrorTraceback::Reply => match traceback {
                Some(traceback) => {
                    let line = [error.line(), b" traceback: ", traceback.as_bytes()].concat();
                    ErrorReply::from_line(line)
                }
                None => error,
            },
        }
    }
}

fn line(
    run: &RunContext<'_>,
    error: &ErrorReply,
    traceback: Option<String>,
    suppressed: u64,
) -> Vec<u8> {
    let mut line = match run.name {
        RunName::Script(_) | RunName::Named(..) => b"Script ".to_vec(),
        RunName::Function(_) => b"Function ".to_vec(),
    };
    run.name.write_to(&mut line);
    line.extend_from_slice(b" failed: ");
    let error = error.line();
    let shown = error.get(..LONGEST_ERROR).unwrap_or(error);
    // One line, whatever the script put into its error.
    line.extend(shown.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
    if shown.len() < error.len() {
        line.extend_from_slice(b"...");
    }
    if let Some(traceback) = traceback {
        line.extend_from_slice(b" Traceback: ");
        line.extend_from_slice(traceback.as_bytes());
    }
    if suppressed > 0 {
        line.extend_from_slice(format!(" ({suppressed} more were not logged)").as_bytes());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let log = FailureLog::default();
        let start = Instant::now();
        let admitted = (0..100).filter(|_| log.admit(start).is_some()).count();
        assert_eq!(admitted, 5);
        assert_eq!(log.admit(start + Duration::from_millis(999)), None);
        assert_eq!(log.admit(start + PERIOD), Some(96));
        assert_eq!(log.admit(start + PERIOD), Some(0));
    }
}
