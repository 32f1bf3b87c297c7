//! The developer commands of RedLua: `cargo xtask VERB`.
//!
//! Each verb owns one file and declares its name, its line of help and its options there; this file
//! only finds the verb that was asked for and turns its result into an exit code: 0 done, 1 failed,
//! 2 not understood.

mod apt;
mod bench;
mod client;
mod clients;
mod conformance;
mod module;
mod options;
mod process;
mod reference;
mod serve;
mod server;
mod servers;
mod system;
mod test;
mod torture;

use std::process::ExitCode;

use options::{Arguments, UsageError, Verb};

const VERBS: &[Verb] = &[
    serve::VERB,
    test::VERB,
    conformance::VERB,
    bench::VERB,
    reference::VERB,
    servers::VERB,
    torture::VERB,
    HELP,
];

const HELP: Verb = Verb {
    name: "help",
    summary: "list the verbs, or the options of one: help VERB",
    flags: &[],
    operands: Some("VERB"),
    rest: None,
    run: help,
};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => {
            eprintln!("xtask: {error}\nType `cargo xtask help` for the verbs and their options.");
            ExitCode::from(2)
        }
        // The count has been the last line, and must stay so for whoever reads it by machine.
        Err(error) if error.is::<test::ChecksFailed>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = words.split_first() else {
        print_verbs();
        return Err(UsageError::new("a verb is missing").into());
    };
    if name == "--help" || name == "-h" {
        print_verbs();
        return Ok(());
    }
    let verb = find(name)?;
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        println!("{}", verb.usage());
        return Ok(());
    }
    (verb.run)(&verb.parse(rest)?)
}

fn help(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.operand() {
        Some(name) => println!("{}", find(name)?.usage()),
        None => print_verbs(),
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Verb, UsageError> {
    let verb = VERBS.iter().find(|verb| verb.name == name);
    verb.ok_or_else(|| UsageError::new(format!("there is no verb '{name}'")))
}

fn print_verbs() {
    println!("cargo xtask VERB [OPTIONS]\n");
    for verb in VERBS {
        println!("  {:<12} {}", verb.name, verb.summary);
    }
    println!("\n`cargo xtask VERB --help` lists the options of one verb.");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn unknown_verbs_and_options_are_usage_errors() {
        for line in ["", "dance", "serve --dance", "serve --port", "reference now", "help dance"] {
            let error = run(&words(line)).expect_err(line);
            assert!(error.is::<UsageError>(), "{line}: {error}");
        }
    }

    #[test]
    fn every_verb_explains_itself() {
        for verb in VERBS {
            assert!(run(&words(&format!("help {}", verb.name))).is_ok());
            assert!(run(&words(&format!("{} --help", verb.name))).is_ok());
        }
    }
}
