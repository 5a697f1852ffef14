//! From the intake queue to the lanes, in order, and at the broker's pace.
//!
//! Many publishes are in flight at once; when the broker has confirmed them, a whole prefix of the intake is
//! acknowledged with one frame, and singly what stands behind one that is late. A crash in between repeats some events
//! in the lanes, which know their `messageId`s; it loses none.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acks::Acks;
use super::caution::Caution;
use super::directory::ACCOUNT_HEADER;
use super::hunger::Watch;
use super::lifeline::Line;
use super::link::Stall;
use super::names::dead_letter_key;
use super::outbox::{Parcel, Route};
use super::post::{LOOK, News, Post};
use super::session::{Again, Broken, Broker, Declared, Pace, subscribe};
use super::topology;
use super::unreadable::Subscription;
use super::{UNROUTED, dead_letter, republish};
use crate::metrics::AccountMetrics;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// Publishes in flight; also the intake's prefetch.
const IN_FLIGHT: u16 = 500;

/// How the intake is consumed.
pub(super) fn subscription(broker: &Broker) -> Subscription {
    // The default, and said outright so that RabbitMQ refuses a stream.
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongInt(0));
    let (queue, tag) = (broker.names.intake().to_owned(), broker.replica.clone());
    Subscription { queue, tag, prefetch: IN_FLIGHT, arguments }
}

/// Routes until `stop` (then `Ok`) or until something breaks.
pub(super) async fn serve(
    broker: &Broker,
    line: &Line,
    again: &mut Again,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> Result<(), Broken> {
    if again.declared == Declared::LongAgo {
        // The lanes, too: they hang on the exchange, which may have been gone.
        broker.declare(line).await?;
    }
    let intake = broker.names.intake();
    let Subscription { tag, prefetch, arguments, .. } = subscription(broker);
    let subscribed = subscribe(&line.consuming, intake, &tag, again.pace.prefetch(prefetch), arguments).await;
    if let Err(Broken::Unusable(why)) = &subscribed {
        broker.link.stalled(Stall::Intake, Some(why));
    }
    let (channel, mut consumer) = subscribed?;
    broker.link.stalled(Stall::Intake, None);
    let mut router = Router {
        broker,
        unrouted: broker.metrics.account(UNROUTED),
        watch: Watch::new(&mut again.hunger, &line.consuming, intake),
        post: Post::new(&broker.names, line),
        ackers: HashMap::new(),
        acks: Acks::default(),
        caution: Caution::new(),
        pace: again.pace.clone(),
    };
    let served = router.run(&mut consumer, stop, lost).await;
    // Another one may route from now on.
    broker.link.stalled(Stall::Lane, None);
    // In this order, and the consumer last, however it ended: see the lanes' consumer.
    topology::close_settled(&channel, intake, served.is_ok()).await;
    drop(consumer);
    router.post.close().await;
    served
}

struct Router<'a> {
    broker: &'a Broker,
    unrouted: AccountMetrics,
    watch: Watch<'a>,
    /// What was taken off the intake, by its delivery tag.
    post: Post<'a>,
    ackers: HashMap<u64, Acker>,
    acks: Acks,
    caution: Caution,
    pace: Pace,
}

impl Router<'_> {
    async fn run(
        &mut self,
        consumer: &mut lapin::Consumer,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), Broken> {
        let mut taking = true;
        let mut look_at = Instant::now() + LOOK;
        loop {
            // What is refused time and again goes back to the intake.
            if !taking && self.post.outbox().rests() {
                return Ok(());
            }
            let on_its_way = self.post.outbox().len();
            tokio::select! {
                biased;
                // Before all else: while there is a backlog, the others are always ready. Not cancelled at the
                // broker: another replica would route what is queued ahead of what is held here.
                () = stop.cancelled(), if taking => taking = false,
                news = self.post.news(), if on_its_way > 0 => news?.into_iter().for_each(|news| self.heed(news)),
                () = lost.cancelled() => return Err(Broken::Closed),
                message = consumer.next(), if taking && on_its_way < self.most() => {
                    let Some(message) = message else {
                        return Err(Broken::ConsumerCancelled(self.broker.names.intake().to_owned()));
                    };
                    self.watch.fed();
                    let message = message?;
                    self.pace.took(message.redelivered);
                    self.route(message);
                }
                () = tokio::time::sleep_until(look_at), if on_its_way > 0 => {
                    look_at = Instant::now() + LOOK;
                    // A lane that takes nothing holds back all that stands behind it on the intake, in the end.
                    let link = &self.broker.link;
                    link.stalled(Stall::Lane, self.post.trouble(link.is_stalled(Stall::Blocked)).as_deref());
                }
                () = self.watch.forgotten(), if taking && on_its_way == 0 => {
                    return Err(Broken::Forgotten(self.broker.names.intake().to_owned()));
                }
            }
            self.acks.send(self.post.outbox().first()).await?;
            if self.post.outbox().is_empty() {
                self.pace.rests();
                self.broker.link.stalled(Stall::Lane, None);
            }
        }
    }

    /// How many are on their way together.
    fn most(&self) -> usize {
        if self.caution.alone() { 1 } else { usize::from(IN_FLIGHT) }
    }

    fn heed(&mut self, news: News) {
        match news {
            News::Taken(tag) => {
                if let Some(acker) = self.ackers.remove(&tag) {
                    self.acks.add(tag, acker);
                }
            }
            News::Refused(queue) => tracing::warn!(queue, "messages are refused; they are sent again"),
        }
    }

    /// Sends one event to its lane, or to the dead letters.
    fn route(&mut self, message: Delivery) {
        let lanes = self.broker.names.lanes();
        let sent = republish::believed(&message.properties, message.exchange.as_str(), &lanes);
        let now = Timestamp::now();
        let returns = republish::returns_of(&message);
        let waited = now.duration_since(republish::queued_at(&sent, now)).try_into().unwrap_or_default();
        let condemned = self.caution.condemns(returns, waited);
        let header = republish::header(&sent, ACCOUNT_HEADER).map(republish::text);
        let found = if condemned {
            let problem = format!("came back {returns} times, and was first on the intake");
            Err(Refusal::new(DeadLetterReason::DeliveryLimit, Problem { problem, ..Problem::default() }))
        } else {
            self.broker.directory.find(header, &message.data)
        };
        let (queue, exchange, key, properties) = match found {
            Ok(account) => {
                let mut properties = republish::for_lane(&sent, now);
                if message.redelivered {
                    properties = republish::as_copy(properties);
                }
                (self.broker.names.lane(&account), lanes, account.to_string(), properties)
            }
            Err(refusal) => {
                dead_letter::count(&self.unrouted, UNROUTED, &message.data, &refusal);
                let properties = dead_letter::properties(&sent, &refusal, None, &message.data, 0, now);
                let dead = self.broker.names.dead();
                (dead.clone(), dead, dead_letter_key(None, refusal.reason), properties)
            }
        };
        let parcel =
            Parcel { queue, route: Route { exchange, key }, body: Bytes::from(message.data), properties };
        self.ackers.insert(message.delivery_tag, message.acker);
        self.post.put(message.delivery_tag, parcel);
    }
}
