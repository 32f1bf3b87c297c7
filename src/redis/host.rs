//! [`Host`] on the server's main thread.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use smallvec::SmallVec;

use super::api::api;
use super::call::{self, Modifiers, RawReply, Strings};
use super::caller;
use super::debug;
use super::entry::{subscribe, turned};
use super::global::Module;
use super::master_link;
use super::user::User;
use crate::commands::internal_error;
use crate::config::{self, ErrorTraceback};
use crate::debugger::{ENCRYPTED, FORK, Link, Mode};
use crate::dialect::Dialect;
use crate::host::{CallOutcome, Host, KeySlots, LogLevel, Permission};
use crate::names;
use crate::policy::call_errors::Refusal;
use crate::policy::call_rules::{CallMode, CommandFacts, Traits};
use crate::policy::key_slot::key_slot;
use crate::policy::{Demand, ServerState};
use crate::resp::{ErrorReply, Token, Tokens};
use crate::stats::{Caller, trim};

/// With any of these the server may refuse writes at any time.
const UNCALM: u32 = raw::REDISMODULE_CTX_FLAGS_OOM
    | raw::REDISMODULE_CTX_FLAGS_SLAVE
    | raw::REDISMODULE_CTX_FLAGS_REPLICA_IS_STALE;

/// Where the commands that run scripts and functions have their first key.
const FIRST_KEY: usize = 3;

/// The server, for one command of one client.
pub struct RedisHost {
    ctx: *mut RedisModuleCtx,
    module: &'static Module,
    /// The caller's client has a user to run commands as.
    has_user: Cell<bool>,
    /// See [`RedisHost::flags`].
    flags: Cell<Option<u32>>,
    /// The command with its arguments.
    argv: *const [*mut RedisModuleString],
    /// Others were let in on a replica.
    let_in_as_replica: Cell<bool>,
    /// The first key of the command as the server holds it, once a call had use for it; null before.
    key: Cell<(*mut RedisModuleString, &'static [u8])>,
    /// The database the command was called in, once the script selected another.
    own_db: Cell<Option<c_int>>,
}

impl RedisHost {
    /// The server as the command of `ctx` sees it.
    ///
    /// # Safety
    /// `ctx` is the context of a command that is running, `argv`, or a detached one, which has a client too.
    /// All arguments outlive the value.
    pub(super) unsafe fn new(
        ctx: *mut RedisModuleCtx,
        module: &'static Module,
        argv: &[*mut RedisModuleString],
    ) -> Self {
        Self {
            ctx,
            module,
            argv,
            has_user: Cell::new(true),
            flags: Cell::new(None),
            let_in_as_replica: Cell::new(false),
            own_db: Cell::new(None),
            key: Cell::new((std::ptr::null_mut(), &[])),
        }
    }

    /// The string that the server holds of `key`, if it is the first key of the command.
    #[inline]
    fn held(&self, key: &[u8]) -> Option<*mut RedisModuleString> {
        let (mut string, mut bytes) = self.key.get();
        if string.is_null() {
            // SAFETY: the arguments outlive the host.
            string = *unsafe { &*self.argv }.get(FIRST_KEY)?;
            // SAFETY: as above.
            bytes = unsafe { call::bytes(string) };
            self.key.set((string, bytes));
        }
        (bytes == key).then_some(string)
    }

    /// What the server says of itself and of the caller as the command begins.
    fn flags(&self) -> u32 {
        // SAFETY: the context is live.
        let ask = || unsafe { api!(GetContextFlags(self.ctx)) }.cast_unsigned();
        let flags = self.flags.get().unwrap_or_else(ask);
        self.flags.set(Some(flags));
        flags
    }

    /// The keys of a command.
    fn keys<'a>(&self, argv: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let strings = Strings::new(argv);
        let argc = c_int::try_from(argv.len()).unwrap_or(c_int::MAX);
        let mut count = 0;
        // SAFETY: the strings are live; the server gives an array of its own or null.
        let positions = unsafe {
            api!(GetCommandKeysWithFlags(
                self.ctx,
                strings.as_slice().as_ptr().cast_mut(),
                argc,
                &mut count,
                std::ptr::null_mut()
            ))
        };
        if positions.is_null() {
            return Vec::new();
        }
        let count = usize::try_from(count).unwrap_or_default();
        // SAFETY: the server gave that many positions.
        let found = unsafe { std::slice::from_raw_parts(positions, count) };
        let keys = found.iter().filter_map(|&at| argv.get(usize::try_from(at).ok()?).copied());
        let keys = keys.collect();
        // SAFETY: the array is ours to free.
        unsafe { api!(Free(positions.cast())) };
        keys
    }

