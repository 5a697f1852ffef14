//! One connection after another: connect, declare, serve until it breaks, wait, again.
//! There is no other recovery: what was unsettled is delivered again by the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, ErrorKind, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::health::{BrokerHealth, Stall};
use super::inspect;
use super::lane_consumer;
use super::names::{self, Names};
use super::router;
use super::topology;
use super::topology::short;
use super::transport::{DialError, Stranger};
use super::unreadable::{Consumed, is_our_own, is_unreadable};
use crate::backoff::Delays;
use crate::broker::amqp::addresses::{Address, Addresses};
use crate::broker::amqp::connection;
use crate::broker::amqp::connection::{ConnectionEvent, ConnectionPair, ConnectionPool};
use crate::broker::probes::confirm_probe;
use crate::broker::probes::replica_name;
use crate::broker::probes::starved_consumer::StarvedConsumer;
use crate::broker::unreadable::quarantine::{Isolation, Quarantine};
use crate::delivery::{AccountName, HeldBytes, Session, UNROUTED};
use crate::metrics::{AccountMetrics, Metrics};
use crate::routing::AccountIndex;
use crate::segment::Opener;

/// Where one account's deliveries go.
#[derive(Debug, Clone)]
pub struct LaneInlet {
    /// The account.
    pub account: AccountName,
    /// Takes one session after another.
    pub sessions: mpsc::Sender<Session>,
    /// Its counters.
    pub metrics: AccountMetrics,
}

/// The daemon's side of RabbitMQ.
#[derive(Debug)]
pub struct Broker {
    /// Where its nodes are.
    pub addresses: Addresses,
    /// What its objects are called.
    pub names: Names,
    /// This replica's name.
    pub replica: String,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// How many bytes of events it holds.
    pub held: Arc<HeldBytes>,
    /// Finds an event's account.
    pub directory: AccountIndex,
    /// Reads bodies.
    pub opener: Opener,
    /// One per account.
    pub lanes: Vec<LaneInlet>,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Told of every change.
    pub link: Arc<BrokerHealth>,
}

/// Why a channel or a connection could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("{0}{hint}", hint = hint(.0))]
    Amqp(#[from] lapin::Error),
    #[error("the broker cannot be reached: {0}")]
    Unreachable(#[from] DialError),
    #[error("no broker is there: {0}")]
    Stranger(Stranger),
    #[error(
        "something took the connection and was no broker that is ready within {} s; is it an AMQP port?",
        .0.as_secs_f32()
    )]
    Mute(Duration),
    #[error(
        "the broker allows {0} channels on a connection (channel_max), and at least {least} are needed",
        least = connection::LEAST_CHANNELS
    )]
    TooFewChannels(u16),
    #[error("the broker ended the subscription to {0}; was the queue deleted?")]
    ConsumerCancelled(String),
    #[error("the broker did not take a message for exchange {exchange}, key {key}")]
    NotConfirmed { exchange: String, key: String },
    #[error("an acknowledgement could not be sent")]
    NotAcknowledged,
    #[error("the node confirms nothing; trying another one")]
    Unconfirmed,
    #[error("the broker has not let anyone subscribe to {0} within {seconds} s", seconds = ANSWER_TIMEOUT.as_secs())]
    Unanswered(String),
    #[error("messages wait in {0} and none is handed out here")]
    Forgotten(String),
    #[error("{0}")]
    Unusable(String),
    #[error("the connection was closed")]
    Closed,
    #[error("the broker has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the address cannot be understood")]
    Address,
    #[error("the lane is gone")]
    LaneGone,
    #[error("a task panicked; this is a bug")]
    Panicked,
}

/// What to look at where the broker's own words do not say it.
fn hint(error: &lapin::Error) -> &'static str {
    let ErrorKind::ProtocolError(error) = error.kind() else { return "" };
    let told = error.get_message().as_str();
    if told.contains("Login was refused") {
        " Are user and password in broker.url right?"
    } else if told.contains("vhost") && told.contains("not found") {
        "; the path of broker.url names the vhost, and %2f is the vhost `/`"
    } else {
        ""
    }
}

