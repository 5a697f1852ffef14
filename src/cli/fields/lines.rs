//! What the forms of `freshet fields` print alike.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use crate::cli::terminal::output::{Failure, width};

pub(super) const BOLD: Style = Style::new().bold();

/// An object a line.
pub(super) fn json_lines(items: &[impl serde::Serialize]) -> Result<String, Failure> {
    let mut lines = String::new();
    for item in items {
        lines.push_str(&serde_json::to_string(item).map_err(Failure::failed)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// A table of names, which are copied from it, and of words in the last column, which may be broken.
pub(super) fn aligned<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width()).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in 0..COLUMNS.saturating_sub(1) {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect()
}