    /// The number of the caller's client.
    fn client(&self) -> u64 {
        // SAFETY: the context is live.
        unsafe { api!(GetClientId(self.ctx)) }
    }

    /// Whether a setting of the server is `yes`.
    fn is_set(&self, name: &[u8]) -> bool {
        self.is_setting(name, b"yes")
    }

    /// Whether a setting of the server has this value.
    fn is_setting(&self, name: &[u8], value: &[u8]) -> bool {
        call::is_setting(self.ctx, name, value)
    }

    /// Whether the server takes writes only while it has so many replicas.
    fn needs_replicas(&self) -> bool {
        let needs = &self.module.writes.need_replicas;
        let ask = || !self.is_setting(b"min-replicas-to-write", b"0");
        let answer = needs.get().unwrap_or_else(ask);
        needs.set(Some(answer));
        answer
    }

    /// Sees to it that `writes.allowed` falls when the append-only file may have become unwritable: it is
    /// written between two turns of the server's event loop.
    fn hear_of_aof(&self) {
        let is_on = self.flags() & raw::REDISMODULE_CTX_FLAGS_AOF != 0;
        if is_on && !self.module.writes.hears_of_turns.replace(true) {
            subscribe(self.ctx, raw::REDISMODULE_EVENT_EVENTLOOP, turned);
        }
    }

    /// Whether this node serves the keys, which one command asks for. It reads nothing but whether
    /// they are there; servers that would look for them where they are not only say whether they would run it.
    fn serves(&self, keys: &[&[u8]]) -> bool {
        let is_dry = self.dialect().trusts_client_slot();
        let modifiers: &[u8] = if is_dry { b"ED" } else { b"E" };
        // SAFETY: the context is live.
        match unsafe { call::checked(self.ctx, c"EXISTS".as_ptr(), keys, modifiers) } {
            Ok(_) => true,
            // A command that was not run has no reply.
            Err(refused) => is_dry && refused.refusal.is_none(),
        }
    }

    /// The server's refusal of `name` as a script's call, without the dash.
    fn refusal(&self, name: &CStr, modifiers: &[u8]) -> Option<ErrorReply> {
        // SAFETY: the context is live.
        let outcome = unsafe { call::checked(self.ctx, name.as_ptr(), &[], modifiers) };
        outcome.err().map(|refused| ErrorReply::from_line(refused.line))
    }
}

impl Drop for RedisHost {
    fn drop(&mut self) {
        if let Some(db) = self.own_db.get() {
            // SAFETY: the context is live, and the database was selected before.
            unsafe { api!(SelectDb(self.ctx, db)) };
        }
        if self.let_in_as_replica.get() {
            master_link::catch_up_after(self.ctx);
        }
    }
}

impl Host for RedisHost {
    type Reply = RawReply;

    #[inline]
    fn dialect(&self) -> Dialect {
        self.module.engine.dialect()
    }

    fn server_state(&self) -> ServerState {
        let flags = self.flags();
        ServerState {
            cluster: flags & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0,
            // While data is loaded, only its file gives commands.
            obeyed: flags
                & (raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING)
                != 0,
            stale: flags & raw::REDISMODULE_CTX_FLAGS_REPLICA_IS_STALE != 0,
            transaction: flags & raw::REDISMODULE_CTX_FLAGS_MULTI != 0,
        }
    }

    fn unmet(&self, demand: Demand) -> Option<ErrorReply> {
        if demand.write {
            let writes = &self.module.writes;
            let is_calm = self.flags() & UNCALM == 0;
            if is_calm && writes.allowed.get() {
                return None;
            }
            let modifiers: &[u8] = if demand.memory { b"SME" } else { b"SE" };
            let Some(error) = self.refusal(&self.module.probe, modifiers) else {
                // How many replicas there are changes without an event.
                writes.allowed.set(is_calm && !self.needs_replicas());
                self.hear_of_aof();
                return None;
            };
            let stale = error.line().starts_with(b"MASTERDOWN");
            return (!stale || demand.fresh).then_some(error);
        }
        if demand.fresh && self.server_state().stale {
            return self.refusal(c"PING", b"SE");
        }
        None
    }

    #[inline]
    fn facts(&self, argv: &[&[u8]]) -> Option<CommandFacts> {
        self.module.facts.get(self.ctx, argv)
    }

