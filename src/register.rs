//! `register!`: puts one declaration into the slice that collects its kind.
//!
//! Commands, Lua API members, settings and errors are declared once, beside their code, and every
//! reader (registration, `COMMAND DOCS`, HELP, the sandbox, the reference pages) walks the slices.

/// Declares a static and places it in a linkme slice.
///
/// `register!(SLICE: NAME: Type = value);` makes an ordinary `static NAME: Type`, so the declaration
/// can also be named where it is used.
macro_rules! register {
    ($slice:path: $(#[$doc:meta])* $name:ident: $ty:ty = $spec:expr) => {
        $(#[$doc])*
        #[allow(unsafe_code)] // linkme places the static in a linker section
        #[linkme::distributed_slice($slice)]
        pub(crate) static $name: $ty = $spec;
    };
}
pub(crate) use register;
