//! What this replica sees of itself: reads its lanes, counters and connection, keeps the history, and puts it on the board.
//! Looked at every few seconds by a task, and whenever a page is rendered, so that a page is never older than its request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::board::{FleetBoard, OwnReport};
use super::details::{CallCount, ChangedField, FailedEvent, LaneDetails};
use super::history::{AccountHistory, Level, word};
use super::merge::{Fleet, FleetView};
use super::replica_report::{ConfigMark, QueuesTold, ReplicaReport};
use super::report::{FieldsRead, HourCounts, LaneReport, LastError, QuotaReport, StuckReport};
use crate::broker::{BrokerFacts, BrokerHealth};
use crate::lane::{LaneFailure, LaneRoster, LaneState, LaneStatus, NotedFieldChange, QuotaFacts};
use crate::mask::mask;
use crate::metrics::{AccountCounts, Metrics, resident_bytes};

/// What a survey reads from.
#[derive(Debug)]
pub struct SurveySources {
    /// For counters.
    pub metrics: Arc<Metrics>,
    /// The lanes of this replica.
    pub lanes: LaneRoster,
    /// How long a lane may settle nothing before it counts as stuck.
    pub stuck_after: Duration,
    /// `None` if events come from a file.
    pub broker: Option<(Arc<BrokerHealth>, Arc<BrokerFacts>)>,
    /// Freshet's version and the commit that it was built from.
    pub build: (&'static str, &'static str),
}

/// What this replica sees of itself, and with it of the fleet.
#[derive(Debug)]
pub struct Survey {
    board: FleetBoard,
    sources: SurveySources,
    state: Mutex<SurveyState>,
}

#[derive(Debug, Default)]
struct SurveyState {
    config: ConfigMark,
    histories: HashMap<String, AccountHistory>,
}

impl Survey {
    /// Of the replica of this name, whose process started then.
    pub fn new(name: &str, since: Timestamp, sources: SurveySources) -> Self {
        Self { board: FleetBoard::new(name, since), sources, state: Mutex::default() }
    }

    /// This replica's name.
    pub fn name(&self) -> &str {
        self.board.name()
    }

    /// When its process started.
    pub fn since(&self) -> Timestamp {
        self.board.since()
    }

