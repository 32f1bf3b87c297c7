//! What only a server can show, one module per topic.
//!
//! Where stock's commands do the same work, they are the oracle: a test runs both ways in one
//! server and compares what came back and what was left behind.

#[path = "../support/mod.rs"]
mod support;

mod acl;
mod busy;
mod cache;
mod clients;
mod cluster;
mod command_docs;
mod commands;
mod connections;
mod debug;
mod debugger;
mod doctor;
mod doors;
mod environment;
mod examples;
mod function_kills;
mod function_model;
mod function_persistence;
mod function_stats;
mod functions;
mod guide;
mod hostile;
mod input;
mod lifecycle;
mod limits;
mod maxmemory;
mod memory_limit;
mod names;
mod persistence;
mod profile;
mod refusals;
mod replication;
mod slowlog;
mod stats;
mod stream;
mod takeover;
mod tracebacks;
