//! Requests of odd shape and size: stock's answer where stock has one, a clean one where not.

use std::time::Duration;

use crate::doors::{Ours, Scripts, Stock, request, same};
use crate::environment;
use crate::support::{Client, Server, render};

const MIB: usize = 1 << 20;

#[test]
fn odd_numbers_of_keys_are_refused_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let numbers = [
        "0",
        "1",
        "2",
        "3",
        "-1",
        "-0",
        "+1",
        "01",
        "1.0",
        " 1",
        "1 ",
        "",
        "x",
        "0x1",
        "1e0",
        "2147483647",
        "2147483648",
        "4294967297",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "99999999999999999999",
        "\0",
        "1\0",
    ];
    for number in numbers {
        for command in ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"] {
            for script in
                ["return #KEYS", "7413dc2440db1fea7c0a0bde841fa68eefaf149c", "return (", ""]
            {
                same(&format!("{command} {script:?} {number:?}"), |door| {
                    let name = door.name(command);
                    [
                        client.show(&[name.as_str(), script, number]),
                        client.show(&[name.as_str(), script, number, "a"]),
                        client.show(&[name.as_str(), script, number, "a", "b"]),
                    ]
                });
            }
        }
    }
}

#[test]
fn bytes_of_any_kind_go_through_unchanged() {
    let server = Server::new().start();
    let mut client = server.client();
    let all: Vec<u8> = (0..=255).collect();
    let samples: [&[u8]; 7] =
        [&all, b"", b"\0", b"a\0b", b"\r\n", b"\xff\xfe\x80", "\u{1f980}\u{0}".as_bytes()];
    let scripts = [
        "return {KEYS[1], ARGV[1], #KEYS[1], #ARGV[1]}",
        "redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[1])",
        "return redis.call('echo', ARGV[1] .. KEYS[1])",
        "return {ok = ARGV[1]}",
        "return {err = ARGV[1]}",
        "error(ARGV[1])",
        "error({err = ARGV[1]})",
        "return redis.call(ARGV[1])",
        "return redis.call('config', ARGV[1])",
        "return redis.sha1hex(ARGV[1])",
        "return redis.error_reply(ARGV[1])",
        "return loadstring(ARGV[1])",
        "return tonumber(ARGV[1])",
        "return ('%q'):format(ARGV[1])",
    ];
    for script in scripts {
        for sample in samples {
            // Line ends in an error text are cleaned in more places than by this version of stock.
            if script.contains("err") && sample.windows(1).any(|byte| b"\r\n".contains(&byte[0])) {
                let argv = request("LUA.EVAL", script, &[sample], &[sample]);
                assert_eq!(client.cmd(&argv).iter().filter(|byte| **byte == b'\n').count(), 1);
                continue;
            }
            same(&format!("{script} with {}", sample.escape_ascii()), |door| {
                client.show(&request(&door.name("EVAL"), script, &[sample], &[sample]))
            });
        }
    }
    for sample in samples {
        same(&format!("a script of {}", sample.escape_ascii()), |door| {
            let eval = request::<&str>(&door.name("EVAL"), sample, &[], &[]);
            let load = [door.name("SCRIPT").as_bytes(), b"LOAD", sample].map(<[u8]>::to_vec);
            let inside = [b"return '".as_slice(), sample, b"'"].concat();
            let inside = request::<&str>(&door.name("EVAL"), inside, &[], &[]);
            [client.show(&eval), client.show(&load), client.show(&inside)]
        });
    }
}

