//! Which calls one event may cost, found out by a lane's own scheduler: it is handed the event, and each call that it wants
//! to send is answered in every way that matters. Pure: the time is handed in, nothing is sent.
//!
//! ```text
//! Walk: one way through the answers ──► stages: all ways ──► requests with their conditions, and how many calls
//!   answers: what may be answered         condition: when a call is sent
//! ```
//!
//! A scheduler cannot be copied, so each way is walked from its beginning. A way is at most a few dozen calls long.

mod answers;
mod condition;
mod foreseen;
mod placeholders;
mod stages;
mod walk;

use tokio::time::Instant;

use crate::config::AccountConfig;
use crate::lane::Addressed;
pub use foreseen::{Foreseen, ForeseenRequest};
use placeholders::Placeholders;
use stages::Foresight;
use walk::EventWalker;

/// Foresees the calls of an event. `body` is the event's text, so that no placeholder is a value of it.
pub(super) fn foresee(account: &AccountConfig, send: &Addressed, body: &[u8], now: Instant) -> Foreseen {
    let placeholders = Placeholders::unlike(body);
    let walker = EventWalker::new(account, send, placeholders, now);
    Foresight::explore(&walker).foreseen(placeholders)
}
