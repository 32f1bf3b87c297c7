//! One file per command: parse, call the engine, write the reply.

mod eval;
mod evalsha;
mod fcall;
mod function;
mod help;
mod probe;
mod script;
mod spec;

pub use spec::{
    Arg, ArgKind, COMMANDS, CommandFlags, CommandSpec, Handler, Invocation, KeyAccess, Keys,
    internal_error, no_permission,
};
