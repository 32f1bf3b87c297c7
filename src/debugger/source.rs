//! The text that is debugged, line by line, and the functions that run in it.

use super::text::until_nul;

/// A text by its lines.
pub(super) struct Source {
    lines: Vec<Vec<u8>>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line; below 1 for code without lines.
    pub line: i64,
    /// It is a line of the text that is debugged.
    pub is_in_source: bool,
}

/// A function that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it is.
    pub position: Position,
    /// What its caller calls it.
    pub name: Option<Vec<u8>>,
    /// It is the text itself, not a function in it.
    pub is_main: bool,
    /// The line where it begins.
    pub begins_at: i64,
    /// It is the one that is running, not one that waits for it.
    pub is_innermost: bool,
    /// The host called it.
    pub is_outermost: bool,
}

impl Source {
    /// Stock: `eval.c` `ldbStartSession`.
    pub(super) fn new(text: &[u8]) -> Self {
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let len = text.iter().rposition(|byte| !ends(byte)).map_or(0, |last| last + 1);
        let text = &text[..len];
        let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
        Self { lines: if text.is_empty() { Vec::new() } else { lines.collect() } }
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> i64 {
        i64::try_from(self.lines.len()).unwrap_or(i64::MAX)
    }

    /// The text of a line.
    pub(super) fn line(&self, line: i64) -> &[u8] {
        let index = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        let text = index.and_then(|index| self.lines.get(index));
        text.map_or(b"<out of range source code line>", |text| until_nul(text))
    }

    /// The name that the text gives the function that begins at a line, if it is the only one there.
    pub(super) fn function_at(&self, line: i64) -> Option<&[u8]> {
        const WORD: &[u8] = b"function";
        let text = self.line(line);
        let mut places = text.windows(WORD.len()).enumerate().filter(|(at, word)| {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            *word == WORD && !before.is_some_and(is_of_name)
        });
        let (place, _) = places.next()?;
        if places.next().is_some() {
            return None;
        }
        let behind = text[place + WORD.len()..].trim_ascii_start();
        let name = &behind[..behind.iter().take_while(|byte| is_of_path(byte)).count()];
        if !name.is_empty() {
            return Some(name);
        }
        let before = text[..place].trim_ascii_end().strip_suffix(b"=")?.trim_ascii_end();
        let len = before.iter().rev().take_while(|byte| is_of_path(byte)).count();
        Some(&before[before.len() - len..]).filter(|name| !name.is_empty())
    }
}

fn is_of_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn is_of_path(byte: &u8) -> bool {
    is_of_name(byte) || matches!(byte, b'.' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_lines_up_to_the_last_that_is_not_empty() {
        let source = Source::new(b"a\r\n\nb\0c\n\r\n");
        assert_eq!(source.len(), 3);
        assert_eq!(
            (source.line(1), source.line(2), source.line(3)),
            (&b"a\r"[..], &b""[..], &b"b"[..])
        );
        for line in [-1, 0, 4, i64::MAX] {
            assert_eq!(source.line(line), b"<out of range source code line>");
        }
        assert_eq!(Source::new(b"\n\n").len(), 0);
    }

    #[test]
    fn functions_are_called_as_the_text_calls_them() {
        let cases: [(&str, Option<&str>); 9] = [
            ("function f(a)", Some("f")),
            ("local function f (a)", Some("f")),
            ("function t.a:b()", Some("t.a:b")),
            ("local g = function(a) return a end", Some("g")),
            ("t.x=function()", Some("t.x")),
            ("redis.register_function('f', function(keys)", None),
            ("local a, b = function() end, function() end", None),
            ("local my_function = 1", None),
            ("return 1", None),
        ];
        for (text, name) in cases {
            let source = Source::new(text.as_bytes());
            assert_eq!(source.function_at(1), name.map(str::as_bytes), "{text}");
        }
    }
}
