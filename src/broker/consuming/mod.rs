//! Consumes one queue for as long as the connections hold, on one channel after another. Called by the session, and for
//! queues that are kept apart by the quarantine.

pub(in crate::broker) mod ack_batch;
pub(in crate::broker) mod pace;
pub(in crate::broker) mod poison;
pub(in crate::broker) mod resubscriber;
pub(in crate::broker) mod subscription;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::amqp::connection::ConnectionPool;
use super::context::Context;
use super::lane_consumer;
use super::router;
use crate::delivery::UNROUTED;
use pace::Pace;
use resubscriber::Resubscriber;
use subscription::Consumed;

/// Consumes a queue for as long as the lifeline holds, on the line with this number.
pub(in crate::broker) async fn consume(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    pair: usize,
    queue: Consumed,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    match queue {
        Consumed::Intake => route(context, pool, pace, stop, lost).await,
        Consumed::Lane(number) => serve_lane(context, pool, pair, number, pace, stop, lost).await,
    }
}

/// Serves one lane for as long as the lifeline holds.
async fn serve_lane(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    pair: usize,
    number: usize,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let (Some(inlet), Ok(pair)) = (context.inlets.get(number), pool.pair(pair)) else { return };
    let mut resubscriber = Resubscriber::new(pace);
    while let Err(broken) = lane_consumer::serve(&context, pair, inlet, &mut resubscriber, &stop, &lost).await
    {
        if !resubscriber.wait(pair, &inlet.account, &broken, &stop).await {
            break;
        }
    }
    resubscriber.end_starved().await;
}

/// Routes for as long as the lifeline holds.
async fn route(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let Ok(pair) = pool.pair(0) else { return };
    let mut resubscriber = Resubscriber::new(pace);
    while let Err(broken) = router::serve(&context, pair, &mut resubscriber, &stop, &lost).await {
        if !resubscriber.wait(pair, UNROUTED, &broken, &stop).await {
            return;
        }
    }
}
