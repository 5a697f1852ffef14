//! The broker's side alone: a real RabbitMQ, and lanes that a test plays by hand.

use std::sync::Arc;

use freshet::broker::{Address, BrokerHealth, Context, LaneSet, Names, RoutedAccounts, StatusPort};
use freshet::delivery::{HeldBytes, LaneInlet, Session};
use freshet::metrics::Metrics;
use freshet::outcome::Outcome;
use freshet::routing::{AccountIndex, AccountKeys};
use freshet::segment::Opener;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Amqp, Broker, PATIENCE, Vhost, next, soon, table, text};

const PREFETCH: u16 = 50;
const PREFETCH_BYTES: u64 = 1 << 20;

/// The daemon's side of RabbitMQ with one account, whose lane the test plays.
struct Side {
    vhost: Vhost,
    amqp: Amqp,
    metrics: Arc<Metrics>,
    sessions: mpsc::Receiver<Session>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Side {
    async fn start() -> Self {
        let vhost = Broker::shared().await.vhost().await;
        let amqp = vhost.connect().await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (sessions_in, sessions) = mpsc::channel(1);
        let account: freshet::delivery::AccountName = "acme".into();
        let claims = AccountKeys { name: account.clone(), write_keys: vec![], project_ids: vec![] };
        let stop = CancellationToken::new();
        let door = LaneInlet {
            account,
            sessions: sessions_in,
            metrics: metrics.account("acme"),
            stop: stop.child_token(),
        };
        let lanes = LaneSet { index: AccountIndex::new(&[claims]).into(), inlets: [(0, door)].into() };
        let address = Address::parse(vhost.url()).unwrap();
        let context = Context {
            names: Names::new(&vhost.queue("events")),
            replica: "one".to_owned(),
            prefetch: PREFETCH,
            held_bytes: Arc::new(HeldBytes::new(PREFETCH_BYTES)),
            lanes: watch::Sender::new(Arc::new(lanes)).subscribe(),
            routed: RoutedAccounts::default(),
            opener: Opener::default(),
            metrics: metrics.clone(),
            health: Arc::new(BrokerHealth::new(&metrics)),
            facts: Arc::default(),
        };
        let status =
            StatusPort { outgoing: watch::Sender::default().subscribe(), incoming: mpsc::channel(1).0 };
        let mut running = JoinSet::new();
        running.spawn(freshet::broker::run(address.into(), context, status, stop.clone()));
        Self { vhost, amqp, metrics, sessions, stop, running }
    }

    fn queue(&self) -> String {
        self.vhost.queue("events")
    }

    fn lane(&self) -> String {
        format!("{}.lane.acme", self.queue())
    }

    async fn publish(&self, key: &str, count: usize) {
        soon("the queue", async || self.amqp.depth(key).await.is_some()).await;
        let messages = (0..count).map(|number| (format!("{number}"), BasicProperties::default()));
        self.amqp.publish_all("", key, messages).await;
    }

    /// What waits in the lane, in order.
    async fn waiting(&self, count: usize) -> Vec<Delivery> {
        let (_channel, mut consumer) = self.amqp.consume(&self.lane(), 1000, &[]).await;
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(next(&mut consumer).await);
        }
        taken
    }

    async fn stopped(&mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running.join_next()).await;
        ended.expect("it does not stop").unwrap().unwrap();
        assert_eq!(self.metrics.receipts_dropped.get(), 0);
    }
}

/// As a lane does when it stops.
async fn give_back(mut session: Session) {
    session.deliveries.close();
    while let Some(delivery) = session.deliveries.recv().await {
        delivery.receipt.settle(Outcome::Returned, 0);
    }
}

