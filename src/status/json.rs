//! The same as the pages show, for programs. A key that is there keeps its name and meaning as long as `schema_version`
//! stays; new keys may come.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::view::list::{ListQuery, matching, shown_state};
use super::view::snapshot::Snapshot;
use crate::broker::HealthView;
use crate::fleet::{AccountInFleet, FleetView, HourCounts, QueueCounts, ReplicaInFleet, StuckReport};
use crate::lane::{AppliedSettings, LaneState, RemovedAccount};
use crate::metrics::Totals;

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Serialize)]
struct Status<'a> {
    schema_version: u32,
    version: &'static str,
    replica: &'a str,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<&'a HealthView>,
    fleet: &'a FleetView,
    replicas: &'a [ReplicaInFleet],
    queues: &'a QueueCounts,
    accounts: Vec<AccountRow<'a>>,
    /// Accounts that were removed since the start.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_configured: &'a [RemovedAccount],
}

#[derive(Debug, Serialize)]
struct AccountRow<'a> {
    account: &'a str,
    /// The replica that holds the lane.
    replica: Option<&'a str>,
    state: LaneState,
    since: Option<Timestamp>,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<&'a StuckReport>,
    configured: bool,
    waiting: Option<u64>,
    oldest: Option<Timestamp>,
    hour: Option<&'a HourCounts>,
    p95_seconds: Option<f64>,
    /// Since this replica started, by itself alone.
    #[serde(flatten)]
    own: Totals,
}

/// The accounts that the query chooses, all of them where it chooses none.
pub(super) fn status(
    snapshot: &Snapshot,
    totals: &HashMap<String, Totals>,
    (query, only): (&ListQuery, Option<&str>),
) -> serde_json::Result<Vec<u8>> {
    let row = |account| row(account, totals);
    let mut accounts: Vec<AccountRow<'_>> =
        matching(&snapshot.fleet.accounts, query).into_iter().map(row).collect();
    accounts.retain(|account| only.is_none_or(|only| only == account.account));
    accounts.sort_by_key(|account| account.account);
    serde_json::to_vec(&Status {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION"),
        replica: &snapshot.replica,
        started: snapshot.started,
        broker: snapshot.broker.as_ref(),
        fleet: &snapshot.fleet.view,
        replicas: &snapshot.fleet.replicas,
        queues: &snapshot.fleet.queues,
        accounts,
        not_configured: &snapshot.removed,
    })
}

fn row<'a>(account: &'a AccountInFleet, totals: &HashMap<String, Totals>) -> AccountRow<'a> {
    let report = account.report.as_ref();
    AccountRow {
        account: &account.account,
        replica: account.replica.as_deref(),
        state: account.state(),
        since: account.since,
        why: report.map_or("", |report| &report.why),
        stuck: report.and_then(|report| report.stuck.as_ref()),
        configured: account.configured,
        waiting: account.waiting,
        oldest: report.and_then(|report| report.oldest),
        hour: report.map(|report| &report.hour),
        p95_seconds: report.and_then(|report| report.p95_seconds),
        own: totals.get(account.account.as_str()).copied().unwrap_or_default(),
    }
}

#[derive(Debug, Serialize)]
struct AccountDetails<'a> {
    schema_version: u32,
    /// `stuck` where the lane settles nothing, else its state.
    shown_state: &'static str,
    #[serde(flatten)]
    account: &'a AccountInFleet,
    /// As this replica applies them.
    settings: Option<Arc<AppliedSettings>>,
}

/// All that is known of one account; `None` if nothing is.
pub(super) fn account(
    snapshot: &Snapshot,
    name: &str,
    settings: Option<Arc<AppliedSettings>>,
) -> Option<serde_json::Result<Vec<u8>>> {
    let account = snapshot.account(name)?;
    let shown_state = shown_state(account).key;
    Some(serde_json::to_vec(&AccountDetails {
        schema_version: SCHEMA_VERSION,
        shown_state,
        account,
        settings,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::status::view::snapshot::tests::{flowing, snapshot};

    #[test]
    fn an_account_s_bulk_features_are_told_and_those_that_nobody_knows_are_not() {
        let shown = super::account(&snapshot(vec![flowing("acme")]), "acme", None).unwrap().unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let features = &shown["report"]["details"]["bulk_features"];
        assert_eq!(*features, json!({"contact_search": true, "links_in_bulk": false}), "{shown}");
    }
}
