//! AMQP itself, for the rest of the room: addresses, connections, channels, and the properties of messages. Must not know a
//! queue by name, nor an event.

pub(super) mod address;
pub(super) mod channel;
pub(super) mod connection;
pub(super) mod fitting;
pub(super) mod letter_properties;
pub(super) mod packed;
pub(super) mod properties;
pub(super) mod refusal;
pub(super) mod republished;
pub(super) mod stored_letter;
