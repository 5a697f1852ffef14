//! All that a page is made of, at one moment: the fleet, and what this replica knows of itself right now.

use jiff::Timestamp;

use crate::broker::HealthView;
use crate::fleet::{AccountInFleet, Fleet, HourCounts, LaneReport, QuotaReport, StuckReport};
use crate::lane::{LaneState, LaneView, Stuck};
use crate::metrics::Totals;

/// All that a page is made of.
#[derive(Debug)]
pub(in crate::status) struct Snapshot {
    /// When.
    pub(in crate::status) at: Timestamp,
    /// This replica's name.
    pub(in crate::status) replica: String,
    /// When its process started.
    pub(in crate::status) started: Timestamp,
    /// `None` if events come from a file.
    pub(in crate::status) broker: Option<HealthView>,
    /// The fleet as replicas tell it.
    pub(in crate::status) fleet: Fleet,
}

/// A lane of this replica, right now.
#[derive(Debug)]
pub(in crate::status) struct OwnLane {
    pub(in crate::status) view: LaneView,
    pub(in crate::status) stuck: Option<Stuck>,
    pub(in crate::status) totals: Totals,
}

impl Snapshot {
    /// Puts what this replica knows of its lanes right now in the place of what it last told of them: a survey may be some
    /// seconds old, and there is none before the first.
    pub(in crate::status) fn refresh(&mut self, lanes: &[OwnLane]) {
        let accounts = &mut self.fleet.accounts;
        let mut unknown = Vec::new();
        for lane in lanes {
            let known = accounts.binary_search_by(|known| known.account.as_str().cmp(&lane.view.account));
            match known.ok().and_then(|place| accounts.get_mut(place)) {
                Some(account) => refresh(account, lane, &self.replica),
                None => unknown.push(lane),
            }
        }
        for lane in unknown {
            let mut account = AccountInFleet {
                account: lane.view.account.to_string(),
                replica: None,
                configured: true,
                waiting: None,
                report: None,
            };
            refresh(&mut account, lane, &self.replica);
            accounts.push(account);
        }
        accounts.sort_by(|one, other| one.account.cmp(&other.account));
    }

    /// An account by its name.
    pub(in crate::status) fn account(&self, name: &str) -> Option<&AccountInFleet> {
        self.fleet.accounts.iter().find(|account| account.account == name)
    }
}

fn refresh(account: &mut AccountInFleet, lane: &OwnLane, own: &str) {
    let OwnLane { view, stuck, totals } = lane;
    let own_lane = account.replica.as_deref().is_none_or(|replica| replica == own);
    let told_by_another = account.replica.is_none() && account.report.is_some();
    if !own_lane || told_by_another && view.state == LaneState::Standby {
        return;
    }
    account.replica = (view.state != LaneState::Standby).then(|| own.to_owned());
    let report = account.report.get_or_insert_with(|| first_report(view, totals));
    report.state = view.state;
    report.since = view.since;
    report.why.clone_from(&view.why);
    report.stuck = stuck.as_ref().map(|stuck| StuckReport {
        seconds: stuck.seconds,
        events: u64::try_from(stuck.events).unwrap_or(u64::MAX),
        why: stuck.why.to_owned(),
    });
    report.in_flight = u64::try_from(totals.in_flight).unwrap_or_default();
}

/// What is known before the first survey.
fn first_report(view: &LaneView, totals: &Totals) -> LaneReport {
    let by_any_reason = |events: u64| (events > 0).then(|| ("any".to_owned(), events)).into_iter().collect();
    LaneReport {
        account: view.account.to_string(),
        state: view.state,
        since: view.since,
        why: String::new(),
        stuck: None,
        last_received: None,
        last_delivered: None,
        in_flight: 0,
        oldest: None,
        hour: HourCounts::default(),
        hour_before: HourCounts::default(),
        total: HourCounts {
            received: 0,
            delivered: totals.delivered,
            skipped: by_any_reason(totals.skipped),
            dead_lettered: by_any_reason(totals.dead_lettered),
        },
        p95_seconds: None,
        quota: quota(totals),
        tracking_quota: None,
        last_error: None,
        fields: None,
        details: None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "calls, cut to what u64 holds")]
