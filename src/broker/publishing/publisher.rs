//! Publishes on a channel of its own what stands in an [`PublishQueue`], in its order, until the broker has confirmed it.
//!
//! A confirm may stay away for a minute where a queue's leader was away, and for ever where it has none.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::{Channel, Confirmation};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::queue::{Publication, PublishQueue, Route};
use crate::backoff::until;
use crate::broker::amqp::channel::{close, publish};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::fitting;
use crate::broker::error::BrokerError;
use crate::broker::names::Names;
use crate::broker::timing::{LATE_CONFIRM, REPUBLISH_AFTER};
use crate::broker::topology;

/// One message on its way.
type Sent<'a> = Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send + 'a>>;

/// What became of a message.
pub(in crate::broker) enum PublishEvent {
    /// The broker has it.
    Taken(u64),
    /// This queue refused one, for the first time: it is full, or missing. It is sent again after a while.
    Refused(String),
}

/// A publishing channel and what goes over it.
pub(in crate::broker) struct ConfirmedPublisher<'a> {
    names: &'a Names,
    pair: &'a ConnectionPair,
    /// Opened with the first message: most lanes never need it.
    channel: Arc<OnceCell<Channel>>,
    /// Who publishes next: futures are woken in any order, messages must go in theirs.
    turn: Arc<Mutex<()>>,
    outbox: PublishQueue,
    sent: FuturesUnordered<Sent<'a>>,
    /// One of those for the same route came back: their confirms say nothing.
    suspects: BTreeSet<u64>,
    /// No confirm before that time counts as late.
    excused: Instant,
    /// When what was on its way last went once more, and how often in a row.
    renewed: (Instant, u32),
}

impl<'a> ConfirmedPublisher<'a> {
    pub(in crate::broker) fn new(names: &'a Names, pair: &'a ConnectionPair) -> Self {
        let (channel, turn, now) = (Arc::default(), Arc::default(), Instant::now());
        let (outbox, sent, suspects) = (PublishQueue::default(), FuturesUnordered::new(), BTreeSet::new());
        Self { names, pair, channel, turn, outbox, sent, suspects, excused: now, renewed: (now, 0) }
    }

    /// What is not taken yet.
    pub(in crate::broker) fn outbox(&self) -> &PublishQueue {
        &self.outbox
    }

    /// Sends a message, under a number of its own, or lets it wait behind one that was refused.
    pub(in crate::broker) fn put(&mut self, number: u64, parcel: Publication) {
        if self.outbox.put(number, parcel, Instant::now()) {
            self.send(number, false);
        }
    }

    /// Waits for news. To be awaited while something is not taken; can be given up at any time, and awaited again.
    pub(in crate::broker) async fn news(&mut self) -> Result<Vec<PublishEvent>, BrokerError> {
        loop {
            tokio::select! {
                Some(answer) = self.sent.next(), if !self.sent.is_empty() => {
                    let news = self.answered(answer)?;
                    if !news.is_empty() {
                        return Ok(news);
                    }
                }
                () = until(self.outbox.wake()) => {
                    for number in self.outbox.again(Instant::now()) {
                        self.send(number, true);
                    }
                }
            }
        }
    }

    /// Judges all answers that are there, the first one included.
    ///
    /// A message that reached no queue is returned before it is confirmed, but its return names no number, and the
    /// client library hands it out with whatever confirm comes next. So no confirm is believed before every other one
    /// that has come has been looked at; and after a return, none for that route which was on its way then.
    fn answered(
        &mut self,
        first: (u64, lapin::Result<Confirmation>),
    ) -> Result<Vec<PublishEvent>, BrokerError> {
        let mut answers = vec![first];
        // Unconstrained: futures that had to give way would hide those behind them.
        while let Some(Some(answer)) = tokio::task::unconstrained(self.sent.next()).now_or_never() {
            answers.push(answer);
        }
        let mut confirms = Vec::with_capacity(answers.len());
        for (number, answer) in answers {
            let (taken, returned) = match answer? {
                Confirmation::Ack(returned) => (true, returned),
                Confirmation::Nack(returned) => (false, returned),
                Confirmation::NotRequested => (false, None),
            };
            if let Some(returned) = returned {
                let (exchange, key) = (returned.exchange.to_string(), returned.routing_key.to_string());
                self.suspects.extend(self.outbox.on_their_way(Some(&Route { exchange, key })));
            }
            confirms.push((number, taken));
        }
        Ok(confirms.into_iter().filter_map(|(number, taken)| self.confirmed(number, taken)).collect())
    }