#[test]
fn numbers_at_the_ends_of_their_range_are_those_of_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let numbers = [
        "9007199254740992",
        "9007199254740993",
        "-9007199254740993",
        "2^53",
        "2^63",
        "-2^63",
        "2^63 - 1024",
        "2^64",
        "1e15",
        "1e16",
        "1e17",
        "1e100",
        "1e308",
        "-1e308",
        "1e309",
        "-1e309",
        "0/0",
        "-(0/0)",
        "0.1",
        "-0.0",
        "1/3",
        "1e-5",
        "1e-320",
        "5e-324",
        "123456789012345",
        "1234567890123456",
        "3.0",
        "3.99",
        "-3.99",
        "100",
        "0x7fffffffffffffff",
        "tonumber('nan')",
        "tonumber('inf')",
        "math.huge",
        "-math.huge",
    ];
    for number in numbers {
        let scripts = [
            format!("return {number}"),
            format!("return tostring({number})"),
            format!("return {{{number}, {{{number}}}}}"),
            format!("return {{double = {number}}}"),
            format!("redis.call('set', 'k', {number}) return redis.call('get', 'k')"),
            format!("return redis.call('incrby', 'n', {number})"),
            format!(
                "return ('%d %s %g %f %.17g'):format({number}, {number}, {number}, {number}, {number})"
            ),
            format!("return {number} .. ''"),
            format!("return redis.pcall('lrange', 'l', 0, {number})"),
        ];
        for script in scripts {
            same(&script, |door| {
                client.ok(&["FLUSHALL"]);
                client.eval(door, &script, &[], &[])
            });
        }
    }
}

#[test]
fn ten_thousand_keys_and_arguments_arrive() {
    let server = Server::new().start();
    let mut client = server.client();
    let words: Vec<String> = (0..10_000).map(|number| format!("word:{number}")).collect();
    let scripts = [
        "return {#KEYS, #ARGV, KEYS[10000], ARGV[10000]}",
        "return KEYS",
        "for i, key in ipairs(KEYS) do redis.call('set', key, ARGV[i]) end return redis.call('dbsize')",
        "return pcall(unpack, KEYS)",
        "return #{unpack(KEYS, 1, 5000)}",
        "return redis.pcall('mget', unpack(KEYS, 1, 7000))[7000]",
        "return redis.pcall('sadd', 's', unpack(KEYS, 1, 257))",
        "return redis.pcall('del', unpack(KEYS, 1, 256))",
        "return redis.pcall('del', unpack(KEYS, 1, 255))",
        "return redis.pcall('del', unpack(KEYS, 1, 65))",
        "return redis.pcall('del', unpack(KEYS, 1, 64))",
        "return redis.pcall('del', unpack(KEYS, 1, 17))",
        "return redis.pcall('del', unpack(KEYS, 1, 5))",
    ];
    for script in scripts {
        same(script, |door| {
            client.ok(&["FLUSHALL"]);
            client.show(&request(&door.name("EVAL"), script, &words, &words))
        });
    }
    let count = client.text("COMMAND GETKEYS LUA.EVAL s 1 k");
    assert_eq!(count, "[\"k\"]");
}

#[test]
fn a_script_of_a_megabyte_runs_as_on_stock() {
    let server = Server::new().start();
    let mut client = server.client();
    let scripts = [
        format!("return #'{}'", "x".repeat(MIB)),
        format!("--{}\nreturn 1", "x".repeat(MIB)),
        format!("{}return 1", "\n".repeat(MIB)),
        format!("{}error('x')", "\n".repeat(MIB)),
        format!("{} return 1", "do local a = 1 end ".repeat(MIB / 20)),
        format!("return {{{}}}", "1,".repeat(10_000)),
        format!("return {}1", "1+".repeat(100)),
        format!("local t = {{{}}} return #t", "'x',".repeat(MIB / 4)),
        format!("return ({}", "x".repeat(MIB)),
    ];
    for (number, script) in scripts.iter().enumerate() {
        same(&format!("large script {number}"), |door| {
            let eval = client.show(&request::<&str>(&door.name("EVAL"), script, &[], &[]));
            let load = client.show(&[door.name("SCRIPT").as_str(), "LOAD", script]);
            (eval, load)
        });
    }
}

#[test]
fn a_script_longer_than_the_limit_is_refused_and_not_kept() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(30));
    let refused = "-ERR Error compiling script (new function): the script is longer than redlua.max-script-size";
    let of_size = |size: usize| format!("return 1 --{}", "x".repeat(size - 11));
    let long = of_size(16 * MIB + 1);
    assert_eq!(client.lua(&long), refused);
    assert_eq!(client.show(&["LUA.SCRIPT", "LOAD", &long]), refused);
    assert_eq!(client.figure("redlua_number_of_cached_scripts"), 0);
    assert_eq!(client.lua(&of_size(16 * MIB)), ":1");
    client.set("redlua.max-script-size", "100");
    assert_eq!(client.lua(&of_size(100)), ":1");
    assert_eq!(client.lua(&of_size(101)), refused);
    // What is cached was compiled already.
    assert_eq!(client.lua(&of_size(16 * MIB)), ":1");
    client.ok(&["LUA.SCRIPT", "FLUSH"]);
    assert_eq!(client.lua(&of_size(16 * MIB)), refused);
}

