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
            return Err(run.kind.busy(self.dialect));
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
            Some(run) if run.kind == RunKind::Script => Err(run.kind.busy(self.dialect)),
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::dialect::Dialect;
    use crate::engine::{Engine, FunctionCall, RunKind, RunRequest, Source};
    use crate::host::ServerHost;
    use crate::policy::admission::Access;
    use crate::resp::{Encoder, RespVersion};

    const ENDLESS: &str = "local function f() while true do pcall(f) end end f()";

    fn engine() -> Rc<Engine> {
        Rc::new(Engine::new(Dialect::redis(7, 0, 15)).expect("a thread"))
    }

    /// A host that lets `visitor` in at once, whenever a run looks up.
    fn visited(engine: &Rc<Engine>, visitor: impl Fn(&Engine) + 'static) -> ServerHost {
        let engine = Rc::clone(engine);
        let threshold = Cell::new(Some(Duration::ZERO));
        let visitor: Option<Box<dyn Fn()>> = Some(Box::new(move || visitor(&engine)));
        ServerHost { threshold, visitor, ..ServerHost::default() }
    }

    fn run(engine: &Engine, host: &ServerHost, script: &str) -> String {
        let mut reply = Encoder::new(RespVersion::Resp2);
        let source = Source::Body(script.as_bytes());
        let request = RunRequest { source, arguments: &[b"0"], access: Access::ReadWrite };
        shown(engine.run(host, request, &mut reply), reply)
    }

    fn shown(outcome: Result<(), crate::resp::ErrorReply>, reply: Encoder) -> String {
        let bytes = match outcome {
            Ok(()) => reply.out,
            Err(error) => [b"-", error.line()].concat(),
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_visitor_ends_what_it_may_end() {
        let engine = engine();
        let host = visited(&engine, |engine| {
            let error = engine.kill(RunKind::Function).expect_err("it is a script");
            assert!(error.line().starts_with(b"BUSY Redis is busy running a script."));
            assert!(engine.running_function().is_err());
            assert_eq!(engine.kill(RunKind::Script), Ok(()));
        });
        let reply = run(&engine, &host, ENDLESS);
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL... script: "));
        assert!(reply.ends_with(", on @user_script:1."), "{reply}");
        assert_eq!(run(&engine, &ServerHost::default(), "return 1"), ":1\r\n");
        assert_eq!(engine.stats().rebuilt_vms, 0, "the VM is as good as before");
        let lines = host.lines.take();
        assert_eq!(lines.len(), 3, "slow once, killed once, failed once");
        assert!(lines[0].1.starts_with(b"Slow script detected: still in execution after "));
    }

    #[test]
    fn a_run_that_wrote_is_left_alone_and_nothing_runs_after_it() {
        let engine = engine();
        let visits = Rc::new(Cell::new(0));
        let seen = Rc::clone(&visits);
        let host = visited(&engine, move |engine| {
            seen.set(seen.get() + 1);
            let error = engine.kill(RunKind::Script).expect_err("it wrote");
            assert!(error.line().starts_with(b"UNKILLABLE Sorry the script already executed "));
        });
        let script = "redis.call('SET', 'k', 1) local t = os.clock() repeat until os.clock() > t + 0.1 return 7";
        assert_eq!(run(&engine, &host, script), ":7\r\n");
        assert!(visits.get() > 0);
        let error = engine.kill(RunKind::Script).expect_err("nothing runs");
        assert_eq!(error.line(), b"NOTBUSY No scripts in execution right now.");
    }

    #[test]
    fn libraries_may_be_replaced_under_a_function_that_runs() {
        let engine = engine();
        let code = b"#!lua name=l\nredis.register_function('f', function() while true do end end)";
        assert!(engine.load_library(&ServerHost::default(), code, false).is_ok());
        let host = visited(&engine, |engine| {
            let running = engine.running_function().expect("no script runs").expect("one runs");
            assert_eq!((running.kind, running.name.as_slice()), (RunKind::Function, &b"f"[..]));
            let code = b"#!lua name=l\nredis.register_function('f', function() return 2 end)";
            let loaded = engine.load_library(&ServerHost::default(), code, true);
            assert!(loaded.is_ok());
            engine.data_goes();
        });
        let call = || FunctionCall { name: b"f", arguments: &[b"0"], access: Access::ReadWrite };
        let mut reply = Encoder::new(RespVersion::Resp2);
        let outcome = engine.call_function(&host, call(), &mut reply);
        assert!(
            shown(outcome, reply).starts_with("-ERR Script killed: the master sent a new dataset")
        );
        let mut reply = Encoder::new(RespVersion::Resp2);
        let outcome = engine.call_function(&ServerHost::default(), call(), &mut reply);
        assert_eq!(shown(outcome, reply), ":2\r\n");
    }

    #[test]
    fn a_panic_while_others_are_in_ends_the_run_and_costs_only_the_vm() {
        let engine = engine();
        let host = visited(&engine, |_| panic!("asked for by a test"));
        assert!(run(&engine, &host, ENDLESS).starts_with("-ERR internal error"));
        assert_eq!(run(&engine, &ServerHost::default(), "return 1"), ":1\r\n");
        assert_eq!(engine.stats().rebuilt_vms, 1);
    }
}