    fn call(&self, argv: &[&[u8]], mode: CallMode) -> CallOutcome<RawReply> {
        let Some((name, args)) = argv.split_first() else {
            return CallOutcome::Refused(Refusal::Unknown, Vec::new());
        };
        let name = name.as_ptr().cast::<c_char>();
        let modifiers = modifiers(mode, self.has_user.get());
        let is_key_first = mode.contains(CallMode::KEY_FIRST);
        let key = args.first().filter(|_| is_key_first).and_then(|key| self.held(key));
        // SAFETY: the context is live; a NUL follows the name, which has none in it, or the server's
        // facts would not know it. The key is an argument of the command.
        match unsafe { call::checked_with(self.ctx, name, key, args, modifiers) } {
            Ok(reply) => CallOutcome::Reply(reply),
            Err(refused) => match refused.refusal {
                Some(refusal) => CallOutcome::Refused(refusal, refused.line),
                None if self.has_user.replace(false) => self.call(argv, mode),
                None => CallOutcome::Refused(Refusal::Acl, refused.line),
            },
        }
    }

    fn would_refuse(&self, argv: &[&[u8]], mode: CallMode) -> Option<(Refusal, Vec<u8>)> {
        let (name, args) = argv.split_first()?;
        let name = name.as_ptr().cast::<c_char>();
        // By `D` nothing runs.
        let mut modifiers = Modifiers::new(b"ED");
        if self.has_user.get() {
            modifiers = modifiers.and(b'C');
        }
        if mode.contains(CallMode::DENY_OOM) {
            modifiers = modifiers.and(b'M');
        }
        // SAFETY: as in `call`.
        let outcome = unsafe { call::checked_with(self.ctx, name, None, args, modifiers) };
        let refused = outcome.err()?;
        Some((refused.refusal?, refused.line))
    }

    fn forward(&self, reply: &RawReply) -> bool {
        reply.forward(self.ctx)
    }

    fn speaks_resp3(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_RESP3 != 0
    }

    fn select(&self, db: i32) {
        if self.own_db.get().is_none() {
            // SAFETY: the context is live.
            self.own_db.set(Some(unsafe { api!(GetSelectedDb(self.ctx)) }));
        }
        // SAFETY: the server just took the number.
        unsafe { api!(SelectDb(self.ctx, db)) };
    }

    fn permission(&self, argv: &[&[u8]]) -> Permission {
        let Some(facts) = self.facts(argv) else {
            return Permission::NoSuchCommand;
        };
        if self.module.facts.acl_counts_arguments() && !facts.takes(argv.len()) {
            return Permission::WrongArity;
        }
        let Some(user) = User::of(self.ctx) else {
            return Permission::Granted;
        };
        let mut argv: SmallVec<[&[u8]; 8]> = argv.into();
        // Older servers read past the end of a command that is too short to have its number of keys.
        let least = facts.arity.unsigned_abs() as usize;
        if argv.len() < least && facts.traits.contains(Traits::COUNTED_KEYS) {
            argv.resize(least, b"0");
        }
        user.permission(Strings::new(&argv).as_slice())
    }

    fn acl_refusal(&self, argv: &[&[u8]]) -> Option<Vec<u8>> {
        if !self.has_user.get() || self.permission(argv) != Permission::Denied {
            return None;
        }
        // The user is denied, so this call only makes the server say so, in its words and its ACL log.
        let (name, args) = argv.split_first()?;
        // SAFETY: as in `call`.
        let outcome = unsafe { call::checked(self.ctx, name.as_ptr().cast(), args, b"CE") };
        outcome.err().map(|refused| refused.line)
    }

    fn key_slots(&self, argv: &[&[u8]]) -> KeySlots {
        let mut keys = self.keys(argv);
        // A shard channel has a slot as a key has, but the server does not call it a key.
        if let [name, channel, ..] = argv
            && name.eq_ignore_ascii_case(b"spublish")
        {
            keys.push(channel);
        }
        let mut slots = keys.into_iter().map(key_slot);
        match slots.next() {
            None => KeySlots::None,
            Some(first) if slots.all(|slot| slot == first) => KeySlots::One(first),
            Some(_) => KeySlots::Several,
        }
    }

    fn serves_keys(&self, argv: &[&[u8]]) -> bool {
        let keys = self.keys(argv);
        keys.is_empty() || self.serves(&keys)
    }

    fn serves_some_key(&self, argv: &[&[u8]]) -> bool {
        self.keys(argv).chunks(1).any(|key| self.serves(key))
    }

