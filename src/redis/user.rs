//! The caller's user, and what the ACL lets it do.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString, RedisModuleUser};

use super::api::{acl_check_permissions, api};
use super::call::{Strings, bytes, errno};
use super::verdicts::Verdicts;
use crate::commands::{COMMANDS, CommandSpec};
use crate::host::Permission;

/// The user of a client; freed with the value.
pub(super) struct User {
    user: NonNull<RedisModuleUser>,
    /// The database of its client.
    db: c_int,
}

impl User {
    /// The user of the client behind `ctx`; `None` when there is no such client, as when another module
    /// calls the command.
    pub(super) fn of(ctx: *mut RedisModuleCtx) -> Option<Self> {
        let name = UserName::of(ctx)?;
        // SAFETY: the name is live.
        let user = unsafe { api!(GetModuleUserFromUserName(name.string)) };
        // SAFETY: callers give the context of a command.
        let db = unsafe { api!(GetSelectedDb(ctx)) };
        NonNull::new(user).map(|user| Self { user, db })
    }

    /// A user who may do nothing, to ask which commands there are.
    pub(super) fn nobody() -> Self {
        // SAFETY: the name is a C string.
        let user = unsafe { api!(CreateModuleUser(c"redlua-nobody".as_ptr())) };
        Self { user: NonNull::new(user).expect("the server always makes a user"), db: 0 }
    }

    /// Whether the user may run `argv`.
    pub(super) fn permission(&self, argv: &[*mut RedisModuleString]) -> Permission {
        let argc = i32::try_from(argv.len()).unwrap_or(i32::MAX);
        // SAFETY: the user and the strings are live; the server only reads the array.
        let status = unsafe {
            api!(ACLCheckCommandPermissions(self.user.as_ptr(), argv.as_ptr().cast_mut(), argc))
        };
        match status {
            0 => Permission::Granted,
            _ if errno() == libc::ENOENT => Permission::NoSuchCommand,
            _ if errno() == libc::EINVAL => Permission::WrongArity,
            _ if self.may_in_database(argv, argc) => Permission::Granted,
            _ => Permission::Denied,
        }
    }

    /// Whether the user may run `argv` in the database of its client. Where rights are given by database, the
    /// function above, which knows none, denies all.
    fn may_in_database(&self, argv: &[*mut RedisModuleString], argc: c_int) -> bool {
        let argv = argv.as_ptr().cast_mut();
        acl_check_permissions().is_some_and(|check| {
            // SAFETY: the user and the strings are live; the server only reads the array.
            unsafe { check(self.user.as_ptr(), argv, argc, self.db, ptr::null_mut()) == 0 }
        })
    }

    /// Notes in the ACL log that the user may not run `command`.
    fn log_denied(&self, ctx: *mut RedisModuleCtx, command: *mut RedisModuleString) {
        let reason = raw::RedisModuleACLLogEntryReason_REDISMODULE_ACL_LOG_CMD;
        // SAFETY: all three are live.
        unsafe { api!(ACLAddLogEntry(ctx, self.user.as_ptr(), command, reason)) };
    }
}

/// The name of a client's user; freed with the value.
pub(super) struct UserName {
    ctx: *mut RedisModuleCtx,
    string: *mut RedisModuleString,
}

impl UserName {
    /// The name of the user of the client behind `ctx`.
    ///
    /// It is asked for by the client's number, since servers read through a null pointer when they are
    /// asked for the current user of a client that has none.
    pub(super) fn of(ctx: *mut RedisModuleCtx) -> Option<Self> {
        // SAFETY: callers give the context of a command.
        let id = unsafe { api!(GetClientId(ctx)) };
        // SAFETY: as above.
        let string = unsafe { api!(GetClientUserNameById(ctx, id)) };
        (!string.is_null()).then(|| Self { ctx, string })
    }

    /// The name.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // SAFETY: the string is live.
        unsafe { bytes(self.string) }.to_vec()
    }
}

impl Drop for UserName {
    fn drop(&mut self) {
        // SAFETY: the string is ours to free.
        unsafe { api!(FreeString(self.ctx, self.string)) };
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: the user is ours to free.
        unsafe { api!(FreeModuleUser(self.user.as_ptr())) };
    }
}

/// The stock commands by place of their counterpart in [`COMMANDS`].
///
/// Who may not run the stock command may not run ours: servers before 7.2 cannot put module commands in
/// `@scripting`, so a rule such as `-@scripting` would not cover them.
pub(super) struct StockCommands {
    commands: Vec<Vec<Strings>>,
    verdicts: Verdicts,
}

impl StockCommands {
    /// Prepares the commands.
    pub(super) fn new() -> Self {
        Self {
            commands: COMMANDS.iter().map(Self::probes).collect(),
            verdicts: Verdicts::default(),
        }
    }

    /// The stock command with arguments that name no key, and the one that counts on servers without it.
    fn probes(spec: &CommandSpec) -> Vec<Strings> {
        let probe = |name: &str| {
            let mut argv: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
            let fill = usize::try_from(spec.arity.unsigned_abs()).unwrap_or_default();
            let missing = fill.saturating_sub(argv.len());
            argv.extend(std::iter::repeat_n(&b"0"[..], missing));
            Strings::new(&argv)
        };
        [spec.replaces, spec.needs].into_iter().flatten().map(probe).collect()
    }

    /// Whether the caller may run the stock counterpart of command `index`; a refusal is logged.
    pub(super) fn permits(&self, ctx: *mut RedisModuleCtx, index: usize) -> bool {
        let Some(probes) = self.commands.get(index).filter(|probes| !probes.is_empty()) else {
            return true;
        };
        // SAFETY: callers give the context of a command.
        let client = unsafe { api!(GetClientId(ctx)) };
        self.verdicts.holds(client, index) || self.asks(ctx, client, index, probes)
    }

    /// What the ACL granted already.
    pub(super) fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Asks the ACL.
    fn asks(
        &self,
        ctx: *mut RedisModuleCtx,
        client: u64,
        index: usize,
        probes: &[Strings],
    ) -> bool {
        let Some(user) = User::of(ctx) else {
            return true;
        };
        for probe in probes {
            match user.permission(probe.as_slice()) {
                Permission::Granted => break,
                // A server without the stock command, renamed away, has no rule about it.
                Permission::NoSuchCommand => {}
                Permission::Denied | Permission::WrongArity => {
                    if let Some(name) = probe.as_slice().first() {
                        user.log_denied(ctx, *name);
                    }
                    return false;
                }
            }
        }
        self.verdicts.grant(ctx, client, index);
        true
    }
}
