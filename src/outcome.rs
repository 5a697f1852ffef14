//! What can become of one delivery, and the words by which it is told.
//!
//! A leaf: it knows nothing of brokers, HTTP or mapping. Decoding, mapping and
//! delivery produce these values; metrics, dead-letter headers and summaries print them.

use serde::Serialize;

/// Declares a closed set of words: an enum, its wire names, and the list of all of them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in metrics, headers and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Why an event stands in the dead-letter queue.
    DeadLetterReason {
        /// The body is not one JSON object in UTF-8.
        MalformedJson => "malformed_json",
        /// No `type`, a wrong kind in the envelope, a track without a name, a page without a url.
        InvalidEvent => "invalid_event",
        /// No account claims the event, or its header names one that does not exist.
        UnknownAccount => "unknown_account",
        /// An identify with an e-mail address and without `userId`.
        MissingUserId => "missing_user_id",
        /// An identify from which no e-mail address can be had.
        MissingEmail => "missing_email",
        /// `traits.email` is there but is no e-mail address.
        InvalidEmail => "invalid_email",
        /// A trait named like a custom field that the account does not have.
        UnknownCustomField => "unknown_custom_field",
        /// The value does not fit the custom field's type or choices.
        InvalidCustomField => "invalid_custom_field",
        /// The value does not fit a default field, or a required field is missing.
        InvalidField => "invalid_field",
        /// Track or page for an account without an app token.
        TrackingNotConfigured => "tracking_not_configured",
        /// Over the body limit.
        TooLarge => "too_large",
        /// Freshsales refused the record for good.
        Rejected => "rejected",
        /// It never got through, for a long time in which other records did.
        Undeliverable => "undeliverable",
        /// Delivered too often without being settled. Mostly set by RabbitMQ.
        DeliveryLimit => "delivery_limit",
    }
}

words! {
    /// Why an event was acknowledged without an effect.
    SkipReason {
        /// screen, group, alias, or any other string in `type`.
        UnsupportedType => "unsupported_type",
        /// The account does not take events of this type.
        DisabledType => "disabled_type",
        /// The event's `integrations` exclude this destination.
        IntegrationDisabled => "integration_disabled",
        /// A track or page without `userId`; an identify with neither that nor an e-mail address.
        Anonymous => "anonymous",
        /// A `messageId` that was already settled.
        Duplicate => "duplicate",
    }
}

/// One thing that is wrong with an event. Holds no value of the event, only names, types and lengths. All five keys are
/// always written, so that a reader need not ask which are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Freshsales' internal name of the field, where one is concerned.
    pub field: Option<String>,
    /// The trait's path as the sender wrote it (`company.name`), or the envelope's key.
    #[serde(rename = "trait")]
    pub trait_path: Option<String>,
    /// What is wrong, in lower case, ready to be read.
    pub problem: String,
    /// What would have been right.
    pub expected: Option<String>,
    /// A type or a length ("string of 300 characters"), never a value.
    pub got: Option<String>,
    /// How many problems that are not told this one stands for; 0 for a problem of its own.
    #[serde(skip)]
    pub further: usize,
}

/// The most problems of one event that are told one by one; a sender may make as many as a body has room for.
pub const PROBLEMS_TOLD: usize = 100;

impl Problem {
    /// Stands behind the problems that are told, for so many more; none if there are none.
    pub fn further(count: usize) -> Option<Self> {
        let problem =
            || Self { problem: format!("and {} more", grouped(count)), further: count, ..Self::default() };
        (count > 0).then(problem)
    }
}

/// A number with a comma after every three digits.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why an event cannot be delivered: the reason, and every problem found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The word for metrics and headers.
    pub reason: DeadLetterReason,
    /// At least one, the first being the one that gave the reason.
    pub problems: Vec<Problem>,
    /// The status of the answer that refused it, where it was sent.
    pub http_status: Option<u16>,
}

impl Refusal {
    /// A refusal for a single problem that no answer was involved in.
    pub fn new(reason: DeadLetterReason, problem: Problem) -> Self {
        Self { reason, problems: vec![problem], http_status: None }
    }
}

/// What became of one delivery. Every delivery ends in exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Freshsales took the effect.
    Delivered,
    /// Left out on purpose; counted.
    Skipped(SkipReason),
    /// Goes to the dead-letter queue.
    DeadLetter(Refusal),
    /// Not settled: it stays with its source and will be delivered again
    /// (the connection was lost or the daemon is stopping).
    Returned,
}
