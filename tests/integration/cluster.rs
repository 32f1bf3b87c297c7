//! Cluster mode: where scripts run, and which keys they may touch there.

use std::net::TcpListener;

use crate::doors::{Ours, Scripts, request, same};
use crate::support::{Client, Server, ServerBuilder, Value, wait_until};

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Starts a node of its own, which owns no slot yet.
fn node() -> Server {
    node_of(Server::new())
}

fn node_of(server: ServerBuilder) -> Server {
    server
        .tcp()
        .config("cluster-enabled", "yes")
        .config("cluster-port", &free_port().to_string())
        .config("cluster-node-timeout", "5000")
        .start()
}

/// Starts a node that goes on when some slots are not served.
fn undemanding_node() -> Server {
    let server = node();
    server.client().set("cluster-require-full-coverage", "no");
    server
}

/// Gives the node `slots` and waits until it serves them.
fn own(client: &mut Client, slots: [&str; 2]) {
    client.ok(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
}

fn is_ok(client: &mut Client) -> bool {
    client.text("CLUSTER INFO").contains("cluster_state:ok")
}

/// One node that serves the lower half of the slots and calls that enough.
pub fn half() -> Server {
    let server = undemanding_node();
    let mut client = server.client();
    own(&mut client, ["0", "8191"]);
    wait_until("a node that serves its half", || is_ok(&mut client));
    server
}

/// Keys by where they are: `{b}` and `{f}` in different slots of the lower half, `{a}` in the upper.
pub const HERE: &str = "{b}key";
pub const HERE_TOO: &str = "{b}other";
pub const ELSEWHERE: &str = "{f}key";
pub const AWAY: &str = "{a}key";

#[test]
fn the_keys_of_these_tests_are_where_they_should_be() {
    let server = half();
    let mut client = server.client();
    let mut slot = |key: &str| client.value(&["CLUSTER", "KEYSLOT", key]).integer();
    assert!(slot(HERE) < Some(8192));
    assert!(slot(ELSEWHERE) < Some(8192));
    assert!(slot(AWAY) >= Some(8192));
    assert_eq!(slot(HERE), slot(HERE_TOO));
    assert_ne!(slot(HERE), slot(ELSEWHERE));
}

const COMMANDS: [&str; 2] = ["EVAL", "EVAL_RO"];

/// Which keys are declared.
const DECLARED: &[&[&str]] = &[
    &[],
    &[HERE],
    &[HERE, HERE_TOO],
    &[HERE, ELSEWHERE],
    &[HERE, AWAY],
    &[AWAY],
    &[AWAY, HERE],
    &[AWAY, AWAY],
];

/// Scripts with what stands for the flags; the keys are ARGV because they are not declared.
const SCRIPTS: &[&str] = &[
    "return 'no keys'",
    "return redis.call('get', KEYS[1] or ARGV[1])",
    "return redis.call('set', KEYS[1] or ARGV[1], 1)",
    "return redis.call('get', ARGV[1])",
    "return redis.call('get', ARGV[2])",
    "return redis.call('get', ARGV[3])",
    "return redis.call('set', ARGV[3], 1)",
    "return redis.pcall('get', ARGV[3])",
    "redis.call('get', ARGV[1]) return redis.call('get', ARGV[2])",
    "redis.call('set', ARGV[1], 1) return redis.call('set', ARGV[2], 2)",
    "redis.call('get', ARGV[2]) return redis.call('get', ARGV[1])",
    "redis.pcall('get', ARGV[3]) return redis.call('get', ARGV[1])",
    "redis.pcall('get', ARGV[2]) return redis.pcall('get', ARGV[1])",
    "return redis.call('mget', ARGV[1], ARGV[2])",
    "return redis.call('mget', ARGV[1], ARGV[3])",
    "return redis.call('mget', ARGV[1], ARGV[4])",
    "return redis.pcall('del', ARGV[1], ARGV[2])",
    "return redis.call('rename', ARGV[1], ARGV[2])",
    "redis.call('ping') return redis.call('dbsize')",
    "return redis.call('publish', 'c', 'm')",
    "return redis.call('spublish', 'c', 'm')",
    "return redis.call('keys', 'nothing*')",
    "return redis.pcall('select', 1)",
    "return redis.call('randomkey') == false or 1",
    "return redis.call('sort', ARGV[1], 'by', 'nosort', 'get', '#')",
    "return redis.pcall('nope', ARGV[3])",
];

const SHEBANGS: &[&str] = &[
    "",
    "#!lua\n",
    "#!lua flags=no-writes\n",
    "#!lua flags=allow-cross-slot-keys\n",
    "#!lua flags=no-cluster\n",
    "#!lua flags=no-cluster,allow-cross-slot-keys\n",
];

/// Whether the server would have to know the script's own flags to send a request with keys on.
///
/// It looks into the scripts of its own engine for that. For a module's command it knows only the
/// flags of the command, so a script that may write is stopped when it runs and not before.
fn needs_flags_known_to_the_server(script: &str, keys: &[&str]) -> bool {
    script.starts_with("#!lua") && !script.contains("no-writes") && !keys.is_empty()
}

/// Runs everything but what `skips` through both doors and returns all replies.
fn compare(client: &mut Client, skips: impl Fn(&str, &[&str]) -> bool) -> String {
    let mut all = String::new();
    let keeps_crossed_slots = keeps_crossed_slots(client);
    for shebang in SHEBANGS {
        for script in SCRIPTS {
            for keys in DECLARED {
                for command in COMMANDS {
                    let script = format!("{shebang}{script}");
                    if skips(&script, keys) || (keeps_crossed_slots && crosses(&script)) {
                        continue;
                    }
                    let what = format!("{command} {script:?} with {keys:?}");
                    let reply = same(&what, |door| {
                        client.cmd(&["DEL", HERE]);
                        client.cmd(&["DEL", ELSEWHERE]);
                        let args = [HERE, ELSEWHERE, AWAY, HERE_TOO];
                        client.show(&request(&door.name(command), &script, keys, &args))
                    });
                    all.push_str(&reply);
                    all.push('\n');
                }
            }
        }
    }
    all
}

/// Whether the server takes the slot of every key from the declared ones, to which we keep scripts there.
pub fn keeps_to_one_slot(client: &mut Client) -> bool {
    !client.text("INFO server").contains("redis_version:7.0.")
}

/// Whether the server refuses all calls after one of a script with keys of several slots: Valkey 9.1 keeps what it
/// found of them.
fn keeps_crossed_slots(client: &mut Client) -> bool {
    client.text("INFO server").contains("valkey_version:9.")
}

/// Whether one call of a script has keys of several slots.
fn crosses(script: &str) -> bool {
    ["'mget', ARGV[1], ARGV[2]", "'mget', ARGV[1], ARGV[3]", "'del', ", "'rename', "]
        .iter()
        .any(|call| script.contains(call))
}

/// Whether stock lets a script use keys of several slots.
fn may_cross(script: &str) -> bool {
    !script.starts_with("#!") || script.contains("cross-slot")
}

fn expect(all: &str, marks: &[&str]) {
    for mark in marks {
        assert!(all.contains(mark), "no reply has {mark:?}:\n{all}");
    }
}

#[test]
fn a_node_answers_for_declared_and_undeclared_keys_as_stock_does() {
    let server = half();
    let mut client = server.client();
    let is_newer = keeps_to_one_slot(&mut client);
    let all =
        compare(&mut client, |script, keys| is_newer && !keys.is_empty() && may_cross(script));
    expect(
        &all,
        &[
            "-CROSSSLOT ",
            "-CLUSTERDOWN Hash slot not served",
            // A key that is not local, or, as newer servers say, in a slot not served.
            "ttempted to access a ",
            "Script attempted to access keys that do not hash to the same slot",
            "-ERR Can not run script on cluster, \\'no-cluster\\' flag is set.",
            "+OK",
        ],
    );
}

#[test]
fn a_call_with_keys_of_several_slots_spoils_none_after_it() {
    let server = half();
    let mut client = server.client();
    client.ok(&["SET", HERE, "v"]);
    let crossing: Vec<_> = SCRIPTS.iter().filter(|script| crosses(script)).collect();
    assert_eq!(crossing.len(), 4);
    for script in crossing {
        for shebang in SHEBANGS.iter().filter(|shebang| !shebang.contains("no-cluster")) {
            for command in COMMANDS {
                let script = format!("{shebang}{script}");
                let args = [HERE, ELSEWHERE, AWAY];
                let refused = client.show(&request(&Ours.name(command), &script, &[], &args));
                assert!(refused.starts_with('-'), "{command} {script}: {refused}");
                let read = "#!lua\nreturn redis.call('get', KEYS[1])";
                assert_eq!(client.eval(Ours, read, &[HERE], &[]), "\"v\"", "{command} {script}");
            }
        }
    }
}

#[test]
fn a_node_of_a_cluster_that_is_down_refuses_as_stock_does() {
    let server = node();
    let mut client = server.client();
    own(&mut client, ["0", "8191"]);
    let is_newer = keeps_to_one_slot(&mut client);
    let all = compare(&mut client, |_, _| false);
    expect(&all, &["-CLUSTERDOWN "]);
    client.set("cluster-allow-reads-when-down", "yes");
    let all = compare(&mut client, |script, keys| {
        let is_kept = is_newer && !keys.is_empty() && may_cross(script);
        is_kept || needs_flags_known_to_the_server(script, keys)
    });
    expect(
        &all,
        // As the server's own words are on Valkey 9.1, or the engine's.
        &["-CLUSTERDOWN ", " execute a write command "],
    );
}

#[test]
fn slots_may_move_as_a_whole() {
    let server = half();
    let mut client = server.client();
    let nowhere = "a".repeat(40);
    let migrate = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "1", "NODE", &nowhere];
    // Valkey 9 looks for modules that stand against it before it looks for the node.
    let reply = client.show(&migrate);
    let expected =
        if keeps_crossed_slots(&mut client) { "nknown node" } else { "nknown subcommand" };
    assert!(reply.contains(expected), "{reply}");
}

