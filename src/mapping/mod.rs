//! Events become what to write: names, field values, identities. Pure.
//! Knows [`crate::segment`] and [`crate::schema`]; never a broker, a clock or HTTP.

mod mapped;
mod rules;

pub use mapped::{Activity, ContactWrite, Identity, Ignored, Mapped, PageView, Record, RelatedWrite};
pub use rules::{Coercion, MappingRules, UnknownCustomField};
