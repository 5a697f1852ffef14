//! A trait that could set a field. `resolution` makes them; `record` chooses one for each field.

use crate::mapping::fields::field_index::{FieldIndex, Rank};
use crate::mapping::fields::target::TargetField;
use crate::mapping::fields::{small, wide};
use crate::mapping::outcome::position::{At, TraitPath};
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

/// The candidates of one record after the other: the records of an event share the room that they take.
#[derive(Debug, Default)]
pub(in crate::mapping) struct Candidates<'a> {
    /// In document order.
    pub(in crate::mapping) list: Vec<FieldCandidate<'a>>,
    /// A trait's folded name.
    pub(super) folded: String,
    pub(in crate::mapping) winners: Winners,
}

/// Per field, the index of the trait that sets it: one with a value before null, then the best rank, then the first in
/// the document.
#[derive(Debug, Default)]
pub(in crate::mapping) struct Winners(Vec<Option<u32>>);

impl Winners {
    /// Chooses among the candidates of a record.
    pub(in crate::mapping) fn choose(&mut self, fields: &FieldIndex, candidates: &[FieldCandidate<'_>]) {
        self.0.clear();
        self.0.resize(fields.targets.len(), None);
        let order = |candidate: &FieldCandidate<'_>| (candidate.value.is_null(), candidate.rank);
        for (index, candidate) in candidates.iter().enumerate() {
            let Some(winner) = self.0.get_mut(wide(candidate.target.place)) else { continue };
            let best = winner.and_then(|best| candidates.get(wide(best)));
            if best.is_none_or(|best| order(candidate) < order(best)) {
                *winner = Some(small(index));
            }
        }
    }

    pub(in crate::mapping) fn of_field(&self, target: TargetField<'_>) -> Option<usize> {
        self.0.get(wide(target.place)).copied().flatten().map(wide)
    }
}
