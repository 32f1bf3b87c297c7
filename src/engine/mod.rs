//! Runs scripts: joins the cache, policy and the VM.

mod request;
mod run;
mod scripts;
mod state;

pub(crate) use request::{NOTHING, integer};
pub use request::{RunRequest, Source};
pub(crate) use state::flushes_in_background;
pub use state::{Engine, EngineStats, FlushMode};
