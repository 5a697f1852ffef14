//! A trait's value in the form its field takes, or why it does not fit. `coerce` decides by the field's type and asks
//! the files of the types; `parents` and `owners` know the two kinds of field that need more than their own choices.
//! Records and defaults call them. Values know fields, never traits or events.

mod choice;
pub(super) mod coerce;
mod date;
pub(super) mod mismatch;
pub(super) mod owners;
pub(super) mod parents;
mod ranges;
mod tags;
