//! One connection after another: connect, declare, consume until something breaks, wait, connect again. There is no other
//! recovery: RabbitMQ delivers again what was not settled.
//!
//! The topmost file of the room. It puts the parts together, and none of them knows it. It must not know what a message
//! holds. Called by the command that runs the daemon.

mod lane_changes;
mod tasks;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use lapin::Event;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::amqp::address::{Address, Addresses};
use super::amqp::connection::{ConnectionEvent, ConnectionPool};
use super::consuming::Consumers;
use super::consuming::pace::Pace;
use super::consuming::subscription::{ConsumedQueue, subscription};
use super::context::{Context, LaneSet};
use super::error::BrokerError;
use super::health::Stall;
use super::inspection::inspect;
use super::inspection::inspect::InspectedQueues;
use super::names;
use super::probes::confirm_probe::ConfirmProbe;
use super::probes::{queue_depths, replica_name};
use super::status_exchange::{self, StatusPort};
use super::timing::{CONNECTION_CHECK, HELD_WELL, NEXT_NODE_DELAY, RECONNECT_DELAYS};
use super::topology;
use super::unreadable::apart::ApartConsumer;
use super::unreadable::errors::{is_from_client_library, may_be_over_a_message};
use super::unreadable::isolation::Isolation;
use super::unreadable::quarantine::Quarantine;
use crate::backoff::Delays;
use tasks::Tasks;

/// The most queues that one log line names.
const QUEUES_LOGGED: usize = 10;

