//! What a verb is, and how the words after it are read.
//!
//! A verb declares its options once; parsing and help text both come from that declaration. The
//! rules are few enough that a parser crate would cost more build time than it saves code.

use std::fmt;

use anyhow::Result;

/// One developer command.
pub struct Verb {
    /// The word after `cargo xtask`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// The options it takes.
    pub flags: &'static [Flag],
    /// The name of its one optional operand, where it takes one; a name that ends with `…` stands
    /// for any number of them.
    pub operands: Option<&'static str>,
    /// What words after `--` mean, where it takes them.
    pub rest: Option<&'static str>,
    /// Does the work.
    pub run: fn(&Arguments) -> Result<()>,
}

/// One option of a verb.
pub struct Flag {
    /// Its name with the dashes.
    pub name: &'static str,
    /// The name of its value, where it takes one.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
}

/// The words given to a verb, checked against its declaration.
#[derive(Debug, Default)]
pub struct Arguments {
    flags: Vec<(&'static str, String)>,
    operands: Vec<String>,
    /// The words after `--`.
    pub rest: Vec<String>,
}

/// The command line was not understood.
#[derive(Debug)]
pub struct UsageError(String);

impl UsageError {
    /// Says what was wrong with the command line.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Verb {
    /// Reads the words after the verb's name.
    ///
    /// # Errors
    /// A word that the verb does not declare, or an option without its value.
    pub fn parse(&self, words: &[String]) -> Result<Arguments, UsageError> {
        let mut arguments = Arguments::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" && self.rest.is_some() {
                arguments.rest.extend(words.cloned());
                break;
            }
            if word.starts_with('-') {
                arguments.flags.push(self.parse_flag(word, &mut words)?);
            } else if self.takes_operand_after(arguments.operands.len()) {
                arguments.operands.push(word.clone());
            } else {
                return Err(self.unknown(word));
            }
        }
        Ok(arguments)
    }

    /// The help text: the declared options, one line each.
    pub fn usage(&self) -> String {
        let mut text = format!("cargo xtask {}", self.name);
        if !self.flags.is_empty() {
            text.push_str(" [OPTIONS]");
        }
        if let Some(operand) = self.operands {
            text.push_str(&format!(" [{operand}]"));
        }
        if self.rest.is_some() {
            text.push_str(" [-- ARGS]");
        }
        text.push_str(&format!("\n  {}\n", self.summary));
        for flag in self.flags {
            let name = format!("{} {}", flag.name, flag.value.unwrap_or_default());
            text.push_str(&format!("\n  {name:<18} {}", flag.help));
        }
        if let Some(rest) = self.rest {
            text.push_str(&format!("\n  {:<18} {rest}", "-- ARGS"));
        }
        text
    }

    fn parse_flag<'a>(
        &self,
        word: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(&'static str, String), UsageError> {
        let (name, given) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let flag = self.flags.iter().find(|flag| flag.name == name);
        let flag = flag.ok_or_else(|| self.unknown(word))?;
        let value = match (flag.value, given) {
            (None, None) => String::new(),
            (None, Some(_)) => return Err(UsageError::new(format!("{name} takes no value"))),
            (Some(_), Some(value)) => value,
            (Some(what), None) => words
                .next()
                .cloned()
                .ok_or_else(|| UsageError::new(format!("{name} needs a value: {name} {what}")))?,
        };
        Ok((flag.name, value))
    }

    fn takes_operand_after(&self, count: usize) -> bool {
        self.operands.is_some_and(|name| count == 0 || name.ends_with('…'))
    }

    fn unknown(&self, word: &str) -> UsageError {
        UsageError::new(format!("'{word}' is not an option of '{}'", self.name))
    }
}

impl Arguments {
    /// Whether the option was given.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(flag, _)| *flag == name)
    }

    /// The value of the option; the last one counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// The values of an option that may be given several times.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// The value of the option as a number within `range`.
    ///
    /// # Errors
    /// The value is not such a number.
    pub fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, UsageError> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(UsageError::new(format!(
                "{name} needs a number from {} to {}, not '{text}'",
                range.start(),
                range.end()
            ))),
        }
    }

    /// The operand, where one was given.
    pub fn operand(&self) -> Option<&str> {
        self.operands().next()
    }

    /// All operands.
    pub fn operands(&self) -> impl Iterator<Item = &str> {
        self.operands.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERB: Verb = Verb {
        name: "walk",
        summary: "go somewhere",
        flags: &[
            Flag { name: "--port", value: Some("N"), help: "where" },
            Flag { name: "--fast", value: None, help: "how" },
        ],
        operands: None,
        rest: Some("more"),
        run: |_| Ok(()),
    };

    fn parse(line: &str) -> Result<Arguments, UsageError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        VERB.parse(&words)
    }

    #[test]
    fn parse_reads_flags_in_both_forms_and_the_rest() {
        let arguments = parse("--port 1 --port=2 --fast -- --port 3").unwrap();
        assert_eq!(arguments.values("--port").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(arguments.number("--port", 1..=9).unwrap(), Some(2));
        assert!(arguments.has("--fast"));
        assert_eq!(arguments.rest, ["--port", "3"]);
    }

    #[test]
    fn parse_refuses_what_is_not_declared() {
        for line in ["--slow", "--port", "--fast=1", "home"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--port 10").unwrap().number("--port", 1..=9).is_err());
        assert!(parse("--port x").unwrap().number("--port", 1..=9).is_err());
    }

    #[test]
    fn parse_takes_as_many_operands_as_the_name_says() {
        let with = |operands| Verb { operands: Some(operands), flags: &[], ..VERB };
        let words = ["home".to_owned(), "work".to_owned()];
        assert!(with("PLACE").parse(&words).is_err());
        let arguments = with("PLACE…").parse(&words).unwrap();
        assert_eq!(arguments.operands().collect::<Vec<_>>(), ["home", "work"]);
    }

    #[test]
    fn usage_names_every_option() {
        let usage = VERB.usage();
        for word in ["walk", "--port N", "--fast", "-- ARGS"] {
            assert!(usage.contains(word), "{usage}");
        }
    }
}
