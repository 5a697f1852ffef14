//! The calls of an event as they are told. The other files of the room make them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::outcome::DeadLetterReason;

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
