//! Drop-downs whose choices are ranges, such as `number_of_employees` ("1-10", "11-50", "10001+"): which one contains a
//! count. The ranges are read from labels and ids each time: few values are counts, and a lane would keep them in memory
//! for as long as it lives. [`super::choice`] asks before it looks for a choice by label or id.

use serde_json::{Number, Value};

use crate::mapping::Coercion;
use crate::segment::whole;

/// The most digits of a count; all such numbers fit into 64 bits.
const MOST_DIGITS: usize = 19;

/// Words that may stand beside a range without changing its numbers. Others do: "1-10 million".
const UNITS: [&str; 11] = [
    "employees",
    "employee",
    "people",
    "persons",
    "person",
    "users",
    "user",
    "members",
    "seats",
    "staff",
    "fte",
];

/// The number and all above it. The "+" of "10000+" means "more than" where the range before ends with 10000.
const AND_ABOVE_BEFORE: [&str; 3] = ["at least", ">=", "≥"];
const AND_ABOVE_BEHIND: [&str; 7] = ["+", "plus", "or more", "and more", "or above", "and above", "and over"];
/// All above the number, without it.
const ABOVE: [&str; 4] = [">", "more than", "over", "above"];
/// The number and all below it.
const UP_TO: [&str; 4] = ["up to", "at most", "<=", "≤"];
/// All below the number, without it.
const BELOW: [&str; 5] = ["<", "less than", "fewer than", "under", "below"];

/// The signs between groups of three digits.
const SEPARATORS: [char; 8] = [',', '.', '\'', '’', ' ', '\u{a0}', '\u{2009}', '\u{202f}'];

/// A field's ranges, the lowest first. They do not overlap, and only the last may have no end.
#[derive(Debug)]
pub(in crate::mapping) struct Ranges(Vec<Range>);

/// A choice's range, both ends included.
#[derive(Debug, Clone, Copy)]
struct Range {
    /// The choice's place among the field's.
    place: usize,
    first: u64,
    last: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) struct Found {
    /// The choice's place among the field's.
    pub(in crate::mapping) place: usize,
    /// Whether its range has an end.
    pub(in crate::mapping) bounded: bool,
}