    fn confirmed(&mut self, number: u64, taken: bool) -> Option<PublishEvent> {
        let now = Instant::now();
        let suspect = self.suspects.remove(&number);
        if taken && !suspect {
            for number in self.outbox.taken(number, now) {
                self.send(number, false);
            }
            return Some(PublishEvent::Taken(number));
        }
        if suspect {
            self.note_copies(&[number]);
        }
        let queue = self.outbox.parcel(number).map(|parcel| parcel.queue.clone());
        self.outbox.refused(number, now).then_some(queue).flatten().map(PublishEvent::Refused)
    }

    /// Notes of messages for lanes that they may be there already; dead letters carry no such note.
    fn note_copies(&mut self, numbers: &[u64]) {
        let lanes = self.names.lanes();
        let outbox = &self.outbox;
        let to_lanes =
            |number: &&u64| outbox.parcel(**number).is_some_and(|parcel| parcel.route.exchange == lanes);
        let copies: Vec<u64> = numbers.iter().filter(to_lanes).copied().collect();
        self.outbox.note_copies(&copies);
    }

    /// Puts a message on its way; `refused` if it was: then what it goes to may be missing. Of each route only one at a
    /// time is sent so: they would overtake each other.
    fn send(&mut self, number: u64, refused: bool) {
        let Some(parcel) = self.outbox.parcel(number).cloned() else { return };
        let (names, pair) = (self.names, self.pair);
        let (channel, turn) = (self.channel.clone(), self.turn.clone());
        // All of this waits while an alarm blocks the connection; acknowledgements must not wait with it.
        let sent = async move {
            if refused {
                declare(names, pair, &parcel.route).await;
            }
            let (body, properties) = parcel.publishing();
            let Publication { route, .. } = parcel;
            let properties = fitting::fit(properties, pair.frame_max());
            let confirm = {
                let _turn = turn.lock().await;
                let channel = channel.get_or_try_init(|| pair.publisher()).await?;
                publish(channel, &route.exchange, &route.key, &body, properties).await?
            };
            confirm.await
        };
        self.sent.push(sent.map(move |confirmed| (number, confirmed)).boxed());
    }

    /// To be asked now and then: why messages do not get through, if that has lasted. `excused`: they cannot leave for
    /// now.
    pub(in crate::broker) fn trouble(&mut self, excused: bool) -> Option<String> {
        let now = Instant::now();
        if excused {
            self.excused = now;
        }
        let late = self.late(now);
        if let Some(queue) = self.outbox.refusing() {
            return Some(format!("{queue} refuses messages; it may be full"));
        }
        late.map(|queue| format!("{queue} confirms nothing"))
    }

    fn late(&mut self, now: Instant) -> Option<String> {
        let late = self.outbox.longest_sent();
        let late = late.map(|(sent, queue)| (sent.max(self.excused), queue.to_owned()));
        let Some((since, queue)) = late.filter(|(since, _)| now >= *since + LATE_CONFIRM) else {
            self.renewed.1 = 0;
            return None;
        };
        let limbo = REPUBLISH_AFTER.0.saturating_mul(1 << self.renewed.1).min(REPUBLISH_AFTER.1);
        if now >= since.max(self.renewed.0) + limbo {
            tracing::warn!(queue, "no confirm comes; what the queue may have missed is sent once more");
            self.renew(now);
        }
        Some(queue)
    }

    fn renew(&mut self, now: Instant) {
        self.renewed = (now, (self.renewed.1 + 1).min(10));
        // With its last handle the old channel is closed.
        (self.channel, self.turn, self.sent) = (Arc::default(), Arc::default(), FuturesUnordered::new());
        self.suspects.clear();
        let numbers = self.outbox.on_their_way(None);
        self.note_copies(&numbers);
        for number in numbers {
            self.send(number, false);
        }
    }

    /// Ends it; what is not taken is not sent any more.
    pub(in crate::broker) async fn close(self) {
        if let Some(channel) = self.channel.get() {
            close(channel).await;
        }
    }
}

/// Declares what a route leads to, if it is missing. That it cannot be is no news: the message is refused again.
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
