//! What would become of an event, and why: where it goes, which trait sets which field, what is wrong, which requests may
//! be sent. It decides nothing itself but asks what the lanes ask: routing, judging, mapping, and a scheduler that is
//! answered without the network. The commands call it. Nothing is sent but questions for fields.

mod account_fields;
mod explainer;
mod explanation;
mod field_changes;
mod field_list;
mod field_source_error;
mod foresight;
mod missing;
mod remedies;
mod risk;
#[cfg(test)]
mod tests;

pub use account_fields::{AccountFields, not_in_folder};
pub use explainer::{AccountExplainer, Explainer};
pub use explanation::{Ends, Explanation, IgnoredTrait, MappedTrait, Summary};
pub use field_changes::{SavedFieldChange, changes};
pub use field_list::{ListedField, list};
pub use field_source_error::FieldSourceError;
pub use foresight::{Foreseen, ForeseenRequest};
pub use missing::{MissingTrait, MissingTraits};
pub use remedies::{remedy, why_skipped};
pub use risk::Risk;
