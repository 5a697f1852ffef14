//! The text of a body: whether it is one JSON object, what its values are, and what is wrong with it.
//! Asked by decoding, by the router for keys of accounts, and where a body may be wrapped or packed.

pub(super) mod check;
pub(super) mod kind;
pub(super) mod malformed;
pub(super) mod surrogates;
pub(super) mod walk;