#[test]
fn slots_on_the_move_are_handled_as_stock_does() {
    let server = half();
    let mut client = server.client();
    let other = node();
    let mut there = other.client();
    meet(&mut client, &other);
    let id = there.value(&["CLUSTER", "MYID"]).text().expect("an id");
    wait_until("the nodes to know each other", || {
        client.text("CLUSTER NODES").contains(&id) && there.text("CLUSTER NODES").contains("0-8191")
    });
    wait_until("a node that serves its half", || is_ok(&mut client));
    client.ok(&["SET", HERE_TOO, "v"]);
    let slot = client.value(&["CLUSTER", "KEYSLOT", HERE]).to_string();
    let slot = slot.trim_start_matches(':');
    client.ok(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &id]);
    let all = compare(&mut client, |_, _| false);
    expect(&all, &["-ASK ", "-TRYAGAIN "]);

    let own = client.value(&["CLUSTER", "MYID"]).text().expect("an id");
    there.ok(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &own]);
    for script in ["return redis.call('get', KEYS[1])", "#!lua\nreturn redis.call('get', ARGV[1])"]
    {
        same(&format!("ASKING {script:?}"), |door| {
            there.ok(&["ASKING"]);
            there.show(&request(&door.name("EVAL"), script, &[HERE], &[HERE_TOO]))
        });
    }
}

