//! Function libraries: loaded, listed, deleted, swapped, and their functions called.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::request::{self, NOTHING, integer};
use super::state::Engine;
use crate::config;
use crate::dialect::Hosts;
use crate::host::{Host, ServerHost};
use crate::policy::admission::{Access, Grant, admit, bind};
use crate::policy::{Demand, RunState};
use crate::register::register;
use crate::resp::{Counted, ERRORS, ErrorReply, ErrorSpec, ReplySink};
use crate::script::library::{self, LibraryError, is_valid_name};
use crate::script::shebang::until_nul;
use crate::script::{RunLimits, ScriptFlags};
use crate::script::{payload, wrapped};
use crate::stats::Figures;
use crate::vm::{
    CompileError, FunctionRef, LoadError, Registered, Registration, RunContext, RunName, Tally, Vm,
    Watch, check_names, invalid_name,
};

register!(ERRORS: NO_METADATA: ErrorSpec = ErrorSpec::stock(
    "ERR", "Missing library metadata", "A library does not begin with a shebang.",
));
register!(ERRORS: BAD_METADATA: ErrorSpec = ErrorSpec::stock(
    "ERR", "Invalid library metadata", "The first line of a library does not end, or a quote in it.",
));
register!(ERRORS: METADATA_NAME_TWICE: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Invalid metadata value, name argument was given multiple times",
    "The first line of a library has two names.",
));
register!(ERRORS: METADATA_UNKNOWN: ErrorSpec = ErrorSpec::stock(
    "ERR", "Invalid metadata value given: {}", "The first line of a library has something that is no name.",
));
register!(ERRORS: METADATA_NO_NAME: ErrorSpec = ErrorSpec::stock(
    "ERR", "Library name was not given", "The first line of a library has no name.",
));
register!(ERRORS: NO_ENGINE: ErrorSpec = ErrorSpec::stock(
    "ERR", "Engine '{}' not found", "A library is for another engine than Lua.",
));
register!(ERRORS: LIBRARY_EXISTS: ErrorSpec = ErrorSpec::stock(
    "ERR", "Library '{}' already exists", "A library of that name is loaded, and the new one is not to replace it.",
));
register!(ERRORS: LIBRARY_JOIN: ErrorSpec = ErrorSpec::stock(
    "ERR", "Library {} already exists", "A library of that name is loaded, and the payload's is not to replace it.",
));
register!(ERRORS: FUNCTION_EXISTS: ErrorSpec = ErrorSpec::stock(
    "ERR", "Function {} already exists", "Another library has a function of that name.",
));
register!(ERRORS: NO_FUNCTIONS: ErrorSpec = ErrorSpec::stock(
    "ERR", "No functions registered", "A library registers no function.",
));
register!(ERRORS: LIBRARY_SYNTAX: ErrorSpec = ErrorSpec::stock(
    "ERR", "Error compiling function: {}", "A library is not valid Lua.",
));
register!(ERRORS: LIBRARY_RUN: ErrorSpec = ErrorSpec::stock(
    "ERR", "Error registering functions: {}", "The code of a library raises an error when it is loaded.",
));
register!(ERRORS: LIBRARY_MEMORY: ErrorSpec = ErrorSpec::module(
    "ERR",
    "Error registering functions: not enough memory",
    "Loading a library takes more memory than the setting memory-limit.",
));
register!(ERRORS: NO_LIBRARY: ErrorSpec = ErrorSpec::stock(
    "ERR", "Library not found", "There is no library of that name.",
));
register!(ERRORS: NO_FUNCTION: ErrorSpec = ErrorSpec::stock(
    "ERR", "Function not found", "There is no function of that name.",
));
register!(ERRORS: BAD_KEY_COUNT: ErrorSpec = ErrorSpec::stock(
    "ERR", "Bad number of keys provided", "The number of keys given to FCALL is not an integer.",
));

