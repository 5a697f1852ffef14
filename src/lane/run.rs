//! The lane's loop: takes deliveries, sends what [`Dispatch`] plans, settles what ends.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::{Dispatch, Effect, LAST_CALLS, Next};
use super::judge::{self, Send};
use super::ledger::{Debt, Ledger};
use super::limit::Patience;
use super::memory::Messages;
use super::omissions::Omissions;
use super::pulse::Mark;
use super::quota::Quota;
use super::reading::Reading;
use super::state::{Board, Phase};
use crate::config::Account;
use crate::delays::until;
use crate::delivery::{Delivery, Session};
use crate::freshsales::{Budget, Call, Client, Endpoint, NoAnswer, Unread, Verdict, classify};
use crate::mapping::{InvalidValue, Mapped, Omitted};
use crate::metrics::AccountMetrics;
use crate::outcome::{DeadLetterReason, Outcome, SkipReason};
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
    pub patience: Patience,
}

/// A call that was sent, under its number, with its answer and how long that took.
type Sent = (u64, Call, Result<Unread, NoAnswer>, Duration);

/// One account's lane. Outlives sessions: what it knows of the account stays.
pub struct Lane {
    settings: Settings,
    types: Vec<EventType>,
    client: Client,
    board: Arc<Board>,
    metrics: AccountMetrics,
    ledger: Ledger,
    messages: Messages,
    omissions: Omissions,
    reading: Reading,
    dispatch: Dispatch<Debt>,
    tasks: JoinSet<Sent>,
    /// The number of the call that each task sends.
    names: HashMap<tokio::task::Id, u64>,
    /// Deliveries that cannot be judged before the account's fields are read (again), in order.
    held: VecDeque<Delivery>,
    starved_since: Option<Instant>,
    /// Calls that Freshsales accepted, questions about jobs aside.
    steps: u64,
}

impl Lane {
    /// A lane in standby.
    pub fn new(account: &Account, client: Client, metrics: AccountMetrics, settings: Settings) -> Self {
        let now = Instant::now();
        let board = Arc::new(Board::new(account.name.clone(), metrics.clone()));
        metrics.quota_requests_per_hour.set(account.requests_per_hour);
        let hour = Duration::from_hours(1);
        let api = Quota::new(account.requests_per_hour, hour, account.quota_share, now);
        let minute = Duration::from_mins(1);
        let tracking = Quota::new(account.tracking_requests_per_minute, minute, account.quota_share, now);
        Self {
            settings,
            types: account.events.clone(),
            client,
            board,
            ledger: Ledger::new(account.name.clone(), metrics.clone()),
            metrics,
            messages: Messages::new(),
            omissions: Omissions::new(account.name.clone()),
            reading: Reading::new(account.name.clone(), account.mapping.clone()),
            dispatch: Dispatch::new(settings.concurrency, settings.patience, api, tracking)
                .leaving_out_what_is_denied(account.mapping.invalid_value == InvalidValue::Omit),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            held: VecDeque::new(),
            starved_since: None,
            steps: 0,
        }
    }

