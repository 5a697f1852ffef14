//! An explanation as people read it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::cli::output::width;
use crate::cli::summary::events;
use crate::explain::{Ends, Explanation, ForeseenRequest, MappedTrait, Summary, remedy, why_skipped};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::Entity;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const PASSED_OVER: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// So many requests that follow a refusal are shown.
const SHOWN_FURTHER: usize = 4;
/// The longest value shown in the table, in characters.
const LONGEST_VALUE: usize = 60;

/// Where an event stands.
pub(super) struct Place {
    /// What its number counts.
    pub(super) word: &'static str,
    /// What happened to it before.
    pub(super) history: Option<String>,
}

/// An event of a file.
pub(super) const IN_A_FILE: Place = Place { word: "line", history: None };

/// Everything about one event.
pub(super) fn event(place: &Place, explanation: &Explanation, requests_per_hour: Option<f64>) -> String {
    let mut page = Page::default();
    page.title(place.word, explanation);
    if let Some(history) = &place.history {
        page.line(format_args!("  {history}"));
    }
    page.ends(explanation);
    page.problems(explanation);
    page.mapped(&explanation.mapped);
    page.ignored(explanation);
    page.requests(explanation);
    page.costs(explanation, requests_per_hour);
    page.text.push('\n');
    page.text
}

