//! The reference pages and `module.conf`, held against the declarations.
//!
//! The pages are golden files: the test renders and compares them; `cargo xtask reference` sets
//! `UPDATE_REFERENCE` and rewrites them.

mod definitions;

use std::ffi::CStr;
use std::fmt::Write;
use std::path::Path;

use crate::commands::{Arg, ArgKind, COMMANDS, CommandSpec};
use crate::config::{CONFIGS, ConfigSpec, Unit};
use crate::dialect::Hosts;
use crate::resp::{ERRORS, Origin};
use crate::script::flags::SCRIPT_FLAGS;
use crate::script::limits::LIMITS;
use crate::vm::api::{ApiContexts, ApiSpec, LUA_API, Member};

const NOTE: &str = "<!-- Generated from the declarations by `cargo xtask reference`. -->\n\n";

fn commands() -> String {
    let mut page = format!("{NOTE}# Commands\n");
    let mut specs: Vec<&CommandSpec> = COMMANDS.iter().filter(|it| it.handler.is_some()).collect();
    specs.sort_by_key(|spec| spec.name);
    for spec in specs {
        let name = spec.name.replace('|', " ");
        let _ = writeln!(page, "\n## {name}\n\n```\n{name}{}\n```\n", usage(spec.args));
        let _ = writeln!(page, "{}.\n", spec.summary.trim_end_matches('.'));
        if let Some(stock) = spec.replaces {
            let _ = writeln!(page, "- Counterpart of: `{}`", stock.replace('|', " "));
        }
        let _ = writeln!(page, "- Complexity: {}", spec.complexity);
        let _ = writeln!(page, "- Arity: {}", spec.arity);
        let flags: Vec<_> = spec.flags.iter_names().map(|(name, _)| flag_name(name)).collect();
        if !flags.is_empty() {
            let _ = writeln!(page, "- Flags: {}", flags.join(" "));
        }
        for (hosts, flags) in spec.flags_on {
            let flags: Vec<_> = flags.iter_names().map(|(name, _)| flag_name(name)).collect();
            let _ = writeln!(page, "- Flags on {}: {}", hosts_name(*hosts), flags.join(" "));
        }
        for tip in spec.tips {
            let _ = writeln!(page, "- Tip: `{tip}`");
        }
    }
    page
}

fn flag_name(name: &str) -> String {
    format!("`{}`", name.to_ascii_lowercase().replace('_', "-"))
}

fn usage(args: &[Arg]) -> String {
    args.iter().fold(String::new(), |mut text, arg| {
        let word = word(arg);
        let word = if arg.multiple { format!("{word} [{word} ...]") } else { word };
        let _ = if arg.optional { write!(text, " [{word}]") } else { write!(text, " {word}") };
        text
    })
}

fn word(arg: &Arg) -> String {
    match arg.kind {
        ArgKind::Token(token) => token.to_owned(),
        ArgKind::NamedText(token) => format!("{token} {}", arg.name),
        ArgKind::OneOf(choices) => choices.iter().map(word).collect::<Vec<_>>().join(" | "),
        ArgKind::Text | ArgKind::Integer | ArgKind::Key => arg.name.to_owned(),
    }
}

/// The tables of the Lua API.
const TABLES: [&str; 8] = ["redis", "server", "math", "os", "cjson", "cmsgpack", "struct", "bit"];

/// The members of a table, functions first.
fn members(table: &str) -> Vec<&'static ApiSpec> {
    // Tests have a member of their own.
    let is_it = |spec: &&ApiSpec| spec.table == table && spec.name != "panic";
    let mut members: Vec<_> = LUA_API.iter().filter(is_it).collect();
    members.sort_by_key(|spec| (!matches!(spec.member, Member::Function(_)), spec.name));
    members
}

fn lua_api() -> String {
    let mut page = format!("{NOTE}# Lua API\n\n");
    page.push_str(
        "What scripts see beyond Lua 5.1's own base, string, table, math and coroutine libraries.\n\
         Every member of `redis` is also a member of `server`. For editors, [redis.lua](redis.lua) says the same.\n",
    );
    for table in TABLES {
        let _ = writeln!(page, "\n## {table}\n\n| member | what it does | where |\n|---|---|---|");
        for spec in members(table) {
            let signature = spec.signature.replace('|', "\\|");
            let place = place(spec.contexts);
            let _ = writeln!(page, "| `{signature}` | {} | {place} |", spec.summary);
        }
    }
    page.push_str("\n## Flags of a script\n\n`#!lua flags=a,b` as the first line.\n\n| flag | what it means |\n|---|---|\n");
    for flag in &SCRIPT_FLAGS {
        let _ = writeln!(page, "| `{}` | {} |", flag.name, flag.summary);
    }
    page.push_str(
        "\n## Name of a script\n\n`#!lua name=cart:add`, or `LUA.SCRIPT LOAD script NAME cart:add`: 1 to 64 letters, digits, `_`, `-`, `.` \
         and `:` that\nare no digest. Errors, logs and statistics show it in the place of the digest. Of two scripts \
         with one name, the last\none loaded has it.\n",
    );
    page.push_str(
        "\n## Limits of a script\n\n`#!lua max-run-time=100 memory=10mb` as the first line; a function has them among \
         its flags,\nas `flags = {'no-writes', 'max-run-time=100'}`. Settings of the server count too: of two limits, \
         the smaller one.\n\n| limit | what it means |\n|---|---|\n",
    );
    for limit in &LIMITS {
        let _ = writeln!(page, "| `{}` | {} |", limit.name, limit.summary);
    }
    page
}

