//! From the intake queue to the lanes, in order, and at the broker's pace.
//!
//! A message with several events becomes as many messages; it is acknowledged when all of them are confirmed. Many
//! publishes are in flight at once. One frame acknowledges all messages up to the first that is not confirmed yet, and
//! one frame each those behind it. A crash in between repeats some events in the lanes, which know their `messageId`s; it
//! loses none.
//!
//! Reads only what it takes to split a batch and to find an event's account. Called by [`crate::broker::consuming`].

mod sorting;
mod targets;
mod trial;

use std::collections::HashMap;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::BrokerError;
use super::health::{Stall, StallReporter};
use super::topology;
use crate::broker::amqp::channel::{close, close_after_acknowledgements, subscribe};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::properties;
use crate::broker::consuming::ack_batch::AckBatch;
use crate::broker::consuming::pace::Pace;
use crate::broker::consuming::poison::{self, PoisonGuard};
use crate::broker::consuming::resubscriber::Resubscriber;
use crate::broker::consuming::subscription::{self, Subscription};
use crate::broker::probes::starved_consumer::ConsumerWatchdog;
use crate::broker::publishing::publisher::{ConfirmedPublisher, PublishEvent};
use crate::broker::timing::{
    BYTES_IN_FLIGHT, EVENTS_IN_FLIGHT, INTAKE_PREFETCH, PUBLISH_CHECK, TAKEN_AT_ONCE,
};
use crate::segment::BATCH_EVENTS;
use sorting::{IntakeMessage, Sorted};
use targets::LaneTargets;
pub use trial::{RouterTrial, TrialMessage};

/// A publication's number is its message's delivery tag, shifted left by so many bits, plus its place in the message.
const PLACES: u32 = 13;
const _: () = assert!(BATCH_EVENTS <= 1 << PLACES, "a place for every event");

/// Routes until `stop` (then `Ok`) or until something breaks.
pub(super) async fn serve(
    context: &Context,
    pair: &ConnectionPair,
    resubscriber: &mut Resubscriber,
    unusable: &StallReporter,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> Result<(), BrokerError> {
    if resubscriber.must_declare() {
        // The lanes, too: if their exchange was deleted, so were their bindings.
        topology::declare(&pair.consuming, context).await?;
    }
    let intake = context.names.intake();
    let Subscription { tag, prefetch, arguments, .. } = subscription::intake(context);
    let subscribed =
        subscribe(&pair.consuming, intake, &tag, resubscriber.pace.prefetch(prefetch), arguments).await;
    if let Err(BrokerError::UnusableQueue(why)) = &subscribed {
        unusable.stalled(why);
    }
    let (channel, mut consumer) = subscribed?;
    unusable.clear();
    let mut router = Router {
        context,
        watchdog: ConsumerWatchdog::new(&mut resubscriber.starved, &pair.consuming, intake),
        publisher: ConfirmedPublisher::new(&context.names, pair, pair.spare_publishers()),
        targets: LaneTargets::default(),
        unacknowledged: HashMap::new(),
        bytes: 0,
        acks: AckBatch::new(&channel),
        poison: PoisonGuard::new(),
        pace: resubscriber.pace.clone(),
        lane_stall: context.health.reporter(Stall::Lane),
    };
    let served = router.run(&mut consumer, stop, lost).await;
    // What is left goes back to the intake with the channel.
    context.metrics.intake_held.set(0);
    // What happens to the lanes is now for another replica to report.
    router.lane_stall.clear();
    routes(context, false);
    // The consumer last: dropping it cancels it, and another replica would be active ahead of what is returned here.
    match served {
        Ok(()) => close_after_acknowledgements(&channel, intake).await,
        Err(_) => close(&channel).await,
    }
    drop(consumer);
    router.publisher.close().await;
    served
}

struct Router<'a> {
    context: &'a Context,
    watchdog: ConsumerWatchdog<'a>,
    publisher: ConfirmedPublisher<'a>,
    targets: LaneTargets,
    /// By delivery tag.
    unacknowledged: HashMap<u64, Unacknowledged>,
    /// How many bytes of them are held.
    bytes: usize,
    acks: AckBatch,
    poison: PoisonGuard,
    pace: Pace,
    /// Reports lanes that take nothing.
    lane_stall: StallReporter,
}

