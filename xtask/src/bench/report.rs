//! What was measured, as a table for people and as JSON for programs.

use std::time::{SystemTime, UNIX_EPOCH};

use super::runner::PIPELINE;
use super::workload::Workload;

/// What a cost is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds of processor time of the server's main thread.
    Microseconds,
    /// Instructions of the server.
    Instructions,
}

/// The cost of one run on both sides, from one pair of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// By the server itself.
    pub stock: f64,
    /// By the module.
    pub module: f64,
}

/// All pairs of one workload.
pub struct Row {
    name: &'static str,
    title: &'static str,
    runs: u32,
    /// Costs in the report's unit.
    pub cost: Vec<Pair>,
    /// Wall times in microseconds, where they mean something.
    pub wall: Vec<Pair>,
}

/// One whole measurement.
pub struct Report {
    /// What costs are counted in.
    pub unit: Unit,
    /// The server it was measured in.
    pub server_version: String,
    /// Pairs of blocks per workload.
    pub rounds: u32,
    /// The workloads.
    pub rows: Vec<Row>,
}

impl Unit {
    /// The unit's name in file names and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "processor-time",
            Self::Instructions => "instructions",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Microseconds => "server processor time, µs per run",
            Self::Instructions => "instructions per run",
        }
    }

    fn show(self, cost: f64) -> String {
        match self {
            Self::Microseconds => format!("{cost:.2}"),
            Self::Instructions => format!("{cost:.0}"),
        }
    }
}

impl Row {
    /// A row without measurements yet.
    pub fn new(workload: &Workload, runs: u32) -> Self {
        let Workload { name, title, .. } = *workload;
        Self { name, title, runs, cost: Vec::new(), wall: Vec::new() }
    }
}

impl Report {
    /// A Markdown table with a line before it that says how it was measured.
    pub fn to_markdown(&self) -> String {
        let has_wall = self.rows.iter().any(|row| !row.wall.is_empty());
        let mut text = format!(
            "{}, {}; medians of {} alternating pairs of blocks, {PIPELINE} requests in flight; \
             ratio = stock / module, above 1 the module is faster\n\n",
            self.server_version,
            self.unit.heading(),
            self.rounds
        );
        text.push_str("| workload | stock | module | ratio | middle half of the ratios |");
        text.push_str(if has_wall { " ratio by wall |\n" } else { "\n" });
        text.push_str("|---|---:|---:|---:|---:|");
        text.push_str(if has_wall { "---:|\n" } else { "\n" });
        for row in &self.rows {
            let ratios = ratios(&row.cost);
            text.push_str(&format!(
                "| {} | {} | {} | **{:.2}** | {:.2} to {:.2} |",
                row.title,
                self.unit.show(median(row.cost.iter().map(|pair| pair.stock))),
                self.unit.show(median(row.cost.iter().map(|pair| pair.module))),
                quantile(&ratios, 0.5),
                quantile(&ratios, 0.25),
                quantile(&ratios, 0.75),
            ));
            if has_wall {
                text.push_str(&format!(" {:.2} |", quantile(&self::ratios(&row.wall), 0.5)));
            }
            text.push('\n');
        }
        text
    }

    /// The same figures as JSON. All text in it is our own, apart from the server's version.
    pub fn to_json(&self) -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let server = self.server_version.replace(['"', '\\'], "");
        let rows: Vec<_> = self.rows.iter().map(row_json).collect();
        format!(
            "{{\n  \"unit\": \"{}\",\n  \"server\": \"{server}\",\n  \"unix_time\": {time},\n  \
             \"rounds\": {},\n  \"pipeline\": {PIPELINE},\n  \"workloads\": [\n{}\n  ]\n}}\n",
            self.unit.name(),
            self.rounds,
            rows.join(",\n")
        )
    }
}

fn row_json(row: &Row) -> String {
    let ratios = ratios(&row.cost);
    let mut text = format!(
        "    {{\"name\": \"{}\", \"runs_per_block\": {}, \"stock\": {:.3}, \"module\": {:.3}, \
         \"ratio\": {:.4}, \"ratio_q1\": {:.4}, \"ratio_q3\": {:.4}",
        row.name,
        row.runs,
        median(row.cost.iter().map(|pair| pair.stock)),
        median(row.cost.iter().map(|pair| pair.module)),
        quantile(&ratios, 0.5),
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75),
    );
    if !row.wall.is_empty() {
        text.push_str(&format!(
            ", \"wall_stock\": {:.3}, \"wall_module\": {:.3}, \"wall_ratio\": {:.4}",
            median(row.wall.iter().map(|pair| pair.stock)),
            median(row.wall.iter().map(|pair| pair.module)),
            quantile(&self::ratios(&row.wall), 0.5),
        ));
    }
    text.push('}');
    text
}

/// The ratio within each pair, sorted: blocks of one pair saw the same machine, medians of whole
/// columns need not have.
fn ratios(pairs: &[Pair]) -> Vec<f64> {
    sorted(pairs.iter().map(|pair| pair.stock / pair.module))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which `part` of the sorted values lie, between two of them where need be.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = part * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::GROUPS;
    use super::*;

    fn report(unit: Unit) -> Report {
        let mut row = Row::new(&GROUPS[0].workloads[0], 10);
        for stock in [3.0, 1.0, 2.0] {
            row.cost.push(Pair { stock, module: 2.0 });
        }
        if unit == Unit::Microseconds {
            row.wall.push(Pair { stock: 3.0, module: 4.0 });
        }
        Report { unit, server_version: "Redis 1.2".to_owned(), rounds: 3, rows: vec![row] }
    }

    #[test]
    fn quantile_meets_known_values() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.25), 1.5);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn markdown_has_medians_and_the_paired_ratio() {
        let text = report(Unit::Microseconds).to_markdown();
        assert!(text.contains("| `return 1` | 2.00 | 2.00 | **1.00** | 0.75 to 1.25 | 0.75 |"));
        let text = report(Unit::Instructions).to_markdown();
        assert!(text.contains("| `return 1` | 2 | 2 | **1.00** | 0.75 to 1.25 |\n"));
    }

    #[test]
    fn json_names_the_unit_and_every_workload() {
        let text = report(Unit::Instructions).to_json();
        assert!(text.contains("\"unit\": \"instructions\""));
        assert!(text.contains("{\"name\": \"return-1\", \"runs_per_block\": 10, \"stock\": 2.000"));
        assert!(!text.contains("wall"));
    }
}
