//! What scripts can call beyond Lua's own libraries, one file per subject.

mod acl;
mod bit;
mod call;
pub(crate) mod cjson;
mod clock;
mod cmsgpack;
mod debug;
pub(crate) mod globals;
mod handler;
mod log;
mod random;
pub(crate) mod register_function;
mod replication;
mod reply;
mod resp;
mod sha1hex;
mod spec;
mod structure;
mod version;

pub(crate) use handler::{handler, handler_of_run};
pub use spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
