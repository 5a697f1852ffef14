//! An identify's traits. Segment puts them into `traits`, `RudderStack` into `context.traits`, and some senders use
//! both. Decoding calls it for identifies only, because it builds values.

use std::collections::HashSet;

use serde_json::Value;

use crate::json::Json;
use crate::object::find;
use crate::segment::JsonMap;
use crate::segment::keys::fold;
use crate::segment::text::kind::JsonKind;

/// The traits of both places, those of `traits` first. A key of `traits`, even with null, hides every spelling of it
/// in the context: otherwise `first_name` of the context would win against `firstName` of the traits.
pub(in crate::segment) fn traits(own: &str, context: &str) -> JsonMap {
    let mut traits = map(own);
    let Some(further) = find(context, "traits").filter(|further| JsonKind::of(further) == JsonKind::Object)
    else {
        return traits;
    };
    let hidden: HashSet<String> = traits.keys().map(|key| fold(key)).collect();
    traits.extend(map(further).into_iter().filter(|(key, _)| !hidden.contains(&fold(key))));
    traits
}

/// `object` is an object that the parser can read: its depth was checked and its surrogates are mended.
fn map(object: &str) -> JsonMap {
    match serde_json::from_str(object) {
        Ok(Json(Value::Object(object))) => object,
        // Not reached.
        Ok(_) | Err(_) => JsonMap::new(),
    }
}