    fn is_slot_assigned(&self, slot: u16) -> bool {
        // SAFETY: the context is live.
        let reply = unsafe { call::checked(self.ctx, c"CLUSTER".as_ptr(), &[b"SLOTS"], b"E") };
        let Ok(reply) = reply else { return true };
        let mut tokens = Tokens::new(reply.as_ref());
        let Token::Array(ranges) = tokens.next() else { return true };
        // A range is its first slot, its last, and the nodes that serve it.
        for _ in 0..ranges {
            let (Token::Array(parts @ 2..), Token::Integer(first), Token::Integer(last)) =
                (tokens.next(), tokens.next(), tokens.next())
            else {
                return true;
            };
            if (first..=last).contains(&i64::from(slot)) {
                return true;
            }
            tokens.skip(parts - 2);
        }
        false
    }

    fn flushes_lazily(&self) -> bool {
        self.is_set(b"lazyfree-lazy-user-flush")
    }

    fn packs_strings(&self) -> bool {
        self.is_set(b"rdbcompression")
    }

    fn replicate(&self) {
        // SAFETY: the context is live.
        unsafe { api!(ReplicateVerbatim(self.ctx)) };
    }

    fn replicate_as(&self, argv: &[&[u8]]) {
        let [name, args @ ..] = argv else { return };
        // SAFETY: the context is live.
        unsafe { replicate(self.ctx, name, args) };
    }

    fn stock_libraries(&self) -> Result<Vec<u8>, ErrorReply> {
        // SAFETY: the context is live.
        let reply = unsafe { call::checked(self.ctx, c"FUNCTION".as_ptr(), &[b"DUMP"], b"E") };
        let reply = reply.map_err(|refused| ErrorReply::from_line(refused.line))?;
        match Tokens::new(reply.as_ref()).next() {
            Token::Bulk(payload) => Ok(payload.to_vec()),
            Token::Error(line) => Err(ErrorReply::from_line(line.to_vec())),
            _ => Err(internal_error(self.dialect())),
        }
    }

    fn drop_stock_libraries(&self, name: Option<&[u8]>) {
        let words: SmallVec<[&[u8]; 2]> = match name {
            Some(name) => [&b"DELETE"[..], name].into_iter().collect(),
            None => [&b"FLUSH"[..]].into_iter().collect(),
        };
        call::plain(self.ctx, c"FUNCTION", &words, |_| ());
    }

    fn command(&self) -> Vec<Vec<u8>> {
        // SAFETY: the arguments outlive the host.
        let argv = unsafe { &*self.argv };
        // SAFETY: as above.
        let mut words = argv.iter().map(|string| unsafe { call::bytes(*string) });
        let name = words.next().map(names::typed);
        name.into_iter().chain(words).map(<[u8]>::to_vec).collect()
    }

    fn trimmed_command(&self) -> Vec<Vec<u8>> {
        // SAFETY: the arguments outlive the host.
        let argv = unsafe { &*self.argv };
        // SAFETY: as above.
        let mut words = argv.iter().map(|string| unsafe { call::bytes(*string) });
        let name = words.next().map(names::typed);
        trim(name.into_iter().chain(words), argv.len())
    }

    fn caller(&self) -> Caller {
        caller::of(self.ctx)
    }

    fn busy_threshold(&self) -> Option<Duration> {
        Some(config::script_time_limit()).filter(|&limit| limit > 0).map(Duration::from_millis)
    }

    fn can_let_others_in(&self) -> bool {
        // In these states a server does not survive clients that come in, or does not keep them out.
        const NEVER: u32 = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_LOADING
            | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
        // SAFETY: the context is live.
        unsafe { api!(GetContextFlags(self.ctx)) }.cast_unsigned() & NEVER == 0
    }

    fn let_others_in(&self, busy: &ErrorReply) {
        // The server puts the code before it.
        let text = busy.line().strip_prefix(b"BUSY ").unwrap_or_default();
        let text = CString::new(text).unwrap_or_default();
        let flags = c_int::try_from(raw::REDISMODULE_YIELD_FLAG_CLIENTS).unwrap_or_default();
        // SAFETY: the context is live; the server needs the text until the call returns.
        unsafe { api!(Yield(self.ctx, flags, text.as_ptr())) };
        if self.flags() & raw::REDISMODULE_CTX_FLAGS_SLAVE != 0 {
            self.let_in_as_replica.set(true);
        }
    }

    fn wants_tracebacks(&self) -> bool {
        config::error_traceback() != ErrorTraceback::No
    }

    #[inline]
    fn debugging(&self) -> Option<Mode> {
        if !self.module.debuggers.is_used() {
            return None;
        }
        self.module.debuggers.mode(self.client())
    }

    fn is_pipelined(&self) -> bool {
        debug::connection(self.ctx, self.client()).is_some_and(|connection| connection.has_unsent)
    }

