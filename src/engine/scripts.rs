//! Finding and loading scripts.

use std::cell::{Cell, Ref};
use std::sync::Arc;

use super::run::NO_SCRIPT;
use super::state::{Compiled, Engine};
use crate::config;
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::script::shebang::{self, Rules, is_valid_name, until_nul};
use crate::script::{
    Origin, RunLimits, Script, ScriptCache, ScriptFlags, Sha1, Shebang, ShebangError,
};
use crate::stats::Figures;
use crate::vm::{CompileError, FunctionRef, Vm};

register!(ERRORS: COMPILE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Error compiling script (new function): {}",
    "A script is not valid Lua.",
));
register!(ERRORS: SHEBANG_INVALID: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid script shebang",
    "A script's first line is a shebang without an end.",
));
register!(ERRORS: SHEBANG_NO_ENGINE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid engine in script shebang",
    "A script's shebang cannot be split into words.",
));
register!(ERRORS: SHEBANG_ENGINE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unexpected engine in script shebang: {}",
    "A script's shebang names another engine than lua.",
).on(&[(Hosts::Valkey, "Could not find scripting engine '{}'")]));
register!(ERRORS: SHEBANG_OPTION: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unknown lua shebang option: {}",
    "A script's shebang has an option that does not exist.",
));
register!(ERRORS: SHEBANG_LIMIT: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Bad value of script shebang option: {}",
    "A limit in a script's shebang is no positive number.",
));
register!(ERRORS: SCRIPT_NAME: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Bad script name '{}': one name of 1 to 64 letters, digits, '_', '-', '.' and ':' that is no digest",
    "A script is given a second name, or one that is not allowed, by its shebang or by `LUA.SCRIPT LOAD`.",
));
register!(ERRORS: SHEBANG_FLAG: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Unexpected flag in script shebang: {}",
    "A script's shebang has a flag that does not exist.",
));
register!(ERRORS: SCRIPT_TOO_LONG: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Error compiling script (new function): the script is longer than redlua.max-script-size",
    "A script is longer than the setting max-script-size.",
));
register!(ERRORS: COMPILE_MEMORY: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Error compiling script (new function): not enough memory",
    "Compiling a script takes more memory than the setting memory-limit.",
));

/// A script of the cache, ready to run.
pub(super) struct Found {
    pub(super) sha1: Sha1,
    /// Where the cache has it, for as long as it has it.
    pub(super) place: u32,
    /// It was given a name.
    is_named: bool,
    /// This run is to be looked at closely.
    pub(super) is_sampled: bool,
    pub(super) flags: Option<ScriptFlags>,
    pub(super) limits: RunLimits,
    compiled: Compiled,
}

/// What the cache keeps of a script beside its text.
pub struct Kept {
    compiled: Cell<Compiled>,
    /// What its runs did, from the first one on.
    pub(super) figures: Option<Box<Figures>>,
}

impl Kept {
    /// What its runs did, if there were any.
    pub fn figures(&self) -> Option<&Figures> {
        self.figures.as_deref()
    }
}

impl Engine {
    /// Compiles and caches a script for good, under `name` or the one that it gives itself.
    ///
    /// # Errors
    /// The script cannot be compiled, or the name is none.
    ///
    /// Stock: `eval.c` `luaCreateFunction`.
    pub fn load(&self, body: &[u8], name: Option<&[u8]>) -> Result<Sha1, ErrorReply> {
        if let Some(name) = name.filter(|name| !is_valid_name(name)) {
            return Err(ErrorReply::with(&SCRIPT_NAME, self.dialect, &[until_nul(name)]));
        }
        let found = self.find_body(body);
        let own = found.as_ref().and_then(|_| self.shebang(body).ok()?.name);
        let sha1 = match found {
            Some(found) => found.sha1,
            None => self.compile_new(body, Origin::Load)?.sha1,
        };
        let mut cache = self.cache.borrow_mut();
        cache.pin(&sha1);
        if let Some(name) = name.or(own.as_deref()) {
            cache.set_name(&sha1, name.into());
        }
        Ok(sha1)
    }

    /// Whether the cache has the script of this digest in hexadecimal, in any case; as on stock, the digest
    /// ends at a NUL byte.
    pub fn exists(&self, digest: &[u8]) -> bool {
        Sha1::from_hex(until_nul(digest)).is_some_and(|sha1| self.cache.borrow().contains(&sha1))
    }

    /// The text of the cached script of this digest in hexadecimal, in any case, or of this name.
    ///
    /// # Errors
    /// The cache does not have it.
    ///
    /// Stock: Valkey's `eval.c` `scriptCommand`, `SCRIPT SHOW`.
    pub fn body_of(&self, digest: &[u8]) -> Result<Vec<u8>, ErrorReply> {
        let cache = self.cache.borrow();
        let sha1 = Sha1::from_hex(digest).or_else(|| cache.named(digest));
        let body = sha1.and_then(|sha1| Some(&cache.peek(&sha1)?.body));
        body.map(|body| body.to_vec()).ok_or_else(|| ErrorReply::new(&NO_SCRIPT, self.dialect))
    }

