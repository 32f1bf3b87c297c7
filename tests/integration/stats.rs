//! What `LUA.SCRIPT LIST` and `STATS` tell of scripts and functions and of what their runs did.

use crate::busy::{FOREVER, impatient, wait_until_busy};
use crate::doors::Scripts;
use crate::support::{Client, Server, Value, wait_until};

fn load(client: &mut Client, script: &str) -> String {
    client.value(&["LUA.SCRIPT", "LOAD", script]).text().expect("a digest")
}

fn stats(client: &mut Client, name: &str) -> Value {
    client.value(&["LUA.SCRIPT", "STATS", name])
}

fn number(stats: &Value, name: &str) -> i64 {
    let value = stats.field(name).unwrap_or_else(|| panic!("no {name} in {stats}"));
    value.integer().unwrap_or_else(|| panic!("{name} is no number: {value}"))
}

fn time(stats: &Value, name: &str) -> f64 {
    let value = stats.field(name).and_then(Value::text).unwrap_or_else(|| panic!("no {name}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}"))
}

/// The numbers of these names, between blanks.
fn numbers(stats: &Value, names: &str) -> String {
    let numbers = names.split(' ').map(|name| number(stats, name).to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

/// The field of each script in the list.
fn listed(client: &mut Client, words: &str, field: &str) -> Vec<String> {
    let words: Vec<&str> =
        ["LUA.SCRIPT", "LIST"].into_iter().chain(words.split_whitespace()).collect();
    let list = client.value(&words);
    let entries = list.elements().unwrap_or_else(|| panic!("no list: {list}")).iter();
    entries.map(|entry| entry.field(field).expect("the field").to_string()).collect()
}

#[test]
fn runs_are_counted_with_what_they_did() {
    let server = Server::new().start();
    let mut client = server.client();
    let script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('MSET', 'a', 1, 'b', 2, 'c', 3)
        redis.call('GET', KEYS[1]) redis.call('MGET', 'a', 'b') redis.call('PING')
        redis.call('RENAME', 'c', 'd') redis.call('DEL', 'a', 'b') return redis.call('GET', KEYS[1])";
    let digest = load(&mut client, script);
    let none = stats(&mut client, &digest);
    assert_eq!(numbers(&none, "calls errors total_usec first_used last_used"), "0 0 0 0 0");
    for _ in 0..3 {
        assert_eq!(
            client.show(&["LUA.EVALSHA", &digest, "1", "k", "0123456789"]),
            "\"0123456789\""
        );
    }
    client.show(&["LUA.EVAL", script, "1", "k", "0123456789"]);
    let four = stats(&mut client, &digest);
    assert_eq!(
        numbers(&four, "calls errors kills commands keys_read keys_written reply_bytes"),
        // SET, MSET, GET, MGET, PING, RENAME, DEL, GET.
        "4 0 0 32 16 32 68"
    );
    assert!(number(&four, "memory_peak") > 0);
    let now: i64 = client.value(&["TIME"]).elements().unwrap()[0].text().unwrap().parse().unwrap();
    for moment in ["first_used", "last_used"] {
        assert!((now - 60..=now + 1).contains(&number(&four, moment)), "{moment}");
    }
    let (total, longest) = (number(&four, "total_usec"), number(&four, "max_usec"));
    assert!(0 < longest && longest <= total, "{longest} of {total}");
    assert!((time(&four, "usec_per_call") - total as f64 / 4.0).abs() < 1.0);
    assert!(time(&four, "p50_usec") <= time(&four, "p99_usec"));
    assert!(time(&four, "p99_usec") <= longest as f64 + 1.0);
    assert!(four.field("last_error").is_some_and(Value::is_null));
    let upper = stats(&mut client, &digest.to_uppercase());
    assert_eq!(number(&upper, "calls"), 4);
}

#[test]
fn times_are_those_of_the_clock() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(&mut client, "local t = os.clock() repeat until os.clock() - t > 0.03");
    for _ in 0..2 {
        client.show(&["LUA.EVALSHA", &digest, "0"]);
    }
    let stats = stats(&mut client, &digest);
    // Processor time is no more than what the clock on the wall shows.
    assert!(number(&stats, "total_usec") >= 60_000, "{stats}");
    assert!(time(&stats, "p50_usec") >= 26_000.0, "{stats}");
}

#[test]
fn sums_do_not_shrink() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(&mut client, "local t = os.clock() repeat until os.clock() - t > 0.05");
    client.show(&["LUA.EVALSHA", &digest, "0"]);
    let begun = std::time::Instant::now();
    // The length of a tick is settled by then.
    wait_until("two seconds and a half", || begun.elapsed().as_millis() > 2500);
    let first = number(&stats(&mut client, &digest), "total_usec");
    for _ in 0..100 {
        assert_eq!(number(&stats(&mut client, &digest), "total_usec"), first);
    }
}

