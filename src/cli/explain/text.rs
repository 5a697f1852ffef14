//! An explanation as people read it.

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::page::{BOLD, Page};
use crate::cli::running::summary::events;
use crate::explain::{Ends, Explanation, ForeseenRequest, MappedTrait, Risk, Summary, remedy, why_skipped};
use crate::mapping::Lacking;
use crate::outcome::Problem;
use crate::schema::Entity;

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
    let depends = match summary.at_risk {
        0 => String::new(),
        at_risk => format!(" ({at_risk} of them only if a record exists)"),
    };
    page.line(format_args!(
        "{BOLD}{}{BOLD:#}: {deliver} would be delivered{depends}, {skip} skipped, {dead_letter} dead-lettered",
        events(summary.events)
    ));
    for (reason, number) in &summary.by_reason {
        page.line(format_args!("  {number:>7}  {reason}"));
    }
    if summary.calls > 0 {
        let calls = crate::words::counted(summary.calls, "call", "calls");
        let sharing = if summary.deliver == 1 {
            ""
        } else {
            " if each goes alone; many that wait together share calls"
        };
        page.line(format_args!("At least {calls}{sharing}."));
    }
    page.text
}

impl Page {
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
            Ends::Deliver if explanation.risks.is_empty() => {
                self.line(format_args!("  {GOOD}would be delivered{GOOD:#}"));
            }
            Ends::Deliver => self.risks(&explanation.risks),
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

    /// What decides whether it is delivered, and what to do.
    fn risks(&mut self, risks: &[Risk]) {
        for risk in risks {
            self.styled(PASSED_OVER, "  ", &risk.sentence());
            self.wrapped("  ", &format!("What to do: {}.", risk.remedy()));
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
        let mut told = None;
        for request in usual {
            let indent = self.request(request, &mut told);
            if let Some(body) = &request.body {
                let pretty = serde_json::to_string_pretty(body).unwrap_or_default();
                for line in pretty.lines() {
                    self.line(format_args!("{indent}  {DIM}{line}{DIM:#}"));
                }
            }
        }
        if further.is_empty() {
            return;
        }
        self.line(format_args!("  {BOLD}further requests if Freshsales refuses something{BOLD:#}"));
        let mut told = None;
        for request in further.iter().take(SHOWN_FURTHER) {
            self.request(request, &mut told);
        }
        let more = further.len().saturating_sub(SHOWN_FURTHER);
        if more > 0 {
            self.line(format_args!("    and {more} more; --json shows all, with their bodies"));
        }
    }

    /// A request, under its condition, which is told once for all that follow each other. Returns how far it is indented.
    fn request<'a>(&mut self, request: &'a ForeseenRequest, told: &mut Option<&'a str>) -> &'static str {
        let ForeseenRequest { method, path, condition, .. } = request;
        if *told != condition.as_deref() {
            *told = condition.as_deref();
            if let Some(condition) = condition {
                self.wrapped("    ", &format!("if {condition}"));
            }
        }
        let indent = if told.is_some() { "      " } else { "    " };
        self.line(format_args!("{indent}{method} {path}"));
        indent
    }

    fn costs(&mut self, explanation: &Explanation, requests_per_hour: Option<f64>) {
        if explanation.ends != Ends::Deliver {
            return;
        }
        let foreseen = &explanation.foreseen;
        let (least, most) = foreseen.usual;
        let calls = if least == most { calls_of(least) } else { format!("{least} to {}", calls_of(most)) };
        let reports = foreseen.requests.iter().any(|request| !request.counts_against_quota);
        let counted = most.saturating_sub(u32::from(reports));
        let quota = match (requests_per_hour, counted) {
            (None, _) => String::new(),
            (Some(_), 0) => ", which counts against no hourly quota".to_owned(),
            (Some(hourly), counted) => {
                let share = f64::from(counted) / hourly * 100.0;
                let up_to = if least == most { "" } else { "up to " };
                let of = match least.saturating_sub(1) {
                    _ if !reports => String::new(),
                    fewest if fewest == counted => format!(", {counted} of which the hourly quota counts"),
                    fewest => format!(", {fewest} or {counted} of which the hourly quota counts"),
                };
                format!("{of}: {up_to}{share:.2} % of the {hourly:.0} calls an hour that Freshet may make")
            }
        };
        let refused = if foreseen.most > most {
            format!(" If Freshsales refuses something, at most {}.", foreseen.most)
        } else {
            String::new()
        };
        self.wrapped("  ", &format!("Costs {calls}{quota}.{refused}"));
        for Lacking { field, default, .. } in &explanation.filled {
            let default = default.as_ref().map(value).unwrap_or_default();
            let words = format!(
                "A new record needs {field}; if it has to be created, the account's default {default} is sent."
            );
            self.wrapped("  ", &words);
        }
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