    /// Where the lane's state can be seen.
    pub fn board(&self) -> Arc<Board> {
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
        self.dispatch.begin();
        let mut open = true;
        loop {
            let leased = session.lease.holds(Instant::now());
            let planned = if leased { self.send_planned() } else { None };
            let wake = [planned, self.reading.wake()].into_iter().flatten().min();
            if !open && self.dispatch.is_empty() && self.held.is_empty() {
                break;
            }
            let taking = open && self.held.is_empty() && self.dispatch.len() < self.settings.prefetch;
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

    /// What others may know of the lane while it waits.
    fn mark(&self, leased: bool) -> Mark {
        let troubled = [Budget::Api, Budget::Tracking].iter().any(|b| self.dispatch.trouble(*b).is_some());
        let excused = troubled
            || !leased
            || self.dispatch.retrying()
            || self.dispatch.starved()
            || self.dispatch.taking_over(Instant::now())
            || self.reading.pausing();
        let unsettled = self.dispatch.len() + self.held.len();
        Mark { unsettled, progress: self.ledger.settled() + self.steps, excused }
    }

    /// Sends all that may go now; tells when to look again.
    fn send_planned(&mut self) -> Option<Instant> {
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
        // Counted at every turn, because a lane short of quota may wait without an end.
        if let Some(since) = self.starved_since.take() {
            self.metrics.quota_wait_seconds.inc_by(since.elapsed().as_secs_f64());
        }
        self.starved_since = self.dispatch.starved().then(Instant::now);
        self.metrics.quota_remaining.set(self.dispatch.quota_remaining(Instant::now()));
        wake
    }

    /// Takes one delivery that has just come.
    fn take(&mut self, delivery: Delivery) {
        // Only now: one that is held would let the wait begin anew when it is let in.
        if delivery.redelivered {
            self.dispatch.redelivered(Instant::now());
        }
        self.let_in(delivery);
    }

    /// Judges a delivery, or holds it until the account's fields are known.
    fn let_in(&mut self, delivery: Delivery) {
        let now = Instant::now();
        let Some(mapper) = self.reading.mapper() else {
            self.reading.want(now);
            self.board.phase(Phase::WaitingForSchema);
            self.held.push_back(delivery);
            return;
        };
        self.board.phase(Phase::Active);
        let (types, can_track) = (&self.types, self.client.can_track());
        // Judging is pure: a panic in it is a bug about this one event, and must not cost the account its lane.
        let judged = std::panic::catch_unwind(AssertUnwindSafe(|| {
            judge::judge(&delivery.body, types, can_track, mapper)
        }));
        let Ok(judged) = judged else {
            tracing::error!("judging an event panicked; it goes back to its source; this is a bug");
            delivery.receipt.settle(Outcome::Returned, 0);
            return;
        };
        // An admin may just have added the field or the choice that is missed.
        let complaint = match &judged.verdict {
            Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
            Ok(_) if !judged.omitted.is_empty() => Some(DeadLetterReason::InvalidField),
            Ok(_) | Err(Outcome::Delivered | Outcome::Skipped(_) | Outcome::Returned) => None,
        };
        if complaint.is_some_and(|reason| self.reading.doubts(reason, now)) {
            self.held.push_back(delivery);
            return;
        }
        self.metrics.traits_ignored.inc_by(judged.ignored.len() as u64);
        let Delivery { queued_at, receipt, copied, .. } = delivery;
        self.ledger.open(judged.kind);
        let debt = Debt { kind: judged.kind, message_id: judged.message_id, queued_at, receipt };
        let Send { mapped, keys, taught } = match judged.verdict {
            Ok(send) => send,
            Err(outcome) => return self.ledger.settle(debt, outcome, 0),
        };
        // An older copy of another identify may have come between this one and its like: then the last copy must win
        // again. Copies come in order.
        let wins_again = copied && matches!(mapped, Mapped::Contact(_));
        if let Some(id) = &debt.message_id
            && !self.messages.begin(id)
            && !wins_again
        {
            return self.ledger.settle(debt, Outcome::Skipped(SkipReason::Duplicate), 0);
        }
        self.metrics.values_omitted.inc_by(judged.omitted.len() as u64);
        for omitted in &judged.omitted {
            self.omissions.tell(omitted, now);
        }
        self.dispatch.insert(mapped, keys, taught, debt);
        self.show_trouble();
        self.reading.refresh_when_old(now);
    }

    /// Asks for the fields that are wanted, and judges what was held once they are there.
    fn read_fields(&mut self) {
        let now = Instant::now();
        for entity in self.reading.ask(now) {
            self.dispatch.read_fields(*entity, now);
        }
        if self.reading.settled() && !self.held.is_empty() {
            self.board.phase(Phase::Active);
            for delivery in std::mem::take(&mut self.held) {
                self.let_in(delivery);
            }
        }
    }

    fn answered(&mut self, ended: Result<(tokio::task::Id, Sent), tokio::task::JoinError>) {
        let (number, verdict, told) = match ended {
            Ok((id, (number, call, answer, elapsed))) => {
                self.names.remove(&id);
                let answer = answer.map(Unread::read);
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
        for effect in effects {
            match effect {
                Effect::Settled { debt, outcome, attempts } => self.settle(debt, outcome, attempts),
                Effect::BulkGivenUp => tracing::warn!(
                    account = &*self.board.view().account,
                    "reports of bulk upserts cannot be used; records go one by one for an hour"
                ),
                Effect::Coalesced(number) => self.metrics.coalesced.inc_by(number),
                Effect::LeftOut(entity) => self.tell_omitted(entity),
                Effect::Fields(entity, result) => {
                    if let Some(why) = self.reading.read(entity, result, Instant::now()) {
                        self.board.explain(&why);
                    }
                }
            }
        }
    }

    /// A whole sales account or deal was left out, because the key has no right to it.
    fn tell_omitted(&mut self, entity: Entity) {
        self.metrics.values_omitted.inc();
        let omitted = Omitted {
            entity,
            field: entity.singular().to_owned(),
            trait_path: entity.singular().to_owned(),
            why: "the API key has no right to write it".to_owned(),
        };
        self.omissions.tell(&omitted, Instant::now());
    }

    fn show_trouble(&self) {
        for budget in [Budget::Api, Budget::Tracking] {
            self.board.trouble(budget, self.dispatch.trouble(budget));
        }
    }

    fn settle(&mut self, debt: Debt, outcome: Outcome, attempts: u32) {
        if let Some(id) = &debt.message_id {
            self.messages.end(id, outcome == Outcome::Delivered);
        }
        self.ledger.settle(debt, outcome, attempts);
    }

    /// Lets requests in flight end, and gives back the rest. After a stop they have the grace, because the lane is
    /// this replica's until all is settled. Once the session is lost another replica may have the lane, and waits no
    /// longer for them than they may take.
    async fn halt(&mut self, session: &mut Session, stop: &CancellationToken) {
        self.board.halts();
        self.give_back();
        for delivery in self.held.drain(..) {
            delivery.receipt.settle(Outcome::Returned, 0);
        }
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
