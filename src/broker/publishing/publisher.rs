//! Publishes the messages of a [`PublishQueue`] on channels of its own, in their order, until the broker has confirmed
//! each.
//!
//! A confirm takes up to a minute while a queue's leader is away, and never comes where the queue has none.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::{Channel, Confirmation};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::publication::{Publication, Route};
use super::queue::PublishQueue;
use crate::backoff::until;
use crate::broker::amqp::channel::{self, publish};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::fitting;
use crate::broker::error::BrokerError;
use crate::broker::names::Names;
use crate::broker::timing::{LATE_CONFIRM, REPUBLISH_AFTER};
use crate::broker::topology;

type Sending<'a> = Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send + 'a>>;

/// What became of a message.
pub(in crate::broker) enum PublishEvent {
    /// The broker has the message with this number.
    Confirmed(u64),
    /// This queue refused one, for the first time: it is full, or missing. It is sent again after a while.
    Refused(String),
}

/// Whether a message goes to a queue that was there a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    /// The queue may be missing, and is declared first. Of each route only one message at a time is sent so: they would
    /// overtake each other.
    AfterRefusal,
}

/// Publishing channels and the messages that go over them.
pub(in crate::broker) struct ConfirmedPublisher<'a> {
    names: &'a Names,
    pair: &'a ConnectionPair,
    /// By their numbers; the first one is shared.
    channels: Vec<PublishChannel>,
    queue: PublishQueue,
    sending: FuturesUnordered<Sending<'a>>,
    /// Messages whose confirms say nothing, because one for the same route was returned.
    suspects: BTreeSet<u64>,
    /// No confirm is late that could not come before this time.
    excused_until: Instant,
    resent: Resent,
}

#[derive(Clone, Default)]
struct PublishChannel {
    /// Opened with the first message: most lanes never need it.
    channel: Arc<OnceCell<Channel>>,
    /// Held while publishing: futures are woken in any order, but messages must be published in theirs.
    order: Arc<Mutex<()>>,
}

/// When the messages in flight were last sent once more, and how often in a row.
struct Resent {
    at: Instant,
    times: u32,
}

impl<'a> ConfirmedPublisher<'a> {
    pub(in crate::broker) fn new(names: &'a Names, pair: &'a ConnectionPair, own_channels: usize) -> Self {
        let now = Instant::now();
        Self {
            names,
            pair,
            channels: unopened(1 + own_channels),
            queue: PublishQueue::new(own_channels),
            sending: FuturesUnordered::new(),
            suspects: BTreeSet::new(),
            excused_until: now,
            resent: Resent { at: now, times: 0 },
        }
    }

    /// The messages that are not confirmed yet.
    pub(in crate::broker) fn queue(&self) -> &PublishQueue {
        &self.queue
    }

    /// Sends a message, under a number of its own, or lets it wait behind one that was refused.
    pub(in crate::broker) fn publish(&mut self, number: u64, publication: Publication) {
        if self.queue.push(number, publication, Instant::now()) {
            self.send(number, Attempt::First);
        }
    }

