//! Companies and deals that hold nothing to write: they are empty, or have nothing but an id. `related` asks.

use crate::segment::{Entries, Given, folds_to, whole};

/// Why a company or deal counts as not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum Absent {
    Empty,
    IdAlone,
}

impl Absent {
    /// The reason that is reported with the ignored trait.
    pub(in crate::mapping) const fn why(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::IdAlone => "an id alone names no record",
        }
    }
}

/// Why this company or deal counts as not given, if it does. `reads_id`: an override of the account reads its id.
pub(in crate::mapping) fn absent(value: &Given<'_>, reads_id: bool) -> Option<Absent> {
    if hollow(value) {
        return Some(Absent::Empty);
    }
    let is_id = |(key, _): (&str, &Given<'_>)| folds_to(key, "id");
    let only_id = |object: &Entries<'_>| object.iter().filter(|(_, value)| !hollow(value)).all(is_id);
    (!reads_id && value.as_object().is_some_and(only_id)).then_some(Absent::IdAlone)
}

fn hollow(value: &Given<'_>) -> bool {
    match value {
        Given::Null => true,
        Given::Text(text) => text.trim().is_empty(),
        Given::List(items) => items.iter().all(hollow),
        Given::Object(object) => object.values().all(hollow),
        Given::Bool(_) | Given::Number(_) => false,
    }
}

/// Whether the value is the number zero. It is no company's name: untyped languages write it for "none".
pub(in crate::mapping) fn is_zero(value: &Given<'_>) -> bool {
    value.as_number().is_some_and(|digits| whole(digits, 1).as_deref() == Some("0"))
}
