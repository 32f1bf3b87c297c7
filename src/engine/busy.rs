//! What commands that come in during a long run may learn of it and do to it.

use std::rc::Rc;

use super::state::Engine;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::vm::{BusyRun, RunKind};

register!(ERRORS: NOT_BUSY: ErrorSpec = ErrorSpec::stock(
    "NOTBUSY", "No scripts in execution right now.", "There is nothing to kill.",
));
register!(ERRORS: SENT_BY_MASTER: ErrorSpec = ErrorSpec::stock(
    "UNKILLABLE",
    "The busy script was sent by a master instance in the context of replication and cannot be killed.",
    "The run that is to be killed came from the master.",
));
register!(ERRORS: HAS_WRITTEN: ErrorSpec = ErrorSpec::stock(
    "UNKILLABLE",
    "Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
    "The run that is to be killed has written.",
));

impl Engine {
    /// Ends the script or the function that is running, once the command that asks for it returned.
    ///
    /// # Errors
    /// Nothing is running, it is of the other kind, or it cannot be ended.
    ///
    /// Stock: `script.c` `scriptKill`.
    pub fn kill(&self, kind: RunKind) -> Result<(), ErrorReply> {
        let refuse = |spec| Err(ErrorReply::new(spec, self.dialect));
        let Some(run) = self.busy.get() else {
            return refuse(&NOT_BUSY);
        };
        if run.is_obeyed {
            return refuse(&SENT_BY_MASTER);
        }
        if run.has_written {
            return refuse(&HAS_WRITTEN);
        }
        if run.kind != kind {
            return refuse(run.kind.busy());
        }
        run.kill();
        Ok(())
    }

    /// The function that is running.
    ///
    /// # Errors
    /// A script is running.
    ///
    /// Stock: `functions.c` `functionStatsCommand`.
    pub fn running_function(&self) -> Result<Option<Rc<BusyRun>>, ErrorReply> {
        match self.busy.get() {
            Some(run) if run.kind == RunKind::Script => {
                Err(ErrorReply::new(run.kind.busy(), self.dialect))
            }
            run => Ok(run),
        }
    }

    /// The data that the run works on, if one is on, is about to be replaced: ends it.
    pub fn data_goes(&self) {
        if let Some(run) = self.busy.get() {
            run.lose_data();
        }
    }
}
