//! Events become what to write: names, field values, identities. Pure.
//! Knows [`crate::segment`] and [`crate::schema`]; never a broker, a clock or HTTP.
//!
//! [`Mapper`] is built once per account and schema; a lane and `explain` ask it event by event.

mod absent;
mod activity;
mod choice;
mod choices;
mod claim;
mod claims;
mod consumed;
mod date;
mod defaults;
mod email;
mod findings;
mod full_name;
mod mapped;
mod mapper;
mod mismatch;
mod named;
mod names;
mod owners;
mod parents;
mod position;
mod ranges;
mod record;
mod rules;
mod tags;
mod targets;
mod texts;
mod value;

#[cfg(test)]
mod tests;

pub use defaults::BadDefault;
pub(crate) use email::trait_value as email_trait;
pub use mapped::{
    Activity, ContactWrite, Identity, Ignored, Lacking, Mapped, Mapping, Omitted, PageView, Record,
    RelatedWrite,
};
pub use mapper::{Mapper, Unreadable};
pub use rules::{
    AnonymousIdentify, Coercion, InvalidValue, MappingRules, NullTraits, UnknownCustomField, defaults_table,
};
