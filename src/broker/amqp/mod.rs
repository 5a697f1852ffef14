//! What the rest of the room needs of AMQP itself: addresses, connections and channels, and the properties of messages.
//! Knows no queue by name and no event.

pub(super) mod addresses;
pub(super) mod channel;
pub(super) mod connection;
pub(super) mod fitting;
pub(super) mod letter_properties;
pub(super) mod packed;
pub(super) mod properties;
pub(super) mod refusal;
pub(super) mod republished;
