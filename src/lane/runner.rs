//! The lane's loop: takes deliveries, sends what [`Scheduler`] plans, settles what ends.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::Quota;
use super::dedup::Messages;
use super::scheduler::{Effect, LAST_CALLS, Next, Scheduler};
use super::schema_refresh::SchemaRefresh;
use super::settlement::{OpenDelivery, Settler, of_duplicate};
use super::timing::BackoffSettings;
use crate::backoff::until;
use crate::config::AccountConfig;
use crate::delivery::{Delivery, Session};
use crate::freshsales::{
    Answer, BudgetKind, Call, Client, Endpoint, NoAnswer, RawResponse, Verdict, classify, host_wide_wait,
};
use crate::lane::contact::remedy::may_be_mended;
use crate::lane::intake::omissions::Omissions;
use crate::lane::intake::placeholders::Placeholders;
use crate::lane::status::lane_status::{LaneStatus, Phase};
use crate::lane::status::progress::Mark;
use crate::mapping::InvalidValue;
use crate::metrics::AccountMetrics;
use crate::outcome::{DeadLetterReason, Outcome};
use crate::schema::Entity;
use crate::segment::EventType;

/// How a lane works, beyond what its account says.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Events held unsettled.
    pub prefetch: usize,
    /// Requests in flight.
    pub concurrency: usize,
    /// How long requests in flight may take to end once the lane stops.
    pub grace: Duration,
    /// How long to wait where no answer says it.
    pub patience: BackoffSettings,
}

/// A call that was sent, under its number, with its answer and how long that took.
type Sent = (u64, Call, Result<RawResponse, NoAnswer>, Duration);

/// One account's lane. Outlives sessions: what it knows of the account stays.
pub struct Lane {
    settings: Settings,
    pub(super) types: Vec<EventType>,
    pub(super) client: Client,
    pub(super) board: Arc<LaneStatus>,
    pub(super) metrics: AccountMetrics,
    pub(super) ledger: Settler,
    pub(super) messages: Messages<OpenDelivery>,
    pub(super) omissions: Omissions,
    pub(super) placeholders: Placeholders,
    pub(super) reading: SchemaRefresh,
    pub(super) dispatch: Scheduler<OpenDelivery>,
    tasks: JoinSet<Sent>,
    /// The number of the call that each task sends.
    names: HashMap<tokio::task::Id, u64>,
    /// Deliveries that cannot be judged before the account's fields are read for the first time, in order.
    pub(super) unread: VecDeque<Delivery>,
    /// Deliveries that are judged again when the account's fields are read again, in order, each with the place that is
    /// kept for it.
    pub(super) doubted: VecDeque<(u64, Delivery)>,
    starved_since: Option<Instant>,
    /// The last wait of a gateway that was heard of.
    stays_away: Option<Instant>,
    /// Calls that Freshsales accepted, questions about jobs aside.
    steps: u64,
}

impl Lane {
    /// A lane in standby.
    pub fn new(account: &AccountConfig, client: Client, metrics: AccountMetrics, settings: Settings) -> Self {
        let now = Instant::now();
        let board = Arc::new(LaneStatus::new(account.name.clone(), metrics.clone()));
        metrics.quota_requests_per_hour.set(account.limits.requests_per_hour);
        let hour = Duration::from_hours(1);
        let api = Quota::new(account.limits.requests_per_hour, hour, account.limits.quota_share, now)
            .with_reserve(Entity::ALL.len());
        let minute = Duration::from_mins(1);
        let tracking =
            Quota::new(account.limits.tracking_requests_per_minute, minute, account.limits.quota_share, now);
        Self {
            settings,
            types: account.events.clone(),
            client,
            board,
            ledger: Settler::new(account.name.clone(), metrics.clone()),
            metrics,
            messages: Messages::new(),
            omissions: Omissions::new(account.name.clone()),
            placeholders: Placeholders::new(account.name.clone()),
            reading: SchemaRefresh::new(account.name.clone(), account.mapping.clone()),
            dispatch: Scheduler::new(settings.concurrency, settings.patience, api, tracking)
                .leaving_out_what_is_denied(account.mapping.invalid_value == InvalidValue::Omit)
                .with_deals(account.deal_identity)
                .with_tags(account.tags)
                .with_a_path_that_may_be_missing(account.url.may_lack_path())
                .with_bulk_jobs(account.limits.bulk_jobs),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            unread: VecDeque::new(),
            doubted: VecDeque::new(),
            starved_since: None,
            stays_away: None,
            steps: 0,
        }
    }

    /// Where the lane's state can be seen.
    pub fn board(&self) -> Arc<LaneStatus> {
        self.board.clone()
    }

    /// Serves one session after another, until there are no more or `stop` is cancelled.
    pub async fn run(mut self, mut sessions: mpsc::Receiver<Session>, stop: CancellationToken) {
        let vigil = self.board.vigil();
        while let Some(Some(session)) = stop.run_until_cancelled(sessions.recv()).await {
            self.serve(session, &stop).await;
        }
        // A session that nobody serves any more still owes its source an answer.
        sessions.close();
        while let Some(mut session) = sessions.recv().await {
            give_back(&mut session).await;
        }
        vigil.over();
    }

