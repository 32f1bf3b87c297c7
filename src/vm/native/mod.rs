//! Raw Lua: everything that needs `unsafe` on the VM's side.
//!
//! Three rules make it hold together (`docs/safety.md` tells why):
//!
//! 1. **No Lua error crosses a Rust frame.** While a native function is on the C stack the allocator
//!    does not fail ([`memory`]), and natives use only raw operations, which cannot raise. They return
//!    [`Raised`] with the error value on the stack; the trampoline in [`entry`], which owns nothing,
//!    raises it.
//! 2. **No panic crosses a C frame.** The trampoline catches it, the VM is marked as poisoned and thrown
//!    away after the run.
//! 3. **One thread.** A VM is used on the thread that made it, Redis's main thread.
#![expect(unsafe_code, reason = "the fence around raw Lua")]

mod call;
mod chunk;
mod clock;
mod debug;
mod entry;
pub(crate) mod error_value;
mod frames;
mod from_lua;
mod interrupt;
mod invoke;
mod load;
mod memory;
mod output;
mod pass;
mod pool;
mod sample;
mod shape;
mod stack;
mod state;
#[cfg(fuzzing)]
pub(crate) mod steps;
mod sys;
mod ticker;
mod to_lua;
pub(crate) mod traceback;
mod view;

pub(crate) use call::{redis_call, redis_pcall, with_arguments};
pub use chunk::{CompileError, FunctionRef};
pub(crate) use clock::cpu_seconds;
pub use clock::ticks;
pub(crate) use entry::{NativeFn, NativeResult, Raised};
pub use invoke::InvokeError;
pub(crate) use load::register;
pub use load::{LoadError, Registered, Registration};
pub(crate) use memory::Shared;
pub(crate) use output::{Full, Output};
pub(crate) use shape::{Shape, Shapes, Spelled};
pub(crate) use stack::{Kind, Stack};
pub(crate) use state::State;
pub use ticker::Ticker;
pub(crate) use to_lua::grown;
pub(crate) use view::{Items, Pairs, TableView, Value};
