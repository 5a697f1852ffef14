//! Events become what to write: names of fields, their values, identities. Pure: no broker, no clock, no HTTP, and
//! nothing is remembered from one event to the next. Lanes and `explain` ask a [`Mapper`] event by event.
//!
//! ```text
//! Mapper::check_user    may an event without a userId go on? (user)
//! Mapper::map
//!   track, page    ──►  activity
//!   identify
//!     email             which address identifies the contact?
//!     record       ──►  traits/  which trait could set which field?   asks fields/
//!                       values/  what does the API take for it?       asks fields/
//!     related      ──►  record, once for the company and once for the deal
//! ```
//!
//! Each step adds its problems, ignored traits and omitted values to `findings`, from which the mapper makes the
//! verdict.

mod activity;
mod changes;
mod defaults;
mod email;
mod field_texts;
mod fields;
mod findings;
mod mapped;
mod mapper;
mod position;
mod record;
mod recorded;
mod related;
mod review;
mod rules;
mod traits;
mod user;
mod values;

#[cfg(test)]
mod tests;

pub use changes::FieldDifference;
pub use defaults::BadDefault;
pub(crate) use email::email_trait;
pub use field_texts::FieldTexts;
pub(crate) use fields::field_index::named_like_custom;
pub use mapped::{
    Activity, ContactWrite, Identity, Ignored, Lacking, Mapped, Mapping, Omitted, PageView, Record,
    RelatedWrite,
};
pub use mapper::Mapper;
pub use recorded::{FoundBy, Recorded, SetField};
pub use related::SchemaGap;
pub use review::DeadOverride;
pub use rules::{
    AnonymousIdentify, Coercion, InvalidValue, MappingRules, NullTraits, UnknownCustomField, defaults_table,
};
pub(crate) use traits::candidate::NO_SUCH_FIELD;