/// Whether the queues that are needed can be relied on to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    /// They were declared with the connection.
    Lately,
    /// Something broke since then: they may be gone.
    LongAgo,
}

/// A queue without a leader may keep a subscription waiting. An election takes a few seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A channel that fails is opened again; the rest of the connection goes on.
const CHANNEL_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
const CONNECTION_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
const NEXT_NODE: Duration = Duration::from_millis(100);
/// Between two looks at whether all connections hold.
const LOOK: Duration = Duration::from_secs(1);
/// The most queues that one log line names.
const TOLD: usize = 10;
/// A connection or a channel that held this long was a good one: the next wait starts small again.
const HELD: Duration = Duration::from_mins(1);

impl Broker {
    /// Serves until `stop` is cancelled and every event taken was settled or given back.
    pub async fn run(self, stop: CancellationToken) {
        crate::tls::install_provider();
        let broker = Arc::new(self);
        let mut delays = Delays::new(CONNECTION_DELAYS.0, CONNECTION_DELAYS.1);
        // Replicas begin at different nodes; each goes to the next one when it has to connect again.
        let quarantine = Arc::new(Quarantine::default());
        let begin = names::first_turn(&broker.replica, broker.addresses.count());
        for attempt in begin.. {
            let address = broker.addresses.turn(attempt);
            let started = Instant::now();
            let connecting = ConnectionPool::connect(address, &broker.replica, broker.lanes.len());
            match stop.run_until_cancelled(connecting).await {
                None => return,
                Some(Ok(lifeline)) => {
                    if broker.clone().serve(lifeline, address, &quarantine, &stop).await.is_ok() {
                        return;
                    }
                }
                Some(Err(broken)) => broker.link.down(&broken.to_string()),
            }
            if started.elapsed() > HELD {
                delays.reset();
            }
            // Nodes that were not tried yet are tried at once.
            let wait = if (attempt + 1 - begin).is_multiple_of(broker.addresses.count()) {
                delays.following()
            } else {
                NEXT_NODE
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Serves one lifeline to its end. `Ok` when told to stop and all was settled or given back.
    async fn serve(
        self: Arc<Self>,
        lifeline: ConnectionPool,
        address: &Address,
        quarantine: &Arc<Quarantine>,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let lifeline = Arc::new(lifeline);
        let lost = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let served = self.work(&lifeline, address, quarantine, stop, &lost, &mut tasks).await;
        if let Err(BrokerError::Amqp(error)) = &served
            && is_unreadable(error)
        {
            self.suspect(error, &lifeline, quarantine);
        }
        if let Err(broken) = &served {
            self.link.down(&broken.to_string());
        }
        lost.cancel();
        // While the tasks live: with them go their consumers, each with a word to the broker, which would make another
        // replica active ahead of what is still held here. Behind a good-bye the broker heeds no words.
        lifeline.close().await;
        tasks.shutdown().await;
        served
    }

    /// Works until the lifeline breaks or `stop` is over.
    async fn work(
        self: &Arc<Self>,
        lifeline: &Arc<ConnectionPool>,
        address: &Address,
        quarantine: &Arc<Quarantine>,
        stop: &CancellationToken,
        lost: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), BrokerError> {
        let mut fates = lifeline.fates();
        let mut silent = std::pin::pin!(lifeline.silent());
        tokio::select! {
            declared = self.declare(lifeline.line(0)?) => declared?,
            broken = &mut silent => return Err(broken),
            () = stop.cancelled() => return Ok(()),
        }
        self.link.up(&address.shown());
        let (suspects, guilty) = quarantine.apart(Instant::now());
        let consume = |queue: Consumed| {
            let line = match queue {
                Consumed::Intake => 0,
                Consumed::Lane(number) => number,
            };
            self.clone().consume(lifeline.clone(), line, queue, Pace::Together, stop.clone(), lost.clone())
        };
        for queue in self.consumed().filter(|queue| !suspects.contains(queue) && !guilty.contains(queue)) {
            tasks.spawn(consume(queue));
        }
        let (clear, mut cleared) = mpsc::channel(1);
        if !suspects.is_empty() || !guilty.is_empty() {
            let isolation = Isolation {
                broker: self.clone(),
                quarantine: quarantine.clone(),
                address: address.clone(),
                cleared: clear,
                stop: stop.clone(),
                lost: lost.clone(),
            };
            tasks.spawn(isolation.run(suspects, guilty));
        }
        let mut pulse = JoinSet::new();
        pulse.spawn(confirm_probe::beat(self.clone(), lifeline.clone()));
        let mut claim = JoinSet::new();
        claim.spawn(replica_name::hold(self.clone(), lifeline.clone()));
        let mut inspection = JoinSet::new();
        inspection.spawn(inspect::look_over(self.clone(), lifeline.clone()));
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A connection that the broker closed in good order ends without an event.
                _ = looks.tick() => if !lifeline.connected() {
                    return Err(lifeline.cause(&mut fates).await);
                },
                Some(queue) = cleared.recv() => {
                    tasks.spawn(consume(queue));
                }
                fate = fates.next() => match fate {
                    Some(ConnectionEvent::Publishing(Event::ConnectionBlocked(why))) => self.link.stalled(Stall::Blocked, Some(&why)),
                    Some(ConnectionEvent::Publishing(Event::ConnectionUnblocked)) => self.link.stalled(Stall::Blocked, None),
                    Some(ConnectionEvent::Publishing(Event::Error(error)) | ConnectionEvent::Consuming(Event::Error(error)))
                        if !lifeline.connected() =>
                    {
                        return Err(error.into());
                    }
                    Some(_) => {}
                    None => return Err(BrokerError::Closed),
                },
                broken = &mut silent => return Err(broken),
                Some(Ok(BrokerError::Unconfirmed)) = pulse.join_next() => return Err(BrokerError::Unconfirmed),
                ended = tasks.join_next() => match ended {
                    // Begun anew with the next connection, rather than missing for ever.
                    Some(Err(error)) if error.is_panic() => return Err(BrokerError::Panicked),
                    Some(_) => {}
                    None if stop.is_cancelled() => return Ok(()),
                    None => return Err(BrokerError::Closed),
                }
            }
        }
    }

    /// Declares everything that is missing, and binds it.
    pub(super) async fn declare(&self, line: &ConnectionPair) -> lapin::Result<()> {
        topology::declare_shared(&line.consuming, &self.names).await?;
        if let Err(error) = topology::declare_intake(&line.consuming, &self.names).await {
            if !line.consuming.status().connected() {
                return Err(error);
            }
            // It is one that may not be used; the router finds out why. The lanes go on.
            tracing::debug!(%error, "the intake cannot be declared");
        }
        confirm_probe::declare(&line.consuming, &self.names).await?;
        let accounts = self.lanes.iter().map(|door| &door.account);
        topology::declare_lanes(&line.consuming, &self.names, accounts).await
    }

    /// All queues that are consumed.
    fn consumed(&self) -> impl Iterator<Item = Consumed> + use<> {
        std::iter::once(Consumed::Intake).chain((0..self.lanes.len()).map(Consumed::Lane))
    }

    /// Tells the quarantine what a lifeline may have ended over.
    fn suspect(&self, error: &lapin::Error, lifeline: &ConnectionPool, quarantine: &Quarantine) {
        let (mut suspects, mut all) = (BTreeSet::new(), BTreeSet::new());
        let mut known = true;
        for (lanes, read) in lifeline.gone() {
            all.extend(self.consumed().filter(|queue| match queue {
                Consumed::Intake => lanes.start == 0,
                Consumed::Lane(number) => lanes.contains(number),
            }));
            known &= read.is_some();
            let tags: BTreeSet<String> =
                read.unwrap_or_default().into_iter().map(|delivery| delivery.consumer_tag).collect();
            suspects.extend(self.consumed().filter(|queue| {
                self.subscription(*queue).is_some_and(|subscription| tags.contains(&subscription.tag))
            }));
        }
        if !known {
            suspects.clear();
        }
        // It was a connection that delivers nothing.
        if all.is_empty() {
            return;
        }
        if !is_our_own(error) {
            if quarantine.is_troubled_again(Instant::now()) {
                // What the broker cannot hand out was never read.
                suspects.clear();
            } else if suspects.is_empty() {
                return;
            }
        }
        let suspects = quarantine.suspect(suspects, all);
        let names = suspects.iter().filter_map(|queue| Some(self.subscription(*queue)?.queue));
        let queues = names.take(TOLD).collect::<Vec<_>>().join(", ");
        tracing::warn!(queues, count = suspects.len(), "the connection ended over a message of one of these");
    }

    /// Consumes a queue for as long as the lifeline holds, on the line with this number.
    pub(super) async fn consume(
        self: Arc<Self>,
        lifeline: Arc<ConnectionPool>,
        line: usize,
        queue: Consumed,
        pace: Pace,
        stop: CancellationToken,
        lost: CancellationToken,
    ) {
        match queue {
            Consumed::Intake => self.route(lifeline, pace, stop, lost).await,
            Consumed::Lane(number) => self.serve_lane(lifeline, line, number, pace, stop, lost).await,
        }
    }

    /// Serves one lane for as long as the lifeline holds.
    async fn serve_lane(
        self: Arc<Self>,
        lifeline: Arc<ConnectionPool>,
        line: usize,
        number: usize,
        pace: Pace,
        stop: CancellationToken,
        lost: CancellationToken,
    ) {
        let (Some(door), Ok(line)) = (self.lanes.get(number), lifeline.line(line)) else { return };
        let mut again = Resubscriber::new(pace);
        while let Err(broken) = lane_consumer::serve(&self, line, door, &mut again, &stop, &lost).await {
            if !again.wait(line, &door.account, &broken, &stop).await {
                break;
            }
        }
        again.end_forgotten().await;
    }

    /// Routes for as long as the lifeline holds.
    async fn route(
        self: Arc<Self>,
        lifeline: Arc<ConnectionPool>,
        pace: Pace,
        stop: CancellationToken,
        lost: CancellationToken,
    ) {
        let Ok(line) = lifeline.line(0) else { return };
        let mut again = Resubscriber::new(pace);
        while let Err(broken) = router::serve(&self, line, &mut again, &stop, &lost).await {
            if !again.wait(line, UNROUTED, &broken, &stop).await {
                return;
            }
        }
    }
}

/// How many messages of a queue are taken at once.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    /// The usual prefetch.
    Together,
    /// One at a time: no other comes back with one that the broker cannot hand out. Told how that goes.
    Singly(watch::Sender<Progress>),
}

