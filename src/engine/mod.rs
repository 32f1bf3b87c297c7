//! Runs scripts: joins the cache, policy and the VM.

mod busy;
mod debugged;
mod doctor;
mod failures;
mod functions;
mod observe;
mod profile;
mod request;
mod run;
mod scripts;
mod state;
#[cfg(test)]
mod tests;

pub use crate::vm::{BusyRun, Profile, ProfileTarget, RunKind};
pub use debugged::Debugged;
pub use functions::{Function, FunctionCall, Libraries, Library, RestorePolicy, StagedLibraries};
pub use request::{NOTHING, RunRequest, Source, integer};
pub use scripts::Kept;
pub use state::{Engine, EngineStats, FlushMode};
