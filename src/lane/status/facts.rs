//! What a lane notes for people beyond its state: what is on hand, calls that are left, what last failed. Bounded, and
//! without values of events. The lane writes it, the survey of the fleet reads it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::lane::contact::bulk::features::BulkFeatures;
use crate::lane::setup::applied::AppliedSettings;
use crate::mapping::FieldDifference;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

const FAILURES_KEPT: usize = 20;
const FIELD_CHANGES_KEPT: usize = 20;

/// What a lane notes.
#[derive(Debug, Clone, Default)]
pub struct LaneFacts {
    #[expect(missing_docs, reason = "described at its type")]
    pub deliveries: DeliveryFacts,
    #[expect(missing_docs, reason = "described at its type")]
    pub quotas: QuotasLeft,
    /// When a call last failed, and how, in words.
    pub last_error: Option<(Timestamp, String)>,
    #[expect(missing_docs, reason = "described at its type")]
    pub schema: SchemaFacts,
    /// What the account's answers have shown of what bulk needs.
    pub bulk_features: BulkFeatures,
    /// The account's settings, once the lane has them.
    pub settings: Option<Arc<AppliedSettings>>,
    /// The last events that became dead letters, newest first.
    pub failures: VecDeque<LaneFailure>,
}

/// The events that came to this replica.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFacts {
    /// When one last came.
    pub last_received: Option<Timestamp>,
    /// When one was last delivered.
    pub last_delivered: Option<Timestamp>,
    /// When the oldest one on hand was queued.
    pub oldest: Option<Timestamp>,
    /// Events taken and not settled.
    pub unsettled: usize,
}

/// Calls that are left.
#[derive(Debug, Clone, Default)]
pub struct QuotasLeft {
    /// To the API.
    pub api: Option<QuotaFacts>,
    /// To the tracking endpoints.
    pub tracking: Option<QuotaFacts>,
}

/// The account's fields.
#[derive(Debug, Clone, Default)]
pub struct SchemaFacts {
    /// How many there are, once they are read.
    pub counts: Option<FieldCounts>,
    /// What the last readings found changed, newest first.
    pub changes: Vec<NotedFieldChange>,
}

impl LaneFacts {
    pub(in crate::lane) fn fields_changed(&mut self, at: Timestamp, changes: &[FieldDifference]) {
        let newest = changes.iter().map(|change| NotedFieldChange { at, change: change.clone() });
        self.schema.changes.splice(0..0, newest);
        self.schema.changes.truncate(FIELD_CHANGES_KEPT);
    }

    /// An event became a dead letter.
    pub(in crate::lane) fn failed(&mut self, at: Timestamp, event_type: &'static str, refusal: &Refusal) {
        let problem = refusal.problems.first().cloned().map(|problem| match refusal.reason {
            // Freshsales' own words may quote values.
            DeadLetterReason::Rejected => Problem {
                problem: "Freshsales refused the record; the letter has its words".to_owned(),
                ..problem
            },
            DeadLetterReason::MalformedJson
            | DeadLetterReason::InvalidEvent
            | DeadLetterReason::UnknownAccount
            | DeadLetterReason::MissingUserId
            | DeadLetterReason::MissingEmail
            | DeadLetterReason::InvalidEmail
            | DeadLetterReason::UnknownCustomField
            | DeadLetterReason::InvalidCustomField
            | DeadLetterReason::InvalidField
            | DeadLetterReason::TrackingNotConfigured
            | DeadLetterReason::TooLarge
            | DeadLetterReason::Undeliverable
            | DeadLetterReason::DeliveryLimit => problem,
        });
        self.failures.truncate(FAILURES_KEPT - 1);
        let (reason, http_status) = (refusal.reason, refusal.http_status);
        self.failures.push_front(LaneFailure { at, event_type, reason, problem, http_status });
    }
}

/// A budget of calls at one moment.
#[derive(Debug, Clone, Copy)]
pub struct QuotaFacts {
    /// Calls that could be made at once.
    pub left: usize,
    /// The most that can ever be made at once.
    pub at_once: usize,
    /// Calls in a period.
    pub allowed: f64,
    /// Of the quota.
    pub period: Duration,
    /// When the first call may go, if none may now.
    pub next: Option<Instant>,
}

/// How many fields were read, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldCounts {
    /// When.
    pub at: Timestamp,
    /// Of contacts, sales accounts and deals.
    pub counts: [usize; 3],
}

/// What changed about a field, and when that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedFieldChange {
    /// When the fields were read.
    pub at: Timestamp,
    /// What changed.
    pub change: FieldDifference,
}

/// An event that became a dead letter.
#[derive(Debug, Clone)]
pub struct LaneFailure {
    /// When.
    pub at: Timestamp,
    /// As metrics name it.
    pub event_type: &'static str,
    /// Of the dead letter.
    pub reason: DeadLetterReason,
    /// The first one, without Freshsales' words.
    pub problem: Option<Problem>,
    /// Of Freshsales' answer, if it refused the record.
    pub http_status: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_of_fields_are_kept_newest_first() {
        let mut facts = LaneFacts::default();
        let change = |field: String| FieldDifference {
            entity: crate::schema::Entity::Contact,
            field,
            change: "added",
            before: None,
            now: None,
        };
        for hour in 0..30 {
            let at = Timestamp::from_second(hour * 3600).unwrap();
            facts.fields_changed(at, &[change(format!("a{hour}")), change(format!("b{hour}"))]);
        }
        let kept: Vec<&str> = facts.schema.changes.iter().map(|noted| noted.change.field.as_str()).collect();
        assert_eq!((kept.len(), &kept[..3]), (FIELD_CHANGES_KEPT, &["a29", "b29", "a28"][..]));
    }

    #[test]
    fn the_last_failures_are_kept_without_freshsales_words() {
        let mut facts = LaneFacts::default();
        let refused =
            |reason, text: String| Refusal::new(reason, Problem { problem: text, ..Problem::default() });
        for number in 0..50 {
            let text = format!("problem {number}");
            facts.failed(Timestamp::UNIX_EPOCH, "identify", &refused(DeadLetterReason::InvalidField, text));
        }
        assert_eq!(facts.failures.len(), FAILURES_KEPT);
        let shown = |facts: &LaneFacts| facts.failures[0].problem.clone().unwrap().problem;
        assert_eq!(shown(&facts), "problem 49");
        let quoted = refused(DeadLetterReason::Rejected, "ada@example.com is taken".to_owned());
        facts.failed(Timestamp::UNIX_EPOCH, "identify", &quoted);
        assert!(!shown(&facts).contains('@'));
        assert_eq!(facts.failures.len(), FAILURES_KEPT);
    }
}
