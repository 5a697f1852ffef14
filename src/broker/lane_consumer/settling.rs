//! A channel's deliveries from the queue to the lane, and what the lane says of them back to the broker:
//! acknowledgements and dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use lapin::options::BasicRejectOptions;
use lapin::{Acker, BasicProperties};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ack_batch::Acks;
use super::poison::PoisonGuard;
use crate::broker::amqp::packed::Packed;
use crate::broker::amqp::{fitting, letter_properties, properties};
use crate::broker::consuming::pace::Pace;
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::health::Stall;
use crate::broker::probes::starved_consumer::ConsumerWatchdog;
use crate::broker::publishing::publisher::{ConfirmedPublisher, PublishEvent};
use crate::broker::publishing::queue::{Publication, Route};
use crate::broker::timing::PUBLISH_CHECK;
use crate::dead_letter::DeadLetter;
use crate::delivery::{Delivery, LaneInlet, Receipt, Settlement, Share, beside};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::segment::EventBody;

/// A delivery that is not acknowledged yet.
pub(in crate::broker) struct Unsettled {
    acker: Acker,
    body: Bytes,
    properties: Packed,
    /// What it counts for in the account's share.
    bytes: u64,
}

/// One channel at work.
pub(in crate::broker) struct LaneConsumer<'a> {
    pub(in crate::broker) context: &'a Context,
    pub(in crate::broker) inlet: &'a LaneInlet,
    /// The connection is lost, or being closed.
    pub(in crate::broker) lost: &'a CancellationToken,
    pub(in crate::broker) caution: PoisonGuard,
    pub(in crate::broker) watch: ConsumerWatchdog<'a>,
    /// Dead letters, by the tag of the delivery that each pays for.
    pub(in crate::broker) letters: ConfirmedPublisher<'a>,
    /// The lane got something of this channel.
    pub(in crate::broker) handed_over: bool,
    /// What the broker handed over while the message before it was worked alone.
    pub(in crate::broker) ahead: Option<lapin::message::Delivery>,
    pub(in crate::broker) settle: mpsc::Sender<Settlement>,
    pub(in crate::broker) unsettled: BTreeMap<u64, Box<Unsettled>>,
    /// Settled, and to be acknowledged at the end of the turn.
    pub(in crate::broker) acks: Acks,
    /// Given back by the channel's end: never to be covered by an acknowledgement of others.
    pub(in crate::broker) returned: BTreeSet<u64>,
    /// How many bytes are unsettled.
    pub(in crate::broker) share: Share,
    /// Whether messages are taken one at a time.
    pub(in crate::broker) pace: Pace,
}

