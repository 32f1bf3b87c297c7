//! Calling a compiled script with KEYS and ARGV.

use std::ffi::c_int;

use mlua::ffi;

use super::chunk::FunctionRef;
use super::error_value::until_nul;
use super::from_lua;
use super::pass;
use super::stack::{Kind, Stack};
use super::state::State;
use super::sys;
use super::to_lua::grown;
use crate::dialect::Hosts;
use crate::resp::{ErrorReply, ReplySink};
use crate::vm::context::{Inputs, RunContext};

/// How a run failed.
#[derive(Debug, PartialEq, Eq)]
pub enum InvokeError {
    /// The script raised an error.
    Script(ErrorReply),
    /// The VM reached its memory limit and must be thrown away; the error for the caller.
    Memory(ErrorReply),
}

/// The message of an error object that has none.
pub(super) const UNKNOWN: &[u8] = b"ERR unknown error";
/// Bytes of a bare error message that go into the reply, as on stock.
const BARE_MESSAGE: usize = 100;

impl State {
    /// Runs a script and sends its result to `sink`.
    ///
    /// # Errors
    /// See [`InvokeError`]; `sink` got nothing then.
    ///
    /// Stock: `script_lua.c` `luaCallFunction`.
    pub(crate) fn invoke<S: ReplySink>(
        &self,
        run: &RunContext<'_>,
        function: FunctionRef,
        inputs: Inputs<'_>,
        sink: &mut S,
    ) -> Result<(), InvokeError> {
        let guard = self.shared().begin(run);
        let before = self.shared().watch_memory();
        self.with_stack(|stack| {
            stack.push_kept(self.anchors.handler);
            stack.push_kept(function.0);
            if self.anchors.functions.is_some() {
                let [keys, args] = self.anchors.lists;
                let lent = function.1;
                let keys = (lent.keys && is_small(inputs.keys)).then_some(keys);
                let args = (lent.args && is_small(inputs.args)).then_some(args);
                push_list(stack, inputs.keys, keys);
                push_list(stack, inputs.args, args);
            } else {
                self.set_globals(stack, inputs);
            }
            if self.shared().is_over_limit() {
                stack.collect();
            }
        });
        let parameters = if self.anchors.functions.is_some() { 2 } else { 0 };
        // SAFETY: the handler, the function and its parameters are on the stack.
        let status = unsafe { ffi::lua_pcall(self.raw(), parameters, 1, -2 - parameters) };
        self.revive(status);
        run.tally.grew(self.shared().peak() - before);
        self.with_stack(|stack| {
            let outcome = match status {
                ffi::LUA_OK => match run.passed.take() {
                    Some(reply) => {
                        pass::send(run.host, &reply, sink);
                        Ok(())
                    }
                    None => from_lua::reply(stack, run.state.resp.get(), sink)
                        .map_err(InvokeError::Script),
                },
                ffi::LUA_ERRMEM => Err(InvokeError::Memory(failure(stack, run))),
                _ => Err(InvokeError::Script(failure(stack, run))),
            };
            stack.set_top(0);
            if self.anchors.functions.is_none() && !(is_small(inputs.keys) && is_small(inputs.args))
            {
                self.set_globals(stack, Inputs { keys: &[], args: &[] });
            }
            self.tidy(stack);
            drop(guard);
            outcome
        })
    }

    /// Sets the globals `KEYS` and `ARGV`.
    ///
    /// They stay until the next run: nothing looks at them in between.
    fn set_globals(&self, stack: &mut Stack<'_>, inputs: Inputs<'_>) {
        let [keys, argv] = self.anchors.lists;
        let lists =
            [(self.anchors.keys, inputs.keys, keys), (self.anchors.argv, inputs.args, argv)];
        for (name, items, anchor) in lists {
            if push_list(stack, items, Some(anchor)) == List::Used {
                stack.pop(1);
                continue;
            }
            // SAFETY: the globals are a table.
            unsafe { sys::lua_enablereadonlytable(stack.raw(), ffi::LUA_GLOBALSINDEX, 0) };
            stack.push_item(ffi::LUA_REGISTRYINDEX, name);
            stack.insert(-2);
            stack.raw_set(ffi::LUA_GLOBALSINDEX);
            // SAFETY: as above.
            unsafe { sys::lua_enablereadonlytable(stack.raw(), ffi::LUA_GLOBALSINDEX, 1) };
        }
    }

