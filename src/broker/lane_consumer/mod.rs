//! One account's lane queue: subscribes, and serves until something ends it. Knows nothing of what the lane does with a
//! delivery. Called by [`crate::broker::consuming`].

mod consumer;
mod incoming;
mod unsettled;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::BrokerError;
use super::topology;
use crate::broker::amqp::channel::{close, close_after_acknowledgements, subscribe};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::consuming::arrivals::Arrivals;
use crate::broker::consuming::resubscriber::Resubscriber;
use crate::broker::consuming::subscription::{self, Subscription};
use crate::broker::probes::starved_consumer::ConsumerWatchdog;
use crate::broker::publishing::publisher::ConfirmedPublisher;
use crate::delivery::{LaneInlet, Session};
use consumer::LaneConsumer;
use incoming::Incoming;

/// Serves the lane until `stop` (then `Ok`, when all is settled or left to be returned) or until something breaks.
pub(super) async fn serve(
    context: &Context,
    pair: &ConnectionPair,
    inlet: &LaneInlet,
    resubscriber: &mut Resubscriber,
    stop: &CancellationToken,
    connection_lost: &CancellationToken,
) -> Result<(), BrokerError> {
    if resubscriber.must_declare() {
        // The dead letters, too: no other part would notice that they are missing.
        topology::declare_shared(&pair.consuming, &context.names).await?;
        topology::declare_lane(&pair.consuming, &context.names, &inlet.account).await?;
    }
    let prefetch = usize::from(context.prefetch);
    let (settle, settlements) = mpsc::channel(prefetch);
    let (deliver, deliveries) = mpsc::channel(prefetch);
    // However this ends, the lane must not go on: its settlements could not be passed on any more.
    let lost = connection_lost.child_token();
    let guard = lost.clone().drop_guard();
    let session = Session { deliveries, lost, lease: pair.lease() };
    match stop.run_until_cancelled(inlet.sessions.send(session)).await {
        None => return Ok(()),
        Some(Err(_)) => return Err(BrokerError::LaneEnded),
        Some(Ok(())) => {}
    }

    let Subscription { queue: lane, tag, prefetch, arguments } = subscription::lane(context, &inlet.account);
    let prefetch = resubscriber.pace.prefetch(prefetch);
    let (channel, consumer) = subscribe(&pair.consuming, &lane, &tag, prefetch, arguments).await?;
    let mut arrivals = Arrivals::new(consumer);
    // Only now that this subscription stands by, and is next in line: so the lane stays with a replica that knows what was
    // settled, which the queue may hand out again.
    resubscriber.end_starved().await;
    let watchdog = ConsumerWatchdog::new(&mut resubscriber.starved, &pair.consuming, &lane);
    let mut serving = LaneConsumer::new(
        context,
        inlet,
        connection_lost,
        (&channel, Incoming::new(watchdog, resubscriber.pace.clone())),
        (deliver, settle),
        ConfirmedPublisher::new(&context.names, pair, 0),
    );
    let served = serving.run(&mut arrivals, settlements, stop, &lane).await;
    serving.clear_stall();
    // Before the channel closes: then another replica gets the lane.
    drop(guard);
    if matches!(served, Err(BrokerError::Starved(_))) {
        resubscriber.starved_subscription = Some((channel, arrivals.into_consumer()));
    } else {
        // Closing returns, in order, whatever is not acknowledged. The consumer lives on until then: dropping it
        // cancels it, and another replica would be active ahead of what is returned here.
        match served {
            Ok(()) => close_after_acknowledgements(&channel, &lane).await,
            Err(_) => close(&channel).await,
        }
        drop(arrivals);
    }
    serving.close().await;
    served
}
