//! A real server per test: started on a unix socket in a directory of its own, gone with the test.
//!
//! `REDLUA_SERVER` names the server binary (`redis-server` by default), `REDLUA_MODULE` the module
//! (`target/release/libredlua.so` by default).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::{Client, PATIENCE, POLL, wait_until};

/// How many free ports to try when others take them first.
const PORT_ATTEMPTS: usize = 5;

/// What the next server should be like; [`Self::start`] starts it.
pub struct ServerBuilder {
    settings: Vec<(String, String)>,
    module: bool,
    module_arguments: Vec<String>,
    tcp: bool,
    cluster: bool,
    directory: Option<PathBuf>,
}

impl ServerBuilder {
    /// Adds a line to the configuration file: `config("maxmemory", "1mb")`. Values are written as
    /// the file wants them, so quotes are up to the caller.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the server a replica. The master needs [`Self::tcp`].
    ///
    /// # Panics
    /// When the master has no port.
    pub fn replica_of(self, master: &Server) -> Self {
        let port = master.port();
        self.config("replicaof", &format!("127.0.0.1 {port}"))
    }

    /// Also listens on a free port of the loopback interface.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Starts a cluster of this one node, which owns all slots.
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self.tcp()
    }

    /// Leaves the module out.
    pub fn without_module(mut self) -> Self {
        self.module = false;
        self
    }

    /// Adds an argument to the module's `loadmodule` line.
    pub fn module_arg(mut self, argument: &str) -> Self {
        self.module_arguments.push(argument.to_owned());
        self
    }

    /// Turns the append-only file on, written before each reply.
    pub fn appendonly(self) -> Self {
        self.config("appendonly", "yes").config("appendfsync", "always")
    }

    /// Keeps the data in a directory that outlives the server.
    pub fn dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Starts the server and waits until it serves commands.
    ///
    /// # Panics
    /// When the server or the module is missing, or the server does not become ready.
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// Does what [`Self::start`] does, for a server that may refuse to start.
    ///
    /// # Errors
    /// The log of a server that did not become ready.
    ///
    /// # Panics
    /// When the server or the module is missing.
    pub fn try_start(self) -> Result<Server, String> {
        let module = self.module.then(module_path);
        let home = tempfile::Builder::new().prefix("redlua-").tempdir().expect("a temp directory");
        let mut attempt = 1;
        loop {
            let port = self.tcp.then(free_port);
            let settings = self.file(home.path(), module.as_deref(), port);
            fs::write(home.path().join("redis.conf"), settings).expect("the temp directory");
            match Server::launch(home.path()) {
                Ok(process) => {
                    let server = Server { process: Some(process), port, home };
                    if self.cluster {
                        server.own_all_slots();
                    }
                    return Ok(server);
                }
                Err(log) if log.contains("Address already in use") && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                Err(log) => return Err(log),
            }
        }
    }

    /// The configuration file. A file rather than arguments so that `CONFIG REWRITE` works.
    fn file(&self, home: &Path, module: Option<&Path>, port: Option<u16>) -> String {
        let mut file = String::new();
        let data = self.directory.as_deref().unwrap_or(home);
        let mut line = |name: &str, value: &str| {
            writeln!(file, "{name} {value}").expect("writing to a string");
        };
        line("unixsocket", &socket_path(home).display().to_string());
        line("port", &port.unwrap_or(0).to_string());
        line("bind", "127.0.0.1");
        line("dir", &data.display().to_string());
        line("save", "\"\"");
        line("appendonly", "no");
        line("enable-debug-command", "yes");
        line("enable-module-command", "yes");
        // A child that starts saving the moment a replica asks; the default waits five seconds.
        line("repl-diskless-sync-delay", "0");
        if self.cluster {
            line("cluster-enabled", "yes");
            line("cluster-port", &free_port().to_string());
        }
        if let Some(module) = module {
            let arguments = self.module_arguments.join(" ");
            line("loadmodule", format!("{} {arguments}", module.display()).trim_end());
        }
        for (name, value) in &self.settings {
            line(name, value);
        }
        file
    }
}

/// A running server. It is killed and its directory removed when this is dropped.
pub struct Server {
    process: Option<Process>,
    port: Option<u16>,
    home: TempDir,
}

impl Server {
    /// Begins a server with the module and no persistence.
    #[expect(clippy::new_ret_no_self, reason = "the options come before the server")]
    pub fn new() -> ServerBuilder {
        ServerBuilder {
            settings: Vec::new(),
            module: true,
            module_arguments: Vec::new(),
            tcp: false,
            cluster: false,
            directory: None,
        }
    }

