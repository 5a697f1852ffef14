//! One channel of a lane at work: hands deliveries to the lane, and settles them at the broker as the lane says, with
//! acknowledgements and dead letters.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use lapin::BasicProperties;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::incoming::{Incoming, IncomingMessage};
use super::unsettled::{UnsettledDeliveries, UnsettledDelivery};
use crate::broker::amqp::{fitting, letter_properties, properties};
use crate::broker::consuming::arrivals::Arrivals;
use crate::broker::consuming::poison;
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::health::{Stall, StallReporter};
use crate::broker::publishing::publication::Publication;
use crate::broker::publishing::publisher::{ConfirmedPublisher, PublishEvent};
use crate::broker::timing::{PUBLISH_CHECK, TAKEN_AT_ONCE};
use crate::dead_letter::DeadLetter;
use crate::delivery::{Delivery, LaneInlet, Receipt, Settlement, beside};
use crate::outcome::{Outcome, Refusal};
use crate::runtime::{beside_others, takes_long};
use crate::segment::EventBody;

/// One channel at work.
pub(super) struct LaneConsumer<'a> {
    context: &'a Context,
    inlet: &'a LaneInlet,
    /// Cancelled when the connection is lost, or being closed.
    lost: &'a CancellationToken,
    incoming: Incoming<'a>,
    /// To the lane; none once nothing more is taken off the channel.
    deliver: Option<mpsc::Sender<Delivery>>,
    /// Where the lane's settlements go; each delivery reserves its place before the lane gets it.
    settle: mpsc::Sender<Settlement>,
    unsettled: UnsettledDeliveries,
    /// Dead letters, numbered by the tag of the delivery that each settles.
    dead_letters: ConfirmedPublisher<'a>,
    /// Reports dead letters that do not get through.
    stall: StallReporter,
}

