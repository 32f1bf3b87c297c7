//! `cargo xtask serve`: from a fresh clone to a server that runs Lua scripts through the module.
//!
//! The server stays in this terminal's process group, so Ctrl-C reaches it directly and nothing
//! outlives the terminal; this program only waits for it and reports.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::client::Address;
use crate::module;
use crate::options::{Arguments, Flag, Verb};
use crate::process::{ending, listen_for_end};
use crate::server::Server;
use crate::servers;
use crate::system;

/// Declares the verb.
pub const VERB: Verb = Verb {
    name: "serve",
    summary: "install what is missing, build, and run a server with the module; Ctrl-C ends it",
    flags: &[
        Flag {
            name: "--port",
            value: Some("N"),
            help: "port (default: 6379 or the next free one)",
        },
        Flag { name: "--dir", value: Some("PATH"), help: "data folder (default: target/serve)" },
        Flag {
            name: "--server",
            value: Some("NAME"),
            help: "one of `cargo xtask servers`, or the path of a server",
        },
    ],
    operands: None,
    rest: Some("settings for redis-server, as on its own command line"),
    run: serve,
};

const FIRST_PORT: u16 = 6379;

fn serve(arguments: &Arguments) -> Result<()> {
    let port = arguments.number("--port", 1..=65535)?;
    let mut required = vec![&system::C_COMPILER, &system::LIBCLANG, &system::REDIS_CLI];
    if !arguments.has("--server") {
        required.push(&system::REDIS_SERVER);
    }
    system::ensure(&required)?;
    println!("==> building the module");
    let module = module::build()?;

    let port = choose_port(port)?;
    let folder = choose_folder(arguments.value("--dir"), port)?;
    let program = servers::program(arguments.value("--server").unwrap_or("redis-server"))?;
    println!(
        "==> starting {} on 127.0.0.1:{port}, data in {}",
        program.display(),
        folder.display()
    );
    let mut command = Command::new(program);
    command
        .arg(module::top().join("module.conf"))
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--daemonize", "no", "--logfile", ""])
        .arg("--dir")
        .arg(&folder)
        .arg("--pidfile")
        .arg(pid_file(&folder))
        .arg("--loadmodule")
        .arg(module)
        .args(&arguments.rest);
    run(&mut command, port)
}

fn run(command: &mut Command, port: u16) -> Result<()> {
    let is_asked_to_end = listen_for_end()?;
    let has_ended = || is_asked_to_end.load(Ordering::Relaxed);
    let mut server = Server::start(command, Address::Port(port))?;
    let ready = server.wait_ready(Duration::from_secs(600), has_ended);
    if ready.map_err(|error| anyhow!("{error}; its log above says why"))? {
        print_welcome(port);
    }
    let status = match server.wait(has_ended)? {
        Some(status) => status,
        None => server.stop()?,
    };
    if !status.success() {
        bail!("redis-server ended with {}; its log above says why", ending(status));
    }
    println!("==> the server has ended");
    Ok(())
}

fn print_welcome(port: u16) {
    let port = match port {
        FIRST_PORT => String::new(),
        port => format!(" -p {port}"),
    };
    println!(
        "\n==> ready. In another terminal, type:\n\n    \
         redis-cli{port} LUA.EVAL \"return 'hello from RedLua'\" 0\n\n    \
         More scripts to try: examples/README.md. Ctrl-C here ends the server.\n"
    );
}

fn choose_port(wanted: Option<u32>) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    if let Some(port) = wanted {
        let port = u16::try_from(port)?;
        if !is_free(&port) {
            bail!("port {port} is taken; leave --port out to get the next free one");
        }
        return Ok(port);
    }
    (FIRST_PORT..=u16::MAX).find(is_free).context("no port is free")
}

/// The folder asked for; by default the usual one, or one of this port's own while another server
/// runs in the usual one, because two servers would overwrite each other's data.
fn choose_folder(wanted: Option<&str>, port: u16) -> Result<PathBuf> {
    let usual = module::target_dir()?.join("serve");
    let folder = match wanted {
        Some(folder) => std::path::absolute(folder)?,
        None if is_in_use(&usual) => usual.with_file_name(format!("serve-{port}")),
        None => usual,
    };
    if is_in_use(&folder) {
        bail!("a server already runs in {}; give another --dir", folder.display());
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    Ok(folder)
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("server.pid")
}

/// Whether a server that was started here still runs. A process number alone proves nothing after a
/// crash, but only a server has our data folder as its working folder.
fn is_in_use(folder: &Path) -> bool {
    let Ok(id) = std::fs::read_to_string(pid_file(folder)) else {
        return false;
    };
    let Ok(working) = std::fs::read_link(format!("/proc/{}/cwd", id.trim())) else {
        return false;
    };
    folder.canonicalize().is_ok_and(|folder| folder == working)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_when_asked_for_and_skipped_otherwise() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(choose_port(Some(port.into())).is_err());
        assert_ne!(choose_port(None).unwrap(), port);
    }

    #[test]
    fn a_folder_is_in_use_only_while_a_process_works_there() {
        let folder = std::env::temp_dir().join(format!("redlua-serve-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let wanted = folder.to_str().unwrap();
        assert!(choose_folder(Some(wanted), 1).is_ok());

        let mut process = Command::new("sleep").arg("60").current_dir(&folder).spawn().unwrap();
        std::fs::write(pid_file(&folder), format!("{}\n", process.id())).unwrap();
        assert!(choose_folder(Some(wanted), 1).is_err());

        process.kill().unwrap();
        process.wait().unwrap();
        assert!(choose_folder(Some(wanted), 1).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