/// A message of which not all events are confirmed.
struct Unacknowledged {
    unconfirmed: usize,
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
        // One for all turns: to arm a timer takes a lock.
        let mut check = pin!(tokio::time::sleep(PUBLISH_CHECK));
        loop {
            // Events that are refused time and again are no reason to stay: their messages return to the intake.
            if !taking && self.publisher.queue().has_none_in_flight() {
                return Ok(());
            }
            let unconfirmed = self.publisher.queue().len();
            tokio::select! {
                biased;
                // First, because with a backlog the others are always ready. The subscription is not cancelled: another
                // replica would route what is queued ahead of what is held here.
                () = stop.cancelled(), if taking => taking = false,
                events = self.publisher.next_events(), if unconfirmed > 0 => {
                    events?.into_iter().for_each(|event| self.on_event(event));
                }
                () = lost.cancelled() => return Err(BrokerError::Closed),
                message = consumer.next(), if taking && self.has_room() => {
                    let Some(message) = message else {
                        return Err(BrokerError::ConsumerCancelled(self.context.names.intake().to_owned()));
                    };
                    self.watchdog.received();
                    routes(self.context, true);
                    self.route(message?);
                    self.route_ready(consumer)?;
                }
                () = &mut check, if unconfirmed > 0 => {
                    check.as_mut().reset(Instant::now() + PUBLISH_CHECK);
                    self.check_lanes();
                }
                () = self.watchdog.until_starved(), if taking && unconfirmed == 0 => {
                    return Err(BrokerError::Starved(self.context.names.intake().to_owned()));
                }
            }
            self.context
                .metrics
                .intake_held
                .set(i64::try_from(self.unacknowledged.len()).unwrap_or(i64::MAX));
            self.acks.send(self.publisher.queue().first().map(tag_of)).await?;
            if self.publisher.queue().is_empty() {
                self.pace.none_held();
                self.lane_stall.clear();
            }
        }
    }

    /// Routes messages that are there already, so that a turn's waking and acknowledging is for many of them.
    fn route_ready(&mut self, consumer: &mut lapin::Consumer) -> Result<(), BrokerError> {
        for _ in 1..TAKEN_AT_ONCE {
            if !self.has_room() {
                break;
            }
            // The end of the consumer is for the next turn to find.
            let Some(Some(message)) = consumer.next().now_or_never() else { break };
            self.route(message?);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        if self.poison.one_at_a_time() {
            return self.unacknowledged.is_empty();
        }
        self.unacknowledged.len() < usize::from(INTAKE_PREFETCH)
            && self.publisher.queue().len() < EVENTS_IN_FLIGHT
            && self.bytes < BYTES_IN_FLIGHT
    }

    /// Reports a lane that takes nothing: in the end it holds up everything behind it on the intake.
    fn check_lanes(&mut self) {
        if self.context.health.is_stalled(Stall::Blocked) {
            self.publisher.excuse_late_confirms();
        }
        self.lane_stall.report(self.publisher.impediment().as_deref());
    }

    fn on_event(&mut self, event: PublishEvent) {
        match event {
            PublishEvent::Confirmed(number) => self.on_confirmed(tag_of(number)),
            PublishEvent::Refused(queue) => {
                tracing::warn!(queue, "messages are refused; they are sent again");
            }
        }
    }

    /// One event of the message with this tag is confirmed.
    fn on_confirmed(&mut self, tag: u64) {
        let Some(message) = self.unacknowledged.get_mut(&tag) else { return };
        message.unconfirmed = message.unconfirmed.saturating_sub(1);
        if message.unconfirmed == 0
            && let Some(Unacknowledged { bytes, .. }) = self.unacknowledged.remove(&tag)
        {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.acks.add(tag);
        }
    }

    /// Publishes what a message holds to the lanes, or to the dead letters.
    fn route(&mut self, message: Delivery) {
        let Delivery { delivery_tag: tag, redelivered, .. } = message;
        self.pace.received(redelivered);
        let returns = properties::returns_of(&message);
        let (exchange, body) = (message.exchange.as_str(), Bytes::from(message.data));
        let taken = IntakeMessage::new(self.context, message.properties, exchange, body, redelivered);
        let queued_at = properties::queued_at(&taken.properties, taken.taken_at);
        let waited = taken.taken_at.duration_since(queued_at).try_into().unwrap_or_default();
        let Sorted { publications, bytes } = if self.poison.should_dead_letter(returns, waited) {
            let refusal = poison::refusal(returns, "on the intake");
            let letter = sorting::refused(self.context, &taken, None, &refusal);
            Sorted { publications: vec![letter], bytes: taken.body.len() }
        } else {
            sorting::sort(self.context, &mut self.targets, taken)
        };
        self.bytes += bytes;
        let unacknowledged = Unacknowledged { unconfirmed: publications.len(), bytes };
        self.unacknowledged.insert(tag, unacknowledged);
        for (number, publication) in (tag << PLACES..).zip(publications) {
            self.publisher.publish(number, publication);
        }
    }
}

/// Shows whether this replica routes. RabbitMQ tells it only by handing out a message.
fn routes(context: &Context, routes: bool) {
    context.metrics.router_active.set(i64::from(routes));
    context.facts.set_routes(routes);
}

/// The delivery tag of the message that a publication with this number is part of.
fn tag_of(number: u64) -> u64 {
    number >> PLACES
}