register!(ERRORS: BAD_FUNCTION_NAME: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function names can only contain letters and numbers and must be at least one character long",
    "The name given to `LUA.FUNCTION CREATE` has other characters, or none.",
));
register!(ERRORS: CREATED_EXISTS: ErrorSpec = ErrorSpec::stock(
    "ERR",
    "Function already exists",
    "The name given to `LUA.FUNCTION CREATE` is taken, and not to be replaced.",
));

/// How long the code of a library may run when a client loads it.
///
/// Stock: `functions.c` `LOAD_TIMEOUT_MS`.
const LOAD_LIMIT: Duration = Duration::from_millis(500);

/// What to do with libraries that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// Delete them all.
    Flush,
    /// Keep them; one of the same name is an error.
    Append,
    /// Replace those of the same name.
    Replace,
}

/// A function of a library.
pub struct Function {
    /// Its name.
    pub name: Vec<u8>,
    /// What it does, if its author says so.
    pub description: Option<Vec<u8>>,
    /// Its flags.
    pub flags: ScriptFlags,
    /// Its limits, which its author gave among the flags.
    pub limits: RunLimits,
    /// What its runs did since its library was loaded.
    pub figures: RefCell<Figures>,
    compiled: Cell<FunctionRef>,
}

/// A library that is loaded.
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its whole text.
    pub code: Rc<[u8]>,
    /// Its functions, in the order in which it registered them.
    pub functions: Vec<Function>,
    /// Bytes of its text, and of what the VM grew by when it was loaded.
    pub memory: usize,
    /// The VM that its functions are in.
    generation: Cell<u64>,
}

impl Library {
    /// The code of its functions: the chunk that its only one was made from, or its whole text.
    pub fn source(&self) -> &[u8] {
        self.chunk().unwrap_or(&self.code)
    }

    /// The chunk it was made from, unless it only looks as if it were made from one.
    fn chunk(&self) -> Option<&[u8]> {
        let [function] = &*self.functions else { return None };
        let wrapped = wrapped::unwrap(&self.code)?;
        (wrapped.name == function.name).then_some(wrapped.chunk)
    }
}

/// Libraries and their functions.
#[derive(Default)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Rc<Library>>,
    /// Library and place of each function, by its name in lower case.
    functions: HashMap<Vec<u8>, (Rc<Library>, usize), foldhash::quality::RandomState>,
}

/// Libraries that are loaded one by one and not in use yet.
pub type StagedLibraries = Libraries;

impl Libraries {
    /// All libraries, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rc<Library>> {
        self.by_name.values()
    }

    /// How many functions all libraries registered.
    pub fn count_functions(&self) -> usize {
        self.iter().map(|library| library.functions.len()).sum()
    }

    /// A function and its library, by the function's name in any letter case.
    pub fn find(&self, name: &[u8]) -> Option<(&Library, &Function)> {
        let (library, place) = self.functions.get(&*lower(name))?;
        Some((library, library.functions.get(*place)?))
    }

    pub(super) fn function(&self, name: &[u8]) -> Option<(Rc<Library>, usize)> {
        self.functions.get(&*lower(name)).cloned()
    }

    /// The first function of `library` whose name is taken.
    fn collision<'l>(&self, library: &'l Library) -> Option<&'l Function> {
        let is_taken = |it: &&Function| self.functions.contains_key(&*lower(&it.name));
        library.functions.iter().find(is_taken)
    }

    fn link(&mut self, library: Rc<Library>) {
        for (place, function) in library.functions.iter().enumerate() {
            // Of two names that differ in case only, one is found.
            let name = function.name.to_ascii_lowercase();
            self.functions.entry(name).or_insert_with(|| (Rc::clone(&library), place));
        }
        self.by_name.insert(library.name.clone(), library);
    }

    fn unlink(&mut self, name: &[u8]) -> Option<Rc<Library>> {
        let library = self.by_name.remove(name)?;
        self.functions.retain(|_, (owner, _)| !Rc::ptr_eq(owner, &library));
        Some(library)
    }
}

