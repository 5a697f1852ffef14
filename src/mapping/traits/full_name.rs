//! A contact's whole name as its first and last name: nearly every example of Segment has `name`, Freshsales only the two.
//! Claims call it with the traits called `name` that reach no field.

use super::candidate::{Claim, NO_SUCH_FIELD};
use crate::mapping::fields::field_index::{Names, Rank};
use crate::mapping::findings::Findings;
use crate::mapping::position::{At, Scope};

const PARTS: [&str; 2] = ["first_name", "last_name"];

/// Why of one trait in several spellings only one is used.
pub(in crate::mapping) const OTHER_SPELLING: &str = "the same trait in another spelling is used";

/// Sends a whole name to the first and last name, where no other trait claims either.
pub(in crate::mapping) fn claim<'a>(
    names: &'a Names,
    full_names: Vec<(At, String, String)>,
    scope: Scope,
    findings: &mut Findings,
    claims: &mut Vec<Claim<'a>>,
) {
    let best = full_names.iter().position(|(_, key, _)| key == "name").unwrap_or_default();
    let claimed = |claim: &Claim<'_>| PARTS.contains(&claim.target.name) && !claim.value.is_null();
    let claimed = claims.iter().any(claimed);
    for (place, (at, key, name)) in full_names.into_iter().enumerate() {
        let path = scope.path(&key);
        let mut ignore = |why| findings.ignore(names.entity, path.clone(), why);
        if claimed {
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
        let before = claims.len();
        for (field, part) in parts(names, name.trim()) {
            if let Some(target) = names.get(field) {
                let (path, value) = (path.clone(), part.into());
                claims.push(Claim { at, rank: Rank::Alias, path, value, target });
            }
        }
        if claims.len() == before {
            ignore(NO_SUCH_FIELD);
        }
    }
}

/// The name split at its first blank. One word is a first name: as a last name it would replace a family name that is
/// there. Where the account has only one of the fields, that takes the whole name.
fn parts<'n>(names: &Names, name: &'n str) -> Vec<(&'static str, &'n str)> {
    let [first_name, last_name] = PARTS;
    let both = names.get(first_name).is_some() && names.get(last_name).is_some();
    match name.split_once(char::is_whitespace).filter(|_| both) {
        Some((first, last)) => vec![(first_name, first), (last_name, last.trim_start())],
        None if names.get(first_name).is_some() => vec![(first_name, name)],
        None => vec![(last_name, name)],
    }
}