#[tokio::test]
async fn a_stop_gives_a_lane_back_in_order_and_only_once() {
    let mut side = Side::start().await;
    let mut session = side.sessions.recv().await.unwrap();
    side.publish(&side.lane(), 200).await;
    let mut held = Vec::new();
    for _ in 0..PREFETCH {
        held.push(session.deliveries.recv().await.unwrap());
    }
    // As a lane does when it stops: everything goes back, and nothing more is taken.
    side.stop.cancel();
    for delivery in held {
        delivery.receipt.settle(Outcome::Returned, 0);
    }
    give_back(session).await;
    side.stopped().await;
    let taken = side.waiting(200).await;
    let bodies: Vec<usize> =
        taken.iter().map(|m| String::from_utf8_lossy(&m.data).parse().unwrap()).collect();
    assert!(bodies.is_sorted(), "{bodies:?}");
    for message in &taken {
        let headers = message.properties.headers().as_ref();
        let count = headers.and_then(|headers| headers.inner().get("x-delivery-count"));
        let count = count.and_then(AMQPValue::as_long_long_int).unwrap_or_default();
        assert!(count <= 1, "given back {count} times");
    }
}

#[tokio::test]
async fn a_lane_that_is_gone_leaves_its_queue_alone() {
    let mut side = Side::start().await;
    let mut session = side.sessions.recv().await.unwrap();
    side.publish(&side.lane(), 20).await;
    let delivery = session.deliveries.recv().await.unwrap();
    // As if the lane's task had panicked.
    drop(session);
    side.sessions.close();
    drop(delivery);
    soon("nobody consumes", async || side.amqp.consumers(&side.lane()).await == Some(0)).await;
    soon("all are back", async || side.amqp.depth(&side.lane()).await == Some(20)).await;
    side.stop.cancel();
    side.running.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn headers_that_fill_a_frame_hold_nobody_up() {
    let mut side = Side::start().await;
    let mut session = side.sessions.recv().await.unwrap();
    soon("the queue", async || side.amqp.depth(&side.queue()).await.is_some()).await;
    let filling = "x".repeat(131_005);
    let headers = table(&[("filling", text(&filling)), ("tenant", text("t1"))]);
    let properties = BasicProperties::default().with_headers(headers);
    side.amqp.publish_to("", &side.queue(), "big", properties).await;
    side.publish(&side.queue(), 1).await;
    for expected in ["big", "0"] {
        let delivery = tokio::time::timeout(PATIENCE, session.deliveries.recv()).await;
        let delivery = delivery.expect("it stands at the head and nothing passes").unwrap();
        assert_eq!(delivery.body, expected);
        delivery.receipt.settle(Outcome::Delivered, 1);
    }
    side.stopped().await;
}

#[tokio::test]
async fn a_lane_is_handed_no_more_bytes_than_it_may_hold() {
    let mut side = Side::start().await;
    let mut session = side.sessions.recv().await.unwrap();
    soon("the lane", async || side.amqp.depth(&side.lane()).await.is_some()).await;
    let large = "x".repeat(300_000);
    let messages = (0..20).map(|_| (large.clone(), BasicProperties::default()));
    side.amqp.publish_all("", &side.lane(), messages).await;
    // Far below the prefetch: RabbitMQ has handed out all of them.
    soon("all are handed out", async || side.amqp.depth(&side.lane()).await == Some(0)).await;
    let most = usize::try_from(PREFETCH_BYTES).unwrap() / large.len() + 1;
    let mut held = Vec::new();
    for _ in 0..most {
        held.push(session.deliveries.recv().await.unwrap());
    }
    for _ in most..20 {
        assert!(session.deliveries.try_recv().is_err(), "more than it may hold");
        held.remove(0).receipt.settle(Outcome::Delivered, 1);
        held.push(session.deliveries.recv().await.unwrap());
    }
    // One alone that is larger than all it may hold.
    held.drain(..).for_each(|delivery| delivery.receipt.settle(Outcome::Delivered, 1));
    let huge = "y".repeat(2 * usize::try_from(PREFETCH_BYTES).unwrap());
    let messages = (0..2).map(|_| (huge.clone(), BasicProperties::default()));
    side.amqp.publish_all("", &side.lane(), messages).await;
    for _ in 0..2 {
        let delivery = session.deliveries.recv().await.unwrap();
        assert_eq!(delivery.body.len(), huge.len());
        assert!(session.deliveries.try_recv().is_err());
        delivery.receipt.settle(Outcome::Delivered, 1);
    }
    drop(session);
    side.stopped().await;
}