/// A name in lower case, without an allocation where it is no longer than most.
fn lower(name: &[u8]) -> SmallVec<[u8; 64]> {
    let mut lower = SmallVec::from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

/// A call of a function as a client asked for it.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCall<'a> {
    /// The function's name, in any letter case.
    pub name: &'a [u8],
    /// The number of keys, the keys and the other arguments, not checked yet.
    pub arguments: &'a [&'a [u8]],
    /// Whether the command lets the function write.
    pub access: Access,
}

impl Engine {
    /// Calls a function for the caller behind `host` and sends its result to `reply`.
    ///
    /// # Errors
    /// There is no such function, it may not run now, or it failed; `reply` got nothing then.
    ///
    /// Stock: `functions.c` `fcallCommandGeneric`, with the checks `server.c` `processCommand` makes before
    /// it.
    pub fn call_function<S: ReplySink>(
        &self,
        host: &ServerHost,
        call: FunctionCall<'_>,
        reply: &mut S,
    ) -> Result<(), ErrorReply> {
        let dialect = self.dialect;
        let found = self.libraries.borrow().function(call.name);
        let (library, place) = found.ok_or_else(|| ErrorReply::new(&NO_FUNCTION, dialect))?;
        let Some(function) = library.functions.get(place) else {
            return Err(ErrorReply::new(&NO_FUNCTION, dialect));
        };
        if let Some(error) = host.unmet(Demand::of(Some(function.flags))) {
            return Err(error);
        }
        let (count, rest) = call.arguments.split_first().unwrap_or((&NOTHING, &[]));
        let count = integer(count).ok_or_else(|| ErrorReply::new(&BAD_KEY_COUNT, dialect))?;
        let inputs = request::split(count, rest, dialect)?;
        let server = host.server_state();
        let mut grant = admit(Some(function.flags), call.access, &server, dialect)?;
        let declared = inputs.keys.first().copied();
        let slot = bind(&mut grant, declared, &server, dialect);
        let run = RunContext {
            host,
            name: RunName::Function(&function.name),
            keys: inputs.keys,
            tally: self.begin_tally(function.figures.borrow().samples_next()),
            grant,
            server,
            state: RunState::new(slot),
            watch: self.watch(function.limits),
            passed: Cell::default(),
        };
        let vm = self.function_vm(function.limits);
        self.refresh(&vm, &run, &library)?;
        let mut reply = Counted::new(reply);
        let outcome = vm.invoke(&run, function.compiled.get(), inputs, &mut reply);
        self.note_function(&run, function, &outcome, reply.bytes);
        self.settle(&vm, outcome, Self::rebuild_function_vm)
            .map_err(|error| self.trace(&run, &vm, error))
    }

    /// Loads a library for a client, or for a master or a file, which no limit of time holds up.
    ///
    /// # Errors
    /// The library is not sound, or in the way of another; nothing is changed then.
    ///
    /// Stock: `functions.c` `functionsCreateWithLibraryCtx`.
    pub fn load_library(
        &self,
        host: &ServerHost,
        code: &[u8],
        replace: bool,
    ) -> Result<Vec<u8>, ErrorReply> {
        let limit = (!host.server_state().obeyed).then_some(LOAD_LIMIT);
        let is_taken = |name: &[u8]| !replace && self.libraries.borrow().by_name.contains_key(name);
        let library = self.make_library(host, code, limit, is_taken)?;
        let mut libraries = self.libraries.borrow_mut();
        let old = libraries.unlink(&library.name);
        if let Some(function) = libraries.collision(&library) {
            let error = ErrorReply::with(&FUNCTION_EXISTS, self.dialect, &[&function.name]);
            if let Some(old) = old {
                libraries.link(old);
            }
            drop(libraries);
            self.release_library(&library);
            return Err(error);
        }
        let name = library.name.clone();
        libraries.link(library);
        drop(libraries);
        if let Some(old) = old {
            self.release_library(&old);
        }
        Ok(name)
    }

