//! One account's lane queue: subscribes, and serves until something ends it.

pub(super) mod ack_batch;
pub(super) mod poison;
pub(super) mod settling;

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::BrokerError;
use super::topology;
use crate::broker::amqp::channel::{close_settled, subscribe};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::consuming::resubscriber::Resubscriber;
use crate::broker::consuming::subscription::{self, Subscription};
use crate::broker::probes::starved_consumer::ConsumerWatchdog;
use crate::broker::publishing::publisher::ConfirmedPublisher;
use crate::delivery::{LaneInlet, Session};
use ack_batch::Acks;
use poison::PoisonGuard;
use settling::LaneConsumer;

/// Serves the lane until `stop` (then `Ok`, when all is settled or given back) or until something breaks.
pub(super) async fn serve(
    context: &Context,
    pair: &ConnectionPair,
    inlet: &LaneInlet,
    resubscriber: &mut Resubscriber,
    stop: &CancellationToken,
    connection_lost: &CancellationToken,
) -> Result<(), BrokerError> {
    if resubscriber.must_declare() {
        // The dead letters, too: nobody else misses them.
        topology::declare_shared(&pair.consuming, &context.names).await?;
        topology::declare_lane(&pair.consuming, &context.names, &inlet.account).await?;
    }
    let prefetch = usize::from(context.prefetch);
    let (settle, settlements) = mpsc::channel(prefetch);
    let (deliver, deliveries) = mpsc::channel(prefetch);
    // However this ends, the lane must not go on working for answers that nobody can give.
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
    let (channel, mut consumer) = subscribe(&pair.consuming, &lane, &tag, prefetch, arguments).await?;
    // Now that this one stands by, it is the next: the lane stays where it is known what was settled. The queue may give
    // that out again.
    resubscriber.end_starved().await;
    let mut serving = LaneConsumer {
        context,
        inlet,
        lost: connection_lost,
        caution: PoisonGuard::new(),
        watch: ConsumerWatchdog::new(&mut resubscriber.starved, &pair.consuming, &lane),
        letters: ConfirmedPublisher::new(&context.names, pair),
        handed_over: false,
        ahead: None,
        settle,
        unsettled: BTreeMap::new(),
        acks: Acks::default(),
        returned: BTreeSet::new(),
        share: context.held_bytes.share(),
        pace: resubscriber.pace.clone(),
    };
    let served = serving.run(&mut consumer, deliver, settlements, stop, &lane).await;
    context.health.letters(&inlet.account, None);
    // At once: with its channel another replica gets the lane.
    drop(guard);
    if matches!(served, Err(BrokerError::Starved(_))) {
        resubscriber.starved_subscription = Some((channel, consumer));
    } else {
        // Closing gives back, in order, whatever is not acknowledged. The consumer lives on until then: dropping it
        // cancels it, and another replica would be active ahead of what is given back here.
        close_settled(&channel, &lane, served.is_ok()).await;
        drop(consumer);
    }
    serving.letters.close().await;
    served
}