#[test]
fn replies_in_resp3_are_maps() {
    let server = Server::new().start();
    let mut client = server.client();
    client.cmd(&["HELLO", "3"]);
    client.ok(&["CONFIG", "SET", "redlua.stats", "yes"]);
    let script = "#!lua name=n flags=no-writes,allow-oom memory=1mb\nreturn 1";
    let digest = load(&mut client, script);
    let list = client.show(&["LUA.SCRIPT", "LIST"]);
    assert_eq!(
        list,
        format!(
            "[%{{\"sha1\": \"{digest}\", \"name\": \"n\", \
             \"flags\": ~[+no-writes, +allow-oom, +memory=1048576], \"size\": :{}, \
             \"first_used\": :0, \"last_used\": :0}}]",
            script.len()
        )
    );
    let figures = client.show(&["LUA.SCRIPT", "STATS"]);
    assert!(figures.starts_with("%{\"calls\": :0, "), "{figures}");
    assert!(figures.ends_with("\"p99_usec\": ,0, \"last_error\": _}"), "{figures}");
    let list = client.show(&["LUA.SCRIPT", "LIST", "n", "WITHSTATS"]);
    assert!(list.ends_with(&format!("\"last_used\": :0, \"stats\": {figures}}}]")), "{list}");
}

#[test]
fn errors_and_their_lines_are_kept() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(
        &mut client,
        "if ARGV[1] then\n  redis.call('INCR', KEYS[1], 'too many')\nend\nreturn 1",
    );
    client.show(&["LUA.EVALSHA", &digest, "1", "k", "x"]);
    client.show(&["LUA.EVALSHA", &digest, "1", "k"]);
    let figures = stats(&mut client, &digest);
    assert_eq!(numbers(&figures, "calls errors kills"), "2 1 0");
    let error = figures.field("last_error").expect("an error");
    let message = error.field("message").and_then(Value::text).unwrap();
    assert!(message.starts_with("ERR Wrong number of args calling"), "{message}");
    assert_eq!(number(error, "line"), 2);
    assert!(number(error, "time") > 1_600_000_000);

    // A message as long as the script's author likes is cut.
    let digest = load(&mut client, "error(('long '):rep(100000))");
    client.show(&["LUA.EVALSHA", &digest, "0"]);
    let figures = stats(&mut client, &digest);
    let message = figures.field("last_error").and_then(|error| error.field("message")?.text());
    assert_eq!(message.unwrap().len(), 256);

    // Scripts that never ran have no figures.
    for words in ["LUA.EVAL return( 0", "LUA.EVAL return(77) x", "LUA.EVAL return(77) 1"] {
        assert!(client.text(words).starts_with("-ERR "), "{words}");
    }
    let digest = load(&mut client, "return(77)");
    assert_eq!(number(&stats(&mut client, &digest), "calls"), 0);
}

#[test]
fn names_digests_and_functions_are_found_and_nothing_else() {
    let server = Server::new().start();
    let mut client = server.client();
    client.show(&["LUA.FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('both', function() end)\nredis.register_function('Other', function() return redis.call('PING') end)"]);
    client.show(&["LUA.SCRIPT", "LOAD", "return 'script'", "NAME", "both"]);
    client.text("LUA.FCALL both 0");
    client.text("LUA.FCALL other 0");
    client.text("LUA.FCALL other 0");
    assert_eq!(
        number(&stats(&mut client, "both"), "calls"),
        0,
        "the script counts before the function"
    );
    assert_eq!(numbers(&stats(&mut client, "OTHER"), "calls commands"), "2 2");
    let all = client.value(&["LUA.SCRIPT", "STATS"]);
    assert_eq!(numbers(&all, "calls commands"), "3 2");
    let long = "x".repeat(10_000);
    for name in ["nothing", "", "*", "0123456789012345678901234567890123456789", "a\r\nb", &long] {
        let reply = client.show(&["LUA.SCRIPT", "STATS", name]);
        assert!(reply.starts_with("-ERR No script has the digest or the name "), "{reply}");
        assert!(reply.len() < 300);
    }
    for words in ["STATS a b", "STATS a RESET b", "LIST a b", "LIST a WITHSTATS b"] {
        let reply = client.text(&format!("LUA.SCRIPT {words}"));
        assert!(
            reply.starts_with("-ERR unknown subcommand or wrong number of arguments"),
            "{reply}"
        );
    }
}