fn place(contexts: ApiContexts) -> &'static str {
    if contexts.contains(ApiContexts::BEYOND_STOCK) {
        "everywhere; stock has no such member"
    } else if contexts.contains(ApiContexts::LIBRARY_LOAD) {
        "everywhere"
    } else if contexts.contains(ApiContexts::RUN) {
        "scripts and functions"
    } else {
        "scripts"
    }
}

fn configuration() -> String {
    let mut page = format!("{NOTE}# Settings\n\n");
    page.push_str(
        "In `redis.conf`, and on a running server with `CONFIG GET` and `CONFIG SET` too, which cannot change\n\
         what is set when the module is loaded only.\n",
    );
    for config in sorted_configs() {
        let _ = writeln!(page, "\n## redlua.{}\n\n{}\n", name(config), config.summary);
        let _ = writeln!(page, "{}", range(config));
    }
    page
}

fn sorted_configs() -> Vec<&'static ConfigSpec> {
    let mut configs: Vec<_> = CONFIGS.iter().collect();
    configs.sort_by_key(|config| config.name);
    configs
}

fn name(config: &ConfigSpec) -> &str {
    config.name.to_str().unwrap_or_default()
}

/// The line on type, range and default, as `module.conf` has it too.
fn range(config: &ConfigSpec) -> String {
    let start = if config.fixed { " Set when the module is loaded only." } else { "" };
    let default = value(config);
    match (config.unit, config.range) {
        (Unit::Switch, _) => format!("yes or no, default {default}.{start}"),
        (Unit::Choice(words), _) => {
            format!("One of {}, default {default}.{start}", listed(words))
        }
        (Unit::Milliseconds, (least, _)) => {
            format!("Milliseconds, {least} or more, default {default}.{start}")
        }
        (Unit::Microseconds, (least, _)) => {
            format!("Microseconds, {least} or more, default {default}.{start}")
        }
        (Unit::Count, (least, _)) => {
            format!("A number, {least} or more, default {default}.{start}")
        }
        (Unit::Bytes, (least, i64::MAX)) => {
            format!("Bytes, {} to no upper limit, default {default}.{start}", bytes(least))
        }
        (Unit::Bytes, (least, most)) => {
            format!("Bytes, {} to {}, default {default}.{start}", bytes(least), bytes(most))
        }
    }
}

/// The default as `redis.conf` has it.
fn value(config: &ConfigSpec) -> String {
    match (config.unit, config.default) {
        (Unit::Bytes, default) => bytes(default),
        (Unit::Milliseconds | Unit::Microseconds | Unit::Count, default) => default.to_string(),
        (Unit::Choice(words), default) => word_at(words, default),
        (Unit::Switch, 0) => "no".to_owned(),
        (Unit::Switch, _) => "yes".to_owned(),
    }
}

fn listed(words: &[&CStr]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(", ")
}

fn word_at(words: &[&CStr], place: i64) -> String {
    let word = usize::try_from(place).ok().and_then(|place| words.get(place));
    word.map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}

fn bytes(value: i64) -> String {
    const MB: i64 = 1024 * 1024;
    if value % MB == 0 { format!("{}mb", value / MB) } else { value.to_string() }
}

fn errors() -> String {
    let mut page = format!("{NOTE}# Errors\n\n");
    page.push_str(
        "Every error line the module can produce; `{}` stands for a detail. Errors of the stock engine\n\
         are worded as the server's own version words them. An error a script raises ends with\n\
         ` script: <digest>, on @user_script:<line>.`, where a script with a name has that for the digest.\n",
    );
    for (origin, title) in
        [(Origin::Stock, "As the stock engine"), (Origin::Module, "The module's own")]
    {
        let _ = writeln!(page, "\n## {title}\n\n| error | when |\n|---|---|");
        let mut specs: Vec<_> = ERRORS.iter().filter(|spec| spec.origin == origin).collect();
        specs.sort_by_key(|spec| (spec.code, spec.text));
        for spec in specs {
            let text = spec.text.replace('|', "\\|");
            let _ = writeln!(page, "| `{} {text}` | {} |", spec.code, spec.when);
            for (hosts, text) in spec.variants {
                let _ = writeln!(
                    page,
                    "| `{} {text}` | The same on {}. |",
                    spec.code,
                    hosts_name(*hosts)
                );
            }
        }
    }
    page
}

fn hosts_name(hosts: Hosts) -> &'static str {
    match hosts {
        Hosts::Redis => "Redis",
        Hosts::Redis70 => "Redis 7.0",
        Hosts::Redis80 => "Redis 8.0 and newer",
        Hosts::Valkey => "Valkey",
        Hosts::Valkey91 => "Valkey 9.1 and newer",
    }
}

#[test]
fn pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = [
        ("commands.md", commands()),
        ("lua-api.md", lua_api()),
        ("configuration.md", configuration()),
        ("errors.md", errors()),
        ("redis.lua", definitions::page()),
    ];
    for (name, page) in pages {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::create_dir_all(&folder).expect("the docs folder can be made");
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page, "{name} is not current: run `cargo xtask reference`");
    }
}

#[test]
fn module_conf_has_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("module.conf");
    let text = std::fs::read_to_string(path).expect("module.conf is there");
    for config in CONFIGS {
        for wanted in [
            format!("# {}\n", config.summary),
            format!("# {}\n", range(config)),
            format!("# redlua.{} {}\n", name(config), value(config)),
        ] {
            assert!(text.contains(&wanted), "module.conf lacks: {wanted}");
        }
    }
    let declared = text.matches("\n# redlua.").count();
    assert_eq!(declared, CONFIGS.len(), "module.conf has a setting that does not exist");
}