impl<'a> LaneConsumer<'a> {
    pub(super) fn new(
        context: &'a Context,
        inlet: &'a LaneInlet,
        lost: &'a CancellationToken,
        (channel, incoming): (&lapin::Channel, Incoming<'a>),
        (deliver, settle): (mpsc::Sender<Delivery>, mpsc::Sender<Settlement>),
        dead_letters: ConfirmedPublisher<'a>,
    ) -> Self {
        let unsettled =
            UnsettledDeliveries::new(channel, context.held_bytes.share(), inlet.metrics.lane.held.clone());
        let (deliver, stall) = (Some(deliver), context.health.reporter(Stall::DeadLetters));
        Self { context, inlet, lost, incoming, deliver, settle, unsettled, dead_letters, stall }
    }

    /// What happens to the dead letters is now for the lane's next consumer to report.
    pub(super) fn clear_stall(&self) {
        self.stall.clear();
    }

    /// Hands deliveries over and settles them, until `stop` is cancelled and all of them are settled or left to be
    /// returned.
    pub(super) async fn run(
        &mut self,
        arrivals: &mut Arrivals,
        mut settlements: mpsc::Receiver<Settlement>,
        stop: &CancellationToken,
        lane: &str,
    ) -> Result<(), BrokerError> {
        let mut next_check = Instant::now() + PUBLISH_CHECK;
        loop {
            let taking = self.deliver.is_some();
            let letters = self.dead_letters.queue().len();
            // A letter that is refused time and again is no reason to stay: its event is returned.
            if !taking && self.unsettled.len() == letters && self.dead_letters.queue().has_none_in_flight() {
                return Ok(());
            }
            if taking
                && self.has_room()
                && let Some(message) = self.incoming.take_ahead()
            {
                self.hand_over(message, stop).await?;
            }
            tokio::select! {
                biased;
                // First, so that nothing more is taken. The subscription is not cancelled: the broker would make another
                // replica active at once, ahead of what is settled or returned here. What still comes is returned when
                // the channel closes.
                () = stop.cancelled(), if taking => self.deliver = None,
                Some(settlement) = settlements.recv() => self.settle(settlement, stop).await?,
                events = self.dead_letters.next_events(), if letters > 0 => {
                    events?.into_iter().for_each(|event| self.on_event(event));
                }
                message = arrivals.next(), if taking && self.has_room() => {
                    let Some(message) = message else { return Err(BrokerError::ConsumerCancelled(lane.to_owned())) };
                    self.hand_over_ready(message?, arrivals, stop).await?;
                }
                () = tokio::time::sleep_until(next_check), if letters > 0 => {
                    next_check = Instant::now() + PUBLISH_CHECK;
                    self.check_dead_letters();
                }
                () = self.unsettled.until_room(), if taking && self.unsettled.wait_for_other_accounts() => {}
                () = self.incoming.until_starved(), if taking && self.unsettled.is_empty() => {
                    return Err(BrokerError::Starved(lane.to_owned()));
                }
            }
            // All that are ready, so that few frames acknowledge them: those in line when a channel closes are lost, and
            // what they settled would be delivered again.
            while let Ok(settlement) = settlements.try_recv() {
                self.settle(settlement, stop).await?;
            }
            if letters > 0 && self.dead_letters.queue().is_empty() {
                self.stall.clear();
            }
            self.incoming.read_ahead(arrivals)?;
            if self.unsettled.is_empty() {
                self.incoming.none_held();
            }
            self.unsettled.send_acks().await?;
        }
    }

    /// Whether the lane may get another delivery. RabbitMQ may hand out more than the prefetch, for instance once more
    /// what was settled, when a queue's leader changes. Waiting here for a place for its settlement would be a deadlock:
    /// places become free only when settlements are taken.
    fn has_room(&self) -> bool {
        self.settle.capacity() > 0
            && self.unsettled.have_room()
            && (!self.incoming.poison.one_at_a_time() || self.unsettled.is_empty())
    }

    /// Hands a message to the lane, and those that are there already, so that a turn's waking is for many of them.
    async fn hand_over_ready(
        &mut self,
        first: lapin::message::Delivery,
        arrivals: &mut Arrivals,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let message = self.incoming.receive(first);
        self.hand_over(message, stop).await?;
        for _ in 1..TAKEN_AT_ONCE {
            if !self.has_room() {
                break;
            }
            // The end of the consumer is for the next turn to find.
            let Some(Some(message)) = arrivals.next().now_or_never() else { break };
            let message = self.incoming.receive(message?);
            self.hand_over(message, stop).await?;
        }
        Ok(())
    }

    /// Hands a message to the lane; only while there is room.
    async fn hand_over(
        &mut self,
        IncomingMessage { message, returns, redelivered }: IncomingMessage,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let tag = message.delivery_tag;
        let body = Bytes::from(message.data);
        let headers = message.properties.headers().as_ref().map_or(0, fitting::size_of_entries);
        let now = Timestamp::now();
        let lanes = self.context.names.lanes();
        let properties = properties::believed(message.properties, message.exchange.as_str(), lanes);
        let queued_at = properties::queued_at(&properties, now);
        let (copied, batch) = (properties::is_copy(&properties), properties::batch(&properties));
        let replayed = letter_properties::was_replayed(&properties);
        let trace_id = properties::trace_id(&properties);
        let waited = now.duration_since(queued_at).try_into().unwrap_or_default();
        let event = if self.incoming.poison.should_dead_letter(returns, waited) {
            Err(poison::refusal(returns, "in its lane"))
        } else {
            let open = || self.context.opener.event(&body, properties::encoding(&properties));
            beside_others(takes_long(&body), open)
        };
        // An unpacked event is held beside the body that came.
        let unpacked = event.as_ref().map_or(0, |event| beside(&body, event));
        let bytes = (body.len() + headers + unpacked) as u64;
        self.unsettled.add(tag, UnsettledDelivery::new(body, properties, bytes));
        match event {
            Ok(body) => {
                let place = self.settle.clone().reserve_owned().await.map_err(|_| BrokerError::LaneEnded)?;
                let receipt = Receipt::new(tag, place, self.inlet.metrics.receipts_dropped.clone());
                let delivery =
                    Delivery { body, queued_at, copied, batch, replayed, redelivered, trace_id, receipt };
                self.deliver(delivery, stop).await
            }
            Err(refusal) => {
                self.refuse(tag, &refusal);
                Ok(())
            }
        }
    }

    async fn deliver(&mut self, delivery: Delivery, stop: &CancellationToken) -> Result<(), BrokerError> {
        let sent = match &self.deliver {
            Some(lane) => lane.send(delivery).await.map_err(|mpsc::error::SendError(delivery)| delivery),
            None => Err(delivery),
        };
        self.incoming.lane_got_one();
        let Err(delivery) = sent else { return Ok(()) };
        delivery.receipt.settle(Outcome::Returned, 0);
        // If it was not the stop that closed the lane, the next delivery would come back, too, and going on would send
        // the whole queue round until each message is at its delivery limit.
        if stop.is_cancelled() || self.lost.is_cancelled() { Ok(()) } else { Err(BrokerError::LaneEnded) }
    }

    async fn settle(&mut self, settlement: Settlement, stop: &CancellationToken) -> Result<(), BrokerError> {
        let Settlement { tag, outcome, attempts } = settlement;
        match outcome {
            Outcome::Delivered | Outcome::Skipped(_) => self.unsettled.acknowledge(tag),
            Outcome::DeadLetter(refusal) => self.dead_letter(tag, &refusal, attempts),
            // The channel is about to close, and that returns all in order. If this one went back at once, the broker could
            // hand it out again, to this very consumer, while those before it are still out.
            Outcome::Returned if stop.is_cancelled() || self.lost.is_cancelled() => {
                self.unsettled.return_by_close(tag);
            }
            Outcome::Returned => self.unsettled.requeue(tag).await?,
        }
        Ok(())
    }

    fn on_event(&mut self, event: PublishEvent) {
        let account = &self.inlet.account;
        match event {
            PublishEvent::Confirmed(tag) => self.unsettled.acknowledge(tag),
            PublishEvent::Refused(queue) => {
                tracing::warn!(account = &**account, queue, "messages are refused; they are sent again");
            }
        }
    }

    fn check_dead_letters(&mut self) {
        if self.context.health.is_stalled(Stall::Blocked) {
            self.dead_letters.excuse_late_confirms();
        }
        self.stall.report(self.dead_letters.impediment().as_deref());
    }

    /// Dead-letters a message that the lane never gets.
    fn refuse(&mut self, tag: u64, refusal: &Refusal) {
        let Some(delivery) = self.unsettled.get(tag) else { return };
        let original = delivery.properties();
        let seen = self.context.opener.glimpse(delivery.body(), properties::encoding(&original));
        let (account, failed_at) = (Some(&self.inlet.account), Timestamp::now());
        let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at };
        dead.count_as_received(&self.inlet.metrics, properties::trace_id(&original));
        self.publish(tag, &original, &dead);
    }

    /// Dead-letters a message that the lane has counted and logged.
    fn dead_letter(&mut self, tag: u64, refusal: &Refusal, attempts: u32) {
        let Some(delivery) = self.unsettled.get(tag) else { return };
        let original = delivery.properties();
        let seen = self.context.opener.glimpse(delivery.body(), properties::encoding(&original));
        let (account, failed_at) = (Some(&self.inlet.account), Timestamp::now());
        self.publish(tag, &original, &DeadLetter { refusal, account, seen: &seen, attempts, failed_at });
    }

    /// The delivery is acknowledged when the broker has confirmed the letter.
    fn publish(&mut self, tag: u64, original: &BasicProperties, dead: &DeadLetter<'_>) {
        let Some(delivery) = self.unsettled.get(tag) else { return };
        let body = EventBody::Whole(delivery.body().clone());
        let letter = Publication::to_dead_letters(&self.context.names, dead, body, original);
        self.dead_letters.publish(tag, letter);
    }

    /// Closes the channel that dead letters are published on.
    pub(super) async fn close(self) {
        self.dead_letters.close().await;
    }
}
