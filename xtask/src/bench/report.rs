//! What was measured, as a table for people and as JSON for programs.

use jiff::Timestamp;
use serde_json::{Value, json};

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
    /// The workload's name.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
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
    /// The server it was measured in, with its version.
    pub server: String,
    /// Pairs of blocks per workload.
    pub rounds: u32,
    /// The workloads.
    pub workloads: Vec<Row>,
    /// Bytes that a cached script takes, where that was measured.
    pub memory: Option<Row>,
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

    /// Stock's cost by the module's: the median of the pairs.
    pub fn ratio(&self) -> f64 {
        quantile(&ratios(&self.cost), 0.5)
    }

    /// The medians of both sides.
    pub fn medians(&self) -> Pair {
        let median = |cost: fn(&Pair) -> f64| quantile(&sorted(self.cost.iter().map(cost)), 0.5);
        Pair { stock: median(|pair| pair.stock), module: median(|pair| pair.module) }
    }

    fn json(&self) -> Value {
        let (cost, ratios) = (self.medians(), ratios(&self.cost));
        let mut row = json!({
            "name": self.name,
            "runs_per_block": self.runs,
            "stock": rounded(cost.stock),
            "module": rounded(cost.module),
            "ratio": rounded(quantile(&ratios, 0.5)),
            "ratio_q1": rounded(quantile(&ratios, 0.25)),
            "ratio_q3": rounded(quantile(&ratios, 0.75)),
        });
        if !self.wall.is_empty() {
            row["wall_ratio"] = json!(rounded(quantile(&self::ratios(&self.wall), 0.5)));
        }
        row
    }
}

impl Report {
    /// A Markdown table with a line before it that says how it was measured.
    pub fn to_markdown(&self) -> String {
        let has_wall = self.workloads.iter().any(|row| !row.wall.is_empty());
        let mut text = format!(
            "{}, {}; medians of {} alternating pairs of blocks, {PIPELINE} requests in flight; \
             ratio = stock / module, above 1 the module is faster\n\n",
            self.server,
            self.unit.heading(),
            self.rounds
        );
        text.push_str("| workload | stock | module | ratio | middle half of the ratios |");
        text.push_str(if has_wall { " ratio by wall |\n" } else { "\n" });
        text.push_str("|---|---:|---:|---:|---:|");
        text.push_str(if has_wall { "---:|\n" } else { "\n" });
        for row in &self.workloads {
            let (cost, ratios) = (row.medians(), ratios(&row.cost));
            text.push_str(&format!(
                "| {} | {} | {} | **{:.2}** | {:.2} to {:.2} |",
                row.title,
                self.unit.show(cost.stock),
                self.unit.show(cost.module),
                row.ratio(),
                quantile(&ratios, 0.25),
                quantile(&ratios, 0.75),
            ));
            if has_wall {
                text.push_str(&format!(" {:.2} |", quantile(&self::ratios(&row.wall), 0.5)));
            }
            text.push('\n');
        }
        if let Some(row) = &self.memory {
            let Pair { stock, module } = row.medians();
            text.push_str(&format!("\n{}: {stock:.0} by stock, {module:.0} here\n", row.title));
        }
        text
    }

    /// The same figures as JSON.
    pub fn to_json(&self) -> Value {
        let rows = self.workloads.iter().chain(&self.memory);
        json!({
            "unit": self.unit.name(),
            "server": self.server,
            "time": Timestamp::now().strftime("%FT%TZ").to_string(),
            "rounds": self.rounds,
            "pipeline": PIPELINE,
            "workloads": rows.map(Row::json).collect::<Vec<_>>(),
        })
    }
}

/// To four places, which is more than any figure is good for.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The ratio within each pair, sorted: blocks of one pair saw the same machine, medians of whole
/// columns need not have.
fn ratios(pairs: &[Pair]) -> Vec<f64> {
    sorted(pairs.iter().map(|pair| pair.stock / pair.module))
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
        Report {
            unit,
            server: "Redis 1.2".to_owned(),
            rounds: 3,
            workloads: vec![row],
            memory: None,
        }
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
        let value = report(Unit::Instructions).to_json();
        assert_eq!(value["unit"], "instructions");
        let row = &value["workloads"][0];
        assert_eq!((&row["name"], &row["stock"]), (&json!("return-1"), &json!(2.0)));
        assert_eq!(row["wall_ratio"], Value::Null);
    }
}
