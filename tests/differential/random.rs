//! Random documents through the script libraries, compared with stock: cjson, cmsgpack, struct, bit.
//!
//! `REDLUA_RANDOM=100000` tries that many documents per library instead of [`COUNT`]. A failure prints
//! the seed; with it in `REDLUA_SEED` the same documents are made again.
//!
//! A document is a chunk of Lua and the bytes it is given. Many go in one call, which answers for
//! each what the chunk returned, as text; a batch whose answers differ is cut down to one document.

mod bit;
mod cjson;
mod cmsgpack;
mod generator;
mod lua;
mod structs;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use crate::case::{self, Case, Text, hex};
use crate::comparison::difference;
use crate::runner::{Door, Outcome, Runner, door_under_test};
use crate::support::{Value, render};
use generator::{Document, Order, Random};

/// Documents per library, unless the environment says otherwise.
const COUNT: u64 = 2000;

/// Documents per call.
const BATCH: u64 = 100;

/// After so many differences a library is given up: they are likely to have one cause.
const ENOUGH: usize = 5;

/// A library and its documents.
struct Library {
    name: &'static str,
    document: fn(&mut Random) -> Document,
    /// Lua that runs before each document and after the last one.
    before: &'static str,
}

const CJSON: Library =
    Library { name: "cjson", document: cjson::document, before: cjson::DEFAULTS };
const CMSGPACK: Library = Library { name: "cmsgpack", document: cmsgpack::document, before: "" };
const STRUCT: Library = Library { name: "struct", document: structs::document, before: "" };
const BIT: Library = Library { name: "bit", document: bit::document, before: "" };

#[test]
fn random_cjson() {
    check(&CJSON);
}

#[test]
fn random_cmsgpack() {
    check(&CMSGPACK);
}

#[test]
fn random_struct() {
    check(&STRUCT);
}

#[test]
fn random_bit() {
    check(&BIT);
}

/// Tries the documents of a library and fails with those that differ.
fn check(library: &Library) {
    let count = variable("REDLUA_RANDOM").unwrap_or(COUNT);
    let seed = variable("REDLUA_SEED").unwrap_or_else(any_seed);
    let mut runner = Runner::start(door_under_test());
    let other_hashes = runner.host().valkey;
    let (mut done, mut compared, mut succeeded) = (0, 0, 0_u64);
    let mut failures = Vec::new();
    while done < count && failures.len() < ENOUGH {
        let indexes = done..count.min(done + BATCH);
        done = indexes.end;
        let documents: Vec<Document> = indexes
            .map(|index| (library.document)(&mut Random::of_document(seed, index)))
            .filter(|document| !other_hashes || document.order != Order::Written)
            .collect();
        compared += documents.len() as u64;
        let batch = Batch { library, other_hashes, stock: &documents, other: &documents };
        match batch.compare(&mut runner) {
            Ok(answers) => {
                let is_success = |answer: &&Vec<u8>| answer.starts_with(b"true");
                succeeded += answers.iter().filter(is_success).count() as u64;
            }
            Err(difference) => failures.push(batch.cut_down(&mut runner, difference)),
        }
    }
    let counts = format!(
        "random {}: {compared} documents of REDLUA_SEED={seed}, {succeeded} calls succeed, {} \
         batches differ",
        library.name,
        failures.len()
    );
    println!("{counts}");
    assert!(failures.is_empty(), "\n{}\n{counts}", failures.join("\n"));
    // Documents of which nearly all fail, or nearly none, would show little.
    let some = compared / 20;
    assert!(done < COUNT || (some..compared - some).contains(&succeeded), "{counts}");
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not '{value}'")))
}

/// A seed that a person can type.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000
}

/// Documents as stock gets them and as the other side does: the same, unless a test planted one.
#[derive(Clone, Copy)]
struct Batch<'a> {
    library: &'a Library,
    /// Whether the server's Lua finds the keys of tables in another order than ours. That of Valkey
    /// hashes strings in its own way.
    other_hashes: bool,
    stock: &'a [Document],
    other: &'a [Document],
}

