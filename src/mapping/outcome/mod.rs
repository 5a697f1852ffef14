//! What mapping an event comes to (what becomes of a delivery is [`crate::outcome`]): records or an activity, with what
//! was left out and where each field came from. Filled by the mapper's steps; must not know any rule.

pub(super) mod field_texts;
pub(super) mod findings;
pub(super) mod mapped;
pub(super) mod position;
pub(super) mod recorded;
