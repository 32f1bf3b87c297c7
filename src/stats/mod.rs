//! What runs did, in figures: per script and per function, and the log of slow ones.
//!
//! Nothing here knows scripts or Lua. Time is in ticks of the run's clock; [`Pace`] says how long a tick is.

mod figures;
mod histogram;
mod pace;
mod slowlog;
mod summary;

pub use figures::{Figures, LastError, Ran, held_bytes};
pub use histogram::Histogram;
pub use pace::{Pace, Scale};
pub use slowlog::{Caller, InnerCall, SlowLog, SlowRun, trim};
pub use summary::{Failure, Summary};
