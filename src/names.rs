//! What the commands are called: by their prefix, or as the stock commands they stand in for.

use std::sync::OnceLock;

use crate::config;

/// The prefix of the names as they are declared.
pub const DECLARED_PREFIX: &str = "LUA.";

static PREFIX: OnceLock<String> = OnceLock::new();

/// Sets the prefix of the commands' names; only the first call counts.
pub fn set_prefix(prefix: &str) {
    let _ = PREFIX.set(prefix.to_ascii_uppercase());
}

/// The prefix of the commands' names, in upper case.
pub fn prefix() -> &'static str {
    PREFIX.get().map_or(DECLARED_PREFIX, String::as_str)
}

/// The name that the server knows the declared command by.
pub fn full(declared: &str) -> String {
    format!("{}{}", prefix(), bare(declared))
}

/// The name that texts give the declared command: what clients type.
pub fn shown(declared: &str) -> String {
    if config::takes_over() { bare(declared).to_owned() } else { full(declared) }
}

/// The name that a client typed, of a command that runs under this one.
pub fn typed(full: &[u8]) -> &[u8] {
    let (prefix, bare) = full.split_at(full.len().min(prefix().len()));
    let is_ours = config::takes_over() && prefix.eq_ignore_ascii_case(self::prefix().as_bytes());
    if is_ours { bare } else { full }
}

/// The name without a prefix.
fn bare(declared: &str) -> &str {
    declared.strip_prefix(DECLARED_PREFIX).unwrap_or(declared)
}
