//! redis-py, its locks and its cluster client; rate limits and a task queue that are built on it.

use std::process::Command;

use super::{expect_runs, installed, nothing, programs, run, taken_over};
use crate::cluster;
use crate::doors::Scripts as _;
use crate::support::{Server, wait_until};

/// Begins to run a program of the folder in the environment with the client libraries.
fn program(name: &str) -> Command {
    let mut command = Command::new(installed("python").join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(programs().join("python").join(name));
    command
}

#[test]
fn redis_py_works_by_the_modules_own_names() {
    let server = Server::new().tcp().start();
    let mut program = program("redis_py_own_names.py");
    run(program.arg(server.socket()).arg(server.port().to_string()), nothing);
}

#[test]
fn redis_py_keeps_scripts_functions_and_locks() {
    let mut server = taken_over().appendonly().start();
    let mut program = program("redis_py.py");
    program.arg(server.socket()).arg(server.port().to_string());
    let mut restarts = 0;
    run(&mut program, |request| {
        assert_eq!(request, "restart");
        expect_runs(&server, 100);
        server.restart();
        restarts += 1;
    });
    assert_eq!(restarts, 2);
    expect_runs(&server, 1);
}

#[test]
fn redis_py_finds_the_nodes_of_a_cluster() {
    let servers = cluster::three(taken_over);
    let port = servers[0].port().to_string();
    run(program("redis_py_cluster.py").args([&port, "3"]), nothing);
    for server in &servers {
        expect_runs(server, 100);
    }
}

#[test]
fn redis_py_goes_on_when_a_replica_is_promoted() {
    let mut master = taken_over().start();
    let replica = taken_over().replica_of(&master).start();
    let mut client = replica.client();
    wait_until("the link", || client.info("master_link_status") == "up");
    let ports = [&master, &replica].map(|server| server.port().to_string());
    run(program("redis_py_failover.py").args(ports), |request| {
        assert_eq!(request, "kill the master");
        expect_runs(&master, 100);
        master.kill();
    });
    expect_runs(&replica, 5);
}

#[test]
fn limits_lets_no_more_through_than_it_should() {
    let server = taken_over().start();
    run(program("rate_limits.py").arg(server.port().to_string()), nothing);
    expect_runs(&server, 100);
}

#[test]
fn dramatiq_runs_each_message_once() {
    let server = taken_over().start();
    run(program("actors.py").arg(server.port().to_string()), nothing);
    expect_runs(&server, 500);
}
