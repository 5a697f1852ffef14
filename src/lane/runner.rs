//! One account's lane: takes deliveries from a session, sends the calls that the [`Scheduler`] plans, and settles the
//! events that end. The commands start one for each account; sources of events reach it through its sessions.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::effects::Concerned;
use super::intake::judge::Accepts;
use super::intake::{Intake, Onward};
use super::reporting::notes::Notes;
use super::reporting::quota_wait::QuotaWait;
use super::reporting::reports::Reports;
use super::reporting::waiting::{LeaseState, find_wait};
use super::requests::{Ended, Requests};
use super::scheduler::{Effect, Next, Scheduler};
use super::schema_refresh::SchemaRefresh;
use super::session_end::{end_of_grace, give_back};
use super::settlement::{OpenDelivery, Settler};
use super::setup::change::{LaneChange, LaneChanges, PendingChange};
use super::setup::settings::Settings;
use crate::backoff::until;
use crate::config::AccountConfig;
use crate::delivery::{Delivery, Session};
use crate::freshsales::Client;
use crate::lane::status::lane_status::{LaneStatus, Phase, TaskGuard};
use crate::lane::status::progress::TurnEnd;
use crate::lane::status::wait::Wait;
use crate::metrics::AccountMetrics;
use crate::outcome::Outcome;

/// One account's lane. It outlives sessions, so what it knows of the account stays.
pub struct Lane {
    settings: Settings,
    changes: PendingChange,
    status: Arc<LaneStatus>,
    notes: Notes,
    metrics: AccountMetrics,
    intake: Intake,
    scheduler: Scheduler<OpenDelivery>,
    requests: Requests,
    settler: Settler,
    reports: Reports,
    phase: Phase,
    quota_wait: QuotaWait,
}

impl Lane {
    /// A lane in standby.
    pub fn new(account: &AccountConfig, client: Client, metrics: AccountMetrics, settings: Settings) -> Self {
        let name = || account.name.clone();
        let status = Arc::new(LaneStatus::new(name(), metrics.clone()));
        Self {
            settings,
            changes: PendingChange::new(),
            notes: Notes::new(account, status.clone(), metrics.clone()),
            intake: Intake::new(
                Accepts::of(account, client.can_track()),
                SchemaRefresh::new(name(), account.mapping.clone()),
            ),
            scheduler: settings.scheduler(account, Instant::now()),
            requests: Requests::new(account, status.clone(), client, metrics.requests.clone()),
            settler: Settler::new(status.clone(), metrics.clone()),
            reports: Reports::new(name(), metrics.clone()),
            status,
            metrics,
            phase: Phase::Standby,
            quota_wait: QuotaWait::default(),
        }
    }

    /// Where the lane's state can be seen.
    pub fn status(&self) -> Arc<LaneStatus> {
        self.status.clone()
    }

    /// The way to tell the lane of other settings.
    pub fn changes(&self) -> LaneChanges {
        self.changes.way()
    }

    /// Serves one session after another, until there are no more or `stop` is cancelled.
    pub async fn run(mut self: Box<Self>, mut sessions: mpsc::Receiver<Session>, stop: CancellationToken) {
        let guard = TaskGuard::new(self.status());
        while let Some(Some(session)) = stop.run_until_cancelled(sessions.recv()).await {
            self.serve(session, &guard, &stop).await;
        }
        // The source of a session that is not served any more still waits for its settlements.
        sessions.close();
        while let Some(mut session) = sessions.recv().await {
            give_back(&mut session).await;
        }
        guard.finished();
    }

