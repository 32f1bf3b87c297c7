//! Where things are in the tree, and building the module.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, run};

/// The top of the repository.
pub fn top() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target folder.
///
/// This program lies in one of its profile folders, wherever `CARGO_TARGET_DIR` or a Cargo
/// configuration has put it; asking Cargo would need a JSON parser.
///
/// # Errors
/// The path of this program is unknown.
pub fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let program = program.canonicalize().unwrap_or(program);
    match program.parent().and_then(Path::parent) {
        // A test of this tool runs from the `deps` folder inside the profile folder.
        Some(folder) if program.parent().is_some_and(|inner| inner.ends_with("deps")) => {
            Ok(folder.parent().unwrap_or(folder).to_owned())
        }
        Some(folder) => Ok(folder.to_owned()),
        None => bail!("{} is not in a Cargo target folder", program.display()),
    }
}

/// Where a release build puts the module.
///
/// # Errors
/// The target folder is unknown.
pub fn path() -> Result<PathBuf> {
    let file = format!("{}redlua{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Ok(target_dir()?.join("release").join(file))
}

/// Builds the module in release form, with Cargo's progress on the terminal, and tells its path.
///
/// # Errors
/// The build fails.
pub fn build() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "redlua"]))?;
    let module = path()?;
    if !module.is_file() {
        bail!("the build succeeded, but {} is not there", module.display());
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found() {
        assert!(top().join("xtask/Cargo.toml").is_file());
        assert!(target_dir().unwrap().is_dir());
        assert!(path().unwrap().ends_with("release/libredlua.so"));
    }
}
