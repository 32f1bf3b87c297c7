//! The Lua virtual machine and the API its scripts see.

pub mod api;
pub(crate) mod context;
mod machine;
mod native;
pub mod number;
pub(crate) mod random;
mod sandbox;

pub use context::{Inputs, RunContext};
pub use machine::Vm;
pub use native::{CompileError, FunctionRef, InvokeError};
pub use random::Random;
