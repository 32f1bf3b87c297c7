//! The scripts that users are shown, doing what they promise, through both doors.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::doors::{Door, Scripts, request, same};
use crate::support::{Client, Server};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn source(name: &str) -> String {
    let path = folder().join(name).with_extension("lua");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The examples that have a test below.
const TESTED: [&str; 7] = [
    "acquire_lock",
    "leaderboard_page",
    "move_due_jobs",
    "release_lock",
    "sliding_window_rate_limiter",
    "take_job",
    "token_bucket",
];

/// One connection that runs examples through one door.
struct Runner<'a> {
    client: &'a mut Client,
    door: Door,
}

impl Runner<'_> {
    fn run(&mut self, example: &str, keys: &[&str], args: &[&str]) -> String {
        let argv = request(&self.door.name("EVAL"), source(example), keys, args);
        self.client.show(&argv)
    }

    /// Runs an example and expects an answer.
    #[track_caller]
    fn expect(&mut self, example: &str, keys: &[&str], args: &[&str], answer: &str) {
        assert_eq!(self.run(example, keys, args), answer, "{example} {keys:?} {args:?}");
    }
}

/// Runs a story through both doors and expects the same data at its end.
fn tell(story: impl Fn(&mut Runner)) {
    let server = Server::new().start();
    let mut client = server.client();
    same("the data at the end", |door| {
        client.ok(&["FLUSHALL"]);
        story(&mut Runner { client: &mut client, door });
        client.digest()
    });
}

#[test]
fn every_example_has_a_test_and_a_first_line_that_says_what_it_is() {
    let files = fs::read_dir(folder()).expect("the examples");
    let paths = files.map(|file| file.expect("an entry").path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|it| it == "lua"));
    let mut names = BTreeSet::new();
    for path in scripts {
        let text = fs::read_to_string(&path).expect("text");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("-- ") && first.ends_with('.'), "{}: {first}", path.display());
        let name = path.file_stem().expect("a name").to_string_lossy();
        names.insert(name.into_owned());
    }
    assert_eq!(names, TESTED.map(str::to_owned).into(), "files (left) and tests (right)");
}

#[test]
fn every_example_answers_a_bad_call_with_its_usage() {
    let server = Server::new().start();
    let mut client = server.client();
    for name in TESTED.into_iter().filter(|name| *name != "release_lock") {
        for (keys, args) in [
            (&[][..], &[][..]),
            (&["a"], &[]),
            (&["a", "b", "c"], &["x", "y", "z"]),
            (&["a", "b", "c"], &["0", "0", "0"]),
            (&["a", "b", "c"], &["-1", "-1", "-1"]),
        ] {
            let reply = same(&format!("{name} {keys:?} {args:?}"), |door| {
                let mut runner = Runner { client: &mut client, door };
                runner.run(name, keys, args)
            });
            if args.is_empty() {
                assert!(reply.starts_with("-ERR usage: "), "{name}: {reply}");
            }
        }
    }
}

#[test]
fn the_sliding_window_lets_so_many_through() {
    tell(|it| {
        let mut ask = |id: &str, now: &str, answer: &str| {
            let args = ["3", "10000", id, now];
            it.expect("sliding_window_rate_limiter", &["rate"], &args, answer);
        };
        ask("a", "1000", "[:1, :2, :0]");
        ask("b", "2000", "[:1, :1, :0]");
        ask("b", "2500", "[:1, :1, :0]");
        ask("c", "3000", "[:1, :0, :0]");
        ask("d", "4000", "[:0, :0, :7000]");
        ask("d", "10999", "[:0, :0, :1]");
        ask("d", "11000", "[:1, :0, :0]");
        ask("e", "11001", "[:0, :0, :999]");
        ask("f", "90000", "[:1, :2, :0]");
        // By the server's own clock.
        let args = ["1", "100000", "x"];
        it.expect("sliding_window_rate_limiter", &["other"], &args, "[:1, :0, :0]");
        let args = ["1", "100000", "y"];
        let refused = it.run("sliding_window_rate_limiter", &["other"], &args);
        assert!(refused.starts_with("[:0, :0, :"), "{refused}");
        it.client.ok(&["FLUSHALL"]);
    });
}

#[test]
fn the_token_bucket_fills_again() {
    tell(|it| {
        let mut ask = |cost: &str, now: &str, answer: &str| {
            it.expect("token_bucket", &["bucket"], &["5", "2", cost, now], answer);
        };
        ask("1", "1000", "[:1, :4, :0]");
        ask("4", "1000", "[:1, :0, :0]");
        ask("1", "1000", "[:0, :0, :500]");
        ask("1", "1500", "[:1, :0, :0]");
        ask("5", "1500", "[:0, :0, :2500]");
        ask("5", "4000", "[:1, :0, :0]");
        ask("1", "3000", "[:0, :0, :500]");
        ask("5", "100000", "[:1, :0, :0]");
        let refused = it.run("token_bucket", &["bucket"], &["5", "2", "6"]);
        assert!(refused.starts_with("-ERR the cost is above"), "{refused}");
    });
}

