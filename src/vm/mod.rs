//! The Lua virtual machine and the API its scripts see.

pub mod api;
mod codec;
pub(crate) mod context;
mod libraries;
mod machine;
mod native;
pub mod number;
mod profile;
pub(crate) mod random;
mod sandbox;
mod tally;
pub(crate) mod watch;

pub use api::register_function::{check_names, invalid_name};
pub use context::{Inputs, RunContext, RunName};
pub use machine::{Purpose, Vm};
#[cfg(fuzzing)]
pub(crate) use native::steps;

pub use native::{
    CompileError, FunctionRef, InvokeError, LoadError, Registered, Registration, Ticker, ticks,
};
pub use profile::{Profile, ProfileTarget, Profiler};
pub use random::Random;
pub use tally::Tally;
pub use watch::{BusyRun, BusySlot, RunKind, Watch};
