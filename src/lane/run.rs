//! The lane's loop: takes deliveries, sends what is ready, settles what ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::courier::{Courier, NotDone, Patience};
use super::deliver::Delivering;
use super::judge::{self, Send};
use super::ledger::{Debt, Ledger};
use super::memory::{Identities, Messages, Recalled};
use super::quota::Quota;
use super::state::{Board, Phase};
use super::window::{Key, Window};
use crate::config::Account;
use crate::delivery::{Delivery, Session};
use crate::freshsales::{Call, Client};
use crate::mapping::{Mapped, Mapper, MappingRules};
use crate::metrics::AccountMetrics;
use crate::outcome::{Outcome, SkipReason};
use crate::schema::{Entity, Fields, Schema};
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

/// One account's lane. Outlives sessions: what it knows of the account stays.
pub struct Lane {
    settings: Settings,
    types: Vec<EventType>,
    rules: MappingRules,
    courier: Arc<Courier>,
    board: Arc<Board>,
    metrics: AccountMetrics,
    ledger: Ledger,
    identities: Arc<Identities>,
    messages: Messages,
    mapper: Option<Mapper>,
}

/// What a sent event came to.
struct Sent {
    number: u64,
    outcome: Outcome,
    attempts: u32,
}

impl Lane {
    /// A lane in standby.
    pub fn new(account: &Account, client: Client, metrics: AccountMetrics, settings: Settings) -> Self {
        let now = Instant::now();
        let board = Arc::new(Board::new(account.name.clone(), metrics.clone()));
        metrics.quota_requests_per_hour.set(account.requests_per_hour);
        let api = Quota::new(account.requests_per_hour, Duration::from_hours(1), account.quota_share, now);
        let tracking = Quota::new(
            account.tracking_requests_per_minute,
            Duration::from_mins(1),
            account.quota_share,
            now,
        );
        let courier = Courier::new(client, board.clone(), metrics.clone(), settings.patience, api, tracking);
        Self {
            settings,
            types: account.events.clone(),
            rules: account.mapping.clone(),
            courier: Arc::new(courier),
            board,
            ledger: Ledger::new(account.name.clone(), metrics.clone()),
            metrics,
            identities: Arc::new(Identities::new()),
            messages: Messages::new(),
            mapper: None,
        }
    }

    /// Where the lane's state can be seen.
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Serves one session after another, until there are no more or `stop` is cancelled.
    pub async fn run(mut self, mut sessions: mpsc::Receiver<Session>, stop: CancellationToken) {
        while let Some(Some(session)) = stop.run_until_cancelled(sessions.recv()).await {
            self.serve(session, &stop).await;
        }
        // A session that nobody serves any more still owes its source an answer.
        sessions.close();
        while let Some(mut session) = sessions.recv().await {
            give_back(&mut session).await;
        }
    }

