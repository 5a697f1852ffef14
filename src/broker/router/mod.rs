//! From the intake queue to the lanes, in order, and at the broker's pace.
//!
//! A message with several events becomes as many messages; it is acknowledged when all of them are confirmed. Many publishes are in flight at once; when the broker has confirmed them, a whole prefix of the intake is
//! acknowledged with one frame, and singly what stands behind one that is late. A crash in between repeats some events
//! in the lanes, which know their `messageId`s; it loses none.

pub(super) mod sorting;

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use lapin::Acker;
use lapin::message::Delivery;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::BrokerError;
use super::health::Stall;
use super::topology;
use crate::broker::amqp::channel::{close_settled, subscribe};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::properties;
use crate::broker::consuming::pace::Pace;
use crate::broker::consuming::resubscriber::Resubscriber;
use crate::broker::consuming::subscription::{self, Subscription};
use crate::broker::lane_consumer::ack_batch::Acks;
use crate::broker::lane_consumer::poison::PoisonGuard;
use crate::broker::probes::starved_consumer::ConsumerWatchdog;
use crate::broker::publishing::publisher::{ConfirmedPublisher, PublishEvent};
use crate::broker::timing::{BYTES_IN_FLIGHT, EVENTS_IN_FLIGHT, INTAKE_PREFETCH, PUBLISH_CHECK};
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::BATCH_EVENTS;
use sorting::{Message, Sorted};

/// A parcel's number is its message's delivery tag, so much to the left, plus its place in the message.
const PLACES: u32 = 13;
const _: () = assert!(BATCH_EVENTS <= 1 << PLACES, "a place for every event");

/// Routes until `stop` (then `Ok`) or until something breaks.
pub(super) async fn serve(
    context: &Context,
    pair: &ConnectionPair,
    resubscriber: &mut Resubscriber,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> Result<(), BrokerError> {
    if resubscriber.must_declare() {
        // The lanes, too: they hang on the exchange, which may have been gone.
        topology::declare(&pair.consuming, context).await?;
    }
    let intake = context.names.intake();
    let Subscription { tag, prefetch, arguments, .. } = subscription::intake(context);
    let subscribed =
        subscribe(&pair.consuming, intake, &tag, resubscriber.pace.prefetch(prefetch), arguments).await;
    if let Err(BrokerError::UnusableQueue(why)) = &subscribed {
        context.health.stalled(Stall::Intake, Some(why));
    }
    let (channel, mut consumer) = subscribed?;
    context.health.stalled(Stall::Intake, None);
    let mut router = Router {
        context,
        watch: ConsumerWatchdog::new(&mut resubscriber.starved, &pair.consuming, intake),
        post: ConfirmedPublisher::new(&context.names, pair),
        taken: HashMap::new(),
        bytes: 0,
        acks: Acks::default(),
        caution: PoisonGuard::new(),
        pace: resubscriber.pace.clone(),
    };
    let served = router.run(&mut consumer, stop, lost).await;
    // Another one may route from now on.
    context.health.stalled(Stall::Lane, None);
    // In this order, and the consumer last, however it ended: see the lanes' consumer.
    close_settled(&channel, intake, served.is_ok()).await;
    drop(consumer);
    router.post.close().await;
    served
}

struct Router<'a> {
    context: &'a Context,
    watch: ConsumerWatchdog<'a>,
    post: ConfirmedPublisher<'a>,
    /// What was taken off the intake, by its delivery tag.
    taken: HashMap<u64, Taken>,
    /// How many bytes are held of that.
    bytes: usize,
    acks: Acks,
    caution: PoisonGuard,
    pace: Pace,
}

/// A message that is not acknowledged yet.
struct Taken {
    acker: Acker,
    /// How many of its events the broker has not confirmed.
    unconfirmed: usize,
    /// What is held for it.
    bytes: usize,
}

impl Router<'_> {
    async fn run(
        &mut self,
        consumer: &mut lapin::Consumer,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let mut taking = true;
        let mut look_at = Instant::now() + PUBLISH_CHECK;
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
                () = lost.cancelled() => return Err(BrokerError::Closed),
                message = consumer.next(), if taking && self.takes() => {
                    let Some(message) = message else {
                        return Err(BrokerError::ConsumerCancelled(self.context.names.intake().to_owned()));
                    };
                    self.watch.received();
                    let message = message?;
                    self.pace.received(message.redelivered);
                    self.route(message);
                }
                () = tokio::time::sleep_until(look_at), if on_its_way > 0 => {
                    look_at = Instant::now() + PUBLISH_CHECK;
                    // A lane that takes nothing holds back all that stands behind it on the intake, in the end.
                    let link = &self.context.health;
                    link.stalled(Stall::Lane, self.post.trouble(link.is_stalled(Stall::Blocked)).as_deref());
                }
                () = self.watch.until_starved(), if taking && on_its_way == 0 => {
                    return Err(BrokerError::Starved(self.context.names.intake().to_owned()));
                }
            }
            self.acks.send(self.post.outbox().first().map(tag_of)).await?;
            if self.post.outbox().is_empty() {
                self.pace.none_held();
                self.context.health.stalled(Stall::Lane, None);
            }
        }
    }

    /// Whether a further message is taken.
    fn takes(&self) -> bool {
        if self.caution.alone() {
            return self.taken.is_empty();
        }
        self.taken.len() < usize::from(INTAKE_PREFETCH)
            && self.post.outbox().len() < EVENTS_IN_FLIGHT
            && self.bytes < BYTES_IN_FLIGHT
    }

    fn heed(&mut self, news: PublishEvent) {
        match news {
            PublishEvent::Taken(number) => self.confirmed(tag_of(number)),
            PublishEvent::Refused(queue) => {
                tracing::warn!(queue, "messages are refused; they are sent again");
            }
        }
    }

    /// The broker has one event of this message.
    fn confirmed(&mut self, tag: u64) {
        let Some(taken) = self.taken.get_mut(&tag) else { return };
        taken.unconfirmed = taken.unconfirmed.saturating_sub(1);
        if taken.unconfirmed == 0
            && let Some(Taken { acker, bytes, .. }) = self.taken.remove(&tag)
        {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.acks.add(tag, acker);
        }
    }

    /// Sends what a message holds to the lanes, or to the dead letters.
    fn route(&mut self, message: Delivery) {
        let Delivery { delivery_tag: tag, redelivered, .. } = message;
        let returns = properties::returns_of(&message);
        let lanes = self.context.names.lanes();
        let properties = properties::believed(&message.properties, message.exchange.as_str(), &lanes);
        let now = Timestamp::now();
        let waited =
            now.duration_since(properties::queued_at(&properties, now)).try_into().unwrap_or_default();
        let body = Bytes::from(message.data);
        let taken = Message { properties, body, redelivered, now };
        let Sorted { parcels, bytes } = if self.caution.condemns(returns, waited) {
            let problem = format!("came back {returns} times, and was first on the intake");
            let problem = Problem { problem, ..Problem::default() };
            let refusal = Refusal::new(DeadLetterReason::DeliveryLimit, problem);
            let letter = sorting::refused(self.context, &taken, None, &refusal);
            Sorted { parcels: vec![letter], bytes: taken.body.len() }
        } else {
            sorting::sort(self.context, &taken)
        };
        self.bytes += bytes;
        self.taken.insert(tag, Taken { acker: message.acker, unconfirmed: parcels.len(), bytes });
        for (number, parcel) in (tag << PLACES..).zip(parcels) {
            self.post.put(number, parcel);
        }
    }
}

/// The message that a parcel with this number is part of.
fn tag_of(number: u64) -> u64 {
    number >> PLACES
}
