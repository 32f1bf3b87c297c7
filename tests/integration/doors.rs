//! Stock's commands and ours side by side, and shorthands for what most tests send.

use std::fmt::Debug;

use crate::support::{Client, render};

/// Whose commands a request goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Stock,
    Ours,
}

pub use Door::{Ours, Stock};

impl Door {
    /// This side's name of stock's command `stock`.
    pub fn name(self, stock: &str) -> String {
        match self {
            Stock => stock.to_owned(),
            Ours => format!("LUA.{stock}"),
        }
    }
}

/// Runs `body` through both doors, expects the same outcome, and returns it.
///
/// # Panics
/// When the outcomes differ; `what` says what was compared.
#[track_caller]
pub fn same<T: PartialEq + Debug>(what: &str, mut body: impl FnMut(Door) -> T) -> T {
    let stock = body(Stock);
    let ours = body(Ours);
    assert_eq!(ours, stock, "ours (left) is not stock's (right): {what}");
    ours
}

/// The argument vector of a script command.
pub fn request<A: AsRef<[u8]>>(
    command: &str,
    script: impl AsRef<[u8]>,
    keys: &[A],
    args: &[A],
) -> Vec<Vec<u8>> {
    let mut argv = vec![
        command.as_bytes().to_vec(),
        script.as_ref().to_vec(),
        keys.len().to_string().into_bytes(),
    ];
    argv.extend(keys.iter().chain(args).map(|word| word.as_ref().to_vec()));
    argv
}

/// What tests ask of a connection again and again.
pub trait Scripts {
    /// Runs a script and shows its reply as [`render`] does.
    fn eval(&mut self, door: Door, script: &str, keys: &[&str], args: &[&str]) -> String;

    /// Runs a script without keys and arguments through our command.
    fn lua(&mut self, script: &str) -> String {
        self.eval(Ours, script, &[], &[])
    }

    /// Sends a command and shows its reply.
    fn show<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> String;

    /// Sets a setting of the server.
    fn set(&mut self, name: &str, value: &str);

    /// One figure or text of `INFO`.
    fn info(&mut self, field: &str) -> String;

    /// One figure of `INFO` as a number.
    fn figure(&mut self, field: &str) -> i64 {
        let text = self.info(field);
        text.parse().unwrap_or_else(|_| panic!("{field} is no number: {text}"))
    }

    /// A digest of all data in all databases.
    fn digest(&mut self) -> String {
        self.show(&["DEBUG", "DIGEST"])
    }
}

impl Scripts for Client {
    fn eval(&mut self, door: Door, script: &str, keys: &[&str], args: &[&str]) -> String {
        render(&self.cmd(&request(&door.name("EVAL"), script, keys, args)))
    }

    fn show<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> String {
        render(&self.cmd(argv))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.ok(&["CONFIG", "SET", name, value]);
    }

    fn info(&mut self, field: &str) -> String {
        let text = self.value(&["INFO", "EVERYTHING"]).text();
        let text = text.expect("INFO answers text");
        text.lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("INFO has no field {field}"))
            .to_owned()
    }
}
