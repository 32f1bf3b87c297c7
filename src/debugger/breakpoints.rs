//! Where a run is to stop: lines, functions, and expressions whose value changes.

/// The most breakpoints of a session.
///
/// Stock: `eval.c` `LDB_BREAKPOINTS_MAX`.
pub(super) const MOST: usize = 64;

/// The breakpoints of a session, in the order in which they were set.
#[derive(Default)]
pub(super) struct Breakpoints {
    pub(super) lines: Vec<LineBreakpoint>,
    pub(super) functions: Vec<Vec<u8>>,
    pub(super) watches: Vec<Watched>,
}

/// A line at which a run stops.
pub(super) struct LineBreakpoint {
    pub(super) line: i64,
    /// Only if this is true there.
    pub(super) condition: Option<Vec<u8>>,
}

/// An expression, and what it was when it was last looked at.
pub(super) struct Watched {
    pub(super) expression: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Breakpoints {
    /// How many there are, watched expressions aside.
    pub(super) fn len(&self) -> usize {
        self.lines.len() + self.functions.len()
    }

    /// Whether there is room for no more.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MOST
    }

    /// The breakpoint of a line.
    pub(super) fn at(&self, line: i64) -> Option<&LineBreakpoint> {
        self.lines.iter().find(|it| it.line == line)
    }

    /// Sets one; false if it is set already, and nothing but its condition changes.
    pub(super) fn add(&mut self, line: i64, condition: Option<Vec<u8>>) -> bool {
        if let Some(present) = self.lines.iter_mut().find(|it| it.line == line) {
            let is_changed = condition.is_some() || present.condition.is_some();
            present.condition = condition;
            return is_changed;
        }
        self.lines.push(LineBreakpoint { line, condition });
        true
    }

    /// Removes that of a line; false if there is none.
    pub(super) fn remove(&mut self, line: i64) -> bool {
        let before = self.lines.len();
        self.lines.retain(|it| it.line != line);
        self.lines.len() < before
    }

    /// Removes all but the watched expressions.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.functions.clear();
    }

    /// Whether a run stops where a function of one of these names begins. `a.b` and `a:b` end in `b`.
    pub(super) fn stops_in<'a>(&self, mut names: impl Iterator<Item = &'a [u8]>) -> bool {
        let last = |name: &[u8]| {
            let parts = name.rsplit(|byte| matches!(byte, b'.' | b':'));
            parts.into_iter().next().unwrap_or_default().to_vec()
        };
        names.any(|name| self.functions.iter().any(|it| it == name || *it == last(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_breakpoint_whose_condition_can_change() {
        let mut breakpoints = Breakpoints::default();
        assert!(breakpoints.add(3, None));
        assert!(!breakpoints.add(3, None));
        assert!(breakpoints.add(3, Some(b"x".to_vec())));
        assert_eq!(breakpoints.len(), 1);
        assert!(
            breakpoints.add(3, None) && breakpoints.at(3).is_some_and(|it| it.condition.is_none())
        );
        assert!(breakpoints.remove(3) && !breakpoints.remove(3));
    }

    #[test]
    fn functions_are_known_by_their_whole_name_or_its_end() {
        let mut breakpoints = Breakpoints::default();
        breakpoints.functions.push(b"f".to_vec());
        for name in [&b"f"[..], b"t.f", b"t.u:f"] {
            assert!(breakpoints.stops_in([name].into_iter()));
        }
        assert!(!breakpoints.stops_in([&b"g"[..], b"f.g", b"ff"].into_iter()));
    }
}
