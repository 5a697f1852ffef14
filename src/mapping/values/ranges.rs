//! Drop-downs whose choices are ranges, such as `number_of_employees` ("1-10", "11-50", "10001+"): which one contains
//! a count. The ranges are read from labels and ids each time: few values are counts, and a lane would keep them in
//! memory for as long as it lives. [`super::choice`] asks before it looks for a choice by label or id.

mod label;

use serde_json::Number;

use self::label::{Label, numbered};
use crate::mapping::Coercion;
use crate::segment::{Given, whole};

/// The most digits of a count; all such numbers fit into 64 bits.
const MOST_DIGITS: usize = 19;

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
pub(in crate::mapping) struct RangeMatch {
    /// The choice's place among the field's.
    pub(in crate::mapping) place: usize,
    pub(in crate::mapping) bounded: bool,
}

/// A value as a count: a whole number in any form or, with lossless coercion, its text.
pub(in crate::mapping) fn count(value: &Given<'_>, coercion: Coercion) -> Option<u64> {
    let digits = match (value, coercion) {
        (Given::Number(digits), _) => whole(digits, MOST_DIGITS)?,
        (Given::Text(text), Coercion::Lossless) => {
            whole(text.trim().parse::<Number>().ok()?.as_str(), MOST_DIGITS)?
        }
        (Given::Text(_) | Given::Null | Given::Bool(_) | Given::List(_) | Given::Object(_), _) => {
            return None;
        }
    };
    digits.parse().ok()
}

impl Ranges {
    /// The ranges of a field's choices, given as labels and ids; `None` if this is no field of ranges. Choices without
    /// any number ("Unknown") are passed over; all others must be ranges.
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
    pub(in crate::mapping) fn find(&self, count: u64) -> Option<RangeMatch> {
        let range = self.0.iter().rev().find(|range| range.first <= count)?;
        let within = range.last.is_none_or(|last| count <= last);
        within.then_some(RangeMatch { place: range.place, bounded: range.last.is_some() })
    }
}

#[cfg(test)]
mod tests;