/// How it goes with a queue that is worked one message at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A message is held that came back before.
    HeldBytes,
    /// None is.
    Idle,
    /// One came that never came back. What came back is handed out before it, so nothing of that is left.
    Over,
}

impl Pace {
    /// The prefetch to subscribe with, where this is the usual one.
    pub(super) fn prefetch(&self, usual: u16) -> u16 {
        match self {
            Self::Together => usual,
            Self::Singly(_) => 1,
        }
    }

    /// A message came.
    pub(super) fn took(&self, redelivered: bool) {
        self.tell(if redelivered { Progress::HeldBytes } else { Progress::Over });
    }

    /// No message is held.
    pub(super) fn rests(&self) {
        self.tell(Progress::Idle);
    }

    fn tell(&self, news: Progress) {
        let Self::Singly(progress) = self else { return };
        progress.send_if_modified(|progress| {
            let changed = *progress != news && *progress != Progress::Over;
            if changed {
                *progress = news;
            }
            changed
        });
    }
}

/// One channel after another.
pub(super) struct Resubscriber {
    pub(super) pace: Pace,
    delays: Delays,
    started: Instant,
    pub(super) declared: Declared,
    pub(super) hunger: StarvedConsumer,
    /// The last subscription, if it was forgotten: it is ended when there is another one.
    pub(super) forgotten: Option<(Channel, Consumer)>,
}

