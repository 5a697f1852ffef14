//! Events become what to write: names of fields, their values, identities. Pure: no broker, no clock, no HTTP, and
//! nothing is remembered from one event to the next. Lanes and `explain` ask a [`Mapper`] event by event.
//!
//! ```text
//! Mapper::check_user    may an event without a userId go on? (event/user)
//! Mapper::map
//!   track, page    ──►  event/activity
//!   identify
//!     event/email             which address identifies the contact?
//!     event/record       ──►  traits/  which trait could set which field?   asks fields/
//!                             values/  what does the API take for it?       asks fields/
//!     event/related      ──►  event/record, once for the company and once for the deal
//! ```
//!
//! Each step adds its problems, ignored traits and omitted values to `outcome/findings`, from which the mapper makes the
//! verdict. `account/` has the rules, and what the account's fields ask for and lack.

mod account;
mod event;
mod fields;
mod mapper;
mod outcome;
mod traits;
mod values;

#[cfg(test)]
mod tests;

pub use account::changes::FieldDifference;
pub use account::defaults::BadDefault;
pub use account::review::DeadOverride;
pub use account::rules::{
    AnonymousIdentify, Coercion, InvalidValue, MappingRules, NullTraits, UnknownCustomField, defaults_table,
};
pub(crate) use event::email::email_trait;
pub use event::related::SchemaGap;
pub(crate) use fields::field_index::named_like_custom;
pub use mapper::{Mapper, trait_prefix};
pub use outcome::field_texts::FieldTexts;
pub use outcome::mapped::{
    Activity, ContactWrite, Identity, Ignored, Lacking, Mapped, Mapping, Omitted, PageView, Record,
    RelatedWrite,
};
pub use outcome::recorded::{FoundBy, Recorded, SetField};
pub(crate) use traits::candidate::NO_SUCH_FIELD;