    /// Makes a library of one function from a chunk that uses `KEYS` and `ARGV`.
    ///
    /// # Errors
    /// The chunk or the name is not sound, or the name is taken; nothing is changed then.
    pub fn create_function(
        &self,
        host: &ServerHost,
        name: &[u8],
        description: Option<&[u8]>,
        chunk: &[u8],
        replace: bool,
    ) -> Result<(), ErrorReply> {
        if !is_valid_name(name) {
            return Err(ErrorReply::new(&BAD_FUNCTION_NAME, self.dialect));
        }
        // One of the same name makes way if it was made this way, whatever the case of its letters.
        let old = match self.libraries.borrow().find(name) {
            Some((library, _)) if replace && library.chunk().is_some() => {
                Some(library.name.clone())
            }
            Some(_) => return Err(ErrorReply::new(&CREATED_EXISTS, self.dialect)),
            None => None,
        };
        self.check_chunk(chunk)?;
        let code = wrapped::wrap(name, description, chunk);
        let old = old.and_then(|old| self.libraries.borrow_mut().unlink(&old));
        let loaded = self.load_library(host, &code, false);
        match (&loaded, old) {
            (Ok(_), Some(old)) => self.release_library(&old),
            (Err(_), Some(old)) => self.libraries.borrow_mut().link(old),
            (_, None) => {}
        }
        loaded.map(drop)
    }

    /// Compiles a chunk by itself, so that nothing in it reaches beyond its own end.
    fn check_chunk(&self, chunk: &[u8]) -> Result<(), ErrorReply> {
        let vm = self.function_vm(RunLimits::default());
        match vm.compile_function(chunk) {
            Ok(function) => {
                vm.release(function);
                Ok(())
            }
            Err(CompileError::Syntax(message)) => {
                Err(ErrorReply::with(&LIBRARY_SYNTAX, self.dialect, &[&message]))
            }
            Err(CompileError::Memory) => {
                self.rebuild_function_vm();
                Err(ErrorReply::new(&LIBRARY_MEMORY, self.dialect))
            }
        }
    }

    /// Loads those libraries of a payload of stock's whose names are free; gives their names, and the names of
    /// those that could not be loaded, each with the reason.
    pub fn import_missing(
        &self,
        host: &ServerHost,
        payload: &[u8],
    ) -> (Vec<String>, Vec<(String, ErrorReply)>) {
        let (mut copied, mut refused) = (Vec::new(), Vec::new());
        let texts = payload::restore(
            payload,
            |version| self.dialect.reads_rdb(version),
            config::memory_limit(),
        );
        for text in texts.into_iter().flatten().flatten() {
            let Ok(metadata) = library::metadata(&text) else { continue };
            if self.libraries.borrow().by_name.contains_key(&metadata.name) {
                continue;
            }
            let name = String::from_utf8_lossy(&metadata.name).into_owned();
            match self.load_library(host, &text, false) {
                Ok(_) => copied.push(name),
                Err(error) => refused.push((name, error)),
            }
        }
        (copied, refused)
    }

