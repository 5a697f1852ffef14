//! Findings as people read them: a heading, and a line each, with what to do below.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

use crate::check::{CheckStatus, Finding};

/// Where there is no terminal to ask.
const USUAL_WIDTH: u16 = 100;
/// Longer lines are hard to read.
const WIDEST: u16 = 120;
const ALL: [CheckStatus; 4] =
    [CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Failed, CheckStatus::Skipped];

pub(super) fn width() -> u16 {
    terminal_size::terminal_size().map_or(USUAL_WIDTH, |(width, _)| width.0.clamp(50, WIDEST))
}

/// One group. With colours, which the caller takes out where they are not wanted.
pub(super) fn group(title: &str, about: &str, findings: &[Finding], width: u16) -> String {
    let bold = Style::new().bold();
    let mut text = format!("{bold}{title}{bold:#}");
    if !about.is_empty() {
        write!(text, "  {about}").ok();
    }
    text.push('\n');
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.saturating_sub(1));
    for finding in findings {
        let mut message = finding.message.clone();
        if let Some(remedy) = &finding.remedy {
            write!(message, "\n-> {remedy}").ok();
        }
        table.add_row([finding.status.as_str(), finding.check, &message]);
    }
    for line in table.lines() {
        let line = line.trim_end();
        let coloured = ALL.iter().find_map(|status| {
            let rest = line.strip_prefix(' ')?.strip_prefix(status.as_str())?;
            let style = style(*status);
            rest.starts_with(' ').then(|| format!("  {style}{}{style:#}{rest}", status.as_str()))
        });
        text.push_str(&coloured.unwrap_or_else(|| format!(" {line}")));
        text.push('\n');
    }
    text.push('\n');
    text
}

fn style(status: CheckStatus) -> Style {
    let colour = match status {
        CheckStatus::Ok => AnsiColor::Green,
        CheckStatus::Warning => AnsiColor::Yellow,
        CheckStatus::Failed => AnsiColor::Red,
        CheckStatus::Skipped => AnsiColor::Cyan,
    };
    colour.on_default()
}

/// How many findings there were of each status.
#[derive(Debug, Default)]
pub(super) struct StatusCounts([usize; 4]);

impl StatusCounts {
    pub(super) fn count(&mut self, findings: &[Finding]) {
        for (total, status) in self.0.iter_mut().zip(ALL) {
            *total += findings.iter().filter(|finding| finding.status == status).count();
        }
    }

    pub(super) fn of(&self, status: CheckStatus) -> usize {
        self.0.iter().zip(ALL).filter(|(_, other)| *other == status).map(|(total, _)| *total).sum()
    }
}

impl fmt::Display for StatusCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warnings = if self.of(CheckStatus::Warning) == 1 { "warning" } else { "warnings" };
        write!(
            f,
            "{} ok, {} {warnings}, {} failed, {} skipped",
            self.of(CheckStatus::Ok),
            self.of(CheckStatus::Warning),
            self.of(CheckStatus::Failed),
            self.of(CheckStatus::Skipped)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;

    fn finding(status: CheckStatus, message: &str, remedy: Option<&str>) -> Finding {
        let (message, remedy) = (message.to_owned(), remedy.map(str::to_owned));
        Finding { subject: Subject::Broker, check: "version", status, message, remedy }
    }

    #[test]
    fn lines_are_no_wider_than_they_may_be_and_what_to_do_stands_below() {
        let long = "a message that is much too long for one line of a narrow terminal, and so takes several";
        let findings = [
            finding(CheckStatus::Ok, "short", None),
            finding(CheckStatus::Failed, long, Some("do this")),
            finding(CheckStatus::Warning, "ok is what it is not", Some("do that")),
        ];
        for width in [50, 80, 120] {
            let plain = anstream::adapter::strip_str(&group("RabbitMQ", "", &findings, width)).to_string();
            assert!(plain.lines().all(|line| line.chars().count() <= usize::from(width)), "{plain}");
            assert!(plain.contains("-> do this"), "{plain}");
            let words: Vec<&str> = plain.split_whitespace().collect();
            assert!(words.join(" ").contains("much too long"), "nothing is cut off: {plain}");
        }
    }

    #[test]
    fn findings_are_counted_by_status() {
        let mut totals = StatusCounts::default();
        totals.count(&[finding(CheckStatus::Ok, "", None), finding(CheckStatus::Warning, "", Some(""))]);
        totals.count(&[finding(CheckStatus::Ok, "", None), finding(CheckStatus::Failed, "", Some(""))]);
        assert_eq!(totals.to_string(), "2 ok, 1 warning, 1 failed, 0 skipped");
    }
}
