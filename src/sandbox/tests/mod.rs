//! TODO: what this room is for.

#[cfg(test)]
pub(super) mod fuzz;
