//! The declaration of a command, and what its handler gets.

use std::ffi::CStr;

use crate::dialect::{Dialect, Hosts};
use crate::engine::Engine;
use crate::host::ServerHost;
use crate::names;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink};

/// All commands and subcommands of the module.
#[linkme::distributed_slice]
#[allow(unsafe_code)] // linkme places the slice in a linker section
pub static COMMANDS: [CommandSpec];

register!(ERRORS: INTERNAL_ERROR: ErrorSpec = ErrorSpec::module(
    "ERR",
    "internal error",
    "A bug was met: the server goes on, with a fresh virtual machine.",
));
register!(ERRORS: NO_PERMISSION: ErrorSpec = ErrorSpec::stock(
    "NOPERM",
    "User {} has no permissions to run the '{}' command",
    "The caller may not run the stock command this one is the counterpart of.",
).on(&[(Hosts::Redis70, "this user has no permissions to run the '{}' command")]));

bitflags::bitflags! {
    /// Command flags, named as the server names them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CommandFlags: u32 {
        /// May not be called by a script.
        const DENY_SCRIPT = 1;
        /// Runs on a replica with stale data.
        const ALLOW_STALE = 1 << 1;
        /// Runs while the dataset is loaded.
        const ALLOW_LOADING = 1 << 2;
        /// May send effects to replicas.
        const MAY_REPLICATE = 1 << 3;
        /// Is a command with keys even when it is given none.
        const NO_MANDATORY_KEYS = 1 << 4;
        /// Reads only.
        const READ_ONLY = 1 << 5;
        /// Writes.
        const WRITE = 1 << 6;
        /// Is refused above `maxmemory`.
        const DENY_OOM = 1 << 7;
        /// Is not shown by `MONITOR`.
        const NO_MONITOR = 1 << 8;
        /// Is not in the slow log.
        const NO_SLOWLOG = 1 << 9;
        /// Is fast.
        const FAST = 1 << 10;
        /// Runs while a script keeps the server busy.
        const ALLOW_BUSY = 1 << 11;
        /// Is for administrators.
        const ADMIN = 1 << 12;
    }
}

/// How a command uses its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    /// It may read and change them.
    ReadWrite,
    /// It only reads them.
    Read,
}

/// Where a command's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere.
    None,
    /// After their number, which is the argument at `at` (the name is argument 0).
    Counted {
        /// The position of the number.
        at: usize,
        /// How they are used.
        access: KeyAccess,
        /// A remark for readers of `COMMAND INFO`.
        notes: Option<&'static CStr>,
    },
}

/// The type of an argument, for `COMMAND DOCS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any text.
    Text,
    /// An integer.
    Integer,
    /// A key, by the command's key specification.
    Key,
    /// The argument's own name, as a token.
    Token(&'static str),
    /// Any text, after a token.
    NamedText(&'static str),
    /// One of several.
    OneOf(&'static [Arg]),
}

/// One argument of a command, for `COMMAND DOCS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgKind,
    /// It may be left out.
    pub optional: bool,
    /// It may be repeated.
    pub multiple: bool,
    /// The version of the server whose command first had it.
    pub since: Option<&'static str>,
}

impl Arg {
    /// A required argument given once.
    pub const fn new(name: &'static str, kind: ArgKind) -> Self {
        Self { name, kind, optional: false, multiple: false, since: None }
    }

    /// The same argument, which may be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same argument, which may be repeated.
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// The same argument, which exists since a version.
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }
}

/// What a handler works with.
pub struct Invocation<'a, S> {
    /// The arguments after the command's name, subcommand names excluded.
    pub args: &'a [&'a [u8]],
    /// The name of the subcommand, as the client wrote it.
    pub subcommand: &'a [u8],
    /// The engine.
    pub engine: &'a Engine,
    /// The server, for a run.
    pub host: &'a ServerHost,
    /// Where the reply goes.
    pub reply: &'a mut S,
}

/// Runs a command. What it returns as an error is the reply; otherwise it replied.
pub type Handler = fn(&mut Invocation<'_, crate::host::ServerReply>) -> Result<(), ErrorReply>;

/// One command or subcommand.
pub struct CommandSpec {
    /// Its name; a subcommand's is `CONTAINER|NAME`.
    pub name: &'static str,
    /// The stock command it is the counterpart of.
    pub replaces: Option<&'static str>,
    /// The stock command whose right a caller needs, where the server has no counterpart.
    pub needs: Option<&'static str>,
    /// One line on what it does.
    pub summary: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// The version of the server whose command it follows.
    pub since: &'static str,
    /// What changed since then: the version, and what it brought.
    pub history: &'static [(&'static str, &'static str)],
    /// Number of arguments with the name, subcommand included; negative: at least that many.
    pub arity: i32,
    /// Its flags.
    pub flags: CommandFlags,
    /// Those that it has on some servers only.
    pub flags_on: &'static [(Hosts, CommandFlags)],
    /// ACL categories, on servers where modules may choose them.
    pub acl: &'static str,
    /// Hints for clients.
    pub tips: &'static [&'static str],
    /// Where its keys are.
    pub keys: Keys,
    /// Its arguments, subcommand names excluded.
    pub args: &'static [Arg],
    /// Lines of its container's HELP: usage and explanation.
    pub help: &'static [&'static str],
    /// Those that some servers have instead.
    pub help_on: &'static [(Hosts, &'static [&'static str])],
    /// What runs it; `None` for a container.
    pub handler: Option<Handler>,
}

