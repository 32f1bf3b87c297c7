//! The guide, followed as it is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Server;

const GUIDE: &str = include_str!("../../docs/guide.md");

/// The blocks of code of a page: their language, with the name of a script's file, and their text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                blocks.push((language, String::new()));
            }
            None if is_inside => {
                let (_, text) = blocks.last_mut().expect("a block has begun");
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a block does not end");
    blocks
}

/// Commands with the answers that a page shows.
fn steps(block: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push((command.to_owned(), String::new()));
        } else {
            let (_, answer) = steps.last_mut().expect("a command comes first");
            answer.push_str(line);
            answer.push('\n');
        }
    }
    steps
}

/// Whether an answer is the one shown, where `...` stands for anything.
fn fits(shown: &str, answer: &str) -> bool {
    let (shown, answer) = (shown.trim_end(), answer.trim_end());
    let parts: Vec<&str> = shown.split("...").collect();
    let [first, between @ .., last] = &*parts else { return answer == shown };
    let Some(mut rest) = answer.strip_prefix(first).and_then(|it| it.strip_suffix(last)) else {
        return false;
    };
    between.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The client that comes with the server under test.
fn client_program() -> PathBuf {
    let server = std::env::var_os("REDLUA_SERVER").map_or("redis-server".into(), PathBuf::from);
    let name = server.file_name().expect("a name").to_string_lossy().replace("-server", "-cli");
    server.with_file_name(name)
}

/// Runs a line of a shell in `folder`, where `redis-cli` talks to the server as in a terminal.
fn run(line: &str, folder: &Path, server: &Server) -> String {
    let program = client_program();
    // In a terminal answers are shown with their types, unless raw ones are asked for.
    let script = format!(
        "redis-cli() {{\n\
         case \" $* \" in *' --raw '*) form= ;; *) form=--no-raw ;; esac\n\
         command {} -s {} $form \"$@\"\n\
         }}\n{line}",
        program.display(),
        server.socket().display(),
    );
    let output = Command::new("bash").arg("-c").arg(script).current_dir(folder).output();
    let output = output.expect("a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_sample_of_the_guide_does_what_it_says() {
    let server = Server::new().start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut commands = 0;
    for (language, text) in blocks(GUIDE) {
        if let Some(name) = language.strip_prefix("lua ") {
            fs::write(folder.path().join(name), &text).expect("a file");
            continue;
        }
        match language {
            "console" => {
                for (command, shown) in steps(&text) {
                    let answer = run(&command, folder.path(), &server);
                    assert!(
                        fits(&shown, &answer),
                        "$ {command}\nshown:\n{shown}\nanswered:\n{answer}"
                    );
                    commands += 1;
                }
            }
            "json" => assert!(text.contains("runtime.version"), "what is this? {text}"),
            other => panic!("blocks of {other} are not tested"),
        }
    }
    assert!(commands > 25, "the guide was not read");
    assert!(folder.path().join("profile.svg").exists());
}

#[test]
fn answers_are_compared_with_what_is_shown() {
    assert!(fits("a\n", "a\n") && !fits("a", "ab") && !fits("a", "b"));
    assert!(fits("a ... c", "a b c") && !fits("a ... c", "a b d") && !fits("a ... c", "a b c d"));
    assert!(fits("a ...", "a b\nc\n") && fits("", ""));
    assert!(!fits("", "a"));
}
