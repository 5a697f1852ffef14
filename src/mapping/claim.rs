//! A trait that could set a field. Trait resolution makes them; a record chooses one for each field.

use serde_json::Value;

use super::names::Rank;
use super::position::At;
use super::targets::Target;

/// Why a trait is ignored that reaches nothing.
pub(super) const NO_SUCH_FIELD: &str = "no such field";

/// A trait on its way to a field.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) at: At,
    pub(super) rank: Rank,
    pub(super) path: String,
    pub(super) value: Value,
    pub(super) target: Target<'a>,
}
