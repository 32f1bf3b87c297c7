//! What the ACL granted to clients, kept until something may have changed it.
//!
//! The server tells nobody that a user's rights changed or that a client became another user. Both happen by
//! a handful of commands, which a command filter sees before they run.

use std::cell::Cell;

use redis_module::raw::{self, RedisModuleCtx};

use super::api::api;
use super::call;
use crate::policy::command_info;
use crate::resp::{Token, Tokens};

/// The commands after which a client may be another user or a user may have other rights. `EXEC` is among
/// them because what is queued passes the filter long before it runs.
const SUSPECTS: [&[u8]; 5] = [b"acl", b"auth", b"exec", b"hello", b"reset"];

/// Modules that are part of a server and leave its users alone; any other might change them by the API.
const HARMLESS: [&[u8]; 3] = [b"redlua", b"vectorset", b"lua"];

/// Clients whose grants are kept: those whose numbers differ in the last ten bits.
const CLIENTS: usize = 1024;

/// Ticks of the server's clock for which nothing is kept after a suspect was put off. By the first one the
/// pause is over, and by the second all that waited has run.
const TICKS: u8 = 2;

/// The grants.
pub(super) struct Verdicts {
    clients: Box<[Cell<Grants>]>,
    /// Counts what may have changed a verdict; 0 stands in grants that were never made.
    epoch: Cell<u64>,
    /// Whether whatever may change a verdict passes the filter; `None` until asked.
    sees_all: Cell<Option<bool>>,
    /// Ticks until no suspect can be waiting that passed the filter already.
    put_off: Cell<u8>,
}

/// What one client was granted.
#[derive(Clone, Copy, Default)]
struct Grants {
    client: u64,
    epoch: u64,
    /// A bit for each place in [`crate::commands::COMMANDS`].
    commands: u64,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self {
            clients: vec![Cell::default(); CLIENTS].into_boxed_slice(),
            epoch: Cell::new(1),
            sees_all: Cell::new(None),
            put_off: Cell::new(0),
        }
    }
}

impl Verdicts {
    /// Asks what must be known before a grant is kept, so that no statistics of clients' commands show it.
    pub(super) fn prepare(&self, ctx: *mut RedisModuleCtx) {
        self.sees_all(ctx);
    }

    /// Whether the client may run the command at place `index`, as far as is known.
    #[inline]
    pub(super) fn holds(&self, client: u64, index: usize) -> bool {
        let grants = self.slot(client).get();
        let is_present = grants.client == client && grants.epoch == self.epoch.get();
        is_present && grants.commands & bit(index) != 0
    }

    /// Keeps that the client of `ctx` may run the command at place `index`, if its next call is sure to come
    /// after whatever may change that.
    pub(super) fn grant(&self, ctx: *mut RedisModuleCtx, client: u64, index: usize) {
        // SAFETY: callers give the context of a command.
        let flags = unsafe { api!(GetContextFlags(ctx)) }.cast_unsigned();
        // What follows in a transaction does not pass the filter.
        let in_transaction = flags & raw::REDISMODULE_CTX_FLAGS_MULTI != 0;
        if in_transaction || self.put_off.get() > 0 || !self.sees_all(ctx) {
            return;
        }
        let epoch = self.epoch.get();
        let slot = self.slot(client);
        let mut grants = slot.get();
        if grants.client != client || grants.epoch != epoch {
            grants = Grants { client, epoch, commands: 0 };
        }
        grants.commands |= bit(index);
        slot.set(grants);
    }

    /// Forgets all grants.
    pub(super) fn forget(&self) {
        self.epoch.set(self.epoch.get() + 1);
    }

    /// Forgets all grants, and what modules there are.
    pub(super) fn modules_changed(&self) {
        self.sees_all.set(None);
        self.forget();
    }

    /// A suspect is about to run, or to wait.
    #[cold]
    pub(super) fn suspect(&self) {
        self.forget();
        // While clients are paused, servers since 7.2 put commands off that passed the filter, and do not
        // show them to it again when they run.
        // SAFETY: the function takes nothing.
        if unsafe { api!(AvoidReplicaTraffic()) } != 0 {
            self.put_off.set(TICKS);
        }
    }

    /// The server's clock ticked, which it does once in a turn of its event loop at most.
    pub(super) fn tick(&self) {
        let left = self.put_off.get();
        if left == 0 {
            return;
        }
        // SAFETY: the function takes nothing.
        let is_paused = unsafe { api!(AvoidReplicaTraffic()) } != 0;
        self.put_off.set(if is_paused { TICKS } else { left - 1 });
    }

    fn slot(&self, client: u64) -> &Cell<Grants> {
        // The remainder is less than the number of slots.
        &self.clients[(client % CLIENTS as u64) as usize]
    }

    /// Whether the suspects have their own names, and no module is there that could do without them.
    fn sees_all(&self, ctx: *mut RedisModuleCtx) -> bool {
        let ask = || {
            let own_names =
                call::plain(ctx, c"COMMAND", &[&[&b"INFO"[..]], &SUSPECTS[..]].concat(), |proto| {
                    let found = command_info::parse(proto);
                    found.iter().map(|info| info.name.as_slice()).eq(SUSPECTS)
                });
            let alone = call::plain(ctx, c"MODULE", &[b"LIST"], are_harmless);
            own_names == Some(true) && alone == Some(true)
        };
        let answer = self.sees_all.get().unwrap_or_else(ask);
        self.sees_all.set(Some(answer));
        answer
    }
}

fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

/// Whether all modules of a raw `MODULE LIST` are harmless.
fn are_harmless(proto: &[u8]) -> bool {
    let mut tokens = Tokens::new(proto);
    let mut is_name = false;
    while !tokens.is_at_end() {
        let text = match tokens.next() {
            Token::Bulk(text) | Token::Status(text) => Some(text),
            Token::Malformed => return false,
            _ => None,
        };
        if is_name && !text.is_some_and(|name| HARMLESS.contains(&name)) {
            return false;
        }
        is_name = !is_name && text == Some(b"name");
    }
    true
}

/// Whether a command is one of the suspects; almost all are known not to be by length and first letter.
#[inline]
pub(super) fn is_suspect(name: &[u8]) -> bool {
    let [first, ..] = name else { return false };
    matches!((name.len(), first | 0x20), (3, b'a') | (4, b'a' | b'e') | (5, b'h' | b'r'))
        && SUSPECTS.iter().any(|suspect| name.eq_ignore_ascii_case(suspect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_are_known_in_any_case() {
        for name in SUSPECTS {
            assert!(is_suspect(name));
            assert!(is_suspect(&name.to_ascii_uppercase()));
            assert!(!is_suspect(&name[1..]));
        }
        for name in [&b"ask"[..], b"echo", b"eval", b"aut", b"host:", b"resets", b""] {
            assert!(!is_suspect(name), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_module_that_is_no_part_of_a_server_is_not_harmless() {
        let ours = b"*1\r\n*4\r\n$4\r\nname\r\n$6\r\nredlua\r\n$3\r\nver\r\n:100\r\n";
        assert!(are_harmless(ours));
        let other = b"*1\r\n*4\r\n$4\r\nname\r\n$6\r\nsearch\r\n$3\r\nver\r\n:100\r\n";
        assert!(!are_harmless(other));
        assert!(!are_harmless(b"*1\r\n$4\r\n"));
        assert!(are_harmless(b"*0\r\n"));
    }
}
