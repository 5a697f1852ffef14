//! Events become what to write: names, field values, identities. Pure.
//! Knows [`crate::segment`] and [`crate::schema`]; never a broker, a clock or HTTP.
//!
//! [`Mapper`] is built once per account and schema; a lane and `explain` ask it event by event.

mod activity;
mod choice;
mod claims;
mod date;
mod email;
mod findings;
mod mapped;
mod mapper;
mod names;
mod record;
mod rules;
mod targets;
mod texts;
mod value;

#[cfg(test)]
mod tests;

pub use mapped::{
    Activity, ContactWrite, Identity, Ignored, Mapped, Mapping, Omitted, PageView, Record, RelatedWrite,
};
pub use mapper::{Mapper, Unreadable};
pub use rules::{Coercion, InvalidValue, MappingRules, UnknownCustomField};
