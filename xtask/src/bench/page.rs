//! `docs/performance.md`: the figures of every server in one table, and those of one as a plot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::INSTALLED;
use super::report::{Pair, Report, Row, Unit};
use crate::servers;

/// What stands around the part of the page that is written here.
const MARKS: [&str; 2] = ["<!-- measured -->\n", "<!-- end of what was measured -->\n"];

/// Both ways of measuring one server.
struct Measured {
    instructions: Report,
    time: Report,
}

/// Measures every server in both ways, and writes the figures into the page and its plot.
///
/// # Errors
/// A server cannot be had or measured, or the page cannot be written.
pub fn write(measure: impl Fn(&str, Unit) -> Result<Report>) -> Result<()> {
    let names = [INSTALLED].into_iter().chain(servers::NEWER.iter().map(|server| server.name));
    let mut all = Vec::new();
    for name in names {
        eprintln!("==> {name}");
        let (instructions, time) = (Unit::Instructions, Unit::Microseconds);
        all.push(Measured {
            instructions: measure(name, instructions)?,
            time: measure(name, time)?,
        });
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("no {}", page.display()))?;
    let date = Timestamp::now().strftime("%F").to_string();
    fs::write(&page, with_figures(&text, &figures(&all, &date))?)?;
    let first = all.first().context("no server")?;
    plot(first, docs.join("performance.svg"))?;
    eprintln!("written: {}", page.display());
    Ok(())
}

/// The page with other figures.
fn with_figures(page: &str, figures: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin).context("the page has no place for figures")?;
    let (_, after) = rest.split_once(end).context("the place for figures has no end")?;
    Ok([before, begin, figures, end, after].concat())
}

/// A table with a column of ratios per server and way of measuring.
fn figures(all: &[Measured], date: &str) -> String {
    let mut head = String::from("| workload |");
    let mut line = String::from("|---|");
    for measured in all {
        let server = &measured.time.server;
        head.push_str(&format!(" {server}: instructions | time |"));
        line.push_str("---:|---:|");
    }
    let mut text = format!(
        "Measured on {date} by `cargo xtask bench --page`: stock's cost by the module's, above 1 the module \
         is faster.\n\n{head}\n{line}\n"
    );
    let rows = all.first().map(|measured| measured.time.workloads.as_slice()).unwrap_or_default();
    for row in rows {
        text.push_str(&format!("| {} |", row.title));
        for measured in all {
            for report in [&measured.instructions, &measured.time] {
                let same = report.workloads.iter().find(|other| other.name == row.name);
                let ratio = same.map_or_else(String::new, |row| format!("{:.2}", row.ratio()));
                text.push_str(&format!(" {ratio} |"));
            }
        }
        text.push('\n');
    }
    text.push_str("\nOne run costs, stock / here:\n\n| workload |");
    for measured in all {
        let server = &measured.time.server;
        text.push_str(&format!(" {server}: instructions | µs |"));
    }
    text.push_str(&format!("\n{line}\n"));
    for row in rows {
        text.push_str(&format!("| {} |", row.title));
        for measured in all {
            for (report, places) in [(&measured.instructions, 0), (&measured.time, 2)] {
                let same = report.workloads.iter().find(|other| other.name == row.name);
                let cost =
                    same.map(Row::medians).map_or_else(String::new, |Pair { stock, module }| {
                        format!("{stock:.places$} / {module:.places$}")
                    });
                text.push_str(&format!(" {cost} |"));
            }
        }
        text.push('\n');
    }
    text.push('\n');
    for measured in all {
        if let Some(row) = &measured.time.memory {
            let Pair { stock, module } = row.medians();
            let server = &measured.time.server;
            text.push_str(&format!("- {server}, {}: {stock:.0} / {module:.0}\n", row.title));
        }
    }
    text
}

const WIDTH: u32 = 860;
const LINE: i32 = 26;
const TOP: i32 = 56;
const LEFT: i32 = 330;
/// Ratios that have a line, on a scale of doublings.
const SCALE: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
const COLOURS: [RGBColor; 2] = [RGBColor(0x1f, 0x6f, 0xb2), RGBColor(0xe0, 0x8a, 0x1e)];