    /// Deletes a library.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn delete_library(&self, name: &[u8]) -> Result<(), ErrorReply> {
        let library = self.libraries.borrow_mut().unlink(name);
        let library = library.ok_or_else(|| ErrorReply::new(&NO_LIBRARY, self.dialect))?;
        self.release_library(&library);
        Ok(())
    }

    /// The libraries that are loaded.
    pub fn libraries(&self) -> std::cell::Ref<'_, Libraries> {
        self.libraries.borrow()
    }

    /// The texts of all libraries, in the order of their names.
    pub fn library_codes(&self) -> Vec<Rc<[u8]>> {
        self.libraries.borrow().iter().map(|library| Rc::clone(&library.code)).collect()
    }

    /// An empty set of libraries that is not in use yet.
    pub fn stage(&self) -> StagedLibraries {
        StagedLibraries::default()
    }

    /// Loads a library into a set that is not in use yet; `from_file` libraries may take any time.
    ///
    /// # Errors
    /// The library is not sound, or in the way of another of the set.
    ///
    /// Stock: `rdb.c` `rdbFunctionLoad`.
    pub fn stage_library(
        &self,
        host: &ServerHost,
        staged: &mut StagedLibraries,
        code: &[u8],
        from_file: bool,
    ) -> Result<(), ErrorReply> {
        let limit = (!from_file && !host.server_state().obeyed).then_some(LOAD_LIMIT);
        let is_taken = |name: &[u8]| staged.by_name.contains_key(name);
        let library = self.make_library(host, code, limit, is_taken)?;
        if let Some(function) = staged.collision(&library) {
            let error = ErrorReply::with(&FUNCTION_EXISTS, self.dialect, &[&function.name]);
            self.release_library(&library);
            return Err(error);
        }
        staged.link(library);
        Ok(())
    }

    /// Gives up a set of libraries that is not in use.
    pub fn drop_staged(&self, staged: StagedLibraries) {
        for library in staged.iter() {
            self.release_library(library);
        }
    }

    /// Puts a set of libraries to use.
    ///
    /// # Errors
    /// One of them, or a function, is there already, and may not be replaced; nothing is changed then.
    ///
    /// Stock: `functions.c` `libraryJoin`.
    pub fn adopt(&self, staged: StagedLibraries, policy: RestorePolicy) -> Result<(), ErrorReply> {
        let mut libraries = self.libraries.borrow_mut();
        let mut replaced = Vec::new();
        let mut joined = Ok(());
        for library in staged.iter() {
            if policy == RestorePolicy::Append && libraries.by_name.contains_key(&library.name) {
                joined = Err(ErrorReply::with(&LIBRARY_JOIN, self.dialect, &[&library.name]));
                break;
            }
            replaced.extend(libraries.unlink(&library.name));
        }
        if policy == RestorePolicy::Flush {
            replaced.extend(std::mem::take(&mut *libraries).by_name.into_values());
        }
        if joined.is_ok()
            && let Some(function) = staged.iter().find_map(|library| libraries.collision(library))
        {
            joined = Err(ErrorReply::with(&FUNCTION_EXISTS, self.dialect, &[&function.name]));
        }
        let (added, dropped) = if joined.is_ok() {
            (staged.by_name.into_values().collect(), replaced)
        } else {
            (replaced, staged.by_name.into_values().collect::<Vec<_>>())
        };
        for library in added {
            libraries.link(library);
        }
        drop(libraries);
        for library in dropped {
            self.release_library(&library);
        }
        joined
    }

    /// Reads and runs a library; `is_taken` says whether its name is.
    fn make_library(
        &self,
        host: &ServerHost,
        code: &[u8],
        limit: Option<Duration>,
        is_taken: impl Fn(&[u8]) -> bool,
    ) -> Result<Rc<Library>, ErrorReply> {
        let metadata = library::metadata(code).map_err(|error| self.metadata_error(&error))?;
        if !is_valid_name(&metadata.name) {
            return Err(ErrorReply::new(invalid_name(), self.dialect));
        }
        if !metadata.engine.eq_ignore_ascii_case(b"lua") {
            return Err(ErrorReply::with(&NO_ENGINE, self.dialect, &[&metadata.engine]));
        }
        if is_taken(&metadata.name) {
            return Err(ErrorReply::with(&LIBRARY_EXISTS, self.dialect, &[&metadata.name]));
        }
        let vm = self.function_vm(RunLimits::default());
        let before = vm.memory();
        let functions = self.run_library(&vm, host, code, metadata.code_offset, limit)?;
        // What others left behind may be collected meanwhile, so that the VM shrinks.
        let grown = vm.memory().saturating_sub(before);
        if self.dialect.is(Hosts::Valkey)
            && let Err(spec) = check_names(&functions)
        {
            functions.iter().for_each(|it| vm.release(it.function));
            return Err(ErrorReply::new(spec, self.dialect));
        }
        if functions.is_empty() {
            return Err(ErrorReply::new(&NO_FUNCTIONS, self.dialect));
        }
        let functions = functions.into_iter().map(Function::from).collect();
        Ok(Rc::new(Library {
            name: metadata.name,
            code: code.into(),
            functions,
            memory: code.len() + grown,
            generation: Cell::new(self.function_generation.get()),
        }))
    }

    /// Runs the code of a library, which registers its functions.
    pub(super) fn run_library(
        &self,
        vm: &Vm,
        host: &ServerHost,
        code: &[u8],
        code_offset: usize,
        limit: Option<Duration>,
    ) -> Result<Vec<Registered>, ErrorReply> {
        let source = code.get(code_offset..).unwrap_or_default();
        // There the text ends where one of C would.
        let source = if self.dialect.is(Hosts::Valkey) { until_nul(source) } else { source };
        let run = RunContext {
            host,
            name: RunName::Function(b""),
            keys: &[],
            tally: &Tally::default(),
            grant: Grant { read_only: true, allow_oom: false, allow_cross_slot: false },
            server: host.server_state(),
            state: RunState::new(None),
            watch: Watch::Load(limit),
            passed: Cell::default(),
        };
        let loaded = vm.load(&run, source);
        if vm.is_poisoned() || loaded.as_ref().err() == Some(&LoadError::Memory) {
            self.rebuild_function_vm();
        }
        loaded.map_err(|error| match error {
            LoadError::Syntax(message) => {
                ErrorReply::with(&LIBRARY_SYNTAX, self.dialect, &[&message])
            }
            LoadError::Run(message) => ErrorReply::with(&LIBRARY_RUN, self.dialect, &[&message]),
            LoadError::Memory => ErrorReply::new(&LIBRARY_MEMORY, self.dialect),
        })
    }

    /// Sees to it that the functions of a library are in the present VM.
    fn refresh(&self, vm: &Vm, run: &RunContext<'_>, library: &Library) -> Result<(), ErrorReply> {
        let generation = self.function_generation.get();
        if library.generation.get() == generation {
            return Ok(());
        }
        let offset = library::metadata(&library.code).map_or(0, |metadata| metadata.code_offset);
        let functions = self.run_library(vm, run.host, &library.code, offset, None)?;
        let find = |(place, function): (usize, &Function)| {
            // The same code registers the same functions in the same order, unless it goes by the time or
            // by chance.
            let is_it = |again: &&Registered| again.about.name == function.name;
            let again = functions.get(place).filter(is_it);
            again.or_else(|| functions.iter().find(is_it)).map(|again| again.function)
        };
        let again: Option<Vec<FunctionRef>> =
            library.functions.iter().enumerate().map(find).collect();
        let kept = again.as_deref().unwrap_or_default();
        if kept.len() < functions.len() {
            for spare in functions.iter().filter(|it| !kept.contains(&it.function)) {
                vm.release(spare.function);
            }
        }
        let again = again.ok_or_else(|| ErrorReply::new(&NO_FUNCTION, self.dialect))?;
        for (function, again) in library.functions.iter().zip(again) {
            function.compiled.set(again);
        }
        library.generation.set(generation);
        Ok(())
    }

    /// Gives the functions of a library up.
    fn release_library(&self, library: &Library) {
        let vm = self.present_function_vm();
        if let Some(vm) = vm.filter(|_| library.generation.get() == self.function_generation.get())
        {
            for function in &library.functions {
                vm.release(function.compiled.get());
            }
        }
    }

    fn metadata_error(&self, error: &LibraryError) -> ErrorReply {
        let (spec, detail): (&ErrorSpec, &[u8]) = match error {
            LibraryError::Missing => (&NO_METADATA, b""),
            LibraryError::Invalid => (&BAD_METADATA, b""),
            LibraryError::NameTwice => (&METADATA_NAME_TWICE, b""),
            LibraryError::Unknown(word) => (&METADATA_UNKNOWN, word),
            LibraryError::NoName => (&METADATA_NO_NAME, b""),
        };
        ErrorReply::with(spec, self.dialect, &[detail])
    }
}

impl From<Registered> for Function {
    fn from(registered: Registered) -> Self {
        let Registered { about, function } = registered;
        let Registration { name, description, flags, limits } = about;
        let figures = RefCell::default();
        Self { name, description, flags, limits, figures, compiled: Cell::new(function) }
    }
}
