//! A contact's `name` as first and last name: nearly every example of Segment's has `name`, and Freshsales has only
//! the two fields. `resolution` calls it with the traits called `name` that name no field of the account.

use std::borrow::Cow;

use super::candidate::{FieldCandidate, NO_SUCH_FIELD};
use crate::mapping::fields::field_index::{FieldIndex, Rank};
use crate::mapping::outcome::findings::Findings;
use crate::mapping::outcome::position::{At, TraitPath};
use crate::segment::Given;

const PARTS: [&str; 2] = ["first_name", "last_name"];

pub(in crate::mapping) const OTHER_SPELLING: &str = "the same trait in another spelling is used";

/// Adds candidates for the first and the last name, unless another trait sets either.
pub(in crate::mapping) fn add_candidates<'a>(
    fields: &'a FieldIndex,
    full_names: Vec<(At, TraitPath<'a>, Cow<'a, str>)>,
    findings: &mut Findings,
    candidates: &mut Vec<FieldCandidate<'a>>,
) {
    let best = full_names.iter().position(|(_, path, _)| path.key == "name").unwrap_or_default();
    let taken =
        |candidate: &FieldCandidate<'_>| PARTS.contains(&candidate.target.name) && !candidate.value.is_null();
    let taken = candidates.iter().any(taken);
    for (place, (at, path, name)) in full_names.into_iter().enumerate() {
        let mut ignore = |why| findings.ignore(fields.entity, || path.text(), why);
        if taken {
            ignore("the first or last name is given");
            continue;
        }
        if place != best {
            ignore(OTHER_SPELLING);
            continue;
        }
        if name.trim().is_empty() {
            ignore("empty");
            continue;
        }
        let before = candidates.len();
        for (field, part) in parts(fields, name.trim()) {
            if let Some(target) = fields.get(field) {
                let (path, value) = (path.clone(), Given::Text(part.to_owned().into()));
                candidates.push(FieldCandidate { at, rank: Rank::Alias, path, value, target });
            }
        }
        if candidates.len() == before {
            ignore(NO_SUCH_FIELD);
        }
    }
}

/// The name, split at its first blank. One word is a first name: as a last name it would replace the family name that
/// the contact may have. Where the account has only one of the fields, it takes the whole name.
fn parts<'n>(fields: &FieldIndex, name: &'n str) -> Vec<(&'static str, &'n str)> {
    let [first_name, last_name] = PARTS;
    let both = fields.get(first_name).is_some() && fields.get(last_name).is_some();
    match name.split_once(char::is_whitespace).filter(|_| both) {
        Some((first, last)) => vec![(first_name, first), (last_name, last.trim_start())],
        None if fields.get(first_name).is_some() => vec![(first_name, name)],
        None => vec![(last_name, name)],
    }
}
