//! `LUA.PROFILE`: where scripts and functions spend their time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::doors::Scripts;
use crate::support::{Client, Server};

const SHA: usize = 40;

/// Works in a function, in one of Lua's own and in a command.
const BUSY: &str = "local function work(n)\n\
    local sum = 0\n\
    for i = 1, n do sum = sum + i % 7 end\n\
    return sum\n\
    end\n\
    for i = 1, 20 do work(20000) end\n\
    local text = string.rep('a', 300000) .. 'b'\n\
    for i = 1, 10 do\n\
    string.find(text, 'aaaab', 1, true)\n\
    end\n\
    for i = 1, 20 do\n\
    redis.call('SORT', KEYS[1], 'ALPHA', 'LIMIT', 0, 1)\n\
    end\n\
    return 1";

fn page(client: &mut Client, format: &str) -> String {
    client.value(&["LUA.PROFILE", "GET", format]).text().expect("a page")
}

/// Samples by stack.
fn stacks(client: &mut Client) -> BTreeMap<String, u64> {
    let page = page(client, "FOLDED");
    let parse = |line: &str| {
        let (stack, count) = line.rsplit_once(' ').expect("a stack and a number");
        (stack.to_owned(), count.parse().expect("a number"))
    };
    page.lines().map(parse).collect()
}

/// Samples whose stack `is_wanted`.
fn count(stacks: &BTreeMap<String, u64>, is_wanted: impl Fn(&str) -> bool) -> u64 {
    stacks.iter().filter(|(stack, _)| is_wanted(stack)).map(|(_, count)| count).sum()
}

/// Repeats `work` until the profile has so many samples.
fn sample(
    client: &mut Client,
    least: u64,
    mut work: impl FnMut(&mut Client),
) -> BTreeMap<String, u64> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        for _ in 0..10 {
            work(client);
        }
        let stacks = stacks(client);
        if count(&stacks, |_| true) >= least {
            return stacks;
        }
        assert!(Instant::now() < deadline, "too few samples: {stacks:?}");
    }
}

fn fill(client: &mut Client) {
    let script = "for i = 1, 2000 do redis.call('RPUSH', KEYS[1], 'item' .. (i * 7919 % 2000)) end";
    assert_eq!(client.show(&["EVAL", script, "1", "list"]), "$-1");
}

fn busy(client: &mut Client) {
    assert_eq!(client.show(&["LUA.EVAL", BUSY, "1", "list"]), ":1");
}

#[test]
fn time_is_counted_for_lines_functions_and_commands() {
    let server = Server::new().start();
    let mut client = server.client();
    fill(&mut client);
    let sha = client.value(&["LUA.SCRIPT", "LOAD", BUSY]).text().expect("a digest");
    client.ok(&["LUA.PROFILE", "START"]);
    let stacks = sample(&mut client, 300, busy);
    client.ok(&["LUA.PROFILE", "STOP"]);
    let (name, short) = (&sha[..SHA], &sha[..8]);
    for stack in stacks.keys() {
        assert!(stack.starts_with(name), "{stack}");
    }
    let loop_in_work = format!("{name};{short}:main:6;{short}:work:3");
    assert!(stacks.get(&loop_in_work).is_some_and(|&it| it > 5), "{stacks:?}");
    let sort = format!("{name};{short}:main:12;redis.call SORT");
    assert!(stacks.get(&sort).is_some_and(|&it| it > 5), "{stacks:?}");
    let total = count(&stacks, |_| true);
    // What the command took is not on the line's own account.
    let line = count(&stacks, |it| it == format!("{name};{short}:main:12"));
    assert!(line < total / 4, "{stacks:?}");
    assert!(count(&stacks, |it| it.contains(":work:")) < total);

    let text = page(&mut client, "TEXT");
    let last = self::stacks(&mut client);
    let total = count(&last, |_| true);
    assert!(text.contains(&format!("\n{total} samples, ")), "{text}");
    for wanted in ["Profile of all scripts and functions, was on for ", "redis.call SORT", name] {
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(client.value(&["LUA.PROFILE", "GET"]).text(), Some(text));
}

#[test]
fn the_flame_graph_is_well_formed_and_shows_every_frame() {
    let server = Server::new().start();
    let mut client = server.client();
    fill(&mut client);
    client.ok(&["LUA.PROFILE", "START"]);
    sample(&mut client, 50, busy);
    client.ok(&["LUA.PROFILE", "STOP"]);
    let stacks = stacks(&mut client);
    let total = count(&stacks, |_| true);
    let svg = page(&mut client, "SVG");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&svg, options).expect("XML");
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let titles: Vec<String> = document
        .descendants()
        .filter(|node| {
            node.has_tag_name((
                document.root_element().tag_name().namespace().unwrap_or_default(),
                "title",
            ))
        })
        .filter_map(|node| node.text())
        // Numbers have commas.
        .map(|title| title.replace(',', ""))
        .collect();
    assert!(titles.contains(&format!("all ({total} samples 100%)")), "{titles:?}");
    for frame in ["redis.call SORT (", ":work:3 ("] {
        assert!(titles.iter().any(|title| title.contains(frame)), "{frame}: {titles:?}");
    }
}

