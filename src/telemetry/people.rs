//! The text format: one line for people, `time level message field=value …`. On a terminal it has colours and fits the
//! width: names lose their prefixes, long values are cut, and fields at the end are left out if there is no room at all.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::line;

/// These come first, in this order; then the others as they stand in the code, and the trace at the end.
const FIRST_FIELDS: [&str; 9] = [
    "account",
    "reason",
    "lane.state",
    "queue",
    "why",
    "traits",
    "event.type",
    "event.message_id",
    "http.status",
];
const LAST_FIELD: &str = "trace_id";
/// Words of fixed lists and accounts' names, which are never cut.
const WHOLE_VALUES: [&str; 5] = ["account", "reason", "state", "before", "type"];
/// No value is cut below so many characters.
const SHORTEST_VALUE: usize = 12;
const ELLIPSIS: char = '…';
/// What stands before the message on a terminal.
const HEAD_OF_LINE: usize = "06:51:45 ERROR ".len();

#[derive(Debug)]
pub(super) struct PeopleFormat {
    /// A terminal's lines have a short time, and values are cut.
    terminal: bool,
    colour: bool,
}

impl PeopleFormat {
    /// For the process' standard error. `$NO_COLOR` and its like are obeyed.
    pub(super) fn of_stderr() -> Self {
        let stderr = std::io::stderr();
        let colour = AutoStream::choice(&stderr) != ColorChoice::Never;
        Self { terminal: std::io::IsTerminal::is_terminal(&stderr), colour }
    }

    fn line(
        &self,
        now: Timestamp,
        width: Option<usize>,
        level: Level,
        target: &str,
        texts: &LineTexts,
    ) -> String {
        let paint = |style: Style, text: &str| {
            if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
        };
        let dim = Style::new().dimmed();
        let time = if self.terminal { now.strftime("%T") } else { now.strftime("%FT%T%.3fZ") };
        let target = if level > Level::INFO { format!("{target}: ") } else { String::new() };
        let mut line = format!(
            "{} {} {target}{}",
            paint(dim, &time.to_string()),
            paint(colour_of(level), &format!("{:<5}", level.as_str())),
            paint(Style::new().bold(), &texts.message),
        );
        let fields = texts.in_order(self.terminal);
        let mut taken = HEAD_OF_LINE + target.len() + length(&texts.message);
        let longest = width.map_or(usize::MAX, |width| longest_value(&fields, width.saturating_sub(taken)));
        let mut fields = fields.into_iter().peekable();
        while let Some((name, value)) = fields.next() {
            let longest = if WHOLE_VALUES.contains(&name) { usize::MAX } else { longest };
            let value = cut(value, longest);
            taken += length(name) + " =".len() + length(&value);
            // To say that fields were left out.
            let ending = if fields.peek().is_some() { length(" …") } else { 0 };
            if width.is_some_and(|width| taken + ending > width) {
                write!(line, " {ELLIPSIS}").ok();
                break;
            }
            // Writing to a string cannot fail.
            write!(line, " {}{value}", paint(dim, &format!("{name}="))).ok();
        }
        line
    }
}

impl<S, N> FormatEvent<S, N> for PeopleFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut texts = LineTexts::default();
        event.record(&mut texts);
        let width = self.terminal.then(|| terminal_size::terminal_size_of(std::io::stderr())).flatten();
        let width = width.map(|(width, _)| usize::from(width.0));
        let metadata = event.metadata();
        writeln!(
            writer,
            "{}",
            self.line(Timestamp::now(), width, *metadata.level(), metadata.target(), &texts)
        )
    }
}

fn colour_of(level: Level) -> Style {
    let colour = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        _ => AnsiColor::Blue,
    };
    colour.on_default()
}

/// An event's message and fields, on one line each and without addresses.
#[derive(Debug, Default)]
struct LineTexts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl LineTexts {
    fn add(&mut self, name: &'static str, value: &str) {
        // Before it is cut: half an address would not be recognised.
        let masked = line::masked_value(value);
        if name == "message" {
            self.message = on_one_line(&masked);
        } else {
            self.fields.push((name, quoted(&masked)));
        }
    }

    fn in_order(&self, short_names: bool) -> Vec<(&'static str, &str)> {
        let place = |name: &str| match FIRST_FIELDS.iter().position(|first| *first == name) {
            Some(place) => place,
            None if name == LAST_FIELD => usize::MAX,
            None => FIRST_FIELDS.len(),
        };
        let mut fields: Vec<_> = self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.sort_by_key(|(name, _)| place(name));
        if short_names {
            for (name, _) in &mut fields {
                *name = name.rsplit('.').next().unwrap_or(name);
            }
        }
        fields
    }
}

impl Visit for LineTexts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string fails only if the value's own `Debug` does.
        write!(text, "{value:?}").ok();
        self.add(field.name(), &text);
    }
}

/// A value that can be told from its surroundings: as it is, or between quotes.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=') && is_visible(c);
    if !value.is_empty() && value.chars().all(plain) { value.to_owned() } else { format!("{value:?}") }
}

/// A message, with what would break the line or colour it written as an escape.
fn on_one_line(message: &str) -> String {
    let escaped = |c: char| if is_visible(c) || c == '"' { vec![c] } else { c.escape_debug().collect() };
    message.chars().flat_map(escaped).collect()
}

fn is_visible(c: char) -> bool {
    c.escape_debug().len() == 1 || c == '\'' || c == '\\'
}

/// How long values may be so that all of them fit into so many characters; [`SHORTEST_VALUE`] at least.
fn longest_value(fields: &[(&str, &str)], room: usize) -> usize {
    let mut lengths = Vec::new();
    let mut taken = 0;
    for (name, value) in fields {
        taken += length(name) + " =".len();
        if WHOLE_VALUES.contains(name) {
            taken += length(value);
        } else {
            lengths.push(length(value));
        }
    }
    lengths.sort_unstable();
    let mut left = room.saturating_sub(taken);
    for (place, length) in lengths.iter().enumerate() {
        // What the shorter ones do not need is for the longer ones.
        let share = left / (lengths.len() - place);
        if *length > share {
            return share.max(SHORTEST_VALUE);
        }
        left -= length;
    }
    usize::MAX
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(value: &str, longest: usize) -> Cow<'_, str> {
    let Some((end, _)) = value.char_indices().nth(longest) else { return value.into() };
    // Room for the ellipsis, and for the quote that would have come at the end.
    let quote = if value.starts_with('"') { "\"" } else { "" };
    let kept = value.get(..end).unwrap_or_default();
    let dropped = 1 + quote.len();
    let kept: String = kept.chars().take(longest.saturating_sub(dropped)).collect();
    // Half an escape says nothing.
    let kept = kept.trim_end_matches('\\');
    format!("{kept}{ELLIPSIS}{quote}").into()
}

#[cfg(test)]
mod tests;