/// What is wrong with a batch.
#[derive(Debug)]
struct Difference {
    told: String,
    /// The first document whose answers differ, as far as both sides gave answers.
    at: usize,
}

impl Batch<'_> {
    /// Runs all documents on both sides and returns the answers, or what differs.
    fn compare(self, runner: &mut Runner) -> Result<Vec<Vec<u8>>, Difference> {
        let (stock, other) = (self.case(self.stock), self.case(self.other));
        let (left, right) = runner.run_both(&stock, &other, 2);
        let (answers, others) = (answers(&left), answers(&right));
        if left.end.is_some() || left.replies != right.replies {
            let told = difference(&left, &right, &other);
            let told = told.unwrap_or_else(|| "only the names of commands differ\n".to_owned());
            let at = answers.iter().zip(&others).position(|(one, other)| one != other);
            return Err(Difference { told, at: at.unwrap_or(0) });
        }
        // Equal errors would compare nothing: the documents themselves catch theirs.
        if answers.len() != self.stock.len() {
            let shown = left.replies.first().map(|frame| render(frame)).unwrap_or_default();
            return Err(Difference {
                told: format!("no answers on either side: {shown}\n"),
                at: 0,
            });
        }
        Ok(answers)
    }

    /// Finds the document that is to blame for a difference, and shows it as a case.
    fn cut_down(mut self, runner: &mut Runner, mut difference: Difference) -> String {
        let mut note = "";
        while self.stock.len() > 1 {
            let Some((half, found)) = self
                .halves()
                .into_iter()
                .find_map(|half| half.compare(runner).err().map(|found| (half, found)))
            else {
                note = "It differs only after others, or not each time: try the seed again.\n";
                break;
            };
            (self, difference) = (half, found);
        }
        let Difference { told, at } = difference;
        format!("{}{told}{note}", self.paste(&self.stock[at]))
    }

    fn halves(self) -> [Self; 2] {
        let middle = self.stock.len() / 2;
        let (stock, other) = (self.stock.split_at(middle), self.other.split_at(middle));
        [
            Self { stock: stock.0, other: other.0, ..self },
            Self { stock: stock.1, other: other.1, ..self },
        ]
    }

    fn case(self, documents: &[Document]) -> Case {
        const DRIVER: &str = include_str!("random/driver.lua");
        let mut call = vec![Text::from("EVAL"), Text::from(DRIVER), Text::from("0")];
        call.push(Text::from(self.library.before));
        for document in documents {
            let is_ordered = document.order != Order::Open && !self.other_hashes;
            call.push(Text::from(if is_ordered { "ordered" } else { "any order" }));
            call.push(Text::Hex { hex: hex(document.code.as_bytes()) });
            call.push(Text::Hex { hex: hex(&document.data) });
        }
        Case {
            name: format!("random {}", self.library.name),
            setup: Vec::new(),
            steps: vec![call],
            since: None,
            prelude: DRIVER.to_owned(),
        }
    }

    /// A document as a case for a file with `show = true`.
    fn paste(self, document: &Document) -> String {
        let Library { name, before, .. } = self.library;
        let data = hex(&document.data);
        let code = document.code.replacen("...", "ARGV[1]", 1);
        let back = if before.is_empty() { String::new() } else { format!("{before}\n") };
        format!(
            "[[case]]\nname = \"{name}: a document found at random\"\nscript = \'\'\'\n\
             {back}local function document() {code} end\n\
             local shown = showall(document())\n{back}return shown\'\'\'\n\
             args = [{{hex = \"{data}\"}}]\n"
        )
    }
}