#[test]
fn runs_of_a_few_microseconds_are_seen_and_commands_in_them() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["SET", "k", "v"]);
    client.ok(&["LUA.PROFILE", "START"]);
    let stacks = sample(&mut client, 400, |client| {
        for _ in 0..50 {
            client.cmd(&["LUA.EVAL", "local v = redis.call('GET', 'k') return v", "0"]);
            client.cmd(&["LUA.EVAL", "return 1", "0"]);
        }
    });
    assert!(count(&stacks, |it| it.ends_with(";redis.call GET")) > 0, "{stacks:?}");
    let kinds: std::collections::BTreeSet<_> =
        stacks.keys().map(|it| it.split(';').next().unwrap_or_default()).collect();
    assert_eq!(kinds.len(), 2, "both scripts: {stacks:?}");
}

#[test]
fn a_profile_is_of_what_it_is_asked_for_and_outlives_a_flush() {
    let server = Server::new().start();
    let mut client = server.client();
    fill(&mut client);
    let library = "#!lua name=l\nredis.register_function('Spin', function()\nlocal n = 0\n\
        for i = 1, 100000 do n = n + i end\nreturn n end)";
    client.cmd(&["LUA.FUNCTION", "LOAD", library]);
    assert!(client.text("LUA.PROFILE START nobody").starts_with("-ERR no script or function"));
    let other = "0000000000000000000000000000000000000000";
    assert!(client.text(&format!("LUA.PROFILE START {other}")).starts_with("-ERR no script or"));
    client.ok(&["LUA.PROFILE", "START", "spin"]);
    let stacks = sample(&mut client, 20, |client| {
        busy(client);
        client.text("LUA.FCALL spin 0");
    });
    let loop_line = |it: &str| it == "Spin;Spin:function@2:4";
    assert!(count(&stacks, loop_line) * 2 > count(&stacks, |_| true), "{stacks:?}");
    let text = page(&mut client, "TEXT");
    assert!(text.starts_with("Profile of function Spin, goes on since "), "{text}");
    assert!(text.contains(" samples of other runs are left out."), "{text}");

    client.ok(&["LUA.PROFILE", "STOP"]);
    let sha = client.value(&["LUA.SCRIPT", "LOAD", BUSY]).text().expect("a digest");
    client.ok(&["LUA.PROFILE", "START", &sha.to_uppercase()]);
    sample(&mut client, 5, busy);
    let before = count(&self::stacks(&mut client), |_| true);
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    client.ok(&["LUA.FUNCTION", "FLUSH"]);
    sample(&mut client, before + 5, busy);
}

#[test]
fn a_run_that_keeps_the_server_busy_can_be_looked_at() {
    let server = Server::new().config("busy-reply-threshold", "10").start();
    let mut runner = server.client();
    runner.send(&["LUA.EVAL", "local n = 0\nwhile true do\nn = n + 1 end", "0"]);
    let mut client = server.client();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !client.text("PING").starts_with("-BUSY") {
        assert!(Instant::now() < deadline, "never busy");
    }
    client.ok(&["LUA.PROFILE", "START"]);
    let stacks = sample(&mut client, 20, |_| {});
    assert!(stacks.keys().all(|it| it.ends_with(":main:3")), "{stacks:?}");
    client.ok(&["LUA.PROFILE", "STOP"]);
    client.ok(&["LUA.SCRIPT", "KILL"]);
    assert!(String::from_utf8_lossy(&runner.read_frame()).starts_with("-ERR Script killed"));
    client.ok(&["LUA.PROFILE", "START"]);
    assert_eq!(client.text("LUA.EVAL return(1) 0"), ":1");
}