#[test]
fn a_reset_tells_what_it_forgets() {
    let server = Server::new().start();
    let mut client = server.client();
    let one = load(&mut client, "return 1");
    let two = load(&mut client, "return 2");
    client.show(&[
        "LUA.FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('f', function() end)",
    ]);
    let run = |client: &mut Client| {
        client.show(&["LUA.EVALSHA", &one, "0"]);
        client.show(&["LUA.EVALSHA", &two, "0"]);
        client.text("LUA.FCALL f 0");
    };
    run(&mut client);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS", &one, "reset"]), "calls"), 1);
    assert_eq!(number(&stats(&mut client, &one), "calls"), 0);
    assert_eq!(number(&stats(&mut client, &two), "calls"), 1);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS", "f", "RESET"]), "calls"), 1);
    assert_eq!(number(&stats(&mut client, "f"), "calls"), 0);
    run(&mut client);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS", "RESET"]), "calls"), 4);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS"]), "calls"), 0);
    run(&mut client);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS"]), "calls"), 3);
}

#[test]
fn the_list_is_chosen_by_pattern_as_keys_are() {
    let server = Server::new().start();
    let mut client = server.client();
    for (name, number) in [("cart:add", 1), ("cart:drop", 2), ("Cart:x", 3), ("other", 4)] {
        let script = format!("return {number}");
        client.show(&["LUA.SCRIPT", "LOAD", &script, "NAME", name]);
        client.ok(&["SET", name, "x"]);
    }
    let bare = load(&mut client, "return 5");
    for pattern in [
        "*",
        "cart:*",
        "c*",
        "C*",
        "[cC]art:?*",
        "[^c]*",
        "o?her",
        "cart:[a-d]*",
        "\\other",
        "x",
        "cart\\:add",
    ] {
        let mut keys: Vec<String> = client
            .value(&["KEYS", pattern])
            .elements()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut names = listed(&mut client, pattern, "name");
        // Digests are matched, too, which no key is called by.
        names.retain(|name| name.starts_with('"'));
        keys.sort();
        names.sort();
        // Some digests match a pattern such as `c*`.
        names
            .retain(|name| keys.contains(name) || !name.contains("art") && !name.contains("other"));
        assert_eq!(names, keys, "{pattern}");
    }
    assert_eq!(listed(&mut client, &format!("{}*", &bare[..10]), "size"), [":8"]);
    assert_eq!(listed(&mut client, "", "size").len(), 5);
    assert_eq!(listed(&mut client, "withstats", "stats").len(), 5);
    assert_eq!(listed(&mut client, "[W]ITHSTATS", "size").len(), 0, "as a pattern");
}

#[test]
fn no_figures_are_kept_where_they_are_not_wanted() {
    let server = Server::new().config("redlua.stats", "no").start();
    let mut client = server.client();
    let digest = load(&mut client, "return redis.call('PING')");
    client.show(&["LUA.EVALSHA", &digest, "0"]);
    assert_eq!(numbers(&stats(&mut client, &digest), "calls commands last_used"), "0 0 0");
    client.set("redlua.slowlog-log-slower-than", "-1");
    client.show(&["LUA.EVALSHA", &digest, "0"]);
    assert_eq!(client.figure("redlua_used_memory_stats"), 0);
    client.set("redlua.stats", "yes");
    client.show(&["LUA.EVALSHA", &digest, "0"]);
    assert_eq!(numbers(&stats(&mut client, &digest), "calls commands"), "1 1");
    assert!(client.figure("redlua_used_memory_stats") > 0);
}

#[test]
fn a_hundred_thousand_scripts_stay_cheap() {
    const SCRIPTS: usize = 100_000;
    let server = Server::new().start();
    let mut client = server.client();
    let mut digests = Vec::new();
    for chunk in (0..SCRIPTS).collect::<Vec<_>>().chunks(1000) {
        for number in chunk {
            client.send(&["LUA.SCRIPT", "LOAD", &format!("return {number}")]);
        }
        for _ in chunk {
            let reply = String::from_utf8(client.read_frame()).unwrap();
            digests.push(reply.lines().nth(1).unwrap().to_owned());
        }
    }
    assert_eq!(client.figure("redlua_used_memory_stats"), 0, "what never ran has no figures");
    let before = client.figure("used_memory");
    for chunk in digests.chunks(1000) {
        chunk.iter().for_each(|digest| client.send(&["LUA.EVALSHA", digest, "0"]));
        chunk.iter().for_each(|_| drop(client.read_frame()));
    }
    let grown = client.figure("used_memory") - before;
    assert!(grown < 30_000_000, "{grown} bytes for figures of {SCRIPTS} scripts");
    let all = client.value(&["LUA.SCRIPT", "STATS"]);
    assert_eq!(number(&all, "calls"), SCRIPTS as i64);
    assert_eq!(listed(&mut client, &format!("{}*", &digests[7]), "sha1").len(), 1);
    client.ok(&["LUA.SCRIPT", "FLUSH", "SYNC"]);
    assert_eq!(client.figure("redlua_used_memory_stats"), 0);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS"]), "calls"), 0);
}

