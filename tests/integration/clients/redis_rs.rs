//! The client library that most programs in this language use.

use redis::{Client, Connection, ErrorKind, RedisError, Script, ServerErrorKind, cmd, pipe};

use super::{expect_runs, taken_over};
use crate::support::Server;

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)\n\
    redis.register_function{function_name='get', \
    callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}";

fn connect(server: &Server, protocol: &str) -> Connection {
    let url = format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port());
    Client::open(url).and_then(|client| client.get_connection()).expect("a connection")
}

fn is_missing(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

#[test]
fn scripts_are_loaded_where_they_are_missing() {
    let mut server = taken_over().appendonly().start();
    let script = Script::new(
        "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1], false, {ok = 'DONE'}}",
    );
    type Reply = (i64, String, Option<i64>, String);
    let reply = |total| (total, "n".to_owned(), None, "DONE".to_owned());
    for protocol in ["resp2", "resp3"] {
        let mut connection = connect(&server, protocol);
        cmd("FLUSHALL").exec(&mut connection).expect("OK");
        let mut add = script.prepare_invoke();
        add.key("n").arg(2);
        assert_eq!(add.invoke::<Reply>(&mut connection).expect("a reply"), reply(2));
        assert_eq!(script.load(&mut connection).expect("a digest"), script.get_hash());
        for forget in ["SYNC", "ASYNC"] {
            cmd("SCRIPT").arg("FLUSH").arg(forget).exec(&mut connection).expect("OK");
            let mut evalsha = cmd("EVALSHA");
            let error = evalsha.arg(script.get_hash()).arg(0).exec(&mut connection);
            assert!(is_missing(&error.expect_err("no such script")));
            add.invoke::<Reply>(&mut connection).expect("a reply");
        }
        server.restart();
        let mut connection = connect(&server, protocol);
        assert_eq!(add.invoke::<Reply>(&mut connection).expect("a reply"), reply(8));

        let mut pipeline = pipe();
        for _ in 0..100 {
            pipeline.invoke_script(&add);
        }
        let replies: Vec<Reply> = pipeline.atomic().query(&mut connection).expect("replies");
        assert_eq!(replies.last(), Some(&reply(208)));

        let error = Script::new("return redis.call('LPUSH', KEYS[1], 1)")
            .key("n")
            .invoke::<i64>(&mut connection)
            .expect_err("a number is no list");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        expect_runs(&server, 102);
    }
}

#[test]
fn functions_are_called_listed_dumped_and_restored() {
    let server = taken_over().start();
    for protocol in ["resp2", "resp3"] {
        let mut connection = connect(&server, protocol);
        let function = |words: &[&str]| {
            let mut command = cmd("FUNCTION");
            command.arg(words);
            command
        };
        cmd("FLUSHALL").exec(&mut connection).expect("OK");
        let name: String =
            function(&["LOAD", "REPLACE", LIBRARY]).query(&mut connection).expect("a name");
        assert_eq!(name, "lib");
        let fcall = |name: &str| {
            let mut command = cmd("FCALL");
            command.arg(name).arg(1).arg("n").arg(3);
            command
        };
        assert_eq!(fcall("add").query::<i64>(&mut connection), Ok(3));
        assert_eq!(fcall("get").query::<i64>(&mut connection), Ok(3));
        let dump: Vec<u8> = function(&["DUMP"]).query(&mut connection).expect("bytes");
        function(&["DELETE", "lib"]).exec(&mut connection).expect("OK");
        let error = fcall("add").exec(&mut connection).expect_err("it is deleted");
        assert_eq!(error.detail(), Some("Function not found"));
        cmd("FUNCTION").arg("RESTORE").arg(dump).exec(&mut connection).expect("OK");
        assert_eq!(fcall("add").query::<i64>(&mut connection), Ok(6));
    }
    expect_runs(&server, 6);
}
