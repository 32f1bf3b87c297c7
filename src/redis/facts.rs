//! What the server said of its commands, kept until modules change.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use redis_module::raw::RedisModuleCtx;

use super::call::{self, Strings};
use super::user::User;
use crate::host::Permission;
use crate::policy::call_rules::CommandFacts;
use crate::policy::command_info::{self, CommandInfo};

/// Facts of all commands by name, in lower and in upper case.
#[derive(Default)]
pub(super) struct FactsCache {
    commands: RefCell<HashMap<Box<[u8]>, Entry, foldhash::fast::RandomState>>,
    /// A module came or went: what is kept may be wrong.
    outdated: Cell<bool>,
    /// Some command has a name that the server did not tell, given by `rename-command`.
    renamed: Cell<bool>,
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

    /// Asks the server for all its commands.
    pub(super) fn fill(&self, ctx: *mut RedisModuleCtx) {
        self.outdated.set(false);
        let infos = call::plain(ctx, c"COMMAND", &[], command_info::parse);
        let nobody = User::nobody();
        let mut commands = self.commands.borrow_mut();
        commands.clear();
        self.renamed.set(false);
        for info in infos.unwrap_or_default() {
            let name = Strings::new(&[&info.name]);
            if nobody.permission(name.as_slice()) == Permission::NoSuchCommand {
                // The server tells the name a command was made with, not the one it has now.
                self.renamed.set(true);
                continue;
            }
            let upper = info.name.to_ascii_uppercase().into_boxed_slice();
            commands.insert(upper, Entry::new(&info));
            commands.insert(info.name.clone().into_boxed_slice(), Entry::new(&info));
        }
    }

    /// The facts of the command `argv` names; `None` when the server has no such command.
    #[inline]
    pub(super) fn get(&self, ctx: *mut RedisModuleCtx, argv: &[&[u8]]) -> Option<CommandFacts> {
        let name = *argv.first()?;
        if self.outdated.get() {
            self.fill(ctx);
        }
        if let Some(entry) = self.commands.borrow().get(name) {
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
