//! Whether the sender wants an event delivered to Freshsales, by Segment's `integrations`. Decoding asks; splitting a
//! batch needs the names to merge what stands beside `batch`.

use crate::object::{elements, members};
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

/// Decides where there is no entry of our own.
const ALL_NAME: &str = "All";

/// Whether the destination is switched on. Without a word about it, it is.
pub(super) fn enabled(integrations: &str) -> Result<bool, WrongKind<'_>> {
    let Some((name, value)) = deciding(integrations) else { return Ok(true) };
    if name == ALL_NAME {
        return Ok(value != "false");
    }
    match JsonKind::of(value) {
        JsonKind::Bool => Ok(value == "true"),
        JsonKind::Object => Ok(true),
        // PHP writes an empty object so.
        JsonKind::Array if elements(value).next().is_none() => Ok(true),
        JsonKind::Null | JsonKind::Number | JsonKind::Text | JsonKind::Array => {
            Err(WrongKind { name, value })
        }
    }
}

/// The entry that decides, and its value; `None` if there is none.
pub(in crate::segment) fn deciding(integrations: &str) -> Option<(&'static str, &str)> {
    let (mut own, mut all) = ([None; OWN_NAMES.len()], None);
    for member in members(integrations) {
        let name = member.name();
        if name == ALL_NAME {
            all = Some((ALL_NAME, member.value));
        }
        for (known, entry) in OWN_NAMES.into_iter().zip(&mut own) {
            if name == known {
                *entry = Some((known, member.value));
            }
        }
    }
    let decides = |(_, value): &(&str, &str)| JsonKind::of(value) != JsonKind::Null;
    own.into_iter().flatten().find(decides).or(all)
}