    /// Opens a connection.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn client(&self) -> Client {
        Client::connect(&self.socket()).expect("the server accepts connections")
    }

    /// Returns the path of the unix socket.
    pub fn socket(&self) -> PathBuf {
        socket_path(self.home.path())
    }

    /// Returns the directory with the configuration file, the log and, unless
    /// [`ServerBuilder::dir`] said otherwise, the data.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the loopback port.
    ///
    /// # Panics
    /// When the server was built without [`ServerBuilder::tcp`].
    pub fn port(&self) -> u16 {
        self.port.expect("this server was not built with tcp()")
    }

    /// Returns the process id.
    ///
    /// # Panics
    /// When the server was killed.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server was killed").server.id()
    }

    /// Returns everything the server has logged.
    pub fn log(&self) -> String {
        read_log(self.home.path())
    }

    /// Waits until the log contains `text`.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("'{text}' in the server's log"), || self.log().contains(text));
    }

    /// Answers whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.exit_status().is_none())
    }

    /// Kills the server as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Waits for a server that was asked to stop, and returns how it ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server was killed");
        let mut status = None;
        wait_until("the end of the server", || {
            status = process.exit_status();
            status.is_some()
        });
        status.expect("just seen")
    }

    /// Kills the server, unless it is gone already, and starts it on the same files and port.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn restart(&mut self) {
        self.kill();
        match Self::launch(self.home.path()) {
            Ok(process) => self.process = Some(process),
            Err(log) => panic!("the server did not start again:\n{log}"),
        }
    }

    /// Starts the process and waits until it is ready; the error is the log.
    fn launch(home: &Path) -> Result<Process, String> {
        let mut process = Process::spawn(home);
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(&socket_path(home)) {
            let log = read_log(home);
            // A server that cannot load its data checks the file before it ends, which may take for ever.
            if log.contains("Unrecoverable error, aborting now")
                || process.exit_status().is_some()
                || Instant::now() > deadline
            {
                drop(process);
                return Err(read_log(home));
            }
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    fn own_all_slots(&self) {
        let mut client = self.client();
        if !client.text("CLUSTER INFO").contains("cluster_state:ok") {
            client.ok(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        }
        wait_until("a cluster that serves all slots", || {
            client.text("CLUSTER INFO").contains("cluster_state:ok")
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the server in {} ---", self.home.path().display());
            eprintln!("{}", self.log());
        }
    }
}

/// The server and the process that sees to it that the server does not outlive the tests.
struct Process {
    server: Child,
    /// A shell that waits for its input to end, which happens when the test process dies in
    /// whatever way, and then kills the server.
    watchdog: Child,
}

impl Process {
    fn spawn(home: &Path) -> Self {
        let binary = std::env::var_os("REDLUA_SERVER").unwrap_or_else(|| "redis-server".into());
        let log = File::options().create(true).append(true).open(log_path(home));
        let log = log.expect("the temp directory");
        let server = Command::new(&binary)
            .arg(home.join("redis.conf"))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file handle"))
            .stdout(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let watchdog = Command::new("sh")
            .args(["-c", "read -r end; kill -KILL \"$0\"", &server.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { server, watchdog }
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.server.try_wait().expect("the server is our own child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the server is reaped its id may belong to somebody else.
        for child in [&mut self.watchdog, &mut self.server] {
            // Fails only for a child that ended by itself, and then there is nothing to do.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Answers whether the server serves commands: it accepts a connection and is not loading.
fn is_ready(socket: &Path) -> bool {
    let reply = || -> io::Result<Vec<u8>> { Client::connect(socket)?.try_cmd(&["PING"]) };
    reply().is_ok_and(|frame| !frame.starts_with(b"-LOADING"))
}

/// # Panics
/// When the module has not been built.
fn module_path() -> PathBuf {
    let path = std::env::var_os("REDLUA_MODULE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/libredlua.so"),
        PathBuf::from,
    );
    // The server resolves a relative path against its own directory.
    path.canonicalize().unwrap_or_else(|error| {
        panic!("no module at {} ({error}); build it or set REDLUA_MODULE", path.display())
    })
}

fn socket_path(home: &Path) -> PathBuf {
    home.join("redis.sock")
}

fn log_path(home: &Path) -> PathBuf {
    home.join("server.log")
}

fn read_log(home: &Path) -> String {
    fs::read(log_path(home)).map_or_else(
        |error| format!("<no log: {error}>"),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
