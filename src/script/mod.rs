//! What scripts and libraries are as text: names, flags, where scripts are kept, payloads of libraries.
//!
//! Nothing here knows Lua. The compiled form is a type parameter of the cache, so every rule of
//! this folder is tested without a virtual machine.

pub mod cache;
pub mod flags;
pub mod glob;
pub mod library;
pub mod limits;
pub mod lzf;
pub mod payload;
pub mod sha1;
pub mod shebang;
pub mod wrapped;

pub use self::cache::{EVAL_SCRIPT_LIMIT, Origin, Script, ScriptCache};
pub use self::flags::ScriptFlags;
pub use self::limits::RunLimits;
pub use self::sha1::Sha1;
pub use self::shebang::{Shebang, ShebangError};