    /// The replica runs with this configuration from now on.
    pub fn set_config(&self, config: ConfigMark) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).config = config;
    }

    /// Takes a message that came over RabbitMQ, from this replica's own user or from another one.
    pub fn hear(&self, body: &[u8], own_user: bool, now: Instant, at: Timestamp) {
        self.board.hear(body, own_user, now, at);
    }

    /// Looks, and returns the messages that tell the others. `turn` counts them.
    pub fn tell(&self, turn: u64, now: Instant, at: Timestamp) -> Vec<Vec<u8>> {
        self.look(now, at);
        self.board.tell(turn, false)
    }

    /// The messages by which the others forget this replica.
    pub fn leave(&self) -> Vec<Vec<u8>> {
        self.board.tell(0, true)
    }

    /// Looks, and returns all that is known of the fleet.
    pub fn fleet(&self, now: Instant, at: Timestamp) -> Fleet {
        self.look(now, at);
        self.board.fleet(now, at)
    }

    fn look(&self, now: Instant, at: Timestamp) {
        // One look at a time: two would count the same events twice.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses = self.sources.lanes.lanes();
        self.board.configure(statuses.iter().map(|lane| (lane.account().to_string(), lane.since())));
        self.board.set_view(self.view());
        let minute = at.as_second().div_euclid(60);
        let waiting = self.board.waiting(now);
        let mut counts = self.sources.metrics.counts();
        let mut lanes = Vec::new();
        let mut worked = 0;
        let SurveyState { config, histories } = &mut *state;
        histories.retain(|account, _| statuses.iter().any(|lane| **lane.account() == **account));
        for lane in &*statuses {
            let account = &**lane.account();
            let counts = match counts.remove(account) {
                Some(counts) => counts,
                // No event ever came to this replica. All that can be told of it is that its task ended.
                None if lane.stuck(self.sources.stuck_after).is_some() => AccountCounts::default(),
                None => continue,
            };
            let facts = lane.facts();
            let quota_left = facts.quotas.api.map(|quota| quota.left as u64);
            let history = histories.entry(account.to_owned()).or_default();
            history.look(minute, &counts, Level { waiting: waiting.get(account).copied(), quota_left });
            let report = self.lane(lane, &counts, history, (now, at));
            worked += u64::from(report.state != LaneState::Standby);
            if report.state != LaneState::Standby || report.stuck.is_some() || history.is_recent(minute) {
                lanes.push(report);
            }
        }
        let replica = self.replica(config.clone(), worked);
        self.board.survey(OwnReport { replica, lanes, queues: self.queues() }, now, at);
    }

    fn view(&self) -> FleetView {
        match &self.sources.broker {
            None => FleetView::Alone,
            Some((health, _)) if !health.view().connected => {
                FleetView::OwnOnly("this replica is not connected to RabbitMQ".to_owned())
            }
            Some((_, facts)) => facts.exchange().map_or(FleetView::Shared, FleetView::OwnOnly),
        }
    }

    fn queues(&self) -> Option<QueuesTold> {
        let (_, facts) = self.sources.broker.as_ref()?;
        let depths = facts.depths()?;
        let lanes: BTreeMap<String, u64> =
            depths.lanes.iter().map(|(account, events)| (account.to_string(), u64::from(*events))).collect();
        let (intake, dead_letters) = (depths.intake.map(u64::from), depths.dead_letters.map(u64::from));
        Some(QueuesTold { at: depths.at, intake, dead_letters, lanes })
    }

    fn replica(&self, config: ConfigMark, lanes: u64) -> ReplicaReport {
        let broker = self.sources.broker.as_ref();
        let health = broker.map(|(health, _)| health.view());
        let (version, revision) = self.sources.build;
        ReplicaReport {
            name: self.board.name().to_owned(),
            version: version.to_owned(),
            revision: revision.to_owned(),
            since: self.board.since(),
            connected: health.as_ref().is_some_and(|health| health.connected),
            broker_version: broker.and_then(|(_, facts)| facts.version()),
            memory_bytes: resident_bytes(),
            config,
            lanes,
            routes: broker.is_some_and(|(_, facts)| facts.routes()),
            name_taken: health.is_some_and(|health| health.name_taken),
        }
    }

    fn lane(
        &self,
        lane: &LaneStatus,
        counts: &AccountCounts,
        history: &AccountHistory,
        (now, at): (Instant, Timestamp),
    ) -> LaneReport {
        let (view, facts) = (lane.view(), lane.facts());
        let minute = at.as_second().div_euclid(60);
        let (hour, hour_before) = history.hours(minute);
        let stuck = lane.stuck(self.sources.stuck_after).map(|stuck| StuckReport {
            seconds: stuck.seconds,
            events: stuck.events as u64,
            why: stuck.why.to_owned(),
        });
        let calls = counts.calls.iter().map(|(endpoint, outcome, calls)| CallCount {
            endpoint: endpoint.clone(),
            outcome: outcome.clone(),
            calls: *calls,
        });
        LaneReport {
            account: view.account.to_string(),
            state: view.state,
            since: view.since,
            why: view.why,
            stuck,
            last_received: facts.deliveries.last_received,
            last_delivered: facts.deliveries.last_delivered,
            in_flight: facts.deliveries.unsettled as u64,
            oldest: facts.deliveries.oldest,
            hour,
            hour_before,
            total: totals(counts),
            p95_seconds: history.p95(minute),
            quota: facts.quotas.api.map(|quota| quota_report(&quota, now, at)),
            tracking_quota: facts.quotas.tracking.map(|quota| quota_report(&quota, now, at)),
            last_error: facts.last_error.map(|(at, words)| LastError { at, words: mask(&words) }),
            fields: facts.schema.counts.map(|fields| {
                let [contact, sales_account, deal] = fields.counts.map(|count| count as u64);
                FieldsRead { at: fields.at, contact, sales_account, deal }
            }),
            details: Some(LaneDetails {
                history: history.samples(minute),
                calls: calls.collect(),
                failures: facts.failures.iter().map(failed).collect(),
                field_changes: facts.schema.changes.iter().map(changed).collect(),
                bulk_features: facts
                    .bulk_features
                    .known()
                    .map(|(feature, works)| (feature.as_str().to_owned(), works))
                    .collect(),
            }),
        }
    }
}

fn totals(counts: &AccountCounts) -> HourCounts {
    let mut totals =
        HourCounts { received: counts.received, delivered: counts.delivered, ..HourCounts::default() };
    let events = counts.skipped.iter().chain(&counts.dead_lettered);
    for (place, events) in events.enumerate().filter(|(_, events)| **events > 0) {
        let (skipped, word) = word(place);
        let by_reason = if skipped { &mut totals.skipped } else { &mut totals.dead_lettered };
        by_reason.insert(word.to_owned(), *events);
    }
    totals
}

fn quota_report(quota: &QuotaFacts, now: Instant, at: Timestamp) -> QuotaReport {
    let wait = quota.next.and_then(|next| next.checked_duration_since(now)).filter(|wait| !wait.is_zero());
    let refills_at = wait.and_then(|wait| at.checked_add(SignedDuration::try_from(wait).ok()?).ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
    let allowed = quota.allowed as u64;
    QuotaReport {
        left: quota.left as u64,
        at_once: quota.at_once as u64,
        allowed,
        period_seconds: quota.period.as_secs(),
        refills_at,
        per_minute: quota.allowed * 60.0 / quota.period.as_secs_f64(),
    }
}

fn changed(noted: &NotedFieldChange) -> ChangedField {
    let change = noted.change.clone();
    ChangedField {
        at: noted.at,
        entity: change.entity.singular().to_owned(),
        field: mask(&change.field),
        change: change.change.to_owned(),
        before: change.before,
        now: change.now,
    }
}

fn failed(failure: &LaneFailure) -> FailedEvent {
    let problem = failure.problem.clone().unwrap_or_default();
    let masked = |text: Option<String>| text.map(|text| mask(&text));
    FailedEvent {
        at: failure.at,
        event_type: failure.event_type.to_owned(),
        reason: failure.reason.as_str().to_owned(),
        trait_path: masked(problem.trait_path),
        field: problem.field,
        problem: mask(&problem.problem),
        expected: masked(problem.expected),
        got: masked(problem.got),
        http_status: failure.http_status,
    }
}