fn quota(totals: &Totals) -> Option<QuotaReport> {
    let Totals { quota_remaining, quota_requests_per_hour, .. } = *totals;
    (quota_requests_per_hour > 0.0).then(|| QuotaReport {
        left: quota_remaining as u64,
        at_once: quota_requests_per_hour as u64,
        allowed: quota_requests_per_hour as u64,
        period_seconds: 3600,
        refills_at: None,
        per_minute: quota_requests_per_hour / 60.0,
    })
}

#[cfg(test)]
pub(in crate::status) mod tests {
    use super::*;
    use crate::fleet::samples::{at, lane, replica};
    use crate::fleet::{FleetView, QueueCounts, ReplicaInFleet};

    /// A fleet of one replica, `worker-0`, with these accounts.
    pub(in crate::status) fn snapshot(accounts: Vec<AccountInFleet>) -> Snapshot {
        let mut report = replica("worker-0");
        report.routes = true;
        let own = ReplicaInFleet { report, told_at: at(3600), own: true, gone: false };
        Snapshot {
            at: at(3600),
            replica: "worker-0".to_owned(),
            started: at(0),
            broker: Some(HealthView {
                connected: true,
                since: at(1),
                ready: true,
                why: String::new(),
                name_taken: false,
            }),
            fleet: Fleet {
                at: at(3600),
                view: FleetView::Shared,
                replicas: vec![own],
                accounts,
                queues: QueueCounts {
                    replica: Some("worker-0".to_owned()),
                    at: Some(at(3599)),
                    intake_waiting: Some(0),
                    dead_letters_waiting: Some(0),
                },
            },
        }
    }

    /// An account that `worker-0` works, and that flows.
    pub(in crate::status) fn flowing(name: &str) -> AccountInFleet {
        AccountInFleet {
            account: name.to_owned(),
            replica: Some("worker-0".to_owned()),
            configured: true,
            waiting: Some(0),
            report: Some(lane(name)),
        }
    }

    fn own(name: &str, state: LaneState) -> OwnLane {
        let view = LaneView { account: name.into(), state, since: at(7), why: "now".to_owned() };
        OwnLane { view, stuck: None, totals: Totals { in_flight: 9, ..Totals::default() } }
    }

    #[test]
    fn a_replica_knows_its_own_lanes_better_than_what_it_last_told() {
        let mut snapshot = snapshot(vec![flowing("acme")]);
        snapshot.refresh(&[own("acme", LaneState::Retrying), own("aaa", LaneState::Standby)]);
        let shown: Vec<_> =
            snapshot.fleet.accounts.iter().map(|one| (one.account.as_str(), one.state())).collect();
        assert_eq!(shown, [("aaa", LaneState::Standby), ("acme", LaneState::Retrying)]);
        let acme = snapshot.account("acme").unwrap();
        let report = acme.report.as_ref().unwrap();
        assert_eq!((report.why.as_str(), report.in_flight, report.total.delivered), ("now", 9, 12));
        assert_eq!(snapshot.account("aaa").unwrap().replica, None);
    }

    #[test]
    fn a_lane_that_another_replica_holds_is_shown_as_that_one_tells_it() {
        let mut elsewhere = flowing("acme");
        elsewhere.replica = Some("worker-1".to_owned());
        let mut gone = flowing("globex");
        gone.replica = None;
        let mut snapshot = snapshot(vec![elsewhere.clone(), gone.clone()]);
        snapshot.refresh(&[own("acme", LaneState::Retrying), own("globex", LaneState::Standby)]);
        assert_eq!(snapshot.fleet.accounts, [elsewhere, gone]);
    }
}
