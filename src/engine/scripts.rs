//! Finding and loading scripts.

use std::cell::Cell;

use super::run::NO_SCRIPT;
use super::state::{Compiled, Engine};
use crate::config;
use crate::dialect::Hosts;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::script::shebang::{self, Rules};
use crate::script::{Origin, RunLimits, Script, ScriptFlags, Sha1, Shebang, ShebangError};
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
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) sha1: Sha1,
    pub(super) flags: Option<ScriptFlags>,
    pub(super) limits: RunLimits,
    compiled: Compiled,
}

impl Engine {
    /// Compiles and caches a script for good.
    ///
    /// # Errors
    /// The script cannot be compiled.
    ///
    /// Stock: `eval.c` `luaCreateFunction`.
    pub fn load(&self, body: &[u8]) -> Result<Sha1, ErrorReply> {
        if let Some(found) = self.find_body(body) {
            self.cache.borrow_mut().pin(&found.sha1);
            return Ok(found.sha1);
        }
        self.compile_new(body, Origin::Load).map(|found| found.sha1)
    }

    /// Whether the cache has the script of this digest in hexadecimal, in any case; as on stock, the digest
    /// ends at a NUL byte.
    pub fn exists(&self, digest: &[u8]) -> bool {
        Sha1::from_hex(shebang::until_nul(digest))
            .is_some_and(|sha1| self.cache.borrow().contains(&sha1))
    }

    /// The text of the cached script of this digest in hexadecimal, in any case.
    ///
    /// # Errors
    /// The cache does not have it.
    ///
    /// Stock: Valkey's `eval.c` `scriptCommand`, `SCRIPT SHOW`.
    pub fn body_of(&self, digest: &[u8]) -> Result<Vec<u8>, ErrorReply> {
        let sha1 = Sha1::from_hex(digest);
        let cache = self.cache.borrow();
        let body = sha1.and_then(|sha1| cache.body_of(&sha1));
        body.map(<[u8]>::to_vec).ok_or_else(|| ErrorReply::new(&NO_SCRIPT, self.dialect))
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
            compiled: Cell::new(compiled),
        };
        let found = Found::of(&script);
        let evicted = self.cache.borrow_mut().insert(script, origin);
        if let Some(evicted) = evicted.map(Cell::into_inner)
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
            cache.get_by_sha1(&found.sha1).map(|script| script.body.clone()).unwrap_or_default()
        };
        let offset = self.shebang(&body).map_or(0, |shebang| shebang.code_offset);
        let compiled = self.compile(vm, body.get(offset..).unwrap_or_default())?;
        if let Some(script) = self.cache.borrow_mut().get_by_sha1(&found.sha1) {
            script.compiled.set(compiled);
        }
        Ok(compiled.function)
    }

    fn compile(&self, vm: &Vm, source: &[u8]) -> Result<Compiled, ErrorReply> {
        match vm.compile(source) {
            Ok(function) => Ok(Compiled { generation: self.generation.get(), function }),
            Err(CompileError::Syntax(message)) => {
                Err(ErrorReply::with(&COMPILE, self.dialect, &[shebang::until_nul(&message)]))
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
            ShebangError::UnexpectedFlag(flag) => (&SHEBANG_FLAG, flag),
        };
        ErrorReply::with(spec, self.dialect, &[detail])
    }
}

impl Found {
    fn of(script: &Script<Cell<Compiled>>) -> Self {
        Self {
            sha1: script.sha1,
            flags: script.flags,
            limits: script.limits,
            compiled: script.compiled.get(),
        }
    }
}
