//! Takes the values that the account's overrides read out of the traits, so that no other rule reads them again.
//! `resolution` calls it before it looks at any other trait.

use super::special::{SpecialPositions, SpecialTrait};
use crate::segment::{Entries, Given};

/// Takes the value at an override's path, with the position of the trait it is in. A trait whose key is the whole path
/// counts before one that the path leads into. Special traits are only read, in whichever spelling the event has.
pub(super) fn take<'a>(
    traits: &mut Entries<'a>,
    path: &str,
    special: Option<SpecialPositions>,
) -> Option<(usize, Given<'a>)> {
    let first = path.split('.').next().unwrap_or(path);
    let literal = traits.get(path).is_some_and(|value| !value.is_null() || traits.get(first).is_none());
    let head = if literal { path } else { first };
    let tail = path.get(head.len()..).and_then(|rest| rest.strip_prefix('.'));
    let special = special.and_then(|positions| Some((positions, SpecialTrait::of(head)?)));
    let position = traits
        .position(head)
        .or_else(|| special.and_then(|(positions, special)| positions.position(special)))?;
    let root = traits.at_mut(position)?;
    let leaf = match tail {
        None => &mut *root,
        Some(tail) => tail.split('.').try_fold(&mut *root, |value, part| match value {
            Given::Object(entries) => entries.get_mut(part),
            Given::Null | Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::List(_) => None,
        })?,
    };
    let value = if special.is_some() { leaf.clone() } else { std::mem::take(leaf) };
    if emptied(root) {
        *root = Given::Null;
    }
    Some((position, value))
}

/// Whether overrides have taken everything out of an object.
fn emptied(value: &Given<'_>) -> bool {
    value.is_null() || value.as_object().is_some_and(|object| object.values().all(emptied))
}
