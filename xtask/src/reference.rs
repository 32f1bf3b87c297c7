//! `cargo xtask reference`: writes `docs/reference/` anew from the declarations.
//!
//! The pages are rendered by a unit test of the module, which is also what fails while they are not
//! current; this verb runs that test with leave to write.

use anyhow::Result;

use crate::options::{Arguments, Verb};
use crate::process::{cargo, run};
use crate::system;

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "reference",
    summary: "rewrite docs/reference from the declarations",
    flags: &[],
    operands: None,
    rest: None,
    run: reference,
};

fn reference(_: &Arguments) -> Result<()> {
    system::ensure(&[&system::C_COMPILER, &system::LIBCLANG])?;
    run(cargo()
        .args(["test", "--package", "redlua", "--lib", "reference::"])
        .env("UPDATE_REFERENCE", "1"))?;
    println!("docs/reference is current; look at the difference before you commit it.");
    Ok(())
}
