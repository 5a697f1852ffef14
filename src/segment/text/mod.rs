//! The text of a body: whether it is one JSON object, what its values are, and what is wrong with it.

pub(super) mod check;
pub(super) mod kind;
pub(super) mod malformed;
pub(super) mod surrogates;
pub(super) mod walk;
