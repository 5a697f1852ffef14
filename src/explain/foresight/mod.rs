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
mod placeholders;
mod stages;
mod walk;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::AccountConfig;
use crate::lane::Addressed;
use crate::outcome::DeadLetterReason;
use placeholders::Placeholders;
use stages::Foresight;
use walk::Walker;

/// A request that may be sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForeseenRequest {
    /// The HTTP method.
    pub method: String,
    /// Below the account's base address. What only Freshsales knows, such as an id, is `<in such brackets>`.
    pub path: String,
    /// Without the app token.
    pub body: Option<Value>,
    /// When it is sent, in words; `None` if always.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// Whether it is sent only if another one is refused.
    #[serde(skip)]
    pub after_refusal: bool,
    /// Whether it counts against the hourly quota.
    #[serde(skip)]
    pub counts_against_quota: bool,
}

/// What one event may cost if it is worked on alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foreseen {
    /// In the order in which they would be sent.
    pub requests: Vec<ForeseenRequest>,
    /// The most calls.
    pub most: u32,
    /// The fewest and the most calls if Freshsales refuses nothing.
    pub usual: (u32, u32),
    /// What may still be refused for, by an answer.
    pub refusals: BTreeSet<DeadLetterReason>,
}

/// Foresees the calls of an event. `body` is the event's text, so that no placeholder is a value of it.
pub(super) fn foresee(account: &AccountConfig, send: &Addressed, body: &[u8], now: Instant) -> Foreseen {
    let placeholders = Placeholders::unlike(body);
    let walker = Walker::new(account, send, placeholders, now);
    Foresight::explore(&walker).foreseen(placeholders)
}
