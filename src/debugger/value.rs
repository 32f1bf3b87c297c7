//! Lua values for people: copies that outlive the moment, in one line or in several.

use super::text::push_quoted;

/// A copy of a Lua value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as `%g` shows it.
    Number(Vec<u8>),
    /// A string.
    String(Vec<u8>),
    /// A table.
    Table(Table),
    /// Something else: what it is and where it lies.
    Opaque(&'static str, usize),
    /// It lies deeper than is shown.
    TooDeep,
    /// A table in which it lies itself.
    Cycle,
    /// There is no room for it.
    LeftOut,
}

/// A copy of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// It has nothing but items from 1 on.
    pub is_list: bool,
    /// Its pairs, or the first of them.
    pub pairs: Vec<(Value, Value)>,
    /// Pairs are missing.
    pub is_cut: bool,
}

/// How much of a value is copied.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Values in that many tables are copied, and none that lie deeper.
    pub depth: usize,
    /// A table within itself is one that is not copied again.
    pub marks_cycles: bool,
    /// So many values.
    pub values: usize,
    /// So many bytes of strings.
    pub bytes: usize,
}

impl Limits {
    /// As stock shows values, whose depth is ten and which has no other limit. More than `most` bytes of text
    /// are not asked for.
    ///
    /// Stock: `eval.c` `LDB_MAX_VALUES_DEPTH`.
    pub(super) fn line(most: usize) -> Self {
        Self { depth: 10, marks_cycles: false, values: most.clamp(64, 200_000), bytes: most }
    }

    /// For a tree of so many levels.
    pub(super) fn tree(depth: usize) -> Self {
        Self { depth, marks_cycles: true, values: 2_000, bytes: 256 << 10 }
    }

    /// What `redis.debug` shows.
    pub fn debug() -> Self {
        Self::line(1 << 20)
    }
}

impl Value {
    /// Appends the value in one line.
    ///
    /// Stock: `eval.c` `ldbCatStackValueRec`.
    pub fn push_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.extend_from_slice(b"nil"),
            Self::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Self::Number(text) => out.extend_from_slice(text),
            Self::String(bytes) => push_quoted(out, bytes),
            Self::Table(table) => table.push_line(out),
            Self::Opaque(kind, address) => {
                out.extend_from_slice(format!("\"{kind}@{address:#x}\"").as_bytes());
            }
            Self::TooDeep => {
                out.extend_from_slice(b"<max recursion level reached! Nested table?>");
            }
            Self::Cycle => out.extend_from_slice(b"<cycle>"),
            Self::LeftOut => out.extend_from_slice(b"..."),
        }
    }

    /// The value in one line.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_line(&mut out);
        out
    }

    /// The value in as many lines as it has parts, each behind `indent` steps, the first behind `name`.
    pub(super) fn push_tree(&self, name: &[u8], indent: usize, lines: &mut Vec<Vec<u8>>) {
        let mut line = b"  ".repeat(indent);
        line.extend_from_slice(name);
        match self {
            Self::Table(table) if !table.pairs.is_empty() => {
                line.push(b'{');
                lines.push(line);
                for (key, value) in &table.pairs {
                    let mut name = key.key();
                    name.extend_from_slice(b" = ");
                    value.push_tree(&name, indent + 1, lines);
                }
                if table.is_cut {
                    lines.push([b"  ".repeat(indent + 1), b"...".to_vec()].concat());
                }
                lines.push([b"  ".repeat(indent), b"}".to_vec()].concat());
            }
            Self::TooDeep => {
                line.extend_from_slice(b"{...}");
                lines.push(line);
            }
            _ => {
                self.push_line(&mut line);
                lines.push(line);
            }
        }
    }

    /// The value as a key of a tree.
    fn key(&self) -> Vec<u8> {
        let is_name = |text: &[u8]| {
            text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
                && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        match self {
            Self::String(text) if is_name(text) => text.clone(),
            _ => [&b"["[..], &self.line(), b"]"].concat(),
        }
    }
}

impl Table {
    fn push_line(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (key, value)) in self.pairs.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b"; ");
            }
            if !self.is_list {
                out.push(b'[');
                key.push_line(out);
                out.extend_from_slice(b"]=");
            }
            value.push_line(out);
        }
        if self.is_cut {
            out.extend_from_slice(b"; ...");
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: i32) -> Value {
        Value::Number(value.to_string().into_bytes())
    }

    fn name(text: &str) -> Value {
        Value::String(text.as_bytes().to_vec())
    }

    fn table(is_list: bool, pairs: Vec<(Value, Value)>) -> Value {
        Value::Table(Table { is_list, pairs, is_cut: false })
    }

    fn shown(value: &Value) -> String {
        String::from_utf8(value.line()).expect("a test's value is text")
    }

    #[test]
    fn values_fit_into_a_line() {
        let list = table(true, vec![(number(1), name("a")), (number(2), Value::Boolean(true))]);
        assert_eq!(shown(&list), r#"{"a"; true}"#);
        let mixed = table(false, vec![(number(1), Value::Nil), (name("x"), list)]);
        assert_eq!(shown(&mixed), r#"{[1]=nil; ["x"]={"a"; true}}"#);
        assert_eq!(shown(&table(true, Vec::new())), "{}");
        assert_eq!(shown(&Value::Opaque("function", 0xab)), r#""function@0xab""#);
        assert_eq!(shown(&Value::TooDeep), "<max recursion level reached! Nested table?>");
    }

    #[test]
    fn a_tree_has_a_line_per_part() {
        let inner = table(true, vec![(number(1), Value::TooDeep)]);
        let pairs = vec![
            (name("id"), number(7)),
            (name("not a name"), Value::Cycle),
            (Value::Boolean(true), inner),
            (name("none"), table(true, Vec::new())),
        ];
        let mut lines = Vec::new();
        table(false, pairs).push_tree(b"t = ", 0, &mut lines);
        let expected = [
            "t = {",
            "  id = 7",
            "  [\"not a name\"] = <cycle>",
            "  [true] = {",
            "    [1] = {...}",
            "  }",
            "  none = {}",
            "}",
        ];
        let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(lines, expected);
    }
}