fn place(ratio: f64) -> i32 {
    let share = (ratio.clamp(0.5, 10.0) / 0.5).log2() / (10.0_f64 / 0.5).log2();
    LEFT + (share * f64::from(WIDTH as i32 - LEFT - 60)) as i32
}

/// Draws a pair of bars per workload.
fn plot(measured: &Measured, file: PathBuf) -> Result<()> {
    let rows = &measured.time.workloads;
    let height = TOP + LINE * rows.len() as i32 + 16;
    let area = SVGBackend::new(&file, (WIDTH, height as u32)).into_drawing_area();
    draw(&area, measured, height).map_err(|error| anyhow!("cannot draw: {error}"))
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    measured: &Measured,
    height: i32,
) -> Result<(), Box<dyn std::error::Error>> {
    let text = |size: i32| ("sans-serif", size).into_font();
    area.fill(&WHITE)?;
    area.draw(&Text::new(
        format!(
            "{}: stock's cost by the module's (above 1 the module is faster)",
            measured.time.server
        ),
        (12, 10),
        text(15),
    ))?;
    for (at, (name, colour)) in ["instructions", "processor time"].iter().zip(COLOURS).enumerate() {
        let left = 12 + 130 * at as i32;
        area.draw(&Rectangle::new([(left, 34), (left + 10, 44)], colour.filled()))?;
        area.draw(&Text::new(*name, (left + 15, 32), text(12)))?;
    }
    for ratio in SCALE {
        let x = place(ratio);
        let style =
            if ratio == 1.0 { BLACK.stroke_width(1) } else { RGBColor(0xd0, 0xd0, 0xd0).into() };
        area.draw(&PathElement::new([(x, TOP - 4), (x, height - 10)], style))?;
        let middle = text(12).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Bottom));
        area.draw(&Text::new(format!("{ratio}"), (x, TOP - 6), middle))?;
    }
    for (at, row) in measured.time.workloads.iter().enumerate() {
        let top = TOP + LINE * at as i32;
        let title = row.title.replace('`', "");
        let right = text(12).into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(title, (LEFT - 150 + 140, top + LINE / 2), right))?;
        for (half, (report, colour)) in
            [&measured.instructions, &measured.time].into_iter().zip(COLOURS).enumerate()
        {
            let Some(row) = report.workloads.iter().find(|other| other.name == row.name) else {
                continue;
            };
            let (x, y) = (place(row.ratio()), top + 4 + 9 * half as i32);
            let (low, high) = (x.min(place(1.0)), x.max(place(1.0)));
            area.draw(&Rectangle::new([(low, y), (high, y + 8)], colour.filled()))?;
            area.draw(&Text::new(format!("{:.2}", row.ratio()), (high + 4, y - 1), text(10)))?;
        }
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::workload::GROUPS;
    use super::*;
    use crate::server::ScratchFolder;

    fn measured() -> Measured {
        let report = |unit, stock| {
            let mut row = Row::new(&GROUPS[0].workloads[0], 1);
            row.cost.push(Pair { stock, module: 2.0 });
            let server = "Redis 1.2".to_owned();
            Report { unit, server, rounds: 1, workloads: vec![row], memory: None }
        };
        Measured {
            instructions: report(Unit::Instructions, 3.0),
            time: report(Unit::Microseconds, 2.5),
        }
    }

    #[test]
    fn a_row_has_both_ratios_of_every_server() {
        let text = figures(&[measured(), measured()], "2026-01-01");
        assert!(text.contains("| `return 1` | 1.50 | 1.25 | 1.50 | 1.25 |"), "{text}");
        assert!(text.contains("| `return 1` | 3 / 2 | 2.50 / 2.00 |"), "{text}");
    }

    #[test]
    fn the_plot_shows_every_ratio() {
        let folder = ScratchFolder::new("plot").unwrap();
        let file = folder.0.join("plot.svg");
        plot(&measured(), file.clone()).unwrap();
        let svg = fs::read_to_string(file).unwrap();
        assert!(svg.contains("1.50") && svg.contains("1.25") && svg.contains("return 1"), "{svg}");
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let [begin, end] = MARKS;
        let page = format!("a\n{begin}old\n{end}b\n");
        assert_eq!(with_figures(&page, "new\n").unwrap(), format!("a\n{begin}new\n{end}b\n"));
        assert!(with_figures("a\n", "new\n").is_err());
    }
}
