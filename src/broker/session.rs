//! One connection after another: connect, declare, serve until it breaks, wait, again.
//! There is no other recovery: what was unsettled is delivered again by the broker.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use lapin::Event;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::amqp::addresses::Address;
use super::amqp::connection::{ConnectionEvent, ConnectionPool};
use super::consuming;
use super::consuming::pace::Pace;
use super::consuming::subscription::{Consumed, subscription};
use super::context::Context;
use super::error::BrokerError;
use super::health::Stall;
use super::inspect;
use super::names;
use super::probes::confirm_probe;
use super::probes::replica_name;
use super::topology;
use super::unreadable::errors::{is_from_client_library, may_be_over_a_message};
use super::unreadable::isolation::Isolation;
use super::unreadable::quarantine::Quarantine;
use crate::backoff::Delays;
use crate::broker::timing::{CONNECTION_CHECK, HELD_WELL, NEXT_NODE_DELAY, RECONNECT_DELAYS};

/// The most queues that one log line names.
const TOLD: usize = 10;

impl Context {
    /// Serves until `stop` is cancelled and every event taken was settled or given back.
    pub async fn run(self, stop: CancellationToken) {
        crate::tls::install_provider();
        let context = Arc::new(self);
        let mut delays = Delays::new(RECONNECT_DELAYS.0, RECONNECT_DELAYS.1);
        // Replicas begin at different nodes; each goes to the next one when it has to connect again.
        let quarantine = Arc::new(Quarantine::default());
        let begin = names::first_turn(&context.replica, context.addresses.count());
        for attempt in begin.. {
            let address = context.addresses.turn(attempt);
            let started = Instant::now();
            let connecting = ConnectionPool::connect(address, &context.replica, context.inlets.len());
            match stop.run_until_cancelled(connecting).await {
                None => return,
                Some(Ok(pool)) => {
                    if context.clone().serve(pool, address, &quarantine, &stop).await.is_ok() {
                        return;
                    }
                }
                Some(Err(broken)) => context.health.down(&broken.to_string()),
            }
            if started.elapsed() > HELD_WELL {
                delays.reset();
            }
            // Nodes that were not tried yet are tried at once.
            let wait = if (attempt + 1 - begin).is_multiple_of(context.addresses.count()) {
                delays.following()
            } else {
                NEXT_NODE_DELAY
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Serves one lifeline to its end. `Ok` when told to stop and all was settled or given back.
    async fn serve(
        self: Arc<Self>,
        pool: ConnectionPool,
        address: &Address,
        quarantine: &Arc<Quarantine>,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let pool = Arc::new(pool);
        let lost = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let served = self.work(&pool, address, quarantine, stop, &lost, &mut tasks).await;
        if let Err(BrokerError::Amqp(error)) = &served
            && may_be_over_a_message(error)
        {
            self.suspect(error, &pool, quarantine);
        }
        if let Err(broken) = &served {
            self.health.down(&broken.to_string());
        }
        lost.cancel();
        // While the tasks live: with them go their consumers, each with a word to the broker, which would make another
        // replica active ahead of what is still held here. Behind a good-bye the broker heeds no words.
        pool.close().await;
        tasks.shutdown().await;
        served
    }

    /// Works until the lifeline breaks or `stop` is over.
    async fn work(
        self: &Arc<Self>,
        pool: &Arc<ConnectionPool>,
        address: &Address,
        quarantine: &Arc<Quarantine>,
        stop: &CancellationToken,
        lost: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), BrokerError> {
        let mut events = pool.events();
        let mut until_unresponsive = std::pin::pin!(pool.until_unresponsive());
        tokio::select! {
            declared = topology::declare(&pool.pair(0)?.consuming, self) => declared?,
            broken = &mut until_unresponsive => return Err(broken),
            () = stop.cancelled() => return Ok(()),
        }
        self.health.up(&address.shown());
        let apart = quarantine.queues_apart(Instant::now());
        let consume = |queue: Consumed| {
            let pair = match queue {
                Consumed::Intake => 0,
                Consumed::Lane(number) => number,
            };
            consuming::consume(
                self.clone(),
                pool.clone(),
                pair,
                queue,
                Pace::Prefetched,
                stop.clone(),
                lost.clone(),
            )
        };
        for queue in self.consumed().filter(|queue| !apart.contains(*queue)) {
            tasks.spawn(consume(queue));
        }
        let (clear, mut cleared) = mpsc::channel(1);
        if !apart.is_empty() {
            let (stop, lost) = (stop.clone(), lost.clone());
            let isolation =
                Isolation::new(self.clone(), quarantine.clone(), address.clone(), clear, stop, lost);
            tasks.spawn(isolation.run(apart));
        }
        let mut pulse = JoinSet::new();
        pulse.spawn(confirm_probe::beat(self.clone(), pool.clone()));
        let mut claim = JoinSet::new();
        claim.spawn(replica_name::hold(self.clone(), pool.clone()));
        let mut inspection = JoinSet::new();
        inspection.spawn(inspect::look_over(self.clone(), pool.clone()));
        let mut looks = tokio::time::interval(CONNECTION_CHECK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A connection that the broker closed in good order ends without an event.
                _ = looks.tick() => if !pool.connected() {
                    return Err(pool.cause(&mut events).await);
                },
                Some(queue) = cleared.recv() => {
                    tasks.spawn(consume(queue));
                }
                event = events.next() => match event {
                    Some(ConnectionEvent::Publishing(Event::ConnectionBlocked(why))) => self.health.stalled(Stall::Blocked, Some(&why)),
                    Some(ConnectionEvent::Publishing(Event::ConnectionUnblocked)) => self.health.stalled(Stall::Blocked, None),
                    Some(ConnectionEvent::Publishing(Event::Error(error)) | ConnectionEvent::Consuming(Event::Error(error)))
                        if !pool.connected() =>
                    {
                        return Err(error.into());
                    }
                    Some(_) => {}
                    None => return Err(BrokerError::Closed),
                },
                broken = &mut until_unresponsive => return Err(broken),
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

    /// All queues that are consumed.
    fn consumed(&self) -> impl Iterator<Item = Consumed> + use<> {
        std::iter::once(Consumed::Intake).chain((0..self.inlets.len()).map(Consumed::Lane))
    }

    /// Tells the quarantine what a lifeline may have ended over.
    fn suspect(&self, error: &lapin::Error, pool: &ConnectionPool, quarantine: &Quarantine) {
        let (mut suspects, mut all) = (BTreeSet::new(), BTreeSet::new());
        let mut known = true;
        for (lanes, read) in pool.lost() {
            all.extend(self.consumed().filter(|queue| match queue {
                Consumed::Intake => lanes.start == 0,
                Consumed::Lane(number) => lanes.contains(number),
            }));
            known &= read.is_some();
            let tags: BTreeSet<String> =
                read.unwrap_or_default().into_iter().map(|delivery| delivery.consumer_tag).collect();
            suspects.extend(self.consumed().filter(|queue| {
                subscription(self, *queue).is_some_and(|subscription| tags.contains(&subscription.tag))
            }));
        }
        if !known {
            suspects.clear();
        }
        // It was a connection that delivers nothing.
        if all.is_empty() {
            return;
        }
        if !is_from_client_library(error) {
            if quarantine.broker_failed_again(Instant::now()) {
                // What the broker cannot hand out was never read.
                suspects.clear();
            } else if suspects.is_empty() {
                return;
            }
        }
        let suspects = quarantine.suspect(suspects, all);
        let names = suspects.iter().filter_map(|queue| Some(subscription(self, *queue)?.queue));
        let queues = names.take(TOLD).collect::<Vec<_>>().join(", ");
        tracing::warn!(queues, count = suspects.len(), "the connection ended over a message of one of these");
    }
}
