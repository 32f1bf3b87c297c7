//! Commands: from their declarations to the server.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use redis_module::raw::{self, RedisModuleCommand, RedisModuleCtx};

use super::api::api;
use super::dispatch::{CALLBACKS, key_flags};
use crate::commands::{Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Keys};
use crate::dialect::Dialect;
use crate::names;

/// Registers all commands, containers first.
///
/// # Errors
/// The name of the command the server did not take.
pub(super) fn register(ctx: *mut RedisModuleCtx, dialect: Dialect) -> Result<(), &'static str> {
    let specs = || COMMANDS.iter().zip(CALLBACKS);
    for (spec, callback) in specs().filter(|(spec, _)| spec.subcommand().is_none()) {
        let name = c_string(&names::full(spec.name).to_ascii_lowercase());
        let flags = c_string(&flags(spec, dialect));
        let callback = spec.handler.map(|_| *callback);
        // SAFETY: the context is that of the load; the server copies the strings.
        let status =
            unsafe { api!(CreateCommand(ctx, name.as_ptr(), callback, flags.as_ptr(), 0, 0, 0)) };
        if status != OK {
            return Err(spec.name);
        }
        describe(ctx, spec)?;
    }
    for (spec, callback) in specs() {
        let Some((container, own_name)) = spec.subcommand() else {
            continue;
        };
        let parent = find(ctx, container).ok_or(spec.name)?;
        let own_name = c_string(&own_name.to_ascii_lowercase());
        let flags = c_string(&flags(spec, dialect));
        // SAFETY: as above.
        let status = unsafe {
            api!(CreateSubcommand(
                parent,
                own_name.as_ptr(),
                Some(*callback),
                flags.as_ptr(),
                0,
                0,
                0
            ))
        };
        if status != OK {
            return Err(spec.name);
        }
        describe(ctx, spec)?;
    }
    Ok(())
}

const OK: c_int = raw::REDISMODULE_OK as c_int;

fn find(ctx: *mut RedisModuleCtx, name: &str) -> Option<*mut RedisModuleCommand> {
    let name = c_string(&names::full(name));
    // SAFETY: the context is that of the load.
    let command = unsafe { api!(GetCommand(ctx, name.as_ptr())) };
    (!command.is_null()).then_some(command)
}

/// The flags of a command as the server reads them.
fn flags(spec: &CommandSpec, dialect: Dialect) -> String {
    const NAMES: &[(CommandFlags, &str)] = &[
        (CommandFlags::DENY_SCRIPT, "deny-script"),
        (CommandFlags::ALLOW_STALE, "allow-stale"),
        (CommandFlags::ALLOW_LOADING, "allow-loading"),
        (CommandFlags::MAY_REPLICATE, "may-replicate"),
        (CommandFlags::NO_MANDATORY_KEYS, "no-mandatory-keys"),
        (CommandFlags::READ_ONLY, "readonly"),
        (CommandFlags::WRITE, "write"),
        (CommandFlags::DENY_OOM, "deny-oom"),
        (CommandFlags::NO_MONITOR, "no-monitor"),
        (CommandFlags::NO_SLOWLOG, "no-slowlog"),
        (CommandFlags::FAST, "fast"),
        (CommandFlags::ALLOW_BUSY, "allow-busy"),
        (CommandFlags::ADMIN, "admin"),
    ];
    let flags = spec.flags_for(dialect);
    let names = NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name);
    // A key specification alone does not route a command in a cluster.
    let keys = (spec.keys != Keys::None).then_some("getkeys-api");
    names.chain(keys).collect::<Vec<_>>().join(" ")
}

