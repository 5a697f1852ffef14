//! Segment's events as Freshet understands them. Pure; knows only the words of [`crate::outcome`].
//!
//! The lane calls [`decode()`], the router [`routing_keys`], and whoever writes a dead letter [`glimpse()`].

mod batch;
mod decode;
mod event;
mod event_body;
mod glimpse;
mod json;
mod keys;
mod malformed;
mod nobody;
mod opener;
mod surrogates;
#[cfg(test)]
mod tests;
mod traits;
mod unpack;
mod unwrap;
mod whole;

pub use batch::{BATCH_EVENTS, Batch};
pub use decode::{Undelivered, decode};
pub use event::{Event, EventType, JsonMap, Payload};
pub(crate) use event_body::EventBody;
pub use glimpse::{Glimpse, RoutingKeys, glimpse, routing_keys};
pub use json::BODY_LIMIT;
pub(crate) use json::describe;
pub(crate) use keys::{fold, folds_to, letters};
pub use opener::{One, Opened, Opener, Unopened};
pub(crate) use whole::whole;
