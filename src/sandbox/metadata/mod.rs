//! TODO: what this room is for.

pub(super) mod fields;
pub(super) mod selectors;
