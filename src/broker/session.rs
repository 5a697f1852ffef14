//! One connection after another: connect, declare, serve until it breaks, wait, again.
//! There is no other recovery: what was unsettled is delivered again by the broker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::consumer;
use super::directory::Directory;
use super::lifeline::Lifeline;
use super::link::Link;
use super::names::Names;
use super::router;
use super::topology;
use crate::delays::Delays;
use crate::delivery::{AccountName, Session};
use crate::metrics::{AccountMetrics, Metrics};

/// Where one account's deliveries go.
#[derive(Debug, Clone)]
pub struct LaneDoor {
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
    /// Where it is.
    pub address: Address,
    /// What its objects are called.
    pub names: Names,
    /// This replica's name.
    pub replica: String,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// Finds an event's account.
    pub directory: Directory,
    /// One per account.
    pub lanes: Vec<LaneDoor>,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Told of every change.
    pub link: Arc<Link>,
}

/// Why a channel or a connection could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    #[error("the broker cannot be reached within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("the broker ended the subscription to {0}; was the queue deleted?")]
    ConsumerCancelled(String),
    #[error("the broker did not take a message for exchange {exchange}, key {key}")]
    NotConfirmed { exchange: String, key: String },
    #[error("an acknowledgement could not be sent")]
    NotAcknowledged,
    #[error("the connection was closed")]
    Closed,
    #[error("the address cannot be understood")]
    Address,
    #[error("the lane is gone")]
    LaneGone,
    #[error("a task panicked; this is a bug")]
    Panicked,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A channel that fails is opened again; the rest of the connection goes on.
const CHANNEL_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
const CONNECTION_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A connection or a channel that held this long was a good one: the next wait starts small again.
const HELD: Duration = Duration::from_mins(1);

impl Broker {
    /// Serves until `stop` is cancelled and every event taken was settled or given back.
    pub async fn run(self, stop: CancellationToken) {
        crate::tls::install_provider();
        let broker = Arc::new(self);
        let mut delays = Delays::new(CONNECTION_DELAYS.0, CONNECTION_DELAYS.1);
        while !stop.is_cancelled() {
            let started = Instant::now();
            let connected =
                stop.run_until_cancelled(Lifeline::connect(&broker.address, &broker.replica)).await;
            let broken = match connected {
                None => return,
                Some(Ok(lifeline)) => {
                    let lifeline = Arc::new(lifeline);
                    let served = broker.clone().serve(lifeline.clone(), &stop).await;
                    if let Err(broken) = &served {
                        broker.link.down(&broken.to_string());
                    }
                    lifeline.close().await;
                    match served {
                        Ok(()) => return,
                        Err(broken) => broken,
                    }
                }
                Some(Err(broken)) => broken,
            };
            broker.link.down(&broken.to_string());
            if started.elapsed() > HELD {
                delays.reset();
            }
            if stop.run_until_cancelled(tokio::time::sleep(delays.following())).await.is_none() {
                return;
            }
        }
    }

    /// Serves one pair of connections. `Ok` when told to stop and all was settled or given back.
    async fn serve(self: Arc<Self>, lifeline: Arc<Lifeline>, stop: &CancellationToken) -> Result<(), Broken> {
        let connection = &lifeline.consuming;
        let mut events = connection.events_listener();
        let mut publishing_events = std::pin::pin!(lifeline.publishing_events());
        topology::declare_shared(connection, &self.names).await?;
        for lane in &self.lanes {
            // One that cannot be declared is told, and tried again when it is served; the others go on.
            if let Err(error) = topology::declare_lane(connection, &self.names, &lane.account).await {
                if !connection.status().connected() {
                    return Err(error.into());
                }
                tracing::warn!(account = &*lane.account, %error, "a lane cannot be declared");
            }
        }
        self.link.up(&self.address.shown());
        // Dropped with this call, however it ends.
        let lost = CancellationToken::new();
        let _lost = lost.clone().drop_guard();
        let mut tasks = JoinSet::new();
        for door in &self.lanes {
            let (broker, lifeline, door) = (self.clone(), lifeline.clone(), door.clone());
            let (stop, lost) = (stop.clone(), lost.clone());
            tasks.spawn(async move {
                let mut delays = channel_delays();
                loop {
                    let started = Instant::now();
                    let served = consumer::serve(&broker, &lifeline, &door, &stop, &lost).await;
                    let Err(broken) = served else { return };
                    if started.elapsed() > HELD {
                        delays.reset();
                    }
                    if !again(&lifeline, &door.account, &broken, &stop, &mut delays).await {
                        return;
                    }
                }
            });
        }
        let (broker, router_lifeline) = (self.clone(), lifeline.clone());
        let (router_stop, router_lost) = (stop.clone(), lost.clone());
        tasks.spawn(async move {
            let mut delays = channel_delays();
            loop {
                let started = Instant::now();
                let served = router::serve(&broker, &router_lifeline, &router_stop, &router_lost).await;
                let Err(broken) = served else { return };
                if started.elapsed() > HELD {
                    delays.reset();
                }
                if !again(&router_lifeline, super::UNROUTED, &broken, &router_stop, &mut delays).await {
                    return;
                }
            }
        });
        loop {
            tokio::select! {
                event = publishing_events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => self.link.blocked(Some(&why)),
                    Some(Event::ConnectionUnblocked) => self.link.blocked(None),
                    Some(Event::Error(error)) if !lifeline.connected() => return Err(error.into()),
                    Some(_) => {}
                    None => return Err(Broken::Closed),
                },
                event = events.next() => match event {
                    Some(Event::Error(error)) if !lifeline.connected() => return Err(error.into()),
                    Some(_) => {}
                    None => return Err(Broken::Closed),
                },
                ended = tasks.join_next() => match ended {
                    // Begun anew with the next connection, rather than missing for ever.
                    Some(Err(error)) if error.is_panic() => return Err(Broken::Panicked),
                    Some(_) => {}
                    None if stop.is_cancelled() => return Ok(()),
                    None => return Err(Broken::Closed),
                }
            }
        }
    }
}

fn channel_delays() -> Delays {
    Delays::new(CHANNEL_DELAYS.0, CHANNEL_DELAYS.1)
}

/// Tells what broke and waits; false if there is no point in trying again on this connection.
async fn again(
    lifeline: &Lifeline,
    lane: &str,
    broken: &Broken,
    stop: &CancellationToken,
    delays: &mut Delays,
) -> bool {
    if matches!(broken, Broken::LaneGone) && !stop.is_cancelled() {
        tracing::error!(account = lane, "the lane ended early; its queue waits; this is a bug");
    }
    if !lifeline.connected() || matches!(broken, Broken::LaneGone) {
        return false;
    }
    tracing::warn!(account = lane, %broken, "a channel broke; opening another");
    stop.run_until_cancelled(tokio::time::sleep(delays.following())).await.is_some()
}

/// Connects, or gives up after [`CONNECT_TIMEOUT`].
pub(super) async fn connect(address: &Address, name: &str) -> Result<Connection, Broken> {
    let uri = address.uri().map_err(|_| Broken::Address)?;
    let properties = ConnectionProperties::default().with_connection_name(format!("freshet {name}").into());
    tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties))
        .await
        .map_err(|_| Broken::ConnectTimeout)?
        .map_err(Broken::from)
}
