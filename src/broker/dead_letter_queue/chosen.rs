//! A letter that was chosen, and what became of it.

use lapin::message::Delivery;

use crate::dead_letter::ListedLetter;

/// A letter that was chosen, and is not settled.
pub(super) struct ChosenLetter {
    pub(super) delivery: Delivery,
    pub(super) listed: ListedLetter,
}

pub(super) enum LetterFate {
    /// Somewhere else, for certain: it may be acknowledged.
    Gone,
    /// It stays, for this reason.
    Stays(String),
}