    /// The name of a script, if it was given one.
    #[inline]
    pub(super) fn name_of(&self, found: &Found) -> Option<Arc<[u8]>> {
        if !found.is_named {
            return None;
        }
        self.cache.borrow().peek(&found.sha1)?.name.clone()
    }

    /// The scripts of the cache.
    pub fn scripts(&self) -> Ref<'_, ScriptCache<Kept>> {
        self.cache.borrow()
    }

    /// Finds a cached script by its text.
    pub(super) fn find_body(&self, body: &[u8]) -> Option<Found> {
        self.cache.borrow_mut().get_by_body(body).map(Found::of)
    }

    /// Finds a cached script by its digest.
    pub(super) fn find_digest(&self, sha1: &Sha1) -> Option<Found> {
        self.cache.borrow_mut().get_by_sha1(sha1).map(Found::of)
    }

    /// Compiles and caches a script that is not cached yet.
    pub(super) fn compile_new(&self, body: &[u8], origin: Origin) -> Result<Found, ErrorReply> {
        if body.len() > config::max_script_size() {
            return Err(ErrorReply::new(&SCRIPT_TOO_LONG, self.dialect));
        }
        let shebang = self.shebang(body).map_err(|error| self.shebang_error(&error))?;
        let source = body.get(shebang.code_offset..).unwrap_or_default();
        let vm = self.vm(RunLimits::default());
        let compiled = self.compile(&vm, source)?;
        let script = Script {
            sha1: Sha1::of(body),
            body: body.into(),
            flags: shebang.flags,
            limits: shebang.limits,
            name: shebang.name.map(Arc::from),
            compiled: Kept { compiled: Cell::new(compiled), figures: None },
        };
        let sha1 = script.sha1;
        let mut cache = self.cache.borrow_mut();
        let evicted = cache.insert(script, origin);
        let found = cache.get_by_sha1(&sha1).map(Found::of);
        let found = found.ok_or_else(|| ErrorReply::new(&NO_SCRIPT, self.dialect))?;
        drop(cache);
        if let Some(evicted) = evicted.map(|kept| kept.compiled.get())
            && evicted.generation == self.generation.get()
        {
            vm.release(evicted.function);
        }
        Ok(found)
    }

    /// The function of a script in the present VM, compiled again if the VM is a new one.
    pub(super) fn function(&self, vm: &Vm, found: &Found) -> Result<FunctionRef, ErrorReply> {
        if found.compiled.generation == self.generation.get() {
            return Ok(found.compiled.function);
        }
        let body = {
            let mut cache = self.cache.borrow_mut();
            cache.get_by_sha1(&found.sha1).map(|(_, it)| it.body.clone()).unwrap_or_default()
        };
        let offset = self.shebang(&body).map_or(0, |shebang| shebang.code_offset);
        let compiled = self.compile(vm, body.get(offset..).unwrap_or_default())?;
        if let Some((_, script)) = self.cache.borrow_mut().get_by_sha1(&found.sha1) {
            script.compiled.compiled.set(compiled);
        }
        Ok(compiled.function)
    }

    pub(super) fn compile(&self, vm: &Vm, source: &[u8]) -> Result<Compiled, ErrorReply> {
        match vm.compile(source) {
            Ok(function) => Ok(Compiled { generation: self.generation.get(), function }),
            Err(CompileError::Syntax(message)) => {
                Err(ErrorReply::with(&COMPILE, self.dialect, &[until_nul(&message)]))
            }
            Err(CompileError::Memory) => {
                self.rebuild();
                Err(ErrorReply::new(&COMPILE_MEMORY, self.dialect))
            }
        }
    }

    /// Reads the shebang of a script as the host does.
    pub(super) fn shebang(&self, body: &[u8]) -> Result<Shebang, ShebangError> {
        let rules = if self.dialect.is(Hosts::Valkey) { Rules::Valkey } else { Rules::Redis };
        shebang::parse_as(body, rules)
    }

    fn shebang_error(&self, error: &ShebangError) -> ErrorReply {
        let (spec, detail): (&ErrorSpec, &[u8]) = match error {
            ShebangError::Invalid => (&SHEBANG_INVALID, b""),
            ShebangError::InvalidEngine => (&SHEBANG_NO_ENGINE, b""),
            ShebangError::UnexpectedEngine(engine) => (&SHEBANG_ENGINE, engine),
            ShebangError::UnknownOption(option) => (&SHEBANG_OPTION, option),
            ShebangError::BadLimit(option) => (&SHEBANG_LIMIT, option),
            ShebangError::BadName(name) => (&SCRIPT_NAME, name),
            ShebangError::UnexpectedFlag(flag) => (&SHEBANG_FLAG, flag),
        };
        ErrorReply::with(spec, self.dialect, &[detail])
    }
}

impl Found {
    #[inline]
    fn of((place, script): (u32, &Script<Kept>)) -> Self {
        Self {
            sha1: script.sha1,
            place,
            is_named: script.name.is_some(),
            is_sampled: script.compiled.figures().is_none_or(Figures::samples_next),
            flags: script.flags,
            limits: script.limits,
            compiled: script.compiled.compiled.get(),
        }
    }
}
