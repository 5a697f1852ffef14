//! Tables as the commands print them: aligned, without lines, and no wider than the terminal.

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, Table};

/// Aligned columns under their headings. Ends with a line break.
pub(in crate::cli) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(headings.iter().copied());
    if std::io::stdout().is_terminal()
        && let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size()
    {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Without control characters: names that senders chose must not steer a terminal.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_name_steers_the_terminal() {
        let rows = [vec!["acme".to_owned(), "1".to_owned()], vec!["b\u{1b}[2J".to_owned(), "20".to_owned()]];
        assert_eq!(table(&["ACCOUNT", "N"], rows), "ACCOUNT  N\nacme     1\nb\u{fffd}[2J    20\n");
    }
}
