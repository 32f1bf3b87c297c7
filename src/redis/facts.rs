//! What the server said of its commands, kept until modules change.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use redis_module::raw::{self, RedisModuleCtx};

use super::api::api;
use super::call::{self, Strings};
use super::user::User;
use crate::host::Permission;
use crate::names;
use crate::policy::call_rules::{CommandFacts, KeyPlaces, Traits};
use crate::policy::command_info::{self, CommandInfo};

/// Facts of all commands by name, in lower and in upper case.
#[derive(Default)]
pub(super) struct FactsCache {
    commands: RefCell<HashMap<Box<[u8]>, Entry, foldhash::fast::RandomState>>,
    /// A module came or went: what is kept may be wrong.
    outdated: Cell<bool>,
    /// Commands without subcommands that were asked for of late.
    recent: [Cell<Recent>; RECENT],
    /// Some command has a name that the server did not tell, given by `rename-command`.
    renamed: Cell<bool>,
    /// The server looks at the number of arguments before it answers whether a command is permitted. Some
    /// servers of a version do, and others, without a fix that came later, do not.
    acl_counts_arguments: Cell<bool>,
    /// Somebody sent `DEBUG`, which can have the server let scripts call what is forbidden to them.
    may_be_lifted: Cell<bool>,
}

/// How many commands are kept at hand.
const RECENT: usize = 16;

/// A command at hand.
#[derive(Clone, Copy)]
struct Recent {
    name: Name,
    facts: CommandFacts,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            name: Name::default(),
            facts: CommandFacts { arity: 0, traits: Traits::empty(), keys: KeyPlaces::default() },
        }
    }
}

/// A name of up to 16 bytes as numbers, which are compared at once; all zero for none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Name {
    first: u64,
    last: u64,
    len: usize,
}

impl Name {
    #[inline]
    fn of(name: &[u8]) -> Option<Self> {
        let len = name.len();
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (name.first_chunk(), name.last_chunk(), name) {
                (Some(first), Some(last), _) => {
                    (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
                }
                (_, _, [first, .., last]) => {
                    // Of three bytes at most one is between.
                    let between = name.get(1).copied().unwrap_or_default();
                    (u64::from(*first) | u64::from(between) << 8, u64::from(*last))
                }
                _ => return None,
            },
        };
        (len <= 16).then_some(Self { first, last, len })
    }

    /// Where it is kept.
    #[inline]
    fn place(self) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 60) as usize % RECENT
    }
}

struct Entry {
    facts: CommandFacts,
    /// Facts of subcommands by their own name in lower case.
    subcommands: HashMap<Box<[u8]>, CommandFacts, foldhash::fast::RandomState>,
}

impl FactsCache {
    /// Forgets everything at the next look-up.
    pub(super) fn invalidate(&self) {
        self.outdated.set(true);
    }

    /// Somebody sent `DEBUG`, and may have changed what scripts may call.
    #[cold]
    pub(super) fn suspect(&self) {
        self.may_be_lifted.set(true);
        self.invalidate();
    }

    /// Asks the server for all its commands.
    pub(super) fn fill(&self, ctx: *mut RedisModuleCtx) {
        self.outdated.set(false);
        let infos = call::plain(ctx, c"COMMAND", &[], command_info::parse);
        let nobody = User::nobody();
        let is_lifted = self.may_be_lifted.get() && lets_scripts_call_all(ctx);
        let mut commands = self.commands.borrow_mut();
        commands.clear();
        self.recent.iter().for_each(|recent| recent.set(Recent::default()));
        self.renamed.set(false);
        for mut info in infos.unwrap_or_default() {
            if is_lifted && !is_own(&info) {
                allow(&mut info);
            }
            let name = Strings::new(&[&info.name]);
            match nobody.permission(name.as_slice()) {
                // The server tells the name a command was made with, not the one it has now.
                Permission::NoSuchCommand => {
                    self.renamed.set(true);
                    continue;
                }
                Permission::WrongArity => self.acl_counts_arguments.set(true),
                Permission::Granted | Permission::Denied => {}
            }
            let upper = info.name.to_ascii_uppercase().into_boxed_slice();
            commands.insert(upper, Entry::new(&info));
            commands.insert(info.name.clone().into_boxed_slice(), Entry::new(&info));
        }
    }