    fn set_debugging(&self, mode: Option<Mode>) -> Result<(), ErrorReply> {
        if mode.is_some() && debug::connection(self.ctx, self.client()).is_none() {
            return Err(ErrorReply::new(&ENCRYPTED, self.dialect()));
        }
        self.module.debuggers.set_mode(self.ctx, self.client(), mode);
        Ok(())
    }

    fn hold_client(&self) -> Result<Box<dyn Link>, ErrorReply> {
        match debug::connection(self.ctx, self.client()) {
            Some(connection) => Ok(Box::new(debug::Socket::hold(connection.fd))),
            None => Err(ErrorReply::new(&ENCRYPTED, self.dialect())),
        }
    }

    fn let_client_go(&self) {
        debug::close(self.ctx, self.client());
    }

    fn fork(&self, work: &mut dyn FnMut(Box<dyn Link>) -> Vec<u8>) -> Result<(), ErrorReply> {
        let client = self.client();
        let Some(connection) = debug::connection(self.ctx, client) else {
            return Err(ErrorReply::new(&ENCRYPTED, self.dialect()));
        };
        let threshold = self.busy_threshold();
        debug::fork(self.ctx, self.module, client, connection.fd, threshold, work).map_err(
            |reason| {
                self.module.debuggers.set_mode(self.ctx, client, None);
                ErrorReply::with(&FORK, self.dialect(), &[&reason])
            },
        )
    }

    fn flush_other_databases(&self) {
        // SAFETY: the context is live; so below.
        let own = unsafe { api!(GetSelectedDb(self.ctx)) };
        for db in 0.. {
            // SAFETY: the server refuses a number it has no database for.
            if unsafe { api!(SelectDb(self.ctx, db)) } != raw::REDISMODULE_OK as c_int {
                break;
            }
            if db != own {
                call::plain(self.ctx, c"FLUSHDB", &[], |_| ());
            }
        }
        // SAFETY: the database was selected before.
        unsafe { api!(SelectDb(self.ctx, own)) };
    }

    fn log(&self, level: LogLevel, line: &[u8]) {
        let level = match level {
            LogLevel::Debug => c"debug",
            LogLevel::Verbose => c"verbose",
            LogLevel::Notice => c"notice",
            LogLevel::Warning => c"warning",
        };
        let text: Vec<u8> = line.iter().copied().take_while(|&byte| byte != 0).chain([0]).collect();
        // SAFETY: the context is live and the format takes one C string.
        unsafe {
            api!(Log(self.ctx, level.as_ptr(), c"%s".as_ptr(), text.as_ptr().cast::<c_char>()))
        };
    }
}

/// The letters by which `RM_Call` knows a mode.
///
/// Effects always replicate (`!`): without it the server would also keep the deletion of an expired key to
/// itself. `A` and `R` take the AOF and the replicas out.
#[inline]
fn modifiers(mode: CallMode, as_user: bool) -> Modifiers {
    const USER: usize = 1 << 5;
    const LETTERS: [(CallMode, u8); 5] = [
        (CallMode::SCRIPT_RULES, b'S'),
        (CallMode::DENY_OOM, b'M'),
        (CallMode::RESP3, b'3'),
        (CallMode::NO_AOF, b'A'),
        (CallMode::NO_REPLICAS, b'R'),
    ];
    /// Made for each combination beforehand.
    static ALL: [Modifiers; 2 * USER] = {
        let mut all = [Modifiers::new(b"!E"); 2 * USER];
        let mut index = 0;
        while index < all.len() {
            if index & USER != 0 {
                all[index] = all[index].and(b'C');
            }
            let mut letter = 0;
            while letter < LETTERS.len() {
                if index & LETTERS[letter].0.bits() as usize != 0 {
                    all[index] = all[index].and(LETTERS[letter].1);
                }
                letter += 1;
            }
            index += 1;
        }
        all
    };
    let mode = usize::from(mode.bits()) % USER;
    ALL[if as_user { mode | USER } else { mode }]
}

/// Sends a command to replicas and to the append-only file in the place of the one that is running.
///
/// # Safety
/// `ctx` is the context of a running callback.
unsafe fn replicate(ctx: *mut RedisModuleCtx, name: &[u8], args: &[&[u8]]) {
    let strings: Vec<_> = args
        .iter()
        // SAFETY: by the contract.
        .map(|arg| unsafe { api!(CreateString(ctx, arg.as_ptr().cast(), arg.len())) })
        .collect();
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: by the contract; `v` takes a vector of strings and its length.
    unsafe {
        api!(Replicate(ctx, name.as_ptr(), c"v".as_ptr(), strings.as_ptr(), strings.len()));
    }
    for string in strings {
        // SAFETY: the strings are ours.
        unsafe { api!(FreeString(ctx, string)) };
    }
}
