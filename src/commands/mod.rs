//! One file per command: parse, call the engine, write the reply.

mod debugged;
mod eval;
mod evalsha;
mod fcall;
mod figures;
mod function;
mod help;
mod probe;
mod profile;
mod script;
mod slowlog;
mod spec;

pub use spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Handler, Invocation, KeyAccess, Keys,
    internal_error, no_permission,
};
