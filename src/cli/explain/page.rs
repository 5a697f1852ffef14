//! Text that is put together line by line: what does not fit is broken, tables are aligned.

use std::fmt::Write as _;

use anstyle::Style;
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::terminal::output::width;

pub(super) const BOLD: Style = Style::new().bold();

#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.text, "{line}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    pub(super) fn table<const COLUMNS: usize>(
        &mut self,
        head: [&str; COLUMNS],
        rows: impl Iterator<Item = [String; COLUMNS]>,
    ) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width().saturating_sub(2)).set_header(head);
        for row in rows {
            table.add_row(row);
        }
        for (place, line) in table.lines().enumerate() {
            let line = line.trim_end().to_owned();
            if place == 0 {
                self.line(format_args!("  {BOLD}{line}{BOLD:#}"));
            } else {
                self.line(format_args!("  {line}"));
            }
        }
    }

    /// A sentence that may be longer than a line.
    pub(super) fn wrapped(&mut self, indent: &str, text: &str) {
        self.styled(Style::new(), indent, text);
    }

    pub(super) fn styled(&mut self, style: Style, indent: &str, text: &str) {
        let width = usize::from(width()).saturating_sub(indent.len());
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                self.line(format_args!("{indent}{style}{line}{style:#}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(format_args!("{indent}{style}{line}{style:#}"));
    }
}