#[test]
fn load_and_loadstring_respect_the_limit_too() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("redlua.max-script-size", "1mb");
    let scripts = [
        "return type((loadstring('return 1 --' .. ('x'):rep(2^20))))",
        "local n = 0 return type((load(function() n = n + 1 return n < 2000 and (' '):rep(1000) or nil end)))",
    ];
    for script in scripts {
        assert_eq!(client.lua(script), "\"nil\"", "{script}");
    }
    assert_eq!(client.lua("return loadstring('return ' .. ('1 + '):rep(100) .. '1')()"), ":101");
}

#[test]
fn an_argument_of_a_hundred_megabytes_passes_when_the_limit_allows_it() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(60));
    let big = vec![b'x'; 100 * MIB];
    let run_id = client.info("run_id");
    client.set("redlua.memory-limit", "1gb");
    let run = |client: &mut Client, script: &str| {
        render(&client.cmd(&request("LUA.EVAL", script, &[b"k".as_slice()], &[&big])))
    };
    assert_eq!(run(&mut client, "return #ARGV[1]"), format!(":{}", big.len()));
    assert_eq!(run(&mut client, "return redis.call('set', KEYS[1], ARGV[1])"), "+OK");
    assert_eq!(client.text("STRLEN k"), format!(":{}", big.len()));
    assert_eq!(run(&mut client, "return #redis.call('get', KEYS[1])"), format!(":{}", big.len()));
    client.ok(&["FLUSHALL"]);

    client.set("redlua.memory-limit", "64mb");
    let error = run(&mut client, "return #ARGV[1]");
    let at_once = run(&mut client, "return 1");
    for reply in [&error, &at_once] {
        let clean = reply.contains("not enough memory") || reply.starts_with(':');
        assert!(clean, "{}", &reply[..reply.len().min(200)]);
    }
    assert_eq!(client.lua("return 'next'"), "\"next\"");
    client.ok(&["LUA.SCRIPT", "FLUSH", "SYNC"]);
    assert!(client.figure("redlua_used_memory_vm_eval") < 1_000_000);
    assert_eq!(client.info("run_id"), run_id);
}

#[test]
fn deep_and_cyclic_tables_end_where_those_of_stock_do() {
    let server = Server::new().start();
    let mut client = server.client();
    let scripts = [
        "local t = {} for i = 1, 10 do t = {t} end return t",
        "local t = {} for i = 1, 1000 do t = {t} end return t",
        "local t = {} for i = 1, 5000 do t = {t} end return t",
        "local t = {} for i = 1, 20000 do t = {t} end return t",
        "local t = {} t[1] = t return t",
        "local a, b = {}, {} a[1] = b b[1] = a return a",
        "local t = {} t.map = {x = t} return t",
        "local t = {} for i = 1, 5000 do t = {1, t} end return t",
    ];
    for script in scripts {
        same(script, |door| client.cmd(&request::<&str>(&door.name("EVAL"), script, &[], &[])));
    }
}

#[test]
fn odd_requests_leave_nothing_for_the_next_script() {
    let server = Server::new().start();
    let mut client = server.client();
    let fresh = environment::describe(&mut client);
    let words: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    for script in ["return 1", "error('x')", "return (", "KEYS[1] = {KEYS} return 1", "x = KEYS"] {
        client.cmd(&request("LUA.EVAL", script, &words, &words));
        assert_eq!(environment::describe(&mut client), fresh, "{script}");
    }
    for door in [Ours, Stock] {
        assert_eq!(client.eval(door, "return {#KEYS, #ARGV}", &[], &[]), "[:0, :0]");
    }
}
