//! The flags a script declares about itself, and their names.
//!
//! One table, [`SCRIPT_FLAGS`], is read by the parsers and by the reference pages, so a flag
//! cannot be accepted without being documented.

use bitflags::bitflags;

bitflags! {
    /// Is the set of promises and permissions a script declares in its shebang.
    ///
    /// Stock: `script.h` `SCRIPT_FLAG_NO_WRITES` and its neighbours.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ScriptFlags: u8 {
        /// The script does not write.
        const NO_WRITES = 1;
        /// The script may run while the server is out of memory.
        const ALLOW_OOM = 1 << 1;
        /// The script may run on a replica with stale data.
        const ALLOW_STALE = 1 << 2;
        /// The script does not run in cluster mode.
        const NO_CLUSTER = 1 << 3;
        /// The script may access keys of more than one slot.
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

/// Describes one flag: its name in a shebang, its bit and its meaning in one sentence.
#[derive(Clone, Copy, Debug)]
pub struct FlagSpec {
    /// The name as scripts write it.
    pub name: &'static str,
    /// The one bit it sets.
    pub flag: ScriptFlags,
    /// What it means to a script's author.
    pub summary: &'static str,
}

/// Lists every flag, in the order stock declares them.
///
/// Stock: `script.c` `scripts_flags_def`.
pub const SCRIPT_FLAGS: [FlagSpec; 5] = [
    FlagSpec {
        name: "no-writes",
        flag: ScriptFlags::NO_WRITES,
        summary: "The script only reads; it may run by the read-only commands and on replicas.",
    },
    FlagSpec {
        name: "allow-oom",
        flag: ScriptFlags::ALLOW_OOM,
        summary: "The script may run, and write, when the server is over its memory limit.",
    },
    FlagSpec {
        name: "allow-stale",
        flag: ScriptFlags::ALLOW_STALE,
        summary: "The script may run on a replica that has lost its master and serves no data.",
    },
    FlagSpec {
        name: "no-cluster",
        flag: ScriptFlags::NO_CLUSTER,
        summary: "The script refuses to run when cluster mode is on.",
    },
    FlagSpec {
        name: "allow-cross-slot-keys",
        flag: ScriptFlags::ALLOW_CROSS_SLOT_KEYS,
        summary: "The script may access keys of different slots, as long as they are local.",
    },
];

impl ScriptFlags {
    /// Finds the flag of exactly this name, letter case included.
    ///
    /// Stock: `eval.c` `evalExtractShebangFlags`.
    pub fn from_flag_name(name: &[u8]) -> Option<ScriptFlags> {
        SCRIPT_FLAGS.iter().find(|spec| spec.name.as_bytes() == name).map(|spec| spec.flag)
    }

    /// Finds the flag of this name in any letter case.
    ///
    /// Stock: `function_lua.c` `luaRegisterFunctionReadFlags`.
    pub fn from_flag_name_in_any_case(name: &[u8]) -> Option<ScriptFlags> {
        let is_it = |spec: &&FlagSpec| spec.name.as_bytes().eq_ignore_ascii_case(name);
        SCRIPT_FLAGS.iter().find(is_it).map(|spec| spec.flag)
    }

    /// Gives the names of the flags that are set, in the order of [`SCRIPT_FLAGS`].
    pub fn flag_names(self) -> impl Iterator<Item = &'static str> {
        SCRIPT_FLAGS.iter().filter(move |spec| self.contains(spec.flag)).map(|spec| spec.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_the_table_once() {
        let mut seen = ScriptFlags::empty();
        for spec in SCRIPT_FLAGS {
            assert_eq!(spec.flag.bits().count_ones(), 1, "{}", spec.name);
            assert!(!seen.intersects(spec.flag), "{} twice", spec.name);
            seen |= spec.flag;
        }
        assert_eq!(seen, ScriptFlags::all());
    }

    #[test]
    fn names_are_found_exactly() {
        for spec in SCRIPT_FLAGS {
            assert_eq!(ScriptFlags::from_flag_name(spec.name.as_bytes()), Some(spec.flag));
        }
        for name in ["", "No-Writes", "no-writes ", "no_writes", "no-write", "allow-cross-slot"] {
            assert_eq!(ScriptFlags::from_flag_name(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn set_flags_are_named_in_table_order() {
        let flags = ScriptFlags::NO_CLUSTER | ScriptFlags::NO_WRITES;
        assert_eq!(flags.flag_names().collect::<Vec<_>>(), ["no-writes", "no-cluster"]);
        assert_eq!(ScriptFlags::empty().flag_names().count(), 0);
    }
}
