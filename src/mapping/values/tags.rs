//! Lists such as tags, which forms and older client libraries send as one string with commas. `coerce` calls it for
//! fields that take several values.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::mapping::Coercion;
use crate::segment::Given;

/// The elements of a list that is written as one string; any other value unchanged.
pub(in crate::mapping) fn split(value: Given<'_>, coercion: Coercion) -> Given<'_> {
    match (value, coercion) {
        (Given::Text(Cow::Borrowed(list)), Coercion::Lossless) => {
            Given::List(list.split(',').map(|item| item.trim().into()).collect())
        }
        (Given::Text(Cow::Owned(list)), Coercion::Lossless) => {
            Given::List(list.split(',').map(|item| Given::Text(item.trim().to_owned().into())).collect())
        }
        (value, Coercion::Lossless | Coercion::Strict) => value,
    }
}

/// Drops empty elements and repeated ones: Freshsales would keep a tag twice.
pub(in crate::mapping) fn clean(items: &mut Vec<Given<'_>>) {
    let mut seen = HashSet::new();
    items.retain(|item| match item {
        Given::Null => false,
        Given::Text(text) => !text.trim().is_empty() && seen.insert(item.clone()),
        Given::Bool(_) | Given::Number(_) => seen.insert(item.clone()),
        Given::List(_) | Given::Object(_) => true,
    });
}
