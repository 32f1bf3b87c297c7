//! Stock's commands lead to the module's: `EVAL` runs as `LUA.EVAL`.
//!
//! A command filter gives a command the other name before the server looks it up. What is malformed it leaves
//! alone, so that stock refuses it in its own words.

use redis_module::raw::{RedisModuleCommandFilterCtx, RedisModuleCtx};

use super::api::api;
use super::call::bytes;
use super::entry::log;
use super::global::Module;
use super::host::RedisHost;
use crate::commands::{COMMANDS, CommandSpec};
use crate::config;
use crate::host::Host;
use crate::names;

/// The stock commands that have a counterpart.
pub(super) struct Counterparts(Vec<Counterpart>);

struct Counterpart {
    /// The stock command's name, in lower case.
    stock: Vec<u8>,
    /// What it takes.
    form: Form,
}

enum Form {
    /// So many arguments.
    Plain(i32),
    /// One of these subcommands, in lower case, with so many arguments.
    Container(Vec<(Vec<u8>, i32)>),
}

impl Counterparts {
    pub(super) fn new() -> Self {
        let counterpart = |spec: &CommandSpec| {
            let stock = spec.replaces.filter(|name| !name.contains('|'))?;
            let form = match spec.handler {
                Some(_) => Form::Plain(spec.arity),
                None => Form::Container(subcommands(stock)),
            };
            let stock = stock.to_ascii_lowercase().into_bytes();
            Some(Counterpart { stock, form })
        };
        Self(COMMANDS.iter().filter_map(counterpart).collect())
    }
}

/// The subcommands that the module has of a stock container.
fn subcommands(container: &str) -> Vec<(Vec<u8>, i32)> {
    let own = |spec: &CommandSpec| {
        let (of, own) = spec.replaces?.split_once('|')?;
        (of == container).then(|| (own.to_ascii_lowercase().into_bytes(), spec.arity))
    };
    COMMANDS.iter().filter_map(own).collect()
}

/// Whether a name could be that of a stock command with a counterpart: almost all others are known not to be
/// by length and first letter.
#[inline]
pub(super) fn may_have_counterpart(name: &[u8]) -> bool {
    let [first, ..] = name else { return false };
    matches!((name.len(), first | 0x20), (4 | 7 | 10, b'e') | (5 | 8, b'f') | (6, b's'))
        || (name.len() == 8 && first | 0x20 == b'e')
}

/// Gives a command its other name, if it has one and is well formed.
///
/// # Safety
/// `command` is the context of a running filter.
pub(super) unsafe fn rewrite(module: &Module, command: *mut RedisModuleCommandFilterCtx) {
    // SAFETY: by the contract; the name is live until it is replaced.
    let name = unsafe { bytes(api!(CommandFilterArgGet(command, 0))) };
    let found = module.counterparts.0.iter().find(|it| it.stock.eq_ignore_ascii_case(name));
    let Some(counterpart) = found else { return };
    // SAFETY: by the contract.
    let count = unsafe { api!(CommandFilterArgsCount(command)) };
    let takes = |arity: i32| if arity < 0 { count >= -arity } else { count == arity };
    let is_well_formed = match &counterpart.form {
        Form::Plain(arity) => takes(*arity),
        Form::Container(_) if count < 2 => false,
        Form::Container(subcommands) => {
            // SAFETY: there are two arguments.
            let own = unsafe { bytes(api!(CommandFilterArgGet(command, 1))) };
            let found = subcommands.iter().find(|(name, _)| name.eq_ignore_ascii_case(own));
            found.is_some_and(|(_, arity)| takes(*arity))
        }
    };
    if is_well_formed {
        // In the case that was typed: commands that are shown again look as they were sent.
        let ours = [names::prefix().as_bytes(), name].concat();
        // A string of its own each time: the server may free it on another thread.
        // SAFETY: no context is needed for a string that the server takes over.
        let ours =
            unsafe { api!(CreateString(std::ptr::null_mut(), ours.as_ptr().cast(), ours.len())) };
        // SAFETY: by the contract; the string is the server's from here on.
        unsafe { api!(CommandFilterArgReplace(command, 0, ours)) };
    }
}

/// Begins a takeover: copies the libraries of the server's own engine that the module does not have.
pub(super) fn begin(ctx: *mut RedisModuleCtx, module: &'static Module) {
    if !config::takes_over() || !config::imports_at_takeover() {
        return;
    }
    // SAFETY: the context outlives the host.
    let host = unsafe { RedisHost::new(ctx, module, &[]) };
    let Ok(payload) = host.stock_libraries() else { return };
    let (copied, refused) = module.engine.import_missing(&host, &payload);
    if !copied.is_empty() {
        let names = copied.join(", ");
        log(ctx, c"notice", &format!("RedLua takes over these libraries of the server: {names}"));
    }
    for (name, error) in refused {
        let error = String::from_utf8_lossy(error.line()).into_owned();
        log(ctx, c"warning", &format!("RedLua cannot take over the library {name}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counterpart_is_called_as_stock_behind_the_prefix() {
        for spec in COMMANDS {
            if let Some(stock) = spec.replaces {
                assert_eq!(spec.name, format!("{}{stock}", names::DECLARED_PREFIX));
            }
        }
    }

    #[test]
    fn every_counterpart_passes_the_first_look() {
        for counterpart in Counterparts::new().0 {
            let name = counterpart.stock;
            assert!(may_have_counterpart(&name), "{}", name.escape_ascii());
            assert!(may_have_counterpart(&name.to_ascii_uppercase()));
        }
        for name in [&b"get"[..], b"set", b"expire", b"hset", b"incr", b""] {
            assert!(!may_have_counterpart(name), "{}", name.escape_ascii());
        }
    }
}