#[test]
fn a_flush_and_an_eviction_forget() {
    let server = Server::new().start();
    let mut client = server.client();
    for mode in ["SYNC", "ASYNC"] {
        client.lua("return 'some script'");
        let digest = load(&mut client, "return 'some script'");
        assert_eq!(number(&stats(&mut client, &digest), "calls"), 1);
        client.ok(&["LUA.SCRIPT", "FLUSH", mode]);
        assert!(client.show(&["LUA.SCRIPT", "STATS", &digest]).starts_with("-ERR No script"));
        load(&mut client, "return 'some script'");
        assert_eq!(number(&stats(&mut client, &digest), "calls"), 0);
        client.ok(&["LUA.SCRIPT", "FLUSH", mode]);
    }
    for number in 0..2000 {
        client.lua(&format!("return {number} -- and away"));
    }
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS"]), "calls"), 500);
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    wait_until("the memory of the figures", || client.figure("redlua_used_memory_stats") == 0);
}

#[test]
fn figures_are_told_and_reset_while_a_script_runs() {
    let server = impatient().start();
    let (mut client, mut runner) = (server.client(), server.client());
    let digest = load(&mut client, FOREVER);
    runner.send(&["LUA.EVALSHA", &digest, "0"]);
    wait_until_busy(&mut client);
    assert_eq!(number(&stats(&mut client, &digest), "calls"), 0, "it is not over");
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS", &digest, "RESET"]), "calls"), 0);
    assert_eq!(number(&client.value(&["LUA.SCRIPT", "STATS", "RESET"]), "calls"), 0);
    client.ok(&["LUA.SCRIPT", "KILL"]);
    runner.read_frame();
    let figures = stats(&mut client, &digest);
    assert_eq!(numbers(&figures, "calls errors kills"), "1 1 1");
    assert!(number(&figures, "max_usec") >= 30_000);
    assert_eq!(client.figure("redlua_killed_runs"), 1);
}

#[test]
fn memory_is_what_a_run_took_at_most() {
    let server = Server::new().start();
    let mut client = server.client();
    let digest = load(&mut client, "local s = ('x'):rep(tonumber(ARGV[1])) return #s");
    for bytes in ["1000", "3000000", "2000"] {
        client.show(&["LUA.EVALSHA", &digest, "0", bytes]);
    }
    let peak = number(&stats(&mut client, &digest), "memory_peak");
    assert!((3_000_000..7_000_000).contains(&peak), "{peak}");
}

#[test]
fn rights_are_those_of_the_siblings() {
    let server = Server::new().start();
    let mut client = server.client();
    client.ok(&["ACL", "SETUSER", "u", "on", "nopass", "+@all", "-script"]);
    client.ok(&["AUTH", "u", ""]);
    for words in ["LIST", "STATS", "DOCTOR"] {
        let reply = client.text(&format!("LUA.SCRIPT {words}"));
        assert!(reply.starts_with("-NOPERM "), "{reply}");
    }
}

#[test]
fn info_tells_of_the_module_in_sections() {
    let server = Server::new().start();
    let mut client = server.client();
    client.lua("return 1");
    let info =
        |client: &mut Client, section: &str| client.value(&["INFO", section]).text().unwrap();
    let whole = info(&mut client, "redlua");
    for section in ["engine", "memory", "cache", "functions", "runs", "limits"] {
        assert!(whole.contains(&format!("# redlua_{section}\r\n")), "{whole}");
        let one = info(&mut client, &format!("redlua_{section}"));
        assert_eq!(one.matches("# ").count(), 1, "{one}");
    }
    for line in [
        "redlua_lua_version:Lua 5.1",
        "redlua_takeover:0",
        "redlua_number_of_cached_scripts:1",
        "redlua_runs:1",
        "redlua_killed_runs:0",
        "redlua_slowlog_len:0",
        "redlua_memory_limit:268435456",
        "redlua_slowlog_max_len:128",
        "redlua_script_time_limit:5000",
    ] {
        assert!(whole.lines().any(|it| it == line), "{line} in {whole}");
    }
}