    async fn serve(&mut self, mut session: Session, stop: &CancellationToken) {
        if session.lease.is_endless() {
            self.dispatch.begin_alone(Instant::now());
        } else {
            self.dispatch.begin();
        }
        let mut open = true;
        loop {
            let leased = session.lease.holds(Instant::now());
            let planned = if leased { self.send_planned() } else { None };
            let wake = [planned, self.reading.wake()].into_iter().flatten().min();
            if !open && self.unsettled() == 0 {
                break;
            }
            let taking = open && self.unread.is_empty() && self.unsettled() < self.settings.prefetch;
            self.board.rests(self.mark(leased));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = session.lost.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.board.wakes();
                    self.answered(ended);
                }
                delivery = session.deliveries.recv(), if taking => {
                    self.board.wakes();
                    match delivery {
                        Some(delivery) => self.take(delivery),
                        None => open = false,
                    }
                }
                () = session.lease.renewed(), if !leased => self.board.wakes(),
                () = until(wake) => self.board.wakes(),
            }
            self.read_fields();
        }
        self.halt(&mut session, stop).await;
    }

    /// Deliveries that were taken and are not settled.
    fn unsettled(&self) -> usize {
        self.dispatch.len() + self.unread.len() + self.messages.joined()
    }

    /// What others may know of the lane while it waits.
    fn mark(&self, leased: bool) -> Mark {
        let troubled =
            [BudgetKind::Api, BudgetKind::Tracking].iter().any(|b| self.dispatch.trouble(*b).is_some());
        let excused = troubled
            || !leased
            || self.dispatch.retrying()
            || self.dispatch.starved()
            || self.dispatch.taking_over(Instant::now())
            || self.reading.pausing();
        Mark { unsettled: self.unsettled(), progress: self.ledger.settled() + self.steps, excused }
    }

    /// Sends all that may go now; tells when to look again.
    fn send_planned(&mut self) -> Option<Instant> {
        self.hear_gateway(Instant::now());
        let wake = loop {
            match self.dispatch.next(Instant::now()) {
                Next::Send(number, call) => {
                    let client = self.client.clone();
                    let task = self.tasks.spawn(async move {
                        let started = Instant::now();
                        let answer = client.send(&call).await;
                        (number, call, answer, started.elapsed())
                    });
                    self.names.insert(task.id(), number);
                }
                Next::Wait(wake) => break wake,
            }
        };
        let ended = self.dispatch.take_ended();
        self.take_effects(ended);
        // Counted at every turn, because a lane short of quota may wait without an end.
        if let Some(since) = self.starved_since.take() {
            self.metrics.quota_wait_seconds.inc_by(since.elapsed().as_secs_f64());
        }
        self.starved_since = self.dispatch.starved().then(Instant::now);
        self.metrics.quota_remaining.set(self.dispatch.quota_remaining(Instant::now()));
        wake
    }

    fn answered(&mut self, ended: Result<(tokio::task::Id, Sent), tokio::task::JoinError>) {
        let (number, verdict, told) = match ended {
            Ok((id, (number, call, answer, elapsed))) => {
                self.names.remove(&id);
                let answer = answer.map(RawResponse::parse);
                self.tell_gateway(answer.as_ref().ok());
                let told = answer.as_ref().map(|answer| answer.rate_limit).unwrap_or_default();
                let verdict = classify(call.endpoint, answer);
                let endpoint = call.endpoint.as_str();
                let step = matches!(verdict, Verdict::Done(_)) && call.endpoint != Endpoint::JobStatus;
                self.steps += u64::from(step);
                self.metrics.requests.observe(endpoint, verdict.as_str(), elapsed, call.records());
                (number, verdict, told)
            }
            Err(error) => {
                let Some(number) = self.names.remove(&error.id()) else { return };
                if error.is_cancelled() {
                    return self.dispatch.aborted(number, Instant::now());
                }
                tracing::error!(%error, "sending a call ended early; it is tried again; this is a bug");
                let verdict = classify(crate::freshsales::Endpoint::Lookup, Err(NoAnswer::Connection));
                (number, verdict, crate::freshsales::RateLimit::default())
            }
        };
        let effects = self.dispatch.answered(number, verdict, &told, Instant::now());
        self.show_trouble();
        self.take_effects(effects);
    }

    fn take_effects(&mut self, effects: Vec<Effect<OpenDelivery>>) {
        for effect in effects {
            match effect {
                Effect::Settled { debt, outcome, attempts } => {
                    if is_refused_record(&outcome) {
                        self.reading.refused(Instant::now());
                    }
                    self.settle(debt, outcome, attempts);
                }
                Effect::BulkGivenUp => tracing::warn!(
                    account = &*self.board.view().account,
                    "reports of bulk upserts cannot be used; records go one by one for an hour"
                ),
                Effect::TooManyJobs { one_by_one } => self.tell_too_many_jobs(one_by_one),
                Effect::Coalesced(number) => self.metrics.coalesced.inc_by(number),
                Effect::LeftOut(omitted) => {
                    self.metrics.values_omitted.inc();
                    self.omissions.tell(&omitted, Instant::now());
                }
                Effect::DealsNotShown => tracing::warn!(
                    account = &*self.board.view().account,
                    "Freshsales does not show a contact's deals; a deal that this replica did not write before is created anew"
                ),
                Effect::Selector(selector, result) => {
                    self.reading.read_selector(selector, &result, Instant::now());
                }
                Effect::Fields(entity, result) => {
                    if let Some(why) = self.reading.read(entity, result, Instant::now()) {
                        self.board.explain(&why);
                    }
                }
            }
        }
    }

    /// Stays away where another account on the host was asked to.
    fn hear_gateway(&mut self, now: Instant) {
        let until = self.client.gateway().blocked_until(now);
        if let Some(until) = until.filter(|until| self.stays_away != Some(*until)) {
            self.stays_away = Some(until);
            self.dispatch.stay_away(until, now);
            self.show_trouble();
        }
    }

    /// Lets the other accounts on the host know what an answer says of the gateway before it.
    fn tell_gateway(&self, answer: Option<&Answer>) {
        let (gateway, now) = (self.client.gateway(), Instant::now());
        let Some(answer) = answer else { return };
        if let Some(wait) = host_wide_wait(answer) {
            if gateway.block(wait, now) {
                tracing::warn!(
                    account = &*self.board.view().account,
                    wait_s = wait.as_secs(),
                    "a gateway before Freshsales asks to stay away; all accounts on the host do"
                );
            }
        } else if answer.status < 300 {
            gateway.let_through(now);
        }
    }

    fn tell_too_many_jobs(&self, one_by_one: bool) {
        let account = &*self.board.view().account;
        if one_by_one {
            tracing::warn!(
                account,
                "bulk upserts have been refused for two minutes; records go one by one until one is accepted"
            );
        } else {
            tracing::info!(
                account,
                "too many bulk jobs of the account are running; records wait for one to end"
            );
        }
    }

    pub(super) fn show_trouble(&self) {
        for budget in [BudgetKind::Api, BudgetKind::Tracking] {
            self.board.trouble(budget, self.dispatch.trouble(budget));
        }
    }

    /// An event that was worked on ended. What joined it shares its outcome: its duplicates may be the same message of
    /// the queue, and to acknowledge one removes it.
    fn settle(&mut self, debt: OpenDelivery, outcome: Outcome, attempts: u32) {
        let id = debt.message_id.as_ref();
        let joined = id.map(|id| self.messages.end(id, outcome == Outcome::Delivered)).unwrap_or_default();
        let duplicates: Vec<(OpenDelivery, Outcome)> =
            joined.into_iter().map(|debt| (debt, of_duplicate(&outcome))).collect();
        self.ledger.settle(debt, outcome, attempts);
        for (debt, outcome) in duplicates {
            self.ledger.settle(debt, outcome, attempts);
        }
    }

    /// Lets requests in flight end, and gives back the rest. After a stop they have the grace, because the lane is
    /// this replica's until all is settled. Once the session is lost another replica may have the lane, and waits no
    /// longer for them than they may take.
    async fn halt(&mut self, session: &mut Session, stop: &CancellationToken) {
        self.board.halts();
        self.give_back();
        self.give_back_unjudged();
        give_back(session).await;
        let grace = self.settings.grace;
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        let lost = session.lost.clone();
        let cut_off = async {
            lost.cancelled().await;
            tokio::time::sleep(LAST_CALLS).await;
        };
        let deadline = async {
            tokio::select! {
                () = stopped => {}
                () = cut_off => {}
            }
        };
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.answered(ended),
                    None => break,
                },
                () = &mut deadline => {
                    self.tasks.abort_all();
                    while let Some(ended) = self.tasks.join_next_with_id().await {
                        self.answered(ended);
                    }
                    break;
                }
            }
        }
        // What needed more than the call that was in flight.
        self.give_back();
        self.reading.interrupted();
        self.board.phase(Phase::Standby);
        self.show_trouble();
        self.board.rests(self.mark(true));
    }

    fn give_back(&mut self) {
        for debt in self.dispatch.give_back() {
            self.settle(debt, Outcome::Returned, 0);
        }
    }
}

/// Settles what was handed over but never taken.
async fn give_back(session: &mut Session) {
    session.deliveries.close();
    while let Some(delivery) = session.deliveries.recv().await {
        delivery.receipt.settle(Outcome::Returned, 0);
    }
}

/// Whether Freshsales refused a record for what it holds, or does not hold.
fn is_refused_record(outcome: &Outcome) -> bool {
    let Outcome::DeadLetter(refusal) = outcome else { return false };
    refusal.reason == DeadLetterReason::Rejected && may_be_mended(refusal.http_status)
}
