//! Segment's events as Freshet understands them. Pure; knows only the words of [`crate::outcome`].
//!
//! The lane calls [`decode()`], the router [`routing_keys`], and whoever writes a dead letter [`glimpse()`].

pub(super) mod body;
pub(super) mod envelope;
mod event;
mod glimpse;
mod keys;
#[cfg(test)]
mod tests;
pub(super) mod text;
mod whole;

pub use crate::segment::body::batch::{BATCH_EVENTS, Batch};
pub(crate) use crate::segment::body::event_body::EventBody;
pub use crate::segment::body::opener::{One, Opened, Opener, Unopened};
pub use crate::segment::envelope::decode::decode;
pub use crate::segment::text::check::BODY_LIMIT;
pub(crate) use crate::segment::text::kind::describe;
pub use event::{Event, EventType, JsonMap, Payload, Undelivered};
pub use glimpse::{Glimpse, RoutingKeys, glimpse, routing_keys};
pub(crate) use keys::{fold, folds_to, letters};
pub(crate) use whole::whole;
