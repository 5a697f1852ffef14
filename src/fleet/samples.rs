//! Reports for tests, with something in every place.

use jiff::Timestamp;

use super::details::*;
use super::replica_report::*;
use super::report::*;
use crate::lane::LaneState;

/// So many seconds after 1 January 2026.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).expect("a time")
}

pub(crate) fn replica(name: &str) -> ReplicaReport {
    ReplicaReport {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        revision: "unknown".to_owned(),
        since: at(0),
        connected: true,
        broker_version: Some("4.1.2".to_owned()),
        memory_bytes: Some(64 << 20),
        config: ConfigMark { hash: "0123456789ab".to_owned(), loaded_at: Some(at(0)) },
        lanes: 1,
        routes: false,
        name_taken: false,
    }
}

/// A lane that flows.
pub(crate) fn lane(account: &str) -> LaneReport {
    let counts = HourCounts {
        received: 16,
        delivered: 12,
        skipped: [("anonymous".to_owned(), 3)].into(),
        dead_lettered: [("missing_email".to_owned(), 1)].into(),
    };
    let sample = |minute| MinuteSample {
        minute,
        waiting: Some(5),
        delivered: 4,
        skipped: 1,
        dead_lettered: 0,
        quota_left: Some(300),
        p95_seconds: Some(0.75),
    };
    LaneReport {
        account: account.to_owned(),
        state: LaneState::Flowing,
        since: at(10),
        why: String::new(),
        stuck: None,
        last_received: Some(at(100)),
        last_delivered: Some(at(101)),
        in_flight: 2,
        oldest: Some(at(99)),
        hour: counts.clone(),
        hour_before: HourCounts::default(),
        total: counts,
        p95_seconds: Some(1.5),
        quota: Some(QuotaReport {
            left: 300,
            at_once: 451,
            allowed: 1800,
            period_seconds: 3600,
            refills_at: None,
            per_minute: 22.5,
        }),
        tracking_quota: None,
        last_error: Some(LastError { at: at(50), words: "HTTP 503".to_owned() }),
        fields: Some(FieldsRead { at: at(12), contact: 50, sales_account: 20, deal: 20 }),
        details: Some(LaneDetails {
            history: (1..4).map(sample).collect(),
            calls: vec![CallCount {
                endpoint: "contact_upsert".to_owned(),
                outcome: "ok".to_owned(),
                calls: 12,
            }],
            failures: vec![FailedEvent {
                at: at(60),
                event_type: "identify".to_owned(),
                reason: "missing_email".to_owned(),
                trait_path: Some("email".to_owned()),
                field: None,
                problem: "is absent".to_owned(),
                expected: Some("an e-mail address".to_owned()),
                got: None,
                http_status: None,
            }],
            field_changes: vec![ChangedField {
                at: at(12),
                entity: "contact".to_owned(),
                field: "cf_seats".to_owned(),
                change: "type".to_owned(),
                before: Some("number".to_owned()),
                now: Some("text".to_owned()),
            }],
            bulk_features: [("contact_search".to_owned(), true), ("links_in_bulk".to_owned(), false)].into(),
        }),
    }
}
