//! ioredis, and a job queue, locks and rate limits that are built on it.

use std::process::Command;

use super::{expect_runs, installed, programs, run, taken_over};
use crate::support::Server;

/// Runs a program of the folder, which wants its server restarted once.
fn run_with_restart(name: &str, runs: i64) {
    let mut server: Server = taken_over().appendonly().start();
    let mut program = Command::new("node");
    program.env("NODE_PATH", installed("node").join("node_modules"));
    program.arg(programs().join("node").join(name)).arg(server.port().to_string());
    let mut restarts = 0;
    run(&mut program, |request| {
        assert_eq!(request, "restart");
        expect_runs(&server, runs);
        server.restart();
        restarts += 1;
    });
    assert_eq!(restarts, 1);
    expect_runs(&server, 1);
}

#[test]
fn bullmq_completes_every_job_once() {
    run_with_restart("bullmq.js", 1000);
}

#[test]
fn ioredis_redlock_and_rate_limiter_flexible_work() {
    run_with_restart("locks_and_limits.js", 100);
}
