//! What the module is given when it is loaded: `loadmodule libredlua.so name value ...`.

use std::ffi::{CString, c_int};

use redis_module::raw::RedisModuleString;

use super::call::bytes;
use crate::config::{CONFIGS, ConfigSpec};
use crate::names;

/// What the arguments of a load say.
#[derive(Default)]
pub(super) struct Arguments {
    /// Settings and their values.
    pub(super) settings: Vec<(&'static ConfigSpec, i64)>,
    /// The prefix of the commands' names.
    pub(super) prefix: Option<String>,
}

impl Arguments {
    /// Reads pairs of a name and a value.
    ///
    /// # Errors
    /// What is wrong with them, as a line for the log.
    pub(super) fn parse(words: &[&[u8]]) -> Result<Self, String> {
        let mut arguments = Self::default();
        for pair in words.chunks(2) {
            let name = String::from_utf8_lossy(pair.first().copied().unwrap_or_default());
            let [_, value] = pair else {
                return Err(format!("the argument '{name}' has no value"));
            };
            arguments.set(&name, value)?;
        }
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(value);
        if name.eq_ignore_ascii_case("prefix") {
            let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            if value.is_empty() || value.len() > 16 || !value.iter().all(is_sound) {
                return Err(format!(
                    "the prefix '{shown}' is not 1 to 16 letters, digits, dots, dashes and underscores"
                ));
            }
            self.prefix = Some(shown.into_owned());
            return Ok(());
        }
        let bare = name.strip_prefix("redlua.").unwrap_or(name);
        let is_it = |spec: &&ConfigSpec| bare.as_bytes().eq_ignore_ascii_case(spec.name.to_bytes());
        let spec = CONFIGS.iter().find(is_it);
        let spec = spec.ok_or_else(|| format!("there is no argument '{name}'"))?;
        let value = spec.parse(value);
        let value = value.map_err(|fault| format!("the value '{shown}' of '{name}' {fault}"))?;
        self.settings.push((spec, value));
        Ok(())
    }
}

/// The module's name, which its settings and `INFO` fields begin with: two builds with different prefixes can
/// be loaded side by side.
pub(super) fn module_name() -> CString {
    let prefix = names::prefix();
    let name = if prefix == names::DECLARED_PREFIX {
        "redlua".to_owned()
    } else {
        let letters = prefix.chars().filter(char::is_ascii_alphanumeric);
        format!("redlua-{}", letters.collect::<String>().to_ascii_lowercase())
    };
    CString::new(name).unwrap_or_default()
}

/// The words of a load's arguments.
///
/// # Safety
/// `argv` has `argc` live strings, and the bytes are used during the load only.
pub(super) unsafe fn words<'a>(argv: *mut *mut RedisModuleString, argc: c_int) -> Vec<&'a [u8]> {
    let count = usize::try_from(argc).unwrap_or_default();
    // SAFETY: by the contract.
    (0..count).map(|at| unsafe { bytes(*argv.add(at)) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Arguments::parse(&words).err().unwrap_or_default()
    }

    #[test]
    fn bad_arguments_are_named() {
        assert_eq!(fault(&["nope", "1"]), "there is no argument 'nope'");
        assert_eq!(fault(&["takeover"]), "the argument 'takeover' has no value");
        assert_eq!(fault(&["takeover", "1"]), "the value '1' of 'takeover' is neither yes nor no");
        assert!(fault(&["prefix", "a b"]).starts_with("the prefix 'a b' is not 1 to 16 letters"));
        assert_eq!(
            fault(&["memory-limit", "1"]),
            "the value '1' of 'memory-limit' is out of range"
        );
        assert_eq!(fault(&["Takeover", "yes", "redlua.persist", "no", "prefix", "X."]), "");
    }
}
