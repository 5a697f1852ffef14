//! Events become what to write: names, field values, identities. Pure.
//! Knows [`crate::segment`] and [`crate::schema`]; never a broker, a clock or HTTP.
//!
//! [`Mapper`] is built once per account and schema; a lane and `explain` ask it event by event.

mod activity;
mod defaults;
mod email;
pub(super) mod fields;
mod findings;
mod mapped;
mod mapper;
mod position;
mod record;
mod rules;
pub(super) mod traits;
mod user;
pub(super) mod values;

#[cfg(test)]
mod tests;

pub use defaults::BadDefault;
pub(crate) use email::email_trait;
pub use mapped::{
    Activity, ContactWrite, Identity, Ignored, Lacking, Mapped, Mapping, Omitted, PageView, Record,
    RelatedWrite,
};
pub use mapper::{Mapper, Unreadable};
pub use rules::{
    AnonymousIdentify, Coercion, InvalidValue, MappingRules, NullTraits, UnknownCustomField, defaults_table,
};