impl Resubscriber {
    fn new(pace: Pace) -> Self {
        let delays = Delays::new(CHANNEL_DELAYS.0, CHANNEL_DELAYS.1);
        let (started, hunger) = (Instant::now(), StarvedConsumer::new(Instant::now()));
        Self { pace, delays, started, declared: Declared::Lately, hunger, forgotten: None }
    }

    /// Ends the subscription that was forgotten, if there is one.
    pub(super) async fn end_forgotten(&mut self) {
        if let Some((channel, consumer)) = self.forgotten.take() {
            // In this order: see the lanes' consumer.
            topology::close(&channel).await;
            drop(consumer);
        }
    }

    /// Tells what broke and waits; false if there is no point in trying again on this connection.
    async fn wait(
        &mut self,
        line: &ConnectionPair,
        lane: &str,
        broken: &BrokerError,
        stop: &CancellationToken,
    ) -> bool {
        if matches!(broken, BrokerError::LaneGone) && !stop.is_cancelled() {
            tracing::error!(account = lane, "the lane ended early; its queue waits; this is a bug");
        }
        if !line.connected() || matches!(broken, BrokerError::LaneGone) {
            return false;
        }
        if let BrokerError::Forgotten(queue) = broken {
            // Mostly another replica is at work on them.
            tracing::info!(
                account = lane,
                queue,
                "messages wait and none is handed out here; subscribing anew"
            );
        } else if !matches!(broken, BrokerError::Unusable(_)) || lane != UNROUTED {
            tracing::warn!(account = lane, %broken, "a channel broke; opening another");
        }
        if self.started.elapsed() > HELD {
            self.delays.reset();
        }
        self.declared = Declared::LongAgo;
        let waited = stop.run_until_cancelled(tokio::time::sleep(self.delays.following())).await;
        self.started = Instant::now();
        waited.is_some()
    }
}

