//! The Lua virtual machine and the API its scripts see.

pub mod api;
mod codec;
pub(crate) mod context;
mod libraries;
mod machine;
mod native;
pub mod number;
pub(crate) mod random;
mod sandbox;

pub use context::{Inputs, RunContext};
pub use machine::Vm;
#[cfg(fuzzing)]
pub(crate) use native::steps;
pub use native::{CompileError, FunctionRef, InvokeError};
pub use random::Random;