    async fn serve(&mut self, mut session: Session, stop: &CancellationToken) {
        let mut work = Work {
            window: Window::default(),
            debts: HashMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            // Cancelled when nothing new may be sent: with the source, or by `stop` below.
            halt: session.lost.child_token(),
        };
        let mut open = true;
        loop {
            self.send_ready(&mut work);
            if !open && work.window.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = session.lost.cancelled() => break,
                ended = work.tasks.join_next_with_id(), if !work.tasks.is_empty() => {
                    if let Some(ended) = ended {
                        self.finish(&mut work, ended);
                    }
                }
                delivery = session.deliveries.recv(), if open && work.window.len() < self.settings.prefetch => {
                    match delivery {
                        Some(delivery) => self.take(&mut work, delivery, stop).await,
                        None => open = false,
                    }
                }
            }
        }
        self.halt(&mut work, &mut session, stop).await;
    }

    /// Starts as many of the ready events as there are slots.
    fn send_ready(&self, work: &mut Work) {
        while work.tasks.len() < self.settings.concurrency {
            let Some((number, (mapped, debt))) = work.window.take() else { return };
            let courier = self.courier.clone();
            let identities = self.identities.clone();
            let halt = work.halt.clone();
            let task = work.tasks.spawn(async move {
                let mut delivering =
                    Delivering { courier: &courier, identities: &identities, stop: &halt, attempts: 0 };
                let outcome = delivering.deliver(&mapped).await;
                Sent { number, outcome, attempts: delivering.attempts }
            });
            work.names.insert(task.id(), number);
            work.debts.insert(number, debt);
        }
    }

    /// Judges one delivery: it is settled at once, or waits in the window.
    async fn take(&mut self, work: &mut Work, delivery: Delivery, stop: &CancellationToken) {
        let Delivery { body, queued_at, receipt } = delivery;
        let open = |ledger: &Ledger, kind, message_id| {
            ledger.open(kind);
            Debt { kind, message_id, queued_at, receipt }
        };
        if self.mapper.is_none() {
            let schema = stop.run_until_cancelled(self.read_schema(&work.halt)).await.flatten();
            let Some(schema) = schema else {
                let debt = open(&self.ledger, "other", None);
                self.ledger.settle(debt, Outcome::Returned, 0);
                return;
            };
            self.mapper = Some(Mapper::new(self.rules.clone(), schema));
        }
        let Some(mapper) = &self.mapper else { return };
        let judged = judge::judge(&body, &self.types, self.courier.can_track(), mapper);
        self.metrics.traits_ignored.inc_by(judged.ignored.len() as u64);
        let debt = open(&self.ledger, judged.kind, judged.message_id);
        let send = match judged.verdict {
            Ok(send) => send,
            Err(outcome) => return self.ledger.settle(debt, outcome, 0),
        };
        if let Some(id) = &debt.message_id
            && !self.messages.begin(id)
        {
            return self.ledger.settle(debt, Outcome::Skipped(SkipReason::Duplicate), 0);
        }
        let Send { mapped, mut keys, taught } = send;
        match taught {
            Some((user_id, email)) => self.identities.learn(&user_id, email),
            None => keys.extend(self.known_as(&keys)),
        }
        work.window.insert(keys, (mapped, debt));
    }

    /// The e-mail addresses behind the `userId`s among the keys.
    fn known_as(&self, keys: &[Key]) -> Vec<Key> {
        let email = |key: &Key| match key {
            Key::UserId(user_id) => match self.identities.recall(user_id) {
                Recalled::Email(email) => Some(Key::Email(email)),
                Recalled::LookedUpInVain | Recalled::Unknown => None,
            },
            Key::Email(_) | Key::Company(_) | Key::Deal(_) => None,
        };
        keys.iter().filter_map(email).collect()
    }

    fn finish(&mut self, work: &mut Work, ended: Result<(tokio::task::Id, Sent), tokio::task::JoinError>) {
        let sent = match ended {
            Ok((id, sent)) => {
                work.names.remove(&id);
                sent
            }
            Err(error) => {
                let Some(number) = work.names.remove(&error.id()) else { return };
                if error.is_panic() {
                    tracing::error!(
                        "delivering an event panicked; it goes back to its source; this is a bug"
                    );
                }
                Sent { number, outcome: Outcome::Returned, attempts: 0 }
            }
        };
        work.window.finish(sent.number);
        if let Some(debt) = work.debts.remove(&sent.number) {
            self.settle(debt, sent.outcome, sent.attempts);
        }
    }

    fn settle(&mut self, debt: Debt, outcome: Outcome, attempts: u32) {
        if let Some(id) = &debt.message_id {
            self.messages.end(id, outcome == Outcome::Delivered);
        }
        self.ledger.settle(debt, outcome, attempts);
    }

    /// Lets requests in flight end, and gives back the rest. The grace begins with the stop: where only the
    /// session is lost, every answer is waited for, because what it settled must not be done again.
    async fn halt(&mut self, work: &mut Work, session: &mut Session, stop: &CancellationToken) {
        work.halt.cancel();
        for (_, debt) in work.window.drain_waiting() {
            self.settle(debt, Outcome::Returned, 0);
        }
        give_back(session).await;
        let grace = self.settings.grace;
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = work.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.finish(work, ended),
                    None => break,
                },
                () = &mut deadline => {
                    work.tasks.abort_all();
                    while let Some(ended) = work.tasks.join_next_with_id().await {
                        self.finish(work, ended);
                    }
                    break;
                }
            }
        }
    }

    /// Reads the account's fields, for as long as it takes; `None` when it was told to stop.
    async fn read_schema(&self, halt: &CancellationToken) -> Option<Schema> {
        self.board.phase(Phase::WaitingForSchema);
        let mut schema = Schema::default();
        for entity in Entity::ALL {
            let fields = self.read_fields(*entity, halt).await?;
            match entity {
                Entity::Contact => schema.contact = fields,
                Entity::SalesAccount => schema.sales_account = fields,
                Entity::Deal => schema.deal = fields,
            }
        }
        self.board.phase(Phase::Active);
        Some(schema)
    }

    async fn read_fields(&self, entity: Entity, halt: &CancellationToken) -> Option<Fields> {
        let mut delays = crate::delays::Delays::new(Duration::from_secs(5), Duration::from_mins(5));
        loop {
            let mut attempts = 0;
            let why = match self.courier.call(&Call::fields(entity), halt, &mut attempts).await {
                Ok(body) => match serde_json::from_value::<Fields>(body) {
                    Ok(fields) => return Some(fields),
                    Err(error) => format!("the {} fields cannot be understood: {error}", entity.singular()),
                },
                Err(NotDone::Refused { status, .. }) => {
                    format!(
                        "reading the {} fields is answered with {status}: check the account's url",
                        entity.singular()
                    )
                }
                Err(NotDone::Abandoned) => return None,
            };
            tracing::warn!(account = &*self.board.view().account, why, "no schema yet");
            self.board.explain(&why);
            halt.run_until_cancelled(tokio::time::sleep(delays.following())).await?;
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

/// What is under way in one session.
struct Work {
    window: Window<(Mapped, Debt)>,
    debts: HashMap<u64, Debt>,
    tasks: JoinSet<Sent>,
    names: HashMap<tokio::task::Id, u64>,
    halt: CancellationToken,
}