/// A value as a count: a whole number in any form or, with lossless coercion, its text.
pub(in crate::mapping) fn count(value: &Value, coercion: Coercion) -> Option<u64> {
    let digits = match (value, coercion) {
        (Value::Number(number), _) => whole(number.as_str(), MOST_DIGITS)?,
        (Value::String(text), Coercion::Lossless) => {
            whole(text.trim().parse::<Number>().ok()?.as_str(), MOST_DIGITS)?
        }
        (Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => {
            return None;
        }
    };
    digits.parse().ok()
}

impl Ranges {
    /// The ranges of a field's choices, given as labels and ids; `None` if this is no field of ranges. Choices without any
    /// number ("Unknown") are passed over; all others must be ranges.
    pub(in crate::mapping) fn of<'a>(
        choices: &(impl Iterator<Item = (&'a str, Option<i64>)> + Clone),
    ) -> Option<Self> {
        let labels = || {
            let numbered = choices.clone().enumerate().filter(|(_, (label, _))| numbered(label));
            numbered.map(|(place, (label, id))| Label::parse(label).map(|label| (place, label, id)))
        };
        // Ends at the first label that is no range, which keeps the cost of all other drop-downs small.
        let mut highest = 0;
        let mut ids_are_starts = true;
        for label in labels() {
            let (_, label, id) = label?;
            highest = highest.max(label.first);
            ids_are_starts &= label.start(id).is_some();
        }
        let range = |(place, label, id): (usize, Label<'_>, Option<i64>)| {
            let by_words = label.range();
            let by_id = || if ids_are_starts { label.range_from(id, highest) } else { None };
            let (first, last) = by_words.or_else(by_id)?;
            let start = label.start(id).filter(|_| ids_are_starts && last.is_none());
            let first = start.map_or(first, |start| start.max(first));
            last.is_none_or(|last| first <= last).then_some(Range { place, first, last })
        };
        let mut ranges: Vec<Range> = labels().flatten().map(range).collect::<Option<_>>()?;
        ranges.sort_by_key(|range| range.first);
        // A list of plain numbers, such as grades, is not one of ranges.
        let real = ranges.len() > 1 && ranges.iter().any(|range| range.last != Some(range.first));
        let mut end = None;
        for range in &mut ranges {
            if range.last.is_none() && end == Some(range.first) {
                range.first = range.first.checked_add(1)?;
            }
            if end.is_some_and(|end| range.first <= end) {
                return None;
            }
            // No range may follow one without an end.
            end = Some(range.last.unwrap_or(u64::MAX));
        }
        real.then_some(Self(ranges))
    }

    /// The choice whose range contains this count.
    pub(in crate::mapping) fn find(&self, count: u64) -> Option<Found> {
        let range = self.0.iter().rev().find(|range| range.first <= count)?;
        let within = range.last.is_none_or(|last| count <= last);
        within.then_some(Found { place: range.place, bounded: range.last.is_some() })
    }
}

fn numbered(label: &str) -> bool {
    label.chars().any(char::is_numeric)
}

/// A label with one or two numbers, and the text around them.
#[derive(Debug, Clone, Copy)]
struct Label<'a> {
    before: &'a str,
    first: u64,
    between: &'a str,
    second: Option<u64>,
    behind: &'a str,
}

impl<'a> Label<'a> {
    fn parse(label: &'a str) -> Option<Self> {
        let (before, first, rest) = number(label)?;
        if !numbered(rest) {
            return Some(Self { before, first, between: "", second: None, behind: rest });
        }
        let (between, second, behind) = number(rest)?;
        (!numbered(behind)).then_some(Self { before, first, between, second: Some(second), behind })
    }

    /// The range by English words and signs, both ends included.
    fn range(&self) -> Option<(u64, Option<u64>)> {
        let before = without_unit(self.before);
        let behind = without_unit(self.behind);
        let (before, behind) = (before.as_str(), behind.as_str());
        let first = self.first;
        match self.second {
            Some(second) => {
                let between = without_unit(self.between);
                let range = before.is_empty() && behind.is_empty() && (dash(&between) || between == "to");
                range.then_some((first, Some(second)))
            }
            None if before.is_empty() && behind.is_empty() => Some((first, Some(first))),
            None if before.is_empty() && AND_ABOVE_BEHIND.contains(&behind) => Some((first, None)),
            None if !behind.is_empty() => None,
            None if AND_ABOVE_BEFORE.contains(&before) => Some((first, None)),
            None if ABOVE.contains(&before) => Some((first.checked_add(1)?, None)),
            None if UP_TO.contains(&before) => Some((0, Some(first))),
            None if BELOW.contains(&before) => Some((0, Some(first.checked_sub(1)?))),
            None => None,
        }
    }

    /// The start of the range by the choice's id, if the id is one. Freshsales' own last range has the id 10001 and the
    /// label "10000+".
    fn start(&self, id: Option<i64>) -> Option<u64> {
        let id = u64::try_from(id?).ok()?;
        let next = self.second.is_none() && self.first.checked_add(1) == Some(id);
        (id == self.first || next).then_some(id)
    }

    /// The range where the ids are starts. They confirm the numbers, so the words may be of any language.
    fn range_from(&self, id: Option<i64>, highest: u64) -> Option<(u64, Option<u64>)> {
        let wordy = |text: &str| {
            text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "()[]:>+".contains(c))
        };
        let between = wordy(self.between) || dash(self.between.trim());
        if !wordy(self.before) || !wordy(self.behind) || !between {
            return None;
        }
        let start = self.start(id)?;
        match self.second {
            Some(second) => Some((start, Some(second))),
            None if self.first == highest => Some((start, None)),
            None => Some((start, Some(start))),
        }
    }
}

/// The first number, the text before it, and the rest. `None` if there is no number, or one that is no count: a fraction,
/// one with leading zeros or in digits of another script, or one that is too large.
fn number(text: &str) -> Option<(&str, u64, &str)> {
    let start = text.find(char::is_numeric)?;
    let (before, text) = text.split_at_checked(start)?;
    let (group, mut rest) = digits(text);
    let mut whole = group.to_owned();
    let mut grouping = None;
    // Groups of three, all after the same sign: "1,000,000". Other digits after such a sign are a fraction.
    while (1..=3).contains(&group.len()) {
        let Some(separator) = rest.chars().next().filter(|next| SEPARATORS.contains(next)) else { break };
        let (thousand, behind) = digits(rest.strip_prefix(separator)?);
        if thousand.len() != 3 || grouping.is_some_and(|grouping| grouping != separator) {
            break;
        }
        grouping = Some(separator);
        whole.push_str(thousand);
        rest = behind;
    }
    let fraction = rest.strip_prefix([',', '.']).is_some_and(|behind| behind.starts_with(char::is_numeric));
    let count = (whole == "0" || !whole.starts_with('0')) && !fraction && !rest.starts_with(char::is_numeric);
    if count { Some((before, whole.parse().ok()?, rest)) } else { None }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// One hyphen, dash or tilde.
fn dash(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next();
    let is = |c| {
        matches!(c, '-' | '~' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{301c}' | '\u{ff0d}' | '\u{ff5e}')
    };
    first.is_some_and(is) && letters.next().is_none()
}

/// The text in lower case, without a unit at its start or end, and without blanks around it.
fn without_unit(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let unit = |word: Option<&&str>| word.is_some_and(|word| UNITS.contains(word));
    let words = match words.as_slice() {
        [rest @ .., _] if unit(words.last()) => rest,
        [_, rest @ ..] if unit(words.first()) => rest,
        all => all,
    };
    words.join(" ")
}

#[cfg(test)]
mod tests;
