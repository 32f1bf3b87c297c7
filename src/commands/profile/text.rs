//! A profile as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::engine::{Profile, ProfileTarget};

/// Lines of the report's tables.
const LINES: usize = 30;

/// The stacks with their samples, one per line.
pub(super) fn folded(profile: &Profile) -> String {
    let mut page = String::new();
    for (stack, samples) in profile.sorted() {
        let _ = writeln!(page, "{stack} {samples}");
    }
    page
}

/// Samples of a frame: those where it was the innermost, and those where it was anywhere.
#[derive(Clone, Copy, Default)]
struct Share {
    own: u64,
    all: u64,
}

/// The lines and the commands that took most of the time.
pub(super) fn report(profile: &Profile) -> String {
    let mut page = String::new();
    let target = match &profile.target {
        ProfileTarget::All => "all scripts and functions".to_owned(),
        ProfileTarget::Script(sha1) => format!("script {sha1}"),
        ProfileTarget::Function(name) => format!("function {}", name.escape_ascii()),
    };
    let state = if profile.is_on() { "goes on since" } else { "was on for" };
    let seconds = profile.duration().as_secs_f64();
    let samples = profile.samples;
    let _ = writeln!(page, "Profile of {target}, {state} {seconds:.3} seconds.");
    let _ = writeln!(page, "{samples} samples, about one per millisecond in a run.");
    if profile.left_out > 0 {
        let _ = writeln!(page, "{} samples of other runs are left out.", profile.left_out);
    }
    let frames = frames(profile);
    let mut runs: BTreeMap<&str, Share> = BTreeMap::new();
    for (stack, samples) in profile.sorted() {
        let (name, is_alone) = stack.split_once(';').map_or((stack, true), |(it, _)| (it, false));
        let share = runs.entry(name).or_default();
        share.all += samples;
        share.own += if is_alone { samples } else { 0 };
    }
    let is_command = |name: &str| name.starts_with("redis.");
    let part = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<(&str, Share)> {
        frames.iter().filter(|(name, _)| is_wanted(name)).map(|(name, it)| (*name, *it)).collect()
    };
    table(&mut page, "Scripts and functions", samples, runs.into_iter().collect(), |it| it.all);
    let lines = part(&|name| !is_command(name));
    table(&mut page, "Lines and functions, by the time in them alone", samples, lines, |it| it.own);
    table(&mut page, "Commands", samples, part(&is_command), |it| it.all);
    page
}

/// Every frame but those that only name the run.
fn frames(profile: &Profile) -> BTreeMap<&str, Share> {
    let mut frames: BTreeMap<&str, Share> = BTreeMap::new();
    for (stack, samples) in profile.sorted() {
        let names: Vec<&str> = stack.split(';').skip(1).collect();
        if let Some(innermost) = names.last() {
            frames.entry(innermost).or_default().own += samples;
        }
        // A function that calls itself is there once.
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            frames.entry(name).or_default().all += samples;
        }
    }
    frames
}

/// Writes the rows that `order` gives the largest numbers.
fn table(
    page: &mut String,
    title: &str,
    samples: u64,
    mut rows: Vec<(&str, Share)>,
    order: impl Fn(&Share) -> u64,
) {
    rows.retain(|(_, share)| order(share) > 0);
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(name, share)| (std::cmp::Reverse(order(share)), *name));
    let _ = writeln!(page, "\n{title}\n   own   all  samples");
    let percent = |count: u64| count as f64 * 100.0 / samples.max(1) as f64;
    for (name, share) in rows.iter().take(LINES) {
        let (own, all) = (percent(share.own), percent(share.all));
        let _ = writeln!(page, "{own:5.1}%{all:5.1}%{:9}  {name}", share.all);
    }
    if rows.len() > LINES {
        let _ = writeln!(page, "... and {} more", rows.len() - LINES);
    }
}
