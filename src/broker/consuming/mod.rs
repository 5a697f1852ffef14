//! Consumes one queue for as long as the connections hold, on one channel after another. Called by the session, and for
//! queues that are kept apart by the quarantine.

pub(in crate::broker) mod pace;
pub(in crate::broker) mod resubscriber;
pub(in crate::broker) mod subscription;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::amqp::connection::ConnectionPool;
use super::context::Broker;
use super::lane_consumer;
use super::router;
use crate::delivery::UNROUTED;
use pace::Pace;
use resubscriber::Resubscriber;
use subscription::Consumed;

/// Consumes a queue for as long as the lifeline holds, on the line with this number.
pub(in crate::broker) async fn consume(
    broker: Arc<Broker>,
    lifeline: Arc<ConnectionPool>,
    line: usize,
    queue: Consumed,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    match queue {
        Consumed::Intake => route(broker, lifeline, pace, stop, lost).await,
        Consumed::Lane(number) => serve_lane(broker, lifeline, line, number, pace, stop, lost).await,
    }
}

/// Serves one lane for as long as the lifeline holds.
async fn serve_lane(
    broker: Arc<Broker>,
    lifeline: Arc<ConnectionPool>,
    line: usize,
    number: usize,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let (Some(door), Ok(line)) = (broker.lanes.get(number), lifeline.line(line)) else { return };
    let mut again = Resubscriber::new(pace);
    while let Err(broken) = lane_consumer::serve(&broker, line, door, &mut again, &stop, &lost).await {
        if !again.wait(line, &door.account, &broken, &stop).await {
            break;
        }
    }
    again.end_forgotten().await;
}

/// Routes for as long as the lifeline holds.
async fn route(
    broker: Arc<Broker>,
    lifeline: Arc<ConnectionPool>,
    pace: Pace,
    stop: CancellationToken,
    lost: CancellationToken,
) {
    let Ok(line) = lifeline.line(0) else { return };
    let mut again = Resubscriber::new(pace);
    while let Err(broken) = router::serve(&broker, line, &mut again, &stop, &lost).await {
        if !again.wait(line, UNROUTED, &broken, &stop).await {
            return;
        }
    }
}
