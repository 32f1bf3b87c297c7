//! The declaration of a Lua API member.

use crate::dialect::Dialect;
use crate::vm::native::{NativeFn, Stack};

/// All members scripts see beyond Lua's own libraries.
#[linkme::distributed_slice]
#[allow(unsafe_code)] // linkme places the slice in a linker section
pub static LUA_API: [ApiSpec];

bitflags::bitflags! {
    /// Where a member exists.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ApiContexts: u8 {
        /// In scripts run by `EVAL` and its kin.
        const EVAL = 1;
        /// In functions run by `FCALL`.
        const FUNCTION = 1 << 1;
        /// While a library is loaded.
        const LIBRARY_LOAD = 1 << 2;
        /// Where stock has no such member: it is found by its name, but `pairs` does not show it.
        const BEYOND_STOCK = 1 << 3;
    }
}

impl ApiContexts {
    /// Scripts and functions, not library loading.
    pub const RUN: Self = Self::EVAL.union(Self::FUNCTION);
    /// Wherever Lua code runs.
    pub const ALL: Self = Self::RUN.union(Self::LIBRARY_LOAD);
}

/// What a member is.
#[derive(Clone, Copy)]
pub enum Member {
    /// A function.
    Function(Function),
    /// A number.
    Number(f64),
    /// A string.
    Text(&'static str),
    /// A value of another type.
    Value(Push),
    /// A string that depends on the server; `None` where there is no such member.
    HostText(fn(Dialect) -> Option<String>),
    /// A number that depends on the server; `None` where there is no such member.
    HostNumber(fn(Dialect) -> Option<f64>),
}

/// A function of the API; only the VM can call it.
#[derive(Clone, Copy)]
pub struct Function(pub(crate) NativeFn);

/// Pushes a value; only the VM can call it.
#[derive(Clone, Copy)]
pub struct Push(pub(crate) fn(&mut Stack));

/// One member of a table scripts see.
pub struct ApiSpec {
    /// The table: `redis`, `server`, `math`, `os`, `cjson`, `cmsgpack`, `struct` or `bit`.
    pub table: &'static str,
    /// The member's name.
    pub name: &'static str,
    /// How it is used, with types as LuaLS writes them; several forms are separated by ` or `.
    pub signature: &'static str,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// Where it exists.
    pub contexts: ApiContexts,
    /// What it is.
    pub member: Member,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_declared_once_and_documented() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in LUA_API {
            assert!(seen.insert((spec.table, spec.name)), "{}.{} twice", spec.table, spec.name);
            assert!(spec.summary.ends_with('.'), "{}: summary is not a sentence", spec.name);
            let full_name = format!("{}.{}", spec.table, spec.name);
            assert!(spec.signature.starts_with(&full_name), "{}: signature", spec.name);
        }
    }
}