    async fn serve(&mut self, mut session: Session, guard: &TaskGuard, stop: &CancellationToken) {
        self.change();
        if session.lease.is_endless() {
            self.scheduler.begin_alone(Instant::now());
        } else {
            self.scheduler.begin();
        }
        let mut open = true;
        loop {
            let leased = session.lease.holds(Instant::now());
            let lease = if leased { LeaseState::Holds } else { LeaseState::Lapsed };
            let planned = if leased { self.send_planned() } else { None };
            if !open && self.unsettled() == 0 {
                break;
            }
            let taking = open && self.intake.unread() == 0 && self.has_room();
            guard.turn_ended(self.turn_end(lease));
            let wake = [planned, self.intake.schema().next_attempt(), self.notes.next_look()];
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = session.lost.cancelled() => break,
                Some((number, ended)) = self.requests.next(), if !self.requests.is_empty() => {
                    guard.turn_started();
                    self.answered(number, ended, lease);
                    // One turn for all that have ended: what can go next in one call is planned together.
                    while let Some((number, ended)) = self.requests.next_ready() {
                        self.answered(number, ended, lease);
                    }
                }
                delivery = session.deliveries.recv(), if taking => {
                    guard.turn_started();
                    match delivery {
                        Some(delivery) => self.take_all(delivery, &mut session.deliveries, lease).await,
                        None => open = false,
                    }
                }
                () = self.changes.arrived() => {
                    guard.turn_started();
                    self.change();
                }
                () = session.lease.renewed(), if !leased => guard.turn_started(),
                () = until(wake.into_iter().flatten().min()) => guard.turn_started(),
            }
            self.use_schema(lease);
        }
        guard.session_ended();
        self.end_session(&mut session, stop).await;
        guard.turn_ended(self.turn_end(LeaseState::Holds));
    }

    fn change(&mut self) {
        let (Some(change), now) = (self.changes.take(), Instant::now()) else { return };
        let LaneChange { account, client } = &*change;
        self.notes.applied(account);
        self.settings.change(&mut self.scheduler, account, now);
        self.intake.change(Accepts::of(account, client.can_track()), &account.mapping, now);
        self.requests.replace_client(account, client.clone());
    }

    /// Deliveries that were taken and are not settled.
    fn unsettled(&self) -> usize {
        self.scheduler.len() + self.intake.unread() + self.settler.waiting_duplicates()
    }

    /// Whether the window has room for another delivery.
    fn has_room(&self) -> bool {
        self.unsettled() < self.settings.prefetch
    }

    fn turn_end(&mut self, lease: LeaseState) -> TurnEnd {
        let unsettled = self.unsettled();
        self.notes.turn_ended(unsettled, &self.scheduler, &self.intake, &self.settler);
        let wait = self.wait(lease);
        self.status.show(self.phase, wait.as_ref());
        let progress = self.settler.settled() + self.requests.accepted();
        TurnEnd { unsettled, progress, waits: wait.map(|wait| wait.reason) }
    }

    /// Shows the wait within a turn: nobody may see an event settled and the wait that its answer ended.
    fn show(&self, lease: LeaseState) {
        self.status.show(self.phase, self.wait(lease).as_ref());
    }

    fn wait(&self, lease: LeaseState) -> Option<Wait<'_>> {
        find_wait(&self.scheduler, &self.intake, lease, Instant::now())
    }

    fn onward(&mut self) -> (&mut Intake, Onward<'_>) {
        let Self { intake, scheduler, settler, reports, .. } = self;
        (intake, Onward { scheduler, settler, reports })
    }

    /// Takes a delivery and those that are there already, so that what can go in one call is planned together.
    async fn take_all(&mut self, first: Delivery, rest: &mut mpsc::Receiver<Delivery>, lease: LeaseState) {
        self.take(first, lease);
        while self.has_room()
            && let Ok(delivery) = rest.try_recv()
        {
            self.take(delivery, lease);
            consume_budget().await;
        }
        self.gather();
    }

    /// Deliveries have come, and others may follow closely if there is room for them.
    fn gather(&mut self) {
        if self.has_room() {
            self.scheduler.arrived(Instant::now());
        } else {
            self.scheduler.all_arrived();
        }
    }

    fn take(&mut self, delivery: Delivery, lease: LeaseState) {
        self.phase = Phase::Active;
        self.notes.received();
        let (intake, mut onward) = self.onward();
        intake.take(delivery, &mut onward);
        self.show(lease);
    }

    /// Has the fields and selectors read that are due, and lets in the deliveries that waited for them.
    fn use_schema(&mut self, lease: LeaseState) {
        let (intake, mut onward) = self.onward();
        intake.request_schema(&mut onward);
        if intake.lets_in_unread() {
            // What came behind them was not taken meanwhile.
            self.gather();
            self.show(lease);
        }
        let (intake, mut onward) = self.onward();
        intake.use_schema(&mut onward);
    }

    /// Sends all that may go now. Returns when to look again.
    fn send_planned(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if let Some(until) = self.requests.new_gateway_wait(now) {
            self.scheduler.stay_away(until, now);
        }
        let wake = loop {
            match self.scheduler.next(Instant::now()) {
                Next::Send(number, call) => self.requests.send(number, call),
                Next::Wait(wake) => break wake,
            }
        };
        let ended = self.scheduler.take_ended();
        self.take_effects(ended);
        self.quota_wait.count(&self.scheduler, &self.metrics, Instant::now());
        wake
    }

    fn answered(&mut self, number: u64, ended: Ended, lease: LeaseState) {
        let Some((verdict, limit)) = self.requests.read(ended) else {
            return self.scheduler.aborted(number, Instant::now());
        };
        let effects = self.scheduler.answered(number, verdict, &limit, Instant::now());
        self.show(lease);
        self.take_effects(effects);
    }

    fn take_effects(&mut self, effects: Vec<Effect<OpenDelivery>>) {
        let Self { intake, settler, reports, status, .. } = self;
        Concerned { intake, settler, reports, status }.take(effects, Instant::now());
    }

    /// Lets requests in flight end, and gives back the rest. After a stop the requests have the grace, because the lane
    /// is this replica's until all is settled. Once the session is lost another replica may have the lane, and waits for
    /// them no longer than `LOST_SESSION_GRACE`.
    async fn end_session(&mut self, session: &mut Session, stop: &CancellationToken) {
        self.phase = Phase::Stopping;
        self.give_back();
        self.intake.give_back(&mut self.scheduler);
        give_back(session).await;
        let deadline = end_of_grace(stop.clone(), self.settings.grace, session.lost.clone());
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = self.requests.next() => match ended {
                    Some((number, ended)) => self.answered(number, ended, LeaseState::Holds),
                    None => break,
                },
                // Nothing is waited for any more.
                () = &mut deadline => self.requests.abort_all(),
            }
        }
        // Events whose next step needed another call.
        self.give_back();
        self.intake.schema_mut().interrupt();
        self.phase = Phase::Standby;
    }

    fn give_back(&mut self) {
        for delivery in self.scheduler.give_back() {
            self.settler.finish(delivery, Outcome::Returned, 0);
        }
    }
}