    /// Makes the state usable again after a run that may have been ended before its time.
    #[inline]
    pub(super) fn revive(&self, status: c_int) {
        if status != ffi::LUA_ERRMEM {
            // SAFETY: the state is live, and nothing of the run is left on the C stack.
            unsafe { sys::redlua_revive(self.raw()) };
        }
    }

    /// Undoes what the script did with `collectgarbage`, and collects its garbage if there is much.
    pub(super) fn tidy(&self, stack: &mut Stack<'_>) {
        self.restore_collector(stack);
        // Lua does not collect when it runs out of memory, so one script's garbage must not be left
        // for the next to stumble over.
        if self.shared().wants_collection() {
            stack.collect();
        }
    }

    fn restore_collector(&self, stack: &mut Stack<'_>) {
        if self.shared().collector_touched.replace(false) {
            stack.collector(ffi::LUA_GCSETPAUSE, 200);
            stack.collector(ffi::LUA_GCSETSTEPMUL, 200);
            stack.collector(ffi::LUA_GCRESTART, 0);
        }
    }
}

/// Whether a list takes so little memory that it may be kept between runs.
fn is_small(items: &[&[u8]]) -> bool {
    items.len() <= 64 && items.iter().map(|item| item.len()).sum::<usize>() <= 4096
}

/// Where a list comes from.
#[derive(PartialEq, Eq)]
enum List {
    /// It was made for an earlier run.
    Used,
    Fresh,
}

/// Pushes a list of strings, with the room it has on the host: the one under `anchor`, where it is as that
/// run found it, or one that takes its place.
fn push_list(stack: &mut Stack<'_>, items: &[&[u8]], anchor: Option<c_int>) -> List {
    let room =
        if stack.shared().dialect.is(Hosts::Valkey) { items.len() } else { grown(items.len()) };
    let room = c_int::try_from(room).unwrap_or(0);
    let len = c_int::try_from(items.len()).unwrap_or(0);
    let mut list = List::Fresh;
    if let Some(anchor) = anchor {
        stack.push_kept(anchor);
        if stack.is_bare_list(-1, room) {
            list = List::Used;
            stack.cut_list(-1, len);
        } else {
            stack.pop(1);
        }
    }
    if list == List::Fresh {
        stack.push_sized_table(room, 0);
        if let Some(anchor) = anchor {
            stack.push_copy(-1);
            stack.set_item(ffi::LUA_REGISTRYINDEX, anchor);
        }
    }
    for (item, place) in items.iter().zip(0..) {
        stack.append_bytes(-1, place, item);
    }
    list
}

/// The reply for the error object on top of the stack.
///
/// Stock: `script_lua.c` `luaCallFunction`, `luaExtractErrorInformation`.
fn failure(stack: &mut Stack<'_>, run: &RunContext<'_>) -> ErrorReply {
    let mut line = Vec::with_capacity(128);
    if stack.kind(-1) != Kind::Table {
        let message = match stack.text(-1) {
            Some(text) => until_nul(text),
            None => b"execution failure",
        };
        line.extend_from_slice(b"ERR Error running script ");
        run.name.write_to(&mut line);
        line.extend_from_slice(b", ");
        line.extend_from_slice(&message[..message.len().min(BARE_MESSAGE)]);
        return ErrorReply::from_line(line);
    }
    line.extend_from_slice(field(stack, b"err").as_deref().unwrap_or(UNKNOWN));
    if let (Some(source), Some(at)) = (field(stack, b"source"), field(stack, b"line")) {
        line.extend_from_slice(b" script: ");
        // The engine of Valkey 9.1 does not know the name.
        if !stack.shared().dialect.is(Hosts::Valkey91) {
            run.name.write_to(&mut line);
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(b"on ");
        line.extend_from_slice(&source);
        line.push(b':');
        line.extend_from_slice(&at);
        line.push(b'.');
    }
    ErrorReply::from_line(line)
}

/// The string or number in a field of the table on top, as text.
pub(super) fn field(stack: &mut Stack<'_>, name: &[u8]) -> Option<Vec<u8>> {
    stack.push_field(-1, name);
    let text = stack.text(-1).map(|text| until_nul(text).to_vec());
    stack.pop(1);
    text
}