impl LaneConsumer<'_> {
    /// Hands deliveries over and settles them until nothing more is taken and all of it is settled.
    pub(in crate::broker) async fn run(
        &mut self,
        consumer: &mut lapin::Consumer,
        deliver: mpsc::Sender<Delivery>,
        mut settlements: mpsc::Receiver<Settlement>,
        stop: &CancellationToken,
        lane: &str,
    ) -> Result<(), BrokerError> {
        let mut deliver = Some(deliver);
        let mut look_at = Instant::now() + PUBLISH_CHECK;
        loop {
            // A letter that is refused time and again is no reason to stay: its event is given back.
            let letters = self.letters.outbox().len();
            if deliver.is_none() && self.unsettled.len() == letters && self.letters.outbox().rests() {
                return Ok(());
            }
            if let Some(deliver) = &deliver
                && self.takes()
                && let Some(mut message) = self.ahead.take()
            {
                let returns = properties::returns_of(&message);
                // Here before the last one was acknowledged: nobody else had it in between. Calls that were under way
                // before were waited for with the first one that the lane got.
                message.redelivered &= !self.handed_over;
                self.take(message, returns, deliver, stop).await?;
            }
            tokio::select! {
                biased;
                // Before all else, so that nothing more is taken. Not cancelled at the broker: it would make another
                // replica active at once, ahead of what is settled or given back here. What still comes is given
                // back when the channel closes.
                () = stop.cancelled(), if deliver.is_some() => deliver = None,
                Some(settlement) = settlements.recv() => self.settle(settlement, stop).await?,
                news = self.letters.news(), if letters > 0 => news?.into_iter().for_each(|news| self.heed(news)),
                message = consumer.next(), if deliver.is_some() && self.takes() => {
                    let Some(message) = message else { return Err(BrokerError::ConsumerCancelled(lane.to_owned())) };
                    self.watch.received();
                    let mut message = message?;
                    self.pace.received(message.redelivered);
                    let returns = properties::returns_of(&message);
                    if matches!(self.pace, Pace::OneAtATime(_)) {
                        // As above: nobody else had it since the lane got its first one.
                        message.redelivered &= !self.handed_over;
                    }
                    if let Some(deliver) = &deliver {
                        self.take(message, returns, deliver, stop).await?;
                    }
                }
                () = tokio::time::sleep_until(look_at), if letters > 0 => {
                    look_at = Instant::now() + PUBLISH_CHECK;
                    let trouble = self.letters.trouble(self.context.health.is_stalled(Stall::Blocked));
                    self.context.health.letters(&self.inlet.account, trouble);
                }
                () = self.share.room(), if deliver.is_some() && self.share.waits_for_others() => {}
                () = self.watch.until_starved(), if deliver.is_some() && self.unsettled.is_empty() => {
                    return Err(BrokerError::Starved(lane.to_owned()));
                }
            }
            // All that is ready goes into few frames: those in line when a channel closes are lost, and what they
            // settled would be delivered again.
            while let Ok(settlement) = settlements.try_recv() {
                self.settle(settlement, stop).await?;
            }
            if letters > 0 && self.letters.outbox().is_empty() {
                self.context.health.letters(&self.inlet.account, None);
            }
            if self.caution.alone() && self.ahead.is_none() {
                self.ahead = consumer.next().now_or_never().flatten().transpose()?;
            }
            if self.unsettled.is_empty() {
                self.pace.none_held();
            }
            let out = self.unsettled.keys().next().into_iter().chain(self.returned.first()).min();
            self.acks.send(out.copied()).await?;
        }
    }

    /// Whether the lane gets another one. RabbitMQ may hand out more than the prefetch, for instance again what was
    /// settled, when a queue's leader changes. Where there is no room for the answer, waiting for some here would keep
    /// the answers from being taken that make it.
    fn takes(&self) -> bool {
        self.settle.capacity() > 0
            && self.share.has_room()
            && (!self.caution.alone() || self.unsettled.is_empty())
    }

    /// Hands a message to the lane; there is room, see [`Self::takes`].
    async fn take(
        &mut self,
        message: lapin::message::Delivery,
        returns: u64,
        deliver: &mpsc::Sender<Delivery>,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let tag = message.delivery_tag;
        let body = Bytes::from(message.data);
        let now = Timestamp::now();
        let lanes = self.context.names.lanes();
        let properties = properties::believed(&message.properties, message.exchange.as_str(), &lanes);
        let queued_at = properties::queued_at(&properties, now);
        let copied = properties::is_copy(&properties);
        let waited = now.duration_since(queued_at).try_into().unwrap_or_default();
        let event = if self.caution.condemns(returns, waited) {
            let problem = format!("came back {returns} times, and was first in its lane");
            let problem = Problem { problem, ..Problem::default() };
            Err(Refusal::new(DeadLetterReason::DeliveryLimit, problem))
        } else {
            self.context.opener.event(&body, properties::encoding(&properties))
        };
        // What was unpacked is held beside what came.
        let unpacked = event.as_ref().map_or(0, |event| beside(&body, event));
        let headers = message.properties.headers().as_ref().map_or(0, fitting::size_of_entries);
        let bytes = (body.len() + headers + unpacked) as u64;
        self.share.add(bytes);
        let unsettled = Unsettled { acker: message.acker, body, properties: Packed::new(properties), bytes };
        self.unsettled.insert(tag, Box::new(unsettled));
        let body = match event {
            Ok(event) => event,
            Err(refusal) => {
                self.refuse(tag, &refusal);
                return Ok(());
            }
        };
        let place = self.settle.clone().reserve_owned().await.map_err(|_| BrokerError::LaneEnded)?;
        let receipt = Receipt::new(tag, place, self.inlet.metrics.receipts_dropped.clone());
        let refused = deliver
            .send(Delivery { body, queued_at, copied, redelivered: message.redelivered, receipt })
            .await;
        self.handed_over = true;
        if let Err(mpsc::error::SendError(delivery)) = refused {
            delivery.receipt.settle(Outcome::Returned, 0);
            // Nobody will take the next one either. If it is not the stop that closed the lane, going on would
            // turn its whole queue round until the broker gives each message up.
            if !stop.is_cancelled() && !self.lost.is_cancelled() {
                return Err(BrokerError::LaneEnded);
            }
        }
        Ok(())
    }

    async fn settle(&mut self, settlement: Settlement, stop: &CancellationToken) -> Result<(), BrokerError> {
        let Settlement { tag, outcome, attempts } = settlement;
        match outcome {
            Outcome::Delivered | Outcome::Skipped(_) => {
                self.settled(tag);
                Ok(())
            }
            Outcome::DeadLetter(refusal) => {
                self.dead_letter(tag, &refusal, attempts);
                Ok(())
            }
            // Closing the channel gives back all in order; nack would let the broker hand this one out again, to
            // this very consumer, while those before it are still out.
            Outcome::Returned if stop.is_cancelled() || self.lost.is_cancelled() => {
                self.let_go(tag);
                self.returned.insert(tag);
                Ok(())
            }
            Outcome::Returned => {
                let Some(unsettled) = self.let_go(tag) else { return Ok(()) };
                // Not nack: later versions of RabbitMQ do not count that as a return, and it would go on for ever.
                let options = BasicRejectOptions { requeue: true };
                if unsettled.acker.reject(options).await? {
                    Ok(())
                } else {
                    Err(BrokerError::NotAcknowledged)
                }
            }
        }
    }

    fn settled(&mut self, tag: u64) {
        if let Some(unsettled) = self.let_go(tag) {
            self.acks.add(tag, unsettled.acker);
        }
    }

    /// The event is held no longer.
    fn let_go(&mut self, tag: u64) -> Option<Box<Unsettled>> {
        let unsettled = self.unsettled.remove(&tag)?;
        self.share.remove(unsettled.bytes);
        Some(unsettled)
    }

    fn heed(&mut self, news: PublishEvent) {
        let account = &self.inlet.account;
        match news {
            PublishEvent::Taken(tag) => self.settled(tag),
            PublishEvent::Refused(queue) => {
                tracing::warn!(account = &**account, queue, "messages are refused; they are sent again");
            }
        }
    }

    /// Publishes a dead letter for a message that the lane never receives.
    fn refuse(&mut self, tag: u64, refusal: &Refusal) {
        let Some(unsettled) = self.unsettled.get(&tag) else { return };
        let original = unsettled.properties.unpack();
        let seen = self.context.opener.glimpse(&unsettled.body, properties::encoding(&original));
        let (account, failed_at) = (Some(&self.inlet.account), Timestamp::now());
        let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at };
        dead.count_as_received(&self.inlet.metrics);
        self.publish(tag, &original, &dead);
    }

    fn dead_letter(&mut self, tag: u64, refusal: &Refusal, attempts: u32) {
        let Some(unsettled) = self.unsettled.get(&tag) else { return };
        let original = unsettled.properties.unpack();
        let seen = self.context.opener.glimpse(&unsettled.body, properties::encoding(&original));
        let (account, failed_at) = (Some(&self.inlet.account), Timestamp::now());
        let dead = DeadLetter { refusal, account, seen: &seen, attempts, failed_at };
        self.publish(tag, &original, &dead);
    }

    /// The delivery is acknowledged when the broker has confirmed the letter.
    fn publish(&mut self, tag: u64, original: &BasicProperties, dead: &DeadLetter<'_>) {
        let Some(unsettled) = self.unsettled.get(&tag) else { return };
        let queue = self.context.names.dead();
        let route = Route { exchange: queue.clone(), key: dead.routing_key() };
        let properties = Arc::new(letter_properties::for_dead_letter(original, dead));
        let content = EventBody::Whole(unsettled.body.clone());
        self.letters.put(tag, Publication::new(queue, route, content, properties));
    }
}