    /// Whether the server looks at the number of arguments before it answers whether a command is permitted.
    pub(super) fn acl_counts_arguments(&self) -> bool {
        self.acl_counts_arguments.get()
    }

    /// The facts of the command `argv` names; `None` when the server has no such command.
    #[inline]
    pub(super) fn get(&self, ctx: *mut RedisModuleCtx, argv: &[&[u8]]) -> Option<CommandFacts> {
        let name = *argv.first()?;
        if self.outdated.get() {
            self.fill(ctx);
        }
        let short = Name::of(name);
        if let Some(short) = short {
            let recent = self.recent[short.place()].get();
            if recent.name == short {
                return Some(recent.facts);
            }
        }
        self.look_up(ctx, short, name, argv)
    }

    #[cold]
    fn look_up(
        &self,
        ctx: *mut RedisModuleCtx,
        short: Option<Name>,
        name: &[u8],
        argv: &[&[u8]],
    ) -> Option<CommandFacts> {
        if let Some(entry) = self.commands.borrow().get(name) {
            if let Some(name) = short
                && entry.subcommands.is_empty()
            {
                self.recent[name.place()].set(Recent { name, facts: entry.facts });
            }
            return entry.facts_of(argv);
        }
        self.get_unusual(ctx, name, argv)
    }

    /// Looks up a name in mixed case, or one the server gave to a command by `rename-command`.
    #[cold]
    fn get_unusual(
        &self,
        ctx: *mut RedisModuleCtx,
        name: &[u8],
        argv: &[&[u8]],
    ) -> Option<CommandFacts> {
        let lower = name.to_ascii_lowercase();
        if let Some(entry) = self.commands.borrow().get(lower.as_slice()) {
            return entry.facts_of(argv);
        }
        // The server would take the full name of a subcommand here, which names no command.
        if !self.renamed.get() || name.contains(&b'|') {
            return None;
        }
        let infos = call::plain(ctx, c"COMMAND", &[b"INFO", &lower], command_info::parse)?;
        let entry = Entry::new(infos.first()?);
        let facts = entry.facts_of(argv);
        self.commands.borrow_mut().insert(lower.into_boxed_slice(), entry);
        facts
    }
}

/// Whether the server's own engine lets scripts call what is forbidden to them, for which `DEBUG
/// SET-DISABLE-DENY-SCRIPTS` is there. Stock is asked and not the command's sender trusted, whom the server may
/// have refused.
fn lets_scripts_call_all(ctx: *mut RedisModuleCtx) -> bool {
    // SAFETY: callers give the context of a running callback.
    let flags = unsafe { api!(GetContextFlags(ctx)) }.cast_unsigned();
    // The server does not survive a script within a script of its own.
    if flags & raw::REDISMODULE_CTX_FLAGS_LUA != 0 {
        return false;
    }
    let probe: [&[u8]; 2] = [b"return redis.pcall('CLIENT', 'ID')", b"0"];
    call::plain(ctx, c"EVAL", &probe, |proto| proto.starts_with(b":")).unwrap_or_default()
}

/// Whether a command is the module's: a run within a run has no place.
fn is_own(info: &CommandInfo) -> bool {
    let prefix = names::prefix().as_bytes();
    info.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Lets scripts call a command and its subcommands.
fn allow(info: &mut CommandInfo) {
    info.facts.traits.remove(Traits::NO_SCRIPT);
    info.subcommands.iter_mut().for_each(allow);
}

impl Entry {
    fn new(info: &CommandInfo) -> Self {
        let own_name = |it: &CommandInfo| {
            let name = it.name.split(|&byte| byte == b'|').next_back().unwrap_or_default();
            (name.into(), it.facts)
        };
        Self { facts: info.facts, subcommands: info.subcommands.iter().map(own_name).collect() }
    }

    #[inline]
    fn facts_of(&self, argv: &[&[u8]]) -> Option<CommandFacts> {
        match argv.get(1) {
            Some(name) if !self.subcommands.is_empty() => {
                self.subcommands.get(name.to_ascii_lowercase().as_slice()).copied()
            }
            _ => Some(self.facts),
        }
    }
}
