//! From a body as it was queued to the events in it: `unpack` decompresses it, `unwrap` takes off what queues and buses
//! put around an event, `batch` finds the events of a body that holds several. `opener` is the only way in.

pub(super) mod batch;
pub(super) mod event_body;
pub(super) mod opener;
mod unpack;
mod unwrap;
