//! Keeps one queue consumed for as long as its connections hold, on one channel after another. Must not know what a
//! message holds. Called by the session, and by the quarantine for queues that are kept apart.

pub(in crate::broker) mod ack_batch;
pub(in crate::broker) mod arrivals;
pub(in crate::broker) mod pace;
pub(in crate::broker) mod poison;
pub(in crate::broker) mod resubscriber;
pub(in crate::broker) mod subscription;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::amqp::connection::ConnectionPool;
use super::context::Context;
use super::health::Stall;
use super::lane_consumer;
use super::router;
use crate::delivery::UNROUTED;
use pace::Pace;
use resubscriber::Resubscriber;
use subscription::ConsumedQueue;

/// What the consumers of one pool of connections are given.
#[derive(Clone)]
pub(in crate::broker) struct Consumers {
    pub(in crate::broker) context: Arc<Context>,
    pub(in crate::broker) pool: Arc<ConnectionPool>,
    /// Nothing more is taken; what was taken is settled or given back.
    pub(in crate::broker) stop: CancellationToken,
    /// The connections are lost, or being closed: nothing can be settled any more.
    pub(in crate::broker) lost: CancellationToken,
}

impl Consumers {
    /// The same for one queue: a lane also stops when it is removed.
    pub(in crate::broker) fn of(&self, queue: ConsumedQueue) -> Self {
        let mut consumers = self.clone();
        if let ConsumedQueue::Lane(number) = queue
            && let Some(inlet) = self.context.inlet(number)
        {
            consumers.stop = inlet.stop;
        }
        consumers
    }

    /// Consumes a queue for as long as the connections hold, or until `stop` and all of it is settled or given back.
    pub(in crate::broker) async fn consume(self, queue: ConsumedQueue, pace: Pace) {
        let mut resubscriber = Resubscriber::new(pace);
        match queue {
            ConsumedQueue::Intake => self.consume_intake(&mut resubscriber).await,
            ConsumedQueue::Lane(number) => self.consume_lane(number, &mut resubscriber).await,
        }
        resubscriber.end_starved().await;
    }

    async fn consume_lane(&self, number: usize, resubscriber: &mut Resubscriber) {
        let Self { context, pool, stop, lost } = self;
        let (Some(inlet), Ok(pair)) = (context.inlet(number), pool.pair(number)) else { return };
        while let Err(error) = lane_consumer::serve(context, pair, &inlet, resubscriber, stop, lost).await {
            if !resubscriber.wait(pair, &inlet.account, &error, stop).await {
                return;
            }
        }
    }

    async fn consume_intake(&self, resubscriber: &mut Resubscriber) {
        let Self { context, pool, stop, lost } = self;
        let Ok(pair) = pool.pair(0) else { return };
        let unusable = context.health.reporter(Stall::Intake);
        while let Err(error) = router::serve(context, pair, resubscriber, &unusable, stop, lost).await {
            if !resubscriber.wait(pair, UNROUTED, &error, stop).await {
                return;
            }
        }
    }
}
