//! The tests that a module cannot pass, each with the reason.

use anyhow::{Context, Result, bail};

/// The list, beside the sources of this tool.
const LIST: &str = include_str!("../../conformance-skips.txt");

/// One test that is known not to pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Skip {
    /// The servers whose test it is; `*` for all that have it.
    servers: Vec<String>,
    /// Its file.
    pub file: String,
    /// Its name.
    pub test: String,
    /// Why it cannot pass.
    pub reason: String,
    /// It is not even run: it would wait for ever, or take the tests after it along.
    pub hangs: bool,
}

/// The list for one server.
///
/// # Errors
/// A line cannot be read.
pub fn of(server: &str) -> Result<Vec<Skip>> {
    let mut skips = parse(LIST)?;
    skips.retain(|skip| skip.servers.iter().any(|name| name == "*" || name == server));
    Ok(skips)
}

/// Reads sections of the form `[reason]` and in them lines of servers, file and name, with `hangs`
/// before those that are not to be run.
pub(super) fn parse(text: &str) -> Result<Vec<Skip>> {
    let (mut skips, mut reason) = (Vec::new(), None);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(text) = line.strip_prefix('[') {
            let text = text.strip_suffix(']').with_context(|| format!("line {}: no ]", at + 1))?;
            reason = Some(text.to_owned());
            continue;
        }
        let (hangs, rest) = match line.strip_prefix("hangs ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let mut words = rest.splitn(3, ' ').map(str::trim);
        let (Some(servers), Some(file), Some(test), Some(reason)) =
            (words.next(), words.next(), words.next(), &reason)
        else {
            bail!("line {}: not a reason, and not servers, file and test", at + 1);
        };
        skips.push(Skip {
            servers: servers.split(',').map(str::to_owned).collect(),
            file: file.to_owned(),
            test: test.to_owned(),
            reason: reason.clone(),
            hangs,
        });
    }
    Ok(skips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read() {
        assert!(!parse(LIST).unwrap().is_empty());
    }

    #[test]
    fn a_line_names_servers_file_and_test() {
        let text = "# comment\n[no way]\nhangs redis-7.0,redis-8.0 unit/x some test\n* unit/y z\n";
        let skips = parse(text).unwrap();
        assert!(skips[0].hangs && !skips[1].hangs);
        assert_eq!(skips[0].servers, ["redis-7.0", "redis-8.0"]);
        assert_eq!((skips[0].file.as_str(), skips[0].test.as_str()), ("unit/x", "some test"));
        assert_eq!(skips[1].reason, "no way");
        for bad in ["* unit/x test", "[reason]\n* unit/x", "[reason"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