    /// Sends what is due and waits for answers. To be awaited while something is not confirmed; can be dropped at any
    /// time, and called again.
    pub(in crate::broker) async fn next_events(&mut self) -> Result<Vec<PublishEvent>, BrokerError> {
        loop {
            tokio::select! {
                Some(answer) = self.sending.next(), if !self.sending.is_empty() => {
                    let events = self.on_answers(answer)?;
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
                () = until(self.queue.next_retry()) => {
                    for number in self.queue.take_due(Instant::now()) {
                        self.send(number, Attempt::AfterRefusal);
                    }
                }
            }
        }
    }

    /// Judges all answers that have come, the first one included.
    ///
    /// The broker returns a message that reached no queue before it confirms it. But a return names no delivery tag, and
    /// the client library hands it out with whatever confirm comes next. So no confirm is believed before all others that
    /// have come were searched for returns; and after a return, no confirm for that route that was in flight then.
    fn on_answers(
        &mut self,
        first: (u64, lapin::Result<Confirmation>),
    ) -> Result<Vec<PublishEvent>, BrokerError> {
        let mut answers = vec![first];
        // Unconstrained: tokio's budget would end the loop while answers are still there.
        while let Some(Some(answer)) = tokio::task::unconstrained(self.sending.next()).now_or_never() {
            answers.push(answer);
        }
        let mut confirms = Vec::with_capacity(answers.len());
        for (number, answer) in answers {
            let (acked, returned) = match answer? {
                Confirmation::Ack(returned) => (true, returned),
                Confirmation::Nack(returned) => (false, returned),
                Confirmation::NotRequested => (false, None),
            };
            if let Some(returned) = returned {
                let (exchange, key) = (returned.exchange.to_string(), returned.routing_key.to_string());
                self.suspects.extend(self.queue.in_flight_to(&Route { exchange, key }));
            }
            confirms.push((number, acked));
        }
        let events = confirms.into_iter().filter_map(|(number, acked)| {
            let returned = self.suspects.remove(&number);
            if acked && !returned {
                return Some(self.on_confirmed(number));
            }
            if returned {
                self.mark_as_possible_duplicates(&[number]);
            }
            self.on_refused(number)
        });
        Ok(events.collect())
    }

    fn on_confirmed(&mut self, number: u64) -> PublishEvent {
        for next in self.queue.on_confirmed(number, Instant::now()) {
            self.send(next, Attempt::First);
        }
        PublishEvent::Confirmed(number)
    }

    fn on_refused(&mut self, number: u64) -> Option<PublishEvent> {
        let queue = self.queue.publication(number)?.target.queue.clone();
        self.queue.on_refused(number, Instant::now()).then_some(PublishEvent::Refused(queue))
    }

    /// Only in lanes: a dead letter carries no such mark.
    fn mark_as_possible_duplicates(&mut self, numbers: &[u64]) {
        let lanes = self.names.lanes();
        let queue = &self.queue;
        let to_lanes = |number: &&u64| {
            queue.publication(**number).is_some_and(|publication| publication.target.route.exchange == lanes)
        };
        let numbers: Vec<u64> = numbers.iter().filter(to_lanes).copied().collect();
        self.queue.mark_as_possible_duplicates(&numbers);
    }

    fn send(&mut self, number: u64, attempt: Attempt) {
        let Some(publication) = self.queue.publication(number).cloned() else { return };
        let (names, pair) = (self.names, self.pair);
        let Some(channel) = self.channels.get(self.queue.channel(&publication)) else { return };
        let PublishChannel { channel, order } = channel.clone();
        // A future of its own, because all of it waits while an alarm blocks the connection; acknowledgements must not.
        let sending = async move {
            if attempt == Attempt::AfterRefusal {
                declare(names, pair, &publication.target.route).await;
            }
            let (body, properties) = publication.content();
            let properties = fitting::fit(properties, pair.frame_max());
            let confirm = {
                let _order = order.lock().await;
                let channel = channel.get_or_try_init(|| pair.publisher()).await?;
                let Route { exchange, key } = &publication.target.route;
                publish(channel, exchange, key, &body, properties).await?
            };
            // The bodies would wait for their confirms here.
            drop((publication, body));
            confirm.await
        };
        self.sending.push(sending.map(move |confirmed| (number, confirmed)).boxed());
    }

    /// Confirms cannot come for now; the time until they can is not counted.
    pub(in crate::broker) fn excuse_late_confirms(&mut self) {
        self.excused_until = Instant::now();
    }

    /// Why messages do not get through, if that has lasted a while. To be asked every
    /// [`PUBLISH_CHECK`](crate::broker::timing::PUBLISH_CHECK): this also sends messages once more that have waited too
    /// long for their confirms.
    pub(in crate::broker) fn impediment(&mut self) -> Option<String> {
        let late = self.check_late_confirms();
        if let Some(queue) = self.queue.refusing_queue() {
            return Some(format!("{queue} refuses messages; it may be full"));
        }
        late.map(|queue| format!("{queue} confirms nothing"))
    }

    /// The queue whose confirms are late.
    fn check_late_confirms(&mut self) -> Option<String> {
        let now = Instant::now();
        let oldest = self.queue.longest_in_flight();
        let oldest = oldest.map(|(since, queue)| (since.max(self.excused_until), queue.to_owned()));
        let Some((since, queue)) = oldest.filter(|(since, _)| now >= *since + LATE_CONFIRM) else {
            self.resent.times = 0;
            return None;
        };
        let resend_after = REPUBLISH_AFTER.0.saturating_mul(1 << self.resent.times).min(REPUBLISH_AFTER.1);
        if now >= since.max(self.resent.at) + resend_after {
            tracing::warn!(queue, "no confirm comes; what the queue may have missed is sent once more");
            self.resend(now);
        }
        Some(queue)
    }

    fn resend(&mut self, now: Instant) {
        self.resent = Resent { at: now, times: (self.resent.times + 1).min(10) };
        // An old channel is closed with its last handle.
        (self.channels, self.sending) = (unopened(self.channels.len()), FuturesUnordered::new());
        self.suspects.clear();
        let numbers = self.queue.in_flight();
        self.mark_as_possible_duplicates(&numbers);
        for number in numbers {
            self.send(number, Attempt::First);
        }
    }

    /// Closes the channels; messages that are not confirmed are not sent any more.
    pub(in crate::broker) async fn close(self) {
        let open = self.channels.iter().filter_map(|channel| channel.channel.get());
        futures_util::future::join_all(open.map(channel::close)).await;
    }
}

fn unopened(channels: usize) -> Vec<PublishChannel> {
    std::iter::repeat_with(PublishChannel::default).take(channels).collect()
}

/// Declares the queue that a route leads to, if it is missing. A failure needs no handling: the message is refused again.
async fn declare(names: &Names, pair: &ConnectionPair, route: &Route) {
    let declared = if route.exchange == names.lanes() {
        topology::declare_lane(&pair.consuming, names, &route.key.as_str().into()).await
    } else {
        topology::declare_shared(&pair.consuming, names).await
    };
    if let Err(error) = declared {
        tracing::debug!(%error, "what refuses messages cannot be declared anew");
    }
}