fn meet(client: &mut Client, other: &Server) {
    let config = other.client().value(&["CONFIG", "GET", "cluster-port"]);
    let bus = config.field("cluster-port").and_then(Value::text).expect("a port");
    client.ok(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]);
}

/// Starts a cluster of three nodes, each of which serves a third of the slots.
pub fn three(server: impl Fn() -> ServerBuilder) -> Vec<Server> {
    let servers: Vec<Server> = (0..3).map(|_| node_of(server())).collect();
    let mut clients: Vec<Client> = servers.iter().map(Server::client).collect();
    let ranges = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];
    for (client, (range, epoch)) in clients.iter_mut().zip(ranges.into_iter().zip(1..)) {
        client.ok(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]);
        own(client, range);
    }
    for other in &servers[1..] {
        meet(&mut clients[0], other);
    }
    wait_until("a cluster of three", || {
        clients.iter_mut().all(|client| {
            client.text("CLUSTER INFO").contains("cluster_known_nodes:3") && is_ok(client)
        })
    });
    servers
}

#[test]
fn three_nodes_send_clients_to_the_owner_of_the_keys() {
    let servers = three(Server::new);
    let mut clients: Vec<Client> = servers.iter().map(Server::client).collect();

    let script = "return redis.call('incr', KEYS[1])";
    for number in 0..60 {
        let key = format!("key:{number}");
        let mut served = 0;
        for client in &mut clients {
            let reply = same(&format!("{key} on a node"), |door| {
                client.cmd(&["DEL", &key]);
                client.show(&request(&door.name("EVAL"), script, &[key.as_str()], &[]))
            });
            if reply == ":1" {
                served += 1;
                continue;
            }
            // The address in the reply is the one whose node serves it.
            let port = reply.rsplit(':').next().expect("a port").to_owned();
            assert!(reply.starts_with("-MOVED "), "{reply}");
            let owner = servers.iter().find(|server| server.port().to_string() == port);
            let mut owner = owner.expect("a node of this cluster").client();
            let argv = request("LUA.EVAL", script, &[key.as_str()], &[]);
            assert!(owner.show(&argv).starts_with(':'), "{key} at {port}");
        }
        assert_eq!(served, 1, "{key}");
    }

    for client in &mut clients {
        let crossing = request("LUA.EVAL", "return 1", &["a", "b", "c", "d"], &[]);
        assert!(client.show(&crossing).starts_with("-CROSSSLOT "));
        for name in ["LUA.EVAL_RO", "LUA.EVALSHA", "LUA.EVALSHA_RO"] {
            let script = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
            let crossing = request(name, script, &["a", "b", "c", "d"], &[]);
            assert!(client.show(&crossing).starts_with("-CROSSSLOT "), "{name}");
        }
        assert_eq!(client.lua("return 'without keys'"), "\"without keys\"");
    }
}

