//! Which trait goes to which field. `special` finds the traits that are no fields: the e-mail address, the company and
//! the deal. `resolution` makes a candidate of each of the others; `record` then chooses one for each field. Values are
//! looked at only where they decide which field is meant.

pub(super) mod absent;
mod aliases;
pub(super) mod candidate;
mod full_name;
mod overrides;
pub(super) mod resolution;
pub(super) mod special;
