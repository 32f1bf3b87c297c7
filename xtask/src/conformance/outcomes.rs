//! What the server's test helper prints, read test by test.

use std::collections::BTreeMap;

/// What became of the tests of one file, by name. Some names stand for several tests: a file may run
/// its tests once by `EVAL` and once by `FCALL`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcomes(BTreeMap<String, Vec<bool>>);

impl Outcomes {
    /// Reads the output of the helper.
    pub fn read(output: &[u8]) -> Self {
        let mut outcomes = Self::default();
        for line in String::from_utf8_lossy(output).lines() {
            let line = without_colours(line);
            if let Some(name) = line.strip_prefix("[ok]: ") {
                let name = name.rsplit_once(" (").map_or(name, |(name, _)| name);
                outcomes.add(name, true);
            } else if let Some(name) = line.strip_prefix("[err]: ") {
                let name = name.rsplit_once(" in tests/").map_or(name, |(name, _)| name);
                outcomes.add(name, false);
            }
        }
        outcomes
    }

    /// How many tests of each name passed.
    pub fn passed(&self) -> impl Iterator<Item = (&str, usize)> {
        let count = |tests: &Vec<bool>| tests.iter().filter(|passed| **passed).count();
        let names = self.0.iter().map(move |(name, tests)| (name.as_str(), count(tests)));
        names.filter(|(_, count)| *count > 0)
    }

    /// How many tests of this name passed.
    pub fn passed_as(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |tests| tests.iter().filter(|passed| **passed).count())
    }

    /// Counts those tests as passed that passed in another run.
    pub fn add_passed(&mut self, other: &Self) {
        for (name, passed) in other.passed() {
            let tests = self.0.entry(name.to_owned()).or_default();
            if passed > tests.iter().filter(|passed| **passed).count() {
                *tests = vec![true; passed];
            }
        }
    }

    fn add(&mut self, name: &str, passed: bool) {
        self.0.entry(name.to_owned()).or_default().push(passed);
    }
}

/// The line without the codes by which a terminal colours it, which the helper prints to files too.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_by_name() {
        let output = b"[\x1b[0;32;49mok\x1b[0m]: EVAL (twice) (3 ms)\n\
            [ok]: EVAL (twice) (0 ms)\n\
            [err]: MONITOR in pieces in tests/unit/introspection.tcl\nExpected\n\
            [skip]: SLOW\n[ignore]: large memory flag not provided\n\xff\n";
        let outcomes = Outcomes::read(output);
        assert_eq!(outcomes.passed().collect::<Vec<_>>(), [("EVAL (twice)", 2)]);
        assert_eq!(outcomes.passed_as("MONITOR in pieces"), 0);
        assert_eq!(outcomes.passed_as("EVAL (twice)"), 2);
    }
}
