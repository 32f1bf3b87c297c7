//! Running other programs so that a failure names the command that failed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The Cargo that runs this tool, so that a toolchain chosen for the tool also builds the module.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command on this terminal.
///
/// # Errors
/// It cannot be started, or it does not end with exit code 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed: {}", line(command), ending(status));
    }
    Ok(())
}

/// Runs a command out of sight and returns what it printed.
///
/// # Errors
/// It cannot be started, or it does not end with exit code 0; the last line it wrote to its error
/// output is part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        bail!("{} failed: {}: {last}", line(command), ending(output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What to say about a command that cannot be started.
pub fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}

/// Whether a command ends with exit code 0, unseen.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where `PATH` has the program.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The command as it would be typed.
pub fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let mut text = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Takes over the signals that would end this program before its servers are as they should be left.
///
/// # Errors
/// The signals cannot be watched.
pub fn listen_for_end() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot watch signals")?;
    }
    Ok(flag)
}

/// How a process ended, in words.
pub fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_reports_the_command_and_its_end() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).expect_err("exit 3");
        assert_eq!(error.to_string(), "sh -c exit 3 failed: exit code 3");
        assert!(run(&mut Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn find_program_knows_sh_and_no_nonsense() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
