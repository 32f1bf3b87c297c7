//! A profile as a flame graph.

use inferno::flamegraph::{self, Options, TextTruncateDirection};

/// Draws folded stacks as SVG.
pub(super) fn draw(folded: &str) -> Option<Vec<u8>> {
    let mut options = Options::default();
    options.title = "Scripts and functions".to_owned();
    options.count_name = "samples".to_owned();
    // The same colour for the same name, so that two graphs can be compared.
    options.hash = true;
    options.text_truncate_direction = TextTruncateDirection::Right;
    let mut page = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut page).ok()?;
    Some(page)
}
