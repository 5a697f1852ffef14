//! A trait that could set a field. `resolution` makes them; `record` chooses one for each field.

use crate::mapping::fields::field_index::Rank;
use crate::mapping::fields::target::TargetField;
use crate::mapping::position::{At, TraitPath};
use crate::segment::Given;

/// Why a trait is ignored that no field of the account has the name of.
pub(crate) const NO_SUCH_FIELD: &str = "no such field";

/// A trait and the field it names.
#[derive(Debug)]
pub(in crate::mapping) struct FieldCandidate<'a> {
    pub(in crate::mapping) at: At,
    pub(in crate::mapping) rank: Rank,
    pub(in crate::mapping) path: TraitPath<'a>,
    pub(in crate::mapping) value: Given<'a>,
    pub(in crate::mapping) target: TargetField<'a>,
}
