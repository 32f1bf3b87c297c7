//! Every error line a client or a script may see, declared once and collected in [`ERRORS`].

use crate::dialect::{Dialect, Hosts};

/// All error declarations of the module.
#[linkme::distributed_slice]
#[allow(unsafe_code)] // linkme places the slice in a linker section
pub static ERRORS: [ErrorSpec];

/// Where an error's wording comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The stock engine says the same, byte for byte.
    Stock,
    /// The module's own wording.
    Module,
}

/// One error line: `-CODE text`.
pub struct ErrorSpec {
    /// The first word of the line, without the dash.
    pub code: &'static str,
    /// The rest of the line; `{}` stands for a detail given when the error is made.
    pub text: &'static str,
    /// Other wordings, by the servers that have them; the first that fits counts.
    pub variants: &'static [(Hosts, &'static str)],
    /// When the error is raised, one sentence for the reference.
    pub when: &'static str,
    /// Whose wording it is.
    pub origin: Origin,
}

impl ErrorSpec {
    /// An error that reads the same on every host.
    pub const fn stock(code: &'static str, text: &'static str, when: &'static str) -> Self {
        Self { code, text, variants: &[], when, origin: Origin::Stock }
    }

    /// An error that only this module has.
    pub const fn module(code: &'static str, text: &'static str, when: &'static str) -> Self {
        Self { code, text, variants: &[], when, origin: Origin::Module }
    }

    /// The same error with other wordings on some servers.
    pub const fn on(mut self, variants: &'static [(Hosts, &'static str)]) -> Self {
        self.variants = variants;
        self
    }

    /// The wording on a host that speaks `dialect`, placeholders included.
    pub fn text(&self, dialect: Dialect) -> &'static str {
        let variant = self.variants.iter().find(|(hosts, _)| dialect.is(*hosts));
        variant.map_or(self.text, |(_, text)| text)
    }
}

/// An error on its way to a client: the line without its leading dash.
///
/// The line may hold any bytes; whoever sends it replaces CR and LF by blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    line: Vec<u8>,
}

impl ErrorReply {
    /// Makes the error `spec` as a host of `dialect` words it.
    pub fn new(spec: &ErrorSpec, dialect: Dialect) -> Self {
        Self::with(spec, dialect, &[])
    }

    /// Makes the error `spec`, each `{}` of its text replaced by the next of `details`.
    pub fn with(spec: &ErrorSpec, dialect: Dialect, details: &[&[u8]]) -> Self {
        let mut line = Vec::with_capacity(96);
        line.extend_from_slice(spec.code.as_bytes());
        line.push(b' ');
        let mut details = details.iter();
        let mut parts = spec.text(dialect).split("{}");
        line.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            line.extend_from_slice(details.next().copied().unwrap_or_default());
            line.extend_from_slice(part.as_bytes());
        }
        Self { line }
    }

    /// Takes a finished line, code included and without the dash.
    pub fn from_line(line: Vec<u8>) -> Self {
        Self { line }
    }

    /// The line without its leading dash.
    pub fn line(&self) -> &[u8] {
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPEC: ErrorSpec =
        ErrorSpec::stock("ERR", "'{}' of {}", "Never.").on(&[(Hosts::Redis70, "old '{}'")]);

    #[test]
    fn details_fill_the_placeholders_in_order() {
        let error = ErrorReply::with(&SPEC, Dialect::redis(8, 0, 2), &[b"a", b"b"]);
        assert_eq!(error.line(), b"ERR 'a' of b");
    }

    #[test]
    fn an_older_host_has_its_own_wording() {
        let error = ErrorReply::with(&SPEC, Dialect::redis(7, 0, 15), &[b"a", b"b"]);
        assert_eq!(error.line(), b"ERR old 'a'");
    }

    #[test]
    fn every_error_is_declared_once_and_documented() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in ERRORS {
            assert!(seen.insert((spec.code, spec.text)), "{} {} twice", spec.code, spec.text);
            assert!(spec.when.ends_with('.'), "{}: when is not a sentence", spec.text);
        }
    }
}