impl CommandSpec {
    /// What most commands have.
    pub const DEFAULT: Self = Self {
        name: "",
        replaces: None,
        needs: None,
        summary: "",
        complexity: "",
        since: "",
        history: &[],
        arity: 0,
        flags: CommandFlags::empty(),
        flags_on: &[],
        acl: "scripting slow",
        tips: &[],
        keys: Keys::None,
        args: &[],
        help: &[],
        help_on: &[],
        handler: None,
    };

    /// Container and own name of a subcommand.
    pub fn subcommand(&self) -> Option<(&'static str, &'static str)> {
        // Every command asks, and searching a text for a character is dear where it is short.
        let bar = self.name.bytes().position(|byte| byte == b'|')?;
        Some((&self.name[..bar], &self.name[bar + 1..]))
    }

    /// Its flags on a server.
    pub fn flags_for(&self, dialect: Dialect) -> CommandFlags {
        let further = self.flags_on.iter().filter(|(hosts, _)| dialect.is(*hosts));
        further.fold(self.flags, |all, (_, flags)| all | *flags)
    }

    /// Its lines in the HELP of its container on a server.
    pub fn help_for(&self, dialect: Dialect) -> &'static [&'static str] {
        let other = self.help_on.iter().find(|(hosts, _)| dialect.is(*hosts));
        other.map_or(self.help, |(_, lines)| lines)
    }
}

/// The name that texts give the declared command: as clients type it, which during a takeover is stock's, if
/// stock has it.
pub(super) fn shown(declared: &str) -> String {
    let first = declared.split('|').next();
    let is_stock = |it: &CommandSpec| Some(it.name) == first && it.replaces.is_some();
    if COMMANDS.iter().any(is_stock) { names::shown(declared) } else { names::full(declared) }
}

register!(ERRORS: WRONG_USAGE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
    "A subcommand gets more arguments than it takes.",
));

/// The error of a subcommand of `container` that gets more arguments than it takes.
///
/// Stock: `networking.c` `addReplySubcommandSyntaxError`.
pub(super) fn wrong_usage(container: &str, subcommand: &[u8], dialect: Dialect) -> ErrorReply {
    let start = subcommand.get(..128).unwrap_or(subcommand);
    let container = shown(container);
    ErrorReply::with(&WRONG_USAGE, dialect, &[start, container.as_bytes()])
}

register!(ERRORS: WRONG_ARITY: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "wrong number of arguments for '{}' command",
    "A command that takes more arguments than its counterpart gets a number that neither takes.",
));

/// The error of a command that gets a number of arguments that it does not take.
///
/// Stock: `server.c` `commandCheckArity`.
pub(super) fn wrong_arity(spec: &CommandSpec, dialect: Dialect) -> ErrorReply {
    let name = names::shown(spec.name).to_ascii_lowercase();
    ErrorReply::with(&WRONG_ARITY, dialect, &[name.as_bytes()])
}

/// The error of a command in which a bug was met.
pub fn internal_error(dialect: Dialect) -> ErrorReply {
    ErrorReply::new(&INTERNAL_ERROR, dialect)
}

/// The error of a caller who may not run `spec`.
///
/// Stock: `server.c` `processCommand`.
pub fn no_permission(spec: &CommandSpec, user: &[u8], dialect: Dialect) -> ErrorReply {
    let command = shown(spec.name).to_ascii_lowercase();
    let details: &[&[u8]] = &[user, command.as_bytes()];
    // Redis 7.0 does not name the user.
    let first = usize::from(dialect.is(Hosts::Redis70));
    ErrorReply::with(&NO_PERMISSION, dialect, details.get(first..).unwrap_or_default())
}

/// The reply `OK`.
pub(super) fn ok(reply: &mut impl ReplySink) {
    reply.status(b"OK");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least_arguments(args: &[Arg]) -> i32 {
        args.iter().filter(|arg| !arg.optional).count() as i32
    }

    #[test]
    fn declarations_are_coherent() {
        let mut names = std::collections::BTreeSet::new();
        let mut replaced = std::collections::BTreeSet::new();
        for spec in COMMANDS {
            assert!(names.insert(spec.name), "{} twice", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_uppercase());
            if let Some(stock) = spec.replaces {
                assert!(replaced.insert(stock), "{stock} replaced twice");
            }
            assert!(!spec.summary.is_empty(), "{} has no summary", spec.name);
        }
        for spec in COMMANDS {
            let Some((container, _)) = spec.subcommand() else {
                continue;
            };
            let container = COMMANDS.iter().find(|spec| spec.name == container);
            assert!(container.is_some_and(|it| it.handler.is_none()), "{}: container", spec.name);
        }
    }

    #[test]
    fn arity_is_what_the_arguments_imply() {
        for spec in COMMANDS.iter().filter(|spec| spec.handler.is_some()) {
            let words = if spec.subcommand().is_some() { 2 } else { 1 };
            let least = words + least_arguments(spec.args);
            let open = spec.args.iter().any(|arg| arg.optional || arg.multiple);
            let expected = if open { -least } else { least };
            assert_eq!(spec.arity, expected, "{}", spec.name);
        }
    }
}