/// What a side answered to each document; nothing if it did not come to its end.
fn answers(outcome: &Outcome) -> Vec<Vec<u8>> {
    let value = outcome.replies.first().and_then(|frame| Value::parse(frame).ok());
    let answers = value.as_ref().and_then(Value::elements).unwrap_or_default();
    answers.iter().map(|answer| answer.bytes().unwrap_or_default().to_vec()).collect()
}

#[test]
fn a_planted_difference_is_found_among_random_documents() {
    let stock: Vec<Document> =
        (0..30).map(|index| bit::document(&mut Random::of_document(1, index))).collect();
    let mut other = stock.clone();
    other[17].code = "return true, \"planted\"".to_owned();
    let mut runner = Runner::start(Door::Stock);
    let batch = Batch { library: &BIT, other_hashes: false, stock: &stock, other: &other };
    let difference = batch.compare(&mut runner).expect_err("one document differs");
    assert_eq!(difference.at, 17);
    let told = batch.cut_down(&mut runner, difference);
    assert_eq!(told.matches("[[case]]").count(), 1, "{told}");
    assert!(told.contains(&batch.paste(&stock[17])) && told.contains("planted"), "{told}");
    let same = Batch { other: &stock, ..batch };
    assert_eq!(same.compare(&mut runner).expect("nothing differs").len(), 30);
}

#[test]
fn a_difference_in_the_order_of_keys_or_in_a_sign_is_found() {
    let mut runner = Runner::start(Door::Stock);
    let mut differ = |stock: &str, other: &str| {
        let document = |code: &str| [Document::new(code, Vec::new())];
        let (stock, other) = (document(stock), document(other));
        let batch = Batch { library: &BIT, other_hashes: false, stock: &stock, other: &other };
        batch.compare(&mut runner).is_err()
    };
    assert!(!differ("return {a=1,b=2}", "return {a=1,b=2}"));
    assert!(differ("return {[2]=1,[3]=1}", "return {[3]=1,[2]=1}"), "both in one slot");
    assert!(differ("return 1/0", "return -1/0"));
    assert!(differ("return 0", "return 0 * -1"));
    assert!(differ("return 0.1", "return 0.1 + 1e-17 * 2"));
    assert!(differ("return {1,nil,3}", "local t = {} t[1] = 1 t[3] = 3 return t"));
    assert!(differ("return nil", "return"));
    assert!(differ("return 1", "return \"1\""));
}

#[test]
fn documents_that_fail_on_both_sides_are_not_equal() {
    let mut runner = Runner::start(Door::Stock);
    for code in ["error(1)", "this is not Lua"] {
        let documents = [Document::new(code, Vec::new())];
        let batch =
            Batch { library: &BIT, other_hashes: false, stock: &documents, other: &documents };
        let Difference { told, .. } = batch.compare(&mut runner).expect_err(code);
        assert!(told.contains("no answers"), "{told}");
    }
}

#[test]
fn documents_can_be_pasted_into_a_file_of_cases() {
    let mut runner = Runner::start(Door::Stock);
    for library in [&CJSON, &CMSGPACK, &STRUCT, &BIT] {
        let batch = Batch { library, other_hashes: false, stock: &[], other: &[] };
        for index in 0..50 {
            let document = (library.document)(&mut Random::of_document(1, index));
            let file = format!("show = true\n{}", batch.paste(&document));
            let cases = case::parse("pasted", &file);
            let reply = &runner.run(&cases[0], Door::Stock, 2).replies[0];
            assert!(reply.starts_with(b"$"), "{file}{}", render(reply));
        }
    }
}

#[test]
fn a_seed_always_makes_the_same_documents() {
    for library in [&CJSON, &CMSGPACK, &STRUCT, &BIT] {
        let document = |seed, index| (library.document)(&mut Random::of_document(seed, index));
        assert!((0..200).all(|index| document(7, index) == document(7, index)), "{}", library.name);
        assert!((0..200).any(|index| document(7, index) != document(8, index)), "{}", library.name);
    }
}
