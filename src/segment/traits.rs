//! An identify's traits: Segment puts them into `traits`, `RudderStack` into `context.traits` only, and some senders use
//! both. Decoding calls it, of identifies alone, as it builds values.

use std::collections::HashSet;

use super::JsonMap;
use super::json::{Kind, map};
use super::keys::fold;
use crate::object::find;

/// The traits of both places, those of `traits` first. A key that is there, even with null, hides that of the context,
/// in whatever spelling: otherwise `first_name` of the context would beat `firstName` of the traits.
pub(super) fn traits(own: &str, context: &str) -> JsonMap {
    let mut traits = map(own);
    let Some(further) = find(context, "traits").filter(|further| Kind::of(further) == Kind::Object) else {
        return traits;
    };
    let hidden: HashSet<String> = traits.keys().map(|key| fold(key)).collect();
    traits.extend(map(further).into_iter().filter(|(key, _)| !hidden.contains(&fold(key))));
    traits
}