/// Subscribes to a queue on a channel of its own, or gives that channel up after [`ANSWER_TIMEOUT`]: its subscription
/// must not come to be when nobody waits for it any more.
///
/// The arguments have to name an `x-priority`: RabbitMQ refuses that for a stream, and a stream must not be consumed, see
/// [`topology::unusable`].
pub(super) async fn subscribe(
    connection: &Connection,
    queue: &str,
    tag: &str,
    prefetch: u16,
    arguments: FieldTable,
) -> Result<(Channel, Consumer), BrokerError> {
    let channel = tokio::time::timeout(ANSWER_TIMEOUT, connection.create_channel())
        .await
        .map_err(|_| BrokerError::Unanswered(queue.to_owned()))??;
    let subscribed = async {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        channel.basic_consume(short(queue), short(tag), BasicConsumeOptions::default(), arguments).await
    };
    let Ok(consumer) = tokio::time::timeout(ANSWER_TIMEOUT, subscribed).await else {
        topology::close(&channel).await;
        return Err(BrokerError::Unanswered(queue.to_owned()));
    };
    let consumer = consumer.map_err(|error| match topology::unusable(&error, queue) {
        Some(why) => BrokerError::Unusable(why),
        None => error.into(),
    })?;
    Ok((channel, consumer))
}
