//! What is said of one event. Its JSON form is a promise to programs.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::foresight::{Foreseen, ForeseenRequest};
use super::risk::Risk;
use crate::delivery::AccountName;
use crate::mapping::{FoundBy, Lacking, NO_SUCH_FIELD};
use crate::outcome::{DeadLetterReason, Problem, SkipReason};
use crate::schema::{Entity, Selector};

/// What would become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It is sent.
    Deliver,
    /// It is acknowledged without an effect.
    Skip(SkipReason),
    /// It becomes a dead letter before anything is sent.
    DeadLetter(DeadLetterReason),
}

impl Ends {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Skip(_) => "skip",
            Self::DeadLetter(_) => "dead_letter",
        }
    }

    /// The reason, if it is not delivered.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Deliver => None,
            Self::Skip(reason) => Some(reason.as_str()),
            Self::DeadLetter(reason) => Some(reason.as_str()),
        }
    }
}

/// A trait that sets a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MappedTrait {
    /// The trait's path as the sender wrote it.
    #[serde(rename = "trait")]
    pub trait_path: String,
    /// The field's internal name.
    pub field: String,
    /// The entity whose field it is.
    #[serde(serialize_with = "singular")]
    pub entity: Entity,
    /// `name`, `alias` or `override`; `context` if it stands in `context.traits` alone.
    pub how: &'static str,
    /// The same, whatever it stands in.
    #[serde(skip)]
    pub found_by: FoundBy,
    /// The field's name for people.
    #[serde(skip)]
    pub label: String,
    /// The value in the event.
    #[serde(skip)]
    pub given: Value,
    /// The value that is sent.
    #[serde(skip)]
    pub sent: Value,
}

/// A trait that sets no field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IgnoredTrait {
    /// The trait's path as the sender wrote it.
    #[serde(rename = "trait")]
    pub trait_path: String,
    /// The trait that it may have meant, if one is alike.
    pub nearest: Option<String>,
    /// Why, in words.
    pub why: String,
}

impl IgnoredTrait {
    /// Whether it is ignored because the account has no field for it.
    pub(super) fn has_no_field(&self) -> bool {
        self.why == NO_SUCH_FIELD
    }
}

/// What would become of one event, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// From 1.
    pub line: u64,
    /// Its place in a batch, from 0.
    pub index: Option<u64>,
    #[expect(missing_docs, reason = "as it says")]
    pub account: Option<AccountName>,
    /// What named the account.
    pub routed_by: Option<&'static str>,
    /// As the sender wrote it.
    pub event_type: Option<String>,
    #[expect(missing_docs, reason = "as Segment calls it")]
    pub message_id: Option<String>,
    #[expect(missing_docs, reason = "described at its type")]
    pub ends: Ends,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Traits that set fields.
    pub mapped: Vec<MappedTrait>,
    /// Traits that do not.
    pub ignored: Vec<IgnoredTrait>,
    /// What may be sent, and how many calls.
    pub foreseen: Foreseen,
    /// When it becomes a dead letter although it is sent.
    pub risks: Vec<Risk>,
    /// Required fields that the event does not give and the account's defaults do.
    pub filled: Vec<Lacking>,
    /// Selectors that may settle a value which does not fit.
    pub needs: Vec<Selector>,
    /// Further sentences for people.
    pub notes: Vec<String>,
}

/// The JSON form.
#[derive(Serialize)]
struct ExplanationLine<'a> {
    line: u64,
    index: Option<u64>,
    account: Option<&'a str>,
    routed_by: Option<&'static str>,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    message_id: Option<&'a str>,
    outcome: &'static str,
    reason: Option<&'static str>,
    problems: &'a [Problem],
    mapped: &'a [MappedTrait],
    ignored: &'a [IgnoredTrait],
    requests: &'a [ForeseenRequest],
    calls: u32,
    risks: &'a [Risk],
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = ExplanationLine {
            line: self.line,
            index: self.index,
            account: self.account.as_deref(),
            routed_by: self.routed_by,
            event_type: self.event_type.as_deref(),
            message_id: self.message_id.as_deref(),
            outcome: self.ends.as_str(),
            reason: self.ends.reason(),
            problems: &self.problems,
            mapped: &self.mapped,
            ignored: &self.ignored,
            requests: &self.foreseen.requests,
            calls: self.foreseen.most,
            risks: &self.risks,
        };
        line.serialize(serializer)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn singular<S: Serializer>(entity: &Entity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(entity.singular())
}

/// How many events would end how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All of them.
    pub events: u64,
    #[expect(missing_docs, reason = "as it says")]
    pub deliver: u64,
    #[expect(missing_docs, reason = "as it says")]
    pub skip: u64,
    #[expect(missing_docs, reason = "as it says")]
    pub dead_letter: u64,
    /// Skips and dead letters by their reason.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// Of those that are delivered: how many become dead letters if Freshsales lacks a record.
    pub at_risk: u64,
    /// The fewest API calls that all of them cost alone.
    #[serde(skip)]
    pub calls: u64,
}

impl Summary {
    /// Counts one more event.
    pub fn add(&mut self, explanation: &Explanation) {
        self.events += 1;
        match explanation.ends {
            Ends::Deliver => self.deliver += 1,
            Ends::Skip(_) => self.skip += 1,
            Ends::DeadLetter(_) => self.dead_letter += 1,
        }
        if let Some(reason) = explanation.ends.reason() {
            *self.by_reason.entry(reason).or_default() += 1;
        }
        self.at_risk += u64::from(!explanation.risks.is_empty());
        self.calls += u64::from(explanation.foreseen.usual.0);
    }
}