#[test]
fn a_lock_is_taken_renewed_and_given_back() {
    tell(|it| {
        let keys = ["lock", "fence"];
        it.expect("acquire_lock", &keys, &["me", "100000"], ":1");
        it.expect("acquire_lock", &keys, &["you", "100000"], "$-1");
        it.expect("acquire_lock", &keys, &["me", "200000"], ":1");
        let left = it.client.value(&["PTTL", "lock"]).integer();
        assert!(left > Some(100_000), "the lock was not renewed: {left:?}");
        it.expect("release_lock", &["lock"], &["you"], ":0");
        it.expect("release_lock", &["lock"], &["me"], ":1");
        it.expect("release_lock", &["lock"], &["me"], ":0");
        it.expect("acquire_lock", &keys, &["you", "100000"], ":2");
        it.expect("release_lock", &["lock"], &["you"], ":1");
        assert_eq!(it.client.text("KEYS *"), "[\"fence\"]");
    });
}

#[test]
fn jobs_move_through_the_queue_and_come_back_when_overdue() {
    tell(|it| {
        it.client.text("LPUSH ready mail:1 mail:2");
        let mut take = |now: &str| it.run("take_job", &["ready", "work", "due"], &["5000", now]);
        assert_eq!(take("1000"), "\"mail:1\"");
        assert_eq!(take("2000"), "\"mail:2\"");
        assert_eq!(take("3000"), "$-1");
        // The first is done, the second never.
        assert_eq!(it.client.text("LREM work 1 mail:1"), ":1");
        assert_eq!(it.client.text("ZREM due mail:1"), ":1");
        // A job for later has only its time.
        it.client.text("ZADD due 9000 mail:3");
        let keys = ["due", "work", "ready"];
        it.expect("move_due_jobs", &keys, &["100", "6999"], ":0");
        it.expect("move_due_jobs", &keys, &["100", "7000"], ":1");
        assert_eq!(it.client.text("LRANGE ready 0 -1"), "[\"mail:2\"]");
        assert_eq!(it.client.text("LRANGE work 0 -1"), "[]");
        it.expect("move_due_jobs", &keys, &["100", "9000"], ":1");
        assert_eq!(it.client.text("LRANGE ready 0 -1"), "[\"mail:3\", \"mail:2\"]");
        it.client.text("ZADD due 1 a 2 b 3 c");
        it.expect("move_due_jobs", &keys, &["2", "9000"], ":2");
        it.expect("move_due_jobs", &keys, &["2", "9000"], ":1");
        // By the server's own clock, all of it is long overdue.
        it.client.text("ZADD due 1 late");
        it.expect("move_due_jobs", &keys, &["100"], ":1");
    });
}

#[test]
fn a_leaderboard_page_has_ranks_members_and_scores() {
    tell(|it| {
        it.client.text("ZADD board 30 ann 20 bob 20 cid 10.5 eve");
        let mut page = |page: &str, size: &str, answer: &str| {
            it.expect("leaderboard_page", &["board"], &[page, size], answer);
        };
        page(
            "1",
            "10",
            "[:4, [:1, \"ann\", \"30\"], [:2, \"cid\", \"20\"], [:2, \"bob\", \"20\"], \
             [:4, \"eve\", \"10.5\"]]",
        );
        page("1", "2", "[:4, [:1, \"ann\", \"30\"], [:2, \"cid\", \"20\"]]");
        page("2", "2", "[:4, [:2, \"bob\", \"20\"], [:4, \"eve\", \"10.5\"]]");
        page("3", "2", "[:4]");
        it.expect("leaderboard_page", &["nobody"], &["1", "10"], "[:0]");
    });
}

#[test]
fn examples_run_by_digest_and_a_thousand_times_over() {
    let server = Server::new().start();
    let mut client = server.client();
    let script = source("token_bucket");
    let sha = client.value(&["LUA.SCRIPT", "LOAD", &script]).text().expect("a digest");
    let mut allowed = 0;
    for number in 0..1_000 {
        let now = (1_000 + number * 10).to_string();
        let argv = request("LUA.EVALSHA", &sha, &["b"], &["10", "20", "1", &now]);
        if client.show(&argv).starts_with("[:1,") {
            allowed += 1;
        }
    }
    // Ten at once, and twenty a second for ten seconds.
    assert!((205..=212).contains(&allowed), "{allowed}");
}