#[test]
fn deep_stacks_and_odd_names_keep_the_form() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["LUA.PROFILE", "START"]);
    let script = "local t = {}\n\
        t['a;b c\\n'] = function(n) if n > 0 then return 1 + t['a;b c\\n'](n - 1) end\n\
        for i = 1, 500000 do n = n + i end return n end\n\
        local co = coroutine.wrap(function() for i = 1, 500 do redis.call('PING') end end)\n\
        co()\n\
        redis.pcall('no;such command')\n\
        return t['a;b c\\n'](200)";
    let stacks = sample(&mut client, 30, |client| {
        client.cmd(&["LUA.EVAL", script, "0"]);
    });
    for stack in stacks.keys() {
        assert!(stack.split(';').count() <= 66, "{stack}");
        assert!(stack.chars().all(|it| it == ' ' || it.is_ascii_graphic()), "{stack}");
    }
    assert!(stacks.keys().any(|it| it.contains(";[deeper];")), "{stacks:?}");
    assert!(stacks.keys().any(|it| it.contains(":a?b?c?:")), "{stacks:?}");
    assert!(!stacks.keys().any(|it| it.contains("NO;SUCH")), "{stacks:?}");
}

#[test]
fn misuse_is_refused() {
    let server = Server::new().start();
    let mut client = server.client();
    assert_eq!(client.text("LUA.PROFILE GET"), "-ERR there is no profile, START begins one");
    assert_eq!(client.text("LUA.PROFILE STOP"), "-ERR no profile is on, START begins one");
    client.ok(&["LUA.PROFILE", "START"]);
    assert_eq!(client.text("LUA.PROFILE START"), "-ERR a profile is on already, STOP ends it");
    assert_eq!(
        client.text("LUA.PROFILE GET SVG"),
        "-ERR the profile has no samples, nothing can be drawn"
    );
    assert_eq!(client.text("LUA.PROFILE GET png"), "-ERR Unknown format png");
    client.ok(&["LUA.PROFILE", "STOP"]);
    assert_eq!(client.text("LUA.PROFILE STOP"), "-ERR no profile is on, START begins one");
    assert_eq!(client.text("LUA.PROFILE GET FOLDED"), "\"\"");
    for wrong in ["START a b", "GET TEXT x", "STOP x", "NOPE"] {
        assert!(client.text(&format!("LUA.PROFILE {wrong}")).starts_with("-ERR "), "{wrong}");
    }
    let help = client.value(&["LUA.PROFILE", "HELP"]);
    assert!(help.elements().expect("lines").len() > 8);
    client.ok(&["CONFIG", "SET", "redlua.takeover", "yes"]);
    let help = client.text("LUA.PROFILE HELP");
    assert!(
        help.starts_with("[+LUA.PROFILE <subcommand> "),
        "it stands in for no other command: {help}"
    );
    assert!(client.text("LUA.PROFILE GET a b").ends_with(" Try LUA.PROFILE HELP."));
    let inside = client.show(&["LUA.EVAL", "return redis.call('LUA.PROFILE', 'STOP')", "0"]);
    assert!(inside.contains(" command is not allowed from script"), "{inside}");
}

#[test]
fn only_who_may_read_the_slow_log_may_profile() {
    let server = Server::new().start();
    let mut admin = server.client();
    admin.ok(&["ACL", "SETUSER", "dev", "on", "nopass", "~*", "+@all", "-slowlog"]);
    admin.ok(&["ACL", "SETUSER", "ops", "on", "nopass", "~*", "-@all", "+slowlog", "+lua.profile"]);
    let mut client = server.client();
    client.ok(&["AUTH", "dev", "x"]);
    for words in ["START", "STOP", "GET", "HELP"] {
        let reply = client.text(&format!("LUA.PROFILE {words}"));
        assert!(reply.starts_with("-NOPERM"), "{words}: {reply}");
    }
    client.ok(&["AUTH", "ops", "x"]);
    client.ok(&["LUA.PROFILE", "START"]);
    client.ok(&["LUA.PROFILE", "STOP"]);
}
