//! An identify's traits. Segment puts them into `traits`, `RudderStack` into `context.traits`, and some senders use
//! both. Decoding finds their texts; whoever maps the event reads them.

use std::collections::HashSet;

use crate::object::ObjectText;
use crate::segment::given::Entries;
use crate::segment::keys::fold;
use crate::segment::reader::entries;

/// The traits' texts, of objects that the parser can read. Cheap to clone: they share the event's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    pub(super) own: ObjectText,
    /// Those of `context.traits`.
    pub(super) further: Option<ObjectText>,
}

impl Traits {
    /// The traits of both places, those of `traits` first. A key of `traits`, even with null, hides every spelling of it
    /// in the context: otherwise `first_name` of the context would win against `firstName` of the traits.
    pub(crate) fn read(&self) -> Entries<'_> {
        let mut traits = entries(self.own.as_str());
        if let Some(further) = &self.further {
            let hidden: HashSet<String> = traits.iter().map(|(key, _)| fold(key)).collect();
            traits.extend(entries(further.as_str()), |key| !hidden.contains(&fold(key)));
        }
        traits
    }
}