/// How many events would end how.
pub(super) fn summary(summary: &Summary) -> String {
    let mut page = Page::default();
    let Summary { deliver, skip, dead_letter, .. } = summary;
    page.line(format_args!(
        "{BOLD}{}{BOLD:#}: {deliver} would be delivered, {skip} skipped, {dead_letter} dead-lettered",
        events(summary.events)
    ));
    for (reason, number) in &summary.by_reason {
        page.line(format_args!("  {number:>7}  {reason}"));
    }
    if summary.calls > 0 {
        page.line(format_args!(
            "They cost {} calls or more if each goes alone; many that wait together share calls.",
            summary.calls
        ));
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.text, "{line}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    fn title(&mut self, place: &str, explanation: &Explanation) {
        let event_type = explanation.event_type.as_deref().unwrap_or("(no type)");
        let place = match explanation.index {
            Some(index) => format!("{place} {}, event {} of the batch", explanation.line, index + 1),
            None => format!("{place} {}", explanation.line),
        };
        let id = explanation.message_id.as_ref().map(|id| format!("  messageId {}", shortened(id)));
        let id = id.unwrap_or_default();
        self.line(format_args!("{BOLD}{place}  {event_type}{BOLD:#}{DIM}{id}{DIM:#}"));
    }

    fn ends(&mut self, explanation: &Explanation) {
        let goes = match (&explanation.account, explanation.routed_by) {
            (Some(account), Some(by)) => format!("account {account}, {}", because(by)),
            (Some(account), None) => format!("account {account}"),
            (None, _) => "no account".to_owned(),
        };
        self.line(format_args!("  goes to {goes}"));
        match explanation.ends {
            Ends::Deliver => self.line(format_args!("  {GOOD}would be delivered{GOOD:#}")),
            Ends::Skip(reason) => {
                self.line(format_args!("  {PASSED_OVER}would be skipped: {reason}{PASSED_OVER:#}"));
            }
            Ends::DeadLetter(reason) => {
                self.line(format_args!("  {BAD}would become a dead letter: {reason}{BAD:#}"));
            }
        }
        for note in &explanation.notes {
            self.line(format_args!("  {note}"));
        }
        match explanation.ends {
            Ends::Skip(reason) => self.wrapped("  ", why_skipped(reason)),
            Ends::Deliver | Ends::DeadLetter(_) => {}
        }
    }

    fn problems(&mut self, explanation: &Explanation) {
        for problem in &explanation.problems {
            self.wrapped("    ", &problem_words(problem));
        }
        if let Ends::DeadLetter(reason) = explanation.ends {
            self.wrapped("  ", &format!("What to do: {}.", remedy(reason)));
        }
    }

    fn mapped(&mut self, mapped: &[MappedTrait]) {
        if mapped.is_empty() {
            return;
        }
        let rows = mapped.iter().map(|set| {
            let field = match set.entity {
                Entity::Contact => set.field.clone(),
                Entity::SalesAccount => format!("sales account's {}", set.field),
                Entity::Deal => format!("deal's {}", set.field),
            };
            let label = if set.label.is_empty() { String::new() } else { format!(" ({})", set.label) };
            let sent = value(&set.sent);
            let sent =
                if set.given == set.sent { sent } else { format!("{sent}, from {}", value(&set.given)) };
            [set.trait_path.clone(), format!("{field}{label}"), sent, set.how.to_owned()]
        });
        self.table(["trait", "field", "value sent", "how"], rows);
    }

    fn ignored(&mut self, explanation: &Explanation) {
        let rows = explanation.ignored.iter().map(|ignored| {
            let nearest = ignored.nearest.as_ref().map(|nearest| format!("; was {nearest} meant?"));
            [ignored.trait_path.clone(), format!("{}{}", ignored.why, nearest.unwrap_or_default())]
        });
        if explanation.ignored.is_empty() {
            return;
        }
        self.table(["ignored trait", "why"], rows);
    }

    fn requests(&mut self, explanation: &Explanation) {
        if explanation.foreseen.requests.is_empty() {
            return;
        }
        self.line(format_args!("  {BOLD}requests{BOLD:#}"));
        let (further, usual): (Vec<_>, Vec<_>) =
            explanation.foreseen.requests.iter().partition(|request| request.after_refusal);
        for ForeseenRequest { method, path, body, condition, .. } in usual {
            self.line(format_args!("    {method} {path}"));
            if let Some(condition) = condition {
                self.wrapped("      ", &format!("if {condition}"));
            }
            if let Some(body) = body {
                let pretty = serde_json::to_string_pretty(body).unwrap_or_default();
                for line in pretty.lines() {
                    self.line(format_args!("      {DIM}{line}{DIM:#}"));
                }
            }
        }
        if further.is_empty() {
            return;
        }
        self.line(format_args!("  {BOLD}further requests if Freshsales refuses something{BOLD:#}"));
        for ForeseenRequest { method, path, condition, .. } in further.iter().take(SHOWN_FURTHER) {
            self.line(format_args!("    {method} {path}"));
            if let Some(condition) = condition {
                self.wrapped("      ", &format!("if {condition}"));
            }
        }
        let more = further.len().saturating_sub(SHOWN_FURTHER);
        if more > 0 {
            self.line(format_args!("    and {more} more; --json shows all, with their bodies"));
        }
    }

    fn costs(&mut self, explanation: &Explanation, requests_per_hour: Option<f64>) {
        if explanation.ends != Ends::Deliver {
            return;
        }
        let foreseen = &explanation.foreseen;
        let (least, most) = foreseen.usual;
        let calls = if least == most { calls_of(least) } else { format!("{least} to {}", calls_of(most)) };
        let refused = if foreseen.most > most {
            format!(", at most {} if Freshsales refuses something", foreseen.most)
        } else {
            String::new()
        };
        let report = foreseen.requests.iter().any(|request| !request.counts_against_quota);
        let counted = most.saturating_sub(u32::from(report));
        let share = requests_per_hour.filter(|_| counted > 0).map(|hourly| {
            let share = f64::from(counted) / hourly * 100.0;
            let of = if report { " in the API quota" } else { "" };
            format!(
                "; up to {}{of}, {share:.2} % of the {hourly:.0} an hour of this account",
                calls_of(counted)
            )
        });
        self.wrapped("  ", &format!("Costs {calls}{refused}{}.", share.unwrap_or_default()));
        if foreseen.refusals.contains(&DeadLetterReason::MissingEmail) {
            let words = "If no contact has this userId, it becomes a dead letter: missing_email.";
            self.wrapped("  ", &format!("{words} What to do: {}.", remedy(DeadLetterReason::MissingEmail)));
        }
        for lacking in &explanation.lacking {
            let then = match &lacking.default {
                Some(default) => format!("the account's default {} is sent then", value(default)),
                None => format!(
                    "there is no default, so it becomes a dead letter then: rejected. Send the trait {}",
                    lacking.trait_path
                ),
            };
            self.wrapped("  ", &format!("Freshsales needs {} in a new record; {then}.", lacking.field));
        }
    }

    fn table<const COLUMNS: usize>(
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
    fn wrapped(&mut self, indent: &str, text: &str) {
        let width = usize::from(width()).saturating_sub(indent.len());
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                self.line(format_args!("{indent}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(format_args!("{indent}{line}"));
    }
}

fn because(by: &str) -> &'static str {
    match by {
        "header" => "which its header freshsales-account names",
        "writeKey" => "which lists its writeKey",
        "projectId" => "which lists its projectId",
        "option" => "as --account says",
        _ => "the only one",
    }
}

fn problem_words(problem: &Problem) -> String {
    let place = match (&problem.trait_path, &problem.field) {
        (Some(trait_path), Some(field)) if trait_path != field => format!("{trait_path} (field {field}): "),
        (Some(place), _) | (None, Some(place)) => format!("{place}: "),
        (None, None) => String::new(),
    };
    let expected = problem.expected.as_ref().map(|expected| format!("; expected {expected}"));
    let got = problem.got.as_ref().map(|got| format!("; got {got}"));
    format!("{place}{}{}{}", problem.problem, expected.unwrap_or_default(), got.unwrap_or_default())
}

fn calls_of(number: u32) -> String {
    if number == 1 { "1 call".to_owned() } else { format!("{number} calls") }
}

fn value(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
