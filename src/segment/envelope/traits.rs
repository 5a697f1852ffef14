//! An identify's traits: Segment puts them into `traits`, `RudderStack` into `context.traits` only, and some senders use
//! both. Decoding calls it, of identifies alone, as it builds values.

use std::collections::HashSet;

use crate::json::Json;
use crate::object::find;
use crate::segment::JsonMap;
use crate::segment::keys::fold;
use crate::segment::text::kind::Kind;
use serde_json::Value;

/// The traits of both places, those of `traits` first. A key that is there, even with null, hides that of the context,
/// in whatever spelling: otherwise `first_name` of the context would beat `firstName` of the traits.
pub(in crate::segment) fn traits(own: &str, context: &str) -> JsonMap {
    let mut traits = map(own);
    let Some(further) = find(context, "traits").filter(|further| Kind::of(further) == Kind::Object) else {
        return traits;
    };
    let hidden: HashSet<String> = traits.keys().map(|key| fold(key)).collect();
    traits.extend(map(further).into_iter().filter(|(key, _)| !hidden.contains(&fold(key))));
    traits
}

/// The object of this text, which has passed [`check_depth`], its halves of characters mended.
fn map(object: &str) -> JsonMap {
    match serde_json::from_str(object) {
        Ok(Json(Value::Object(object))) => object,
        // Not reached: it is an object that the parser reads.
        Ok(_) | Err(_) => JsonMap::new(),
    }
}
