//! Whether the sender wants an event delivered to Freshsales, by Segment's `integrations`. Decoding asks; splitting a
//! batch needs the names to merge what stands beside `batch`.

use crate::object::{elements, find};
use crate::segment::text::kind::JsonKind;

/// The names of this destination in `integrations`; the first that is given decides. The first and the last are those
/// of Segment's catalog, the current product's and the classic one's; people also write the second.
pub(in crate::segment) const OWN_NAMES: [&str; 3] =
    ["Freshsales Suite - CRM", "Freshsales Suite", "Freshsales"];

/// The value under one of the [`OWN_NAMES`] is of a kind that means nothing there.
pub(super) struct WrongKind<'a> {
    pub(super) name: &'static str,
    pub(super) value: &'a str,
}

/// Whether the destination is switched on. Without a word about it, it is.
pub(super) fn enabled(integrations: &str) -> Result<bool, WrongKind<'_>> {
    for name in OWN_NAMES {
        let Some(value) = find(integrations, name) else { continue };
        match JsonKind::of(value) {
            JsonKind::Null => {}
            JsonKind::Bool => return Ok(value == "true"),
            JsonKind::Object => return Ok(true),
            // PHP writes an empty object so.
            JsonKind::Array if elements(value).next().is_none() => return Ok(true),
            JsonKind::Number | JsonKind::Text | JsonKind::Array => return Err(WrongKind { name, value }),
        }
    }
    Ok(find(integrations, "All") != Some("false"))
}
