//! The Lua API as a definition file for editors: LuaLS and EmmyLua read it.

use std::fmt::Write;

use super::place;
use crate::dialect::Dialect;
use crate::vm::api::{ApiSpec, LUA_API, Member};
use crate::vm::{Purpose, Random, Ticker, Vm};

const HEAD: &str = "---@meta redis\n\
    -- Generated from the declarations by `cargo xtask reference`: what scripts see beyond Lua 5.1's own base,\n\
    -- string, table, math and coroutine libraries. For LuaLS and other editors' tools; no server reads it.\n\
    \n\
    ---The keys a script is given. A function of a library gets them as its first parameter.\n\
    ---@type string[]\n\
    KEYS = {}\n\
    \n\
    ---The other arguments a script is given. A function of a library gets them as its second parameter.\n\
    ---@type string[]\n\
    ARGV = {}\n";

/// A form in which a member is used, taken apart.
struct Form<'a> {
    /// Names and types; `None` for what is no function.
    parameters: Option<Vec<(&'a str, &'a str)>>,
    /// Types: of what a function returns, or of a value.
    types: Vec<&'a str>,
}

/// Splits at those commas that are in no bracket.
fn split(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Takes one form of a signature apart.
fn form<'a>(spec: &ApiSpec, text: &'a str) -> Form<'a> {
    let rest = &text[spec.table.len() + 1 + spec.name.len()..];
    let Some(rest) = rest.strip_prefix('(') else {
        let types = vec![rest.strip_prefix(": ").expect("a value has a type")];
        return Form { parameters: None, types };
    };
    let mut depth = 1;
    let end = rest.bytes().position(|byte| {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        depth == 0
    });
    let (parameters, types) = rest.split_at(end.expect("the list of parameters ends"));
    let parameters = split(parameters).into_iter().map(|parameter| {
        parameter
            .split_once(": ")
            .unwrap_or_else(|| panic!("{}: {parameter} has no type", spec.name))
    });
    let types = types[1..].strip_prefix(": ").map(split).unwrap_or_default();
    Form { parameters: Some(parameters.collect()), types }
}

/// Writes a function with its first form as parameters and the others as overloads.
fn function(spec: &ApiSpec, page: &mut String) {
    let mut forms = spec.signature.split(" or ").map(|text| form(spec, text));
    let first = forms.next().expect("there is a form");
    let parameters = first.parameters.expect("a function has parameters");
    let _ = writeln!(page, "\n---{}\n---\n---Where: {}.", spec.summary, place(spec.contexts));
    for (name, kind) in &parameters {
        let _ = writeln!(page, "---@param {name} {kind}");
    }
    for kind in &first.types {
        let _ = writeln!(page, "---@return {kind}");
    }
    for form in forms {
        let parameters = form.parameters.expect("a function has parameters");
        let parameters: Vec<_> =
            parameters.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        let results = if form.types.is_empty() { "" } else { ": " };
        let _ = writeln!(
            page,
            "---@overload fun({}){results}{}",
            parameters.join(", "),
            form.types.join(", ")
        );
    }
    let names: Vec<_> = parameters.iter().map(|(name, _)| name.trim_end_matches('?')).collect();
    let _ = writeln!(page, "function {}.{}({}) end", spec.table, spec.name, names.join(", "));
}

/// The whole file.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for table in super::TABLES {
        let members = super::members(table);
        let is_value = |spec: &&&ApiSpec| !matches!(spec.member, Member::Function(_));
        let parent = if table == "server" { ": redis" } else { "" };
        let _ = writeln!(page, "\n---@class {table}{parent}");
        for spec in members.iter().filter(is_value) {
            let kind = form(spec, spec.signature).types.concat();
            let _ = writeln!(page, "---@field {} {kind} {}", spec.name, spec.summary);
        }
        // Lua's own members of this one are known to editors.
        let value = if table == "math" { "math" } else { "{}" };
        let _ = writeln!(page, "{table} = {value}");
        for spec in members.iter().filter(|spec| !is_value(spec)) {
            function(spec, &mut page);
        }
    }
    page
}

#[test]
fn the_definitions_are_lua_and_have_every_member() {
    let page = page();
    let vm = Vm::new(
        Purpose::Scripts,
        Dialect::redis(7, 0, 15),
        Random::default().into(),
        Ticker::start().expect("a thread").into(),
        usize::MAX,
    );
    assert!(vm.compile(page.as_bytes()).is_ok());
    for spec in LUA_API.iter().filter(|spec| spec.name != "panic") {
        let line = match spec.member {
            Member::Function(_) => format!("\nfunction {}.{}(", spec.table, spec.name),
            _ => format!("\n---@field {} ", spec.name),
        };
        assert!(page.contains(&line), "{}.{}", spec.table, spec.name);
    }
}

#[test]
fn signatures_are_taken_apart_at_the_right_places() {
    assert_eq!(
        split("a: {b: c, d: e}, f: fun(x, y), ..."),
        ["a: {b: c, d: e}", "f: fun(x, y)", "..."]
    );
    assert_eq!(split(""), [""; 0]);
}