#[test]
fn a_replica_of_a_node_sends_scripts_to_its_master_unless_it_may_read() {
    let master = half();
    let mut client = master.client();
    let server = undemanding_node();
    let mut replica = server.client();
    meet(&mut client, &server);
    let id = client.value(&["CLUSTER", "MYID"]).text().expect("an id");
    wait_until("the nodes to know each other", || {
        replica.text("CLUSTER NODES").contains(&id)
            && replica.text("CLUSTER NODES").contains("0-8191")
    });
    replica.ok(&["CLUSTER", "REPLICATE", &id]);
    client.ok(&["SET", HERE, "v"]);
    wait_until("the link", || replica.info("master_link_status") == "up" && is_ok(&mut replica));
    let scripts = [
        "return redis.call('get', KEYS[1])",
        "return redis.call('set', KEYS[1], 1)",
        "#!lua\nreturn redis.call('get', KEYS[1])",
        "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
        "#!lua flags=no-writes\nreturn redis.call('get', ARGV[1])",
    ];
    for mode in ["READWRITE", "READONLY"] {
        replica.ok(&[mode]);
        for script in scripts {
            for command in COMMANDS {
                for keys in [&[HERE][..], &[]] {
                    if mode == "READONLY" && needs_flags_known_to_the_server(script, keys) {
                        continue;
                    }
                    same(&format!("{mode} {command} {script:?} {keys:?}"), |door| {
                        replica.show(&request(&door.name(command), script, keys, &[HERE]))
                    });
                }
            }
        }
    }
}

#[test]
fn a_key_is_never_put_where_nobody_finds_it() {
    let server = Server::new().cluster().start();
    let mut client = server.client();
    // Newer servers refuse the write to another slot than the declared key's: they would misplace it.
    let script = "return redis.call('SET', ARGV[1], 'v')";
    let mut queued = server.client();
    for shebang in ["", "#!lua flags=allow-cross-slot-keys\n"] {
        let script = format!("{shebang}{script}");
        client.show(&request("LUA.EVAL", &script, &["bar"], &["foo"]));
        // The transaction has the slot of its other command.
        queued.ok(&["MULTI"]);
        queued.cmd(&["SET", "bar", "v"]);
        queued.cmd(&request::<&str>("LUA.EVAL", &script, &[], &["hello"]));
        queued.cmd(&["EXEC"]);
        for (key, slot) in [("foo", "12182"), ("hello", "866")] {
            let count = client.text(&format!("CLUSTER COUNTKEYSINSLOT {slot}"));
            assert_eq!(client.text(&format!("EXISTS {key}")), count, "{key}");
        }
        client.cmd(&["DEL", "bar"]);
        for key in ["foo", "hello"] {
            client.cmd(&["DEL", key]);
        }
        assert_eq!(client.text("DBSIZE"), ":0");
        // Without declared keys the server looks at each key.
        assert_eq!(client.show(&request::<&str>("LUA.EVAL", &script, &[], &["foo"])), "+OK");
        assert_eq!(client.text("GET foo"), "\"v\"");
        client.cmd(&["DEL", "foo"]);
    }
}
