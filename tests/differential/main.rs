//! The same scripts through stock's commands and through ours, on one server, in RESP2 and RESP3:
//! replies must be the same bytes and the data must end up the same.
//!
//! Cases are data, one file per topic (`case.rs` says how they are written), or made at random
//! (`random.rs`). With `REDLUA_ORACLE_ONLY=1` both sides are stock's, which needs no module and shows
//! cases that depend on the time or on other cases.

#[path = "../support/mod.rs"]
mod support;

mod allowed;
mod case;
mod comparison;
mod generated;
mod random;
mod runner;

use std::collections::HashSet;

use allowed::{ALLOWED, Allowed, Difference};
use runner::{Door, Runner, Verdict};
use support::Value;

/// Declares one test per case file, and the list of all of them.
macro_rules! suites {
    ($($topic:ident)*) => {
        /// Topics and the text of their files.
        const FILES: &[(&str, &str)] = &[$((
            stringify!($topic),
            include_str!(concat!("cases/", stringify!($topic), ".toml")),
        )),*];

        $(
            #[test]
            fn $topic() {
                let text = include_str!(concat!("cases/", stringify!($topic), ".toml"));
                runner::check(stringify!($topic), &case::parse(stringify!($topic), text));
            }
        )*

        /// The scripts of the same files as functions.
        mod as_functions {
            use super::{case, runner};
            $(
                #[test]
                fn $topic() {
                    let text = include_str!(concat!("cases/", stringify!($topic), ".toml"));
                    let cases = case::parse_as_functions(stringify!($topic), text);
                    runner::check(concat!(stringify!($topic), " as functions"), &cases);
                }
            )*
        }
    };
}

suites! {
    acl
    api
    big
    bit
    calls
    cjson
    cmsgpack
    compile
    connections
    conversions
    errors
    functions
    functions_calls
    functions_registering
    globals
    invocation
    libraries
    numbers
    passing
    permissions
    replies
    shebang
    shortcuts
    strings
    structs
}

#[test]
fn every_command_without_arguments() {
    runner::check_generated("commands without arguments", generated::without_arguments);
}

#[test]
fn every_noscript_command() {
    runner::check_generated("noscript commands", generated::noscript);
}

fn case_names() -> impl Iterator<Item = String> {
    FILES.iter().flat_map(|(topic, text)| case::parse(topic, text)).map(|case| case.name)
}

#[test]
fn case_names_are_unique() {
    let mut seen = HashSet::new();
    for name in case_names() {
        assert!(seen.insert(name.clone()), "two cases are named '{name}'");
    }
}

#[test]
fn every_allowed_difference_names_a_case() {
    let names: HashSet<String> = case_names().collect();
    for case in ALLOWED.iter().flat_map(|entry| entry.cases) {
        assert!(names.contains(*case), "allowed.rs names no case: '{case}'");
    }
}

/// The suite is worth nothing if it cannot fail: runs a script against a doctored one and returns
/// the protocols in which that is noticed.
fn planted(stock: &str, doctored: &str) -> Vec<u8> {
    let verdict = compare(stock, doctored, None);
    verdict.differences.into_iter().map(|(protocol, _)| protocol).collect()
}

fn compare(stock: &str, doctored: &str, allowed: Option<&Allowed>) -> Verdict {
    let parse = |script: &str| {
        let file = format!("[[case]]\nname = 'planted'\nscript = \"{script}\"\nkeys = ['k']");
        case::parse("planted", &file).remove(0)
    };
    Runner::start(Door::Stock).compare(&parse(stock), &parse(doctored), allowed)
}

#[test]
fn a_planted_difference_in_the_reply_is_found() {
    assert_eq!(planted("return 1", "return 1"), []);
    assert_eq!(planted("return 1", "return 2"), [2, 3]);
    assert_eq!(planted("return {1}", "return {1,2}"), [2, 3]);
    assert_eq!(planted("return {map={a=1}}", "return {'a',1}"), [3], "RESP2 has no maps");
}

#[test]
fn a_planted_difference_in_the_data_is_found() {
    let set = "redis.call('set',KEYS[1],'xx')";
    let expiring = "redis.call('set',KEYS[1],'xx','ex',100)";
    let elsewhere = "redis.call('select',1) redis.call('set',KEYS[1],'xx')";
    let raw = "redis.call('append',KEYS[1],'x') redis.call('append',KEYS[1],'x')";
    assert_eq!(planted(set, set), []);
    for doctored in ["return nil", expiring, elsewhere, raw] {
        assert_eq!(planted(set, doctored), [2, 3], "{doctored}");
    }
}

#[test]
fn a_planted_difference_in_a_function_is_found() {
    let parse = |line: &str| {
        let file = format!("[[case]]\nname = 'planted'\n{line}\nkeys = ['k']");
        case::parse("planted", &file).remove(0)
    };
    let mut runner = Runner::start(Door::Stock);
    let mut differs = |stock: &str, doctored: &str| {
        let verdict = runner.compare(&parse(stock), &parse(doctored), None);
        verdict.differences.len()
    };
    let function = "function = 'return 1'";
    assert_eq!(differs(function, function), 0);
    assert_eq!(differs(function, "function = 'return 2'"), 2);
    assert_eq!(differs(function, "function = 'return 1'\nro = true"), 0, "both may be called");
    assert_eq!(differs("function = 'x x'", "function = '\"x'"), 2, "the library is compared, too");
}

#[test]
fn scripts_become_functions() {
    let file = "[[case]]\nname = 'plain'\nscript = 'return ARGV'\nargs = ['a', 'b']\n\
                [[case]]\nname = 'engine'\nscript = \"#!lua\\nreturn 1\"\n\
                [[case]]\nname = 'steps'\nsteps = [['PING']]\n\
                [[case]]\nname = 'lasting'\nscript = 'cjson.encode_max_depth(1)'";
    let cases = case::parse_as_functions("planted", file);
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["plain (as a function)", "lasting (as a function)"]);
    let since: Vec<Option<&str>> = cases.iter().map(|case| case.since.as_deref()).collect();
    assert_eq!(since, [None, Some("7.4")]);
    let argv = case::argv(&cases[0].steps[1], "LUA.", &[]);
    assert_eq!(comparison::words(&argv), "LUA.FCALL f 0 a b");
}

#[test]
fn an_allowed_difference_is_excused_only_as_far_as_it_goes() {
    let entry = |difference| Allowed { cases: &[], reason: "a test", on: |_| true, difference };
    let any = entry(Difference::Any);
    let error_text = entry(Difference::Within(|value| match value {
        Value::Error(_) => Value::Error(Vec::new()),
        other => other,
    }));
    let verdict = compare("return {err='A a'}", "return {err='B b'}", Some(&error_text));
    assert!(verdict.excused && verdict.differences.is_empty());
    let verdict = compare("return {err='A a'}", "return 1", Some(&error_text));
    assert!(!verdict.excused && verdict.differences.len() == 2);
    let verdict = compare("return {err='A a'}", "return 1", Some(&any));
    assert!(verdict.excused && verdict.differences.is_empty());
    let verdict = compare("return 1", "return 1", Some(&any));
    assert!(!verdict.excused, "an entry nobody needs is noticed");
}
