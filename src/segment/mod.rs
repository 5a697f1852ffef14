//! Segment's events as Freshet understands them. Pure: it knows no broker and no account's rules.
//!
//! ```text
//! queued body ─► body/: decompress, take off wrappings, split ─► one event's text ─► envelope/: decode ─► Event
//!                                                                          └─► routing_keys, glimpse
//! ```
//!
//! The router opens bodies with an [`Opener`] and reads the [`RoutingKeys`] of each event, as the file feed does. A
//! lane opens the body of one event and calls [`decode()`]. A dead letter's headers come from [`glimpse()`]. All of
//! them read JSON with `text/`.

mod body;
mod envelope;
mod event;
mod given;
mod glimpse;
mod keys;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod whole;

pub use crate::segment::body::batch::{BATCH_EVENTS, Batch};
pub(crate) use crate::segment::body::event_body::EventBody;
pub use crate::segment::body::opener::{Opened, Opener, SingleEvent, Unopened};
pub use crate::segment::envelope::decode::decode;
pub use crate::segment::envelope::traits::Traits;
pub use crate::segment::text::check::BODY_LIMIT;
pub(crate) use crate::segment::text::kind::describe;
pub use event::{Event, EventType, JsonMap, Payload, Undelivered};
pub(crate) use given::{Entries, Given};
pub use glimpse::{Glimpse, RoutingKeys, deciding_integration, glimpse, has_own_trait, routing_keys};
pub(crate) use keys::{fold, fold_into, folds_to};
pub(crate) use whole::whole;