/// Gives the server what `COMMAND INFO` and `COMMAND DOCS` say, and the ACL categories.
fn describe(ctx: *mut RedisModuleCtx, spec: &'static CommandSpec) -> Result<(), &'static str> {
    let command = find(ctx, spec.name).ok_or(spec.name)?;
    let summary = c_string(spec.summary);
    let complexity = c_string(spec.complexity);
    let since = c_string(spec.since);
    let tips = c_string(&spec.tips.join(" "));
    let mut key_specs = key_specs(spec.keys);
    let mut texts = Vec::new();
    let mut args = arguments(spec.args, &mut texts);
    let mut history = history(spec.history, &mut texts);
    let info = raw::RedisModuleCommandInfo {
        version: &raw const LAYOUT,
        summary: summary.as_ptr(),
        complexity: complexity.as_ptr(),
        since: since.as_ptr(),
        history: if spec.history.is_empty() { ptr::null_mut() } else { history.as_mut_ptr() },
        tips: if spec.tips.is_empty() { ptr::null() } else { tips.as_ptr() },
        arity: spec.arity,
        key_specs: key_specs.as_mut_ptr(),
        args: if spec.args.is_empty() { ptr::null_mut() } else { args.as_mut_ptr() },
    };
    // SAFETY: the command is live and the server copies everything.
    if unsafe { api!(SetCommandInfo(command, &info)) } != OK {
        return Err(spec.name);
    }
    // SAFETY: read of a pointer that is written once.
    if let Some(set_categories) = unsafe { raw::RedisModule_SetCommandACLCategories } {
        let categories = c_string(spec.acl);
        // SAFETY: the command is live.
        if unsafe { set_categories(command, categories.as_ptr()) } != OK {
            return Err(spec.name);
        }
    }
    Ok(())
}

/// The layout of the description, so that older and newer servers find their way in it.
static LAYOUT: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// The key specifications of a command, ended by an empty one.
fn key_specs(keys: Keys) -> Vec<raw::RedisModuleCommandKeySpec> {
    // SAFETY: an all-zero specification ends the list.
    let end: raw::RedisModuleCommandKeySpec = unsafe { std::mem::zeroed() };
    let Keys::Counted { at, access, notes } = keys else {
        return vec![end];
    };
    let mut spec = end;
    spec.notes = notes.map_or(ptr::null(), CStr::as_ptr);
    spec.flags = key_flags(access);
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = c_int::try_from(at).unwrap_or_default();
    spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
    spec.fk.keynum.keynumidx = 0;
    spec.fk.keynum.firstkey = 1;
    spec.fk.keynum.keystep = 1;
    vec![spec, end]
}

/// What changed in a command, ended by an empty entry; `texts` keeps what the entries point to.
fn history(
    changes: &[(&str, &str)],
    texts: &mut Vec<Kept>,
) -> Vec<raw::RedisModuleCommandHistoryEntry> {
    let mut keep = |text: &str| keep(text, texts);
    let mut list: Vec<_> = changes
        .iter()
        .map(|(since, changes)| raw::RedisModuleCommandHistoryEntry {
            since: keep(since),
            changes: keep(changes),
        })
        .collect();
    list.push(raw::RedisModuleCommandHistoryEntry { since: ptr::null(), changes: ptr::null() });
    list
}

/// A C string of `text`, which `texts` keeps.
fn keep(text: &str, texts: &mut Vec<Kept>) -> *const c_char {
    let text = c_string(text);
    let pointer = text.as_ptr();
    texts.push(Kept::Text(text));
    pointer
}

/// The arguments of a command, ended by an empty one; `texts` keeps what they point to.
fn arguments(args: &[Arg], texts: &mut Vec<Kept>) -> Vec<raw::RedisModuleCommandArg> {
    let mut list: Vec<_> = args.iter().map(|arg| argument(arg, texts)).collect();
    // SAFETY: an all-zero argument ends the list.
    list.push(unsafe { std::mem::zeroed() });
    list
}

/// Keeps texts and lists that arguments point to while the server copies them.
enum Kept {
    Text(#[expect(dead_code, reason = "only keeps it alive")] CString),
    List(#[expect(dead_code, reason = "only keeps it alive")] Vec<raw::RedisModuleCommandArg>),
}

fn argument(arg: &Arg, texts: &mut Vec<Kept>) -> raw::RedisModuleCommandArg {
    // SAFETY: all fields may be zero.
    let mut entry: raw::RedisModuleCommandArg = unsafe { std::mem::zeroed() };
    let mut keep = |text: &str| keep(text, texts);
    entry.name = keep(arg.name);
    entry.key_spec_index = -1;
    if let Some(since) = arg.since {
        entry.since = keep(since);
    }
    entry.type_ = match arg.kind {
        ArgKind::Text => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        ArgKind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        ArgKind::Key => {
            entry.key_spec_index = 0;
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY
        }
        ArgKind::Token(token) => {
            entry.token = keep(token);
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN
        }
        ArgKind::NamedText(token) => {
            entry.token = keep(token);
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING
        }
        ArgKind::OneOf(choices) => {
            let mut choices = arguments(choices, texts);
            entry.subargs = choices.as_mut_ptr();
            texts.push(Kept::List(choices));
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF
        }
    };
    let mut flags = raw::REDISMODULE_CMD_ARG_NONE;
    if arg.optional {
        flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
    }
    if arg.multiple {
        flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
    }
    entry.flags = c_int::try_from(flags).unwrap_or_default();
    entry
}

/// A C string of a text of ours, which has no NUL in it.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
