//! What can become of a delivery, and the words for it in metrics, headers and logs.
//!
//! A leaf: it must know nothing of brokers, HTTP or mapping. Decoding, mapping and the lanes produce these values; metrics,
//! dead-letter headers and summaries print them.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::words::grouped;

/// Why an event is in the dead-letter queue.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, IntoStaticStr, VariantArray, Serialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterReason {
    /// The body is not one JSON object in UTF-8.
    MalformedJson,
    /// No `type`, a wrong kind in the envelope, a track without a name, a page without a url.
    InvalidEvent,
    /// No account is configured for the event's keys, or its header names one that does not exist.
    UnknownAccount,
    /// An identify with an e-mail address and without `userId`.
    MissingUserId,
    /// An identify without an e-mail address.
    MissingEmail,
    /// `traits.email` is not an e-mail address.
    InvalidEmail,
    /// A trait named like a custom field that the account does not have.
    UnknownCustomField,
    /// The value does not fit the custom field's type or choices.
    InvalidCustomField,
    /// The value does not fit a default field, or a required field is missing.
    InvalidField,
    /// Track or page for an account without an app token.
    TrackingNotConfigured,
    /// The body exceeds the limit.
    TooLarge,
    /// Freshsales refused the record for good.
    Rejected,
    /// Its calls failed for a long time in which those of other records succeeded.
    Undeliverable,
    /// Delivered too often without being settled; mostly RabbitMQ dead-letters it.
    DeliveryLimit,
}

impl DeadLetterReason {
    /// In the order of the documentation.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in metrics, headers and logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why an event was acknowledged without an effect.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, IntoStaticStr, VariantArray, Serialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// screen, group, alias, or any other `type` that is a string.
    UnsupportedType,
    /// The account does not take events of this type.
    DisabledType,
    /// The event's `integrations` exclude this destination.
    IntegrationDisabled,
    /// A track or page without `userId`; an identify with neither that nor an e-mail address.
    Anonymous,
    /// An event with the same `messageId` was settled before.
    Duplicate,
}

impl SkipReason {
    /// In the order of the documentation.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in metrics, headers and logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One thing that is wrong with an event. It holds names, types and lengths, never a value of the event. All five keys are
/// always written, so that a reader need not check which exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Freshsales' internal name of the field, if it is about one.
    pub field: Option<String>,
    /// The trait's path as the sender wrote it (`company.name`), or the envelope's key.
    #[serde(rename = "trait")]
    pub trait_path: Option<String>,
    /// What is wrong, in lower case.
    pub problem: String,
    /// What would be right.
    pub expected: Option<String>,
    /// A type or a length ("string of 300 characters"), never a value.
    pub got: Option<String>,
    /// How many unlisted problems this entry stands for; 0 if it is a problem itself.
    #[serde(skip)]
    pub further: usize,
}

/// The most problems of one event that are listed; a sender may cause as many as fit into a body.
pub const LISTED_PROBLEMS: usize = 100;

impl Problem {
    /// The entry that ends a list, standing for `count` more; `None` if there are no more.
    pub fn further(count: usize) -> Option<Self> {
        let problem = || Self {
            problem: format!("and {} more", grouped(u64::try_from(count).unwrap_or(u64::MAX))),
            further: count,
            ..Self::default()
        };
        (count > 0).then(problem)
    }
}

/// Why an event cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    #[expect(missing_docs, reason = "described at its type")]
    pub reason: DeadLetterReason,
    /// At least one; the first gave the reason.
    pub problems: Vec<Problem>,
    /// The status of the answer that refused it, if it was sent.
    pub http_status: Option<u16>,
}

impl Refusal {
    /// A refusal for one problem that was found before anything was sent.
    pub fn new(reason: DeadLetterReason, problem: Problem) -> Self {
        Self { reason, problems: vec![problem], http_status: None }
    }
}

/// What became of a delivery. Every delivery has exactly one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Freshsales confirmed the effect.
    Delivered,
    /// Acknowledged without an effect.
    Skipped(SkipReason),
    /// To be published to the dead-letter queue.
    DeadLetter(Refusal),
    /// Not settled, because the connection was lost or the daemon is stopping. Its source will deliver it again.
    Returned,
}