/// Serves until `stop` is cancelled and every event taken was settled or given back.
pub async fn run(addresses: Addresses, context: Context, status: StatusPort, stop: CancellationToken) {
    crate::tls::install_provider();
    let (addresses, context) = (Arc::new(addresses), Arc::new(context));
    let mut beside = JoinSet::new();
    beside.spawn(status_exchange::run(addresses.clone(), context.clone(), status));
    let lasting = Lasting {
        quarantine: Arc::default(),
        inspected: Arc::default(),
        probe: Arc::new(ConfirmProbe::new(&context.health, addresses.count())),
    };
    let mut delays = Delays::new(RECONNECT_DELAYS.0, RECONNECT_DELAYS.1);
    // Replicas begin at different nodes, and go to the next one when they have to connect again.
    let first = names::first_node(&context.replica, addresses.count());
    for attempt in first.. {
        let address = addresses.nth(attempt);
        let started = Instant::now();
        let connecting = ConnectionPool::connect(address, &context.replica, context.lanes().inlets.len());
        match stop.run_until_cancelled(connecting).await {
            None => return,
            Some(Ok(pool)) => {
                let lost = CancellationToken::new();
                let consumers =
                    Consumers { context: context.clone(), pool: Arc::new(pool), stop: stop.clone(), lost };
                let session = BrokerSession { consumers, address, lasting: &lasting };
                if session.serve().await.is_ok() {
                    return;
                }
            }
            Some(Err(error)) => context.health.disconnected(&error.to_string()),
        }
        if started.elapsed() > HELD_WELL {
            delays.reset();
        }
        let is_last_node = (attempt + 1 - first).is_multiple_of(addresses.count());
        let wait = if is_last_node { delays.following() } else { NEXT_NODE_DELAY };
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// What outlives a session: each part remembers there what the next one must know.
struct Lasting {
    quarantine: Arc<Quarantine>,
    inspected: Arc<InspectedQueues>,
    probe: Arc<ConfirmProbe>,
}

/// What a session hears from the tasks that it started.
struct Started {
    /// Queues that are kept apart no longer.
    cleared: mpsc::Receiver<ConsumedQueue>,
    /// The numbers of lanes that were not there when the session began.
    added: mpsc::Receiver<Vec<usize>>,
}

fn queues(lanes: &LaneSet) -> impl Iterator<Item = ConsumedQueue> {
    std::iter::once(ConsumedQueue::Intake).chain(lanes.inlets.keys().copied().map(ConsumedQueue::Lane))
}

/// One pool of connections at work.
struct BrokerSession<'a> {
    consumers: Consumers,
    address: &'a Address,
    lasting: &'a Lasting,
}

impl BrokerSession<'_> {
    /// `Ok` when `stop` was cancelled and all was settled or given back.
    async fn serve(self) -> Result<(), BrokerError> {
        let mut tasks = Tasks::default();
        let served = self.work(&mut tasks).await;
        if let Err(error) = &served {
            if let BrokerError::Amqp(error) = error
                && may_be_over_a_message(error)
            {
                self.suspect(error);
            }
            self.consumers.context.health.disconnected(&error.to_string());
        }
        self.consumers.lost.cancel();
        // Before the tasks end: their consumers would cancel themselves, and another replica would become active ahead of
        // what is still held here. Once it closes, the broker reads nothing more on a connection.
        self.consumers.pool.close().await;
        tasks.shutdown().await;
        served
    }

    async fn work(&self, tasks: &mut Tasks) -> Result<(), BrokerError> {
        let Consumers { context, pool, stop, .. } = &self.consumers;
        let mut events = pool.events();
        let mut unresponsive = std::pin::pin!(pool.until_unresponsive());
        let mut changes = context.lanes.clone();
        let lanes = changes.borrow_and_update().clone();
        tokio::select! {
            declared = topology::declare(&pool.pair(0)?.consuming, context) => declared?,
            error = &mut unresponsive => return Err(error),
            () = stop.cancelled() => return Ok(()),
        }
        context.routed.set(lanes.index.clone());
        context.health.connected(&self.address.shown());
        let blocked = context.health.reporter(Stall::Blocked);
        let mut consumed = BTreeSet::new();
        let Started { mut cleared, mut added } = self.start(tasks, changes, lanes, &mut consumed);
        let mut checks = tokio::time::interval(CONNECTION_CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A connection that the broker closed in good order ends without an event.
                _ = checks.tick() => if !pool.connected() {
                    return Err(pool.cause(&mut events).await);
                },
                Some(queue) = cleared.recv() => {
                    tasks.consume(self.consumers.of(queue).consume(queue, Pace::Prefetched));
                }
                Some(lanes) = added.recv() => {
                    let there = context.lanes();
                    consumed.retain(|number| there.inlets.contains_key(number));
                    for number in lanes {
                        self.consume(tasks, ConsumedQueue::Lane(number), &mut consumed);
                    }
                    tasks.probe(self.inspect());
                }
                event = events.next() => match event {
                    Some(ConnectionEvent::Publishing(Event::ConnectionBlocked(why))) => blocked.stalled(&why),
                    Some(ConnectionEvent::Publishing(Event::ConnectionUnblocked)) => blocked.clear(),
                    Some(
                        ConnectionEvent::Publishing(Event::Error(error))
                        | ConnectionEvent::Consuming(Event::Error(error)),
                    ) if !pool.connected() => return Err(error.into()),
                    Some(_) => {}
                    None => return Err(BrokerError::Closed),
                },
                error = &mut unresponsive => return Err(error),
                ended = tasks.ended() => {
                    return match ended {
                        Ok(()) if !stop.is_cancelled() => Err(BrokerError::Closed),
                        Ok(()) | Err(_) => ended,
                    };
                }
            }
        }
    }

    /// Starts the probes, and a consumer for each queue that the quarantine does not keep apart.
    fn start(
        &self,
        tasks: &mut Tasks,
        changes: watch::Receiver<Arc<LaneSet>>,
        lanes: Arc<LaneSet>,
        consumed: &mut BTreeSet<usize>,
    ) -> Started {
        let Consumers { context, pool, stop, lost } = &self.consumers;
        let Lasting { quarantine, probe, .. } = self.lasting;
        let apart = quarantine.queues_apart(Instant::now());
        for queue in queues(&lanes).filter(|queue| !apart.contains(*queue)) {
            self.consume(tasks, queue, consumed);
        }
        let (clear, cleared) = mpsc::channel(1);
        if !apart.is_empty() {
            let (context, quarantine, address) = (context.clone(), quarantine.clone(), self.address.clone());
            let isolation = Isolation::new(context, quarantine, address, clear, stop.clone(), lost.clone());
            tasks.consume(isolation.run(apart));
        }
        tasks.probe(probe.clone().run(context.clone(), pool.clone()));
        tasks.probe(replica_name::reserve(context.clone(), pool.clone()));
        tasks.probe(queue_depths::count(context.clone(), pool.clone()));
        tasks.probe(self.inspect());
        let (add, added) = mpsc::channel(1);
        tasks.probe(lane_changes::follow(context.clone(), pool.clone(), changes, lanes, add));
        Started { cleared, added }
    }

    /// Consumes a queue on the pool's connections; on connections of its own, if these have no channel left for it.
    fn consume(&self, tasks: &mut Tasks, queue: ConsumedQueue, consumed: &mut BTreeSet<usize>) {
        let Consumers { context, pool, lost, .. } = &self.consumers;
        let consumers = self.consumers.of(queue);
        if let ConsumedQueue::Lane(number) = queue {
            if !pool.has_room(number, consumed) {
                let (quarantine, address) = (self.lasting.quarantine.clone(), self.address.clone());
                let (context, lost) = (context.clone(), lost.clone());
                let apart = ApartConsumer { context, quarantine, address, stop: consumers.stop, lost };
                return tasks.consume(apart.beside(queue));
            }
            consumed.insert(number);
        }
        tasks.consume(consumers.consume(queue, Pace::Prefetched));
    }

    fn inspect(&self) -> impl Future<Output = Result<(), BrokerError>> + use<> {
        let Consumers { context, pool, .. } = &self.consumers;
        inspect::inspect(context.clone(), pool.clone(), self.lasting.inspected.clone())
    }

    /// Hands the quarantine the queues whose messages the connections may have ended over.
    fn suspect(&self, error: &lapin::Error) {
        let quarantine = &self.lasting.quarantine;
        let subscription = |queue| subscription(&self.consumers.context, queue);
        let (mut suspects, mut all) = (BTreeSet::new(), BTreeSet::new());
        let mut known = true;
        let lanes = self.consumers.context.lanes();
        for (pair, read) in self.consumers.pool.lost() {
            all.extend(queues(&lanes).filter(|queue| match queue {
                ConsumedQueue::Intake => pair == 0,
                ConsumedQueue::Lane(number) => self.consumers.pool.pair_of(*number) == pair,
            }));
            known &= read.is_some();
            let tags: BTreeSet<String> =
                read.unwrap_or_default().into_iter().map(|delivery| delivery.consumer_tag).collect();
            suspects.extend(
                queues(&lanes)
                    .filter(|queue| subscription(*queue).is_some_and(|one| tags.contains(&one.tag))),
            );
        }
        if !known {
            suspects.clear();
        }
        // Only a publishing connection ended, and that delivers nothing.
        if all.is_empty() {
            return;
        }
        if !is_from_client_library(error) {
            if quarantine.broker_failed_again(Instant::now()) {
                // What the broker cannot hand out was never read here.
                suspects.clear();
            } else if suspects.is_empty() {
                return;
            }
        }
        let suspects = quarantine.suspect(suspects, all);
        let names = suspects.iter().filter_map(|queue| Some(subscription(*queue)?.queue));
        let queues = names.take(QUEUES_LOGGED).collect::<Vec<_>>().join(", ");
        tracing::warn!(queues, count = suspects.len(), "the connection ended over a message of one of these");
    }
}
