//! What a script may do now: pure functions over plain data, each with its table of cases.
//!
//! Nothing here knows Redis or Lua. The counterpart of stock's `script.c`.

pub mod admission;
pub mod call_errors;
pub mod call_rules;
pub mod command_info;
pub mod key_slot;
pub mod quirks;
mod run_state;
mod server_state;
pub mod time_limits;

pub use run_state::{Replication, RunState};
pub use server_state::{Demand, ServerState};
