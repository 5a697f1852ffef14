//! Consumes one queue on connections of its own, because it holds a message that connections end over. Whatever happens
//! there, the session's connections hold.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::errors::{is_broker_failure, may_be_over_a_message};
use super::quarantine::Quarantine;
use super::removal::remove_unreadable;
use crate::backoff::Delays;
use crate::broker::amqp::address::Address;
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::consuming::Consumers;
use crate::broker::consuming::pace::{Pace, ReturnedMessages};
use crate::broker::consuming::subscription::{ConsumedQueue, subscription};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::{FAILED_LOOKS, LOOK_DELAYS, NONE_LEFT_AFTER, UNREADABLE_RETRY};

/// What all queues of a session that are consumed apart share.
#[derive(Clone)]
pub(in crate::broker) struct ApartConsumer {
    pub(in crate::broker) context: Arc<Context>,
    pub(in crate::broker) quarantine: Arc<Quarantine>,
    pub(in crate::broker) address: Address,
    pub(in crate::broker) stop: CancellationToken,
    /// Cancelled when the session is over.
    pub(in crate::broker) lost: CancellationToken,
}

impl ApartConsumer {
    /// The same for one queue: a lane also stops when it is removed.
    pub(super) fn of(&self, queue: ConsumedQueue) -> Self {
        let mut consumer = self.clone();
        if let ConsumedQueue::Lane(number) = queue
            && let Some(inlet) = self.context.inlet(number)
        {
            consumer.stop = inlet.stop;
        }
        consumer
    }

    /// Consumes a queue for which the session's connections have no channel left, until `stop`.
    pub(in crate::broker) async fn beside(self, queue: ConsumedQueue) {
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        while let Err(error) = self.consume(queue, Pace::Prefetched, self.stop.clone()).await {
            if let BrokerError::Amqp(error) = &error
                && may_be_over_a_message(error)
            {
                self.quarantine.found_unreadable(queue, Instant::now());
                return self.run(queue).await;
            }
            tracing::debug!(queue = self.name(queue), %error, "a queue that is consumed apart is tried again");
            if self.stop.run_until_cancelled(tokio::time::sleep(delays.following())).await.is_none() {
                return;
            }
        }
    }

    /// Removes the unreadable messages of a queue and consumes the others, until `stop`.
    pub(super) async fn run(self, queue: ConsumedQueue) {
        let name = self.name(queue);
        tracing::warn!(queue = name, "connections end over a message of this queue; it is consumed apart");
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        let mut failed = 0;
        while !self.stop.is_cancelled() {
            let removing = remove_unreadable(&self.context, &self.address, queue);
            let error = match self.stop.run_until_cancelled(removing).await {
                None => return,
                Some(Err(BrokerError::Amqp(error))) if is_broker_failure(&error) => {
                    self.consume_one_at_a_time(queue).await;
                    continue;
                }
                Some(Err(error)) if failed < FAILED_LOOKS => {
                    failed += 1;
                    error
                }
                Some(Err(_) | Ok(())) => {
                    failed = 0;
                    match self.consume(queue, Pace::Prefetched, self.stop.clone()).await {
                        Ok(()) => return,
                        Err(BrokerError::Amqp(error)) if is_broker_failure(&error) => {
                            self.consume_one_at_a_time(queue).await;
                            continue;
                        }
                        Err(BrokerError::Amqp(error)) if may_be_over_a_message(&error) => {
                            self.quarantine.found_unreadable(queue, Instant::now());
                            delays.reset();
                            error.into()
                        }
                        Err(error) => error,
                    }
                }
            };
            tracing::debug!(queue = name, %error, "a queue that is consumed apart is tried again");
            let waited = self.stop.run_until_cancelled(tokio::time::sleep(delays.following())).await;
            if waited.is_none() {
                return;
            }
        }
    }

    /// For a queue with a message that the broker cannot hand out. With a prefetch of one each attempt counts as a return
    /// for that message alone, until the broker dead-letters it at the delivery limit.
    async fn consume_one_at_a_time(&self, queue: ConsumedQueue) {
        let name = self.name(queue);
        tracing::warn!(
            queue = name,
            "the broker fails over a message of this queue, until its delivery limit; one is taken at a time"
        );
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        while !self.stop.is_cancelled() {
            self.quarantine.found_unreadable(queue, Instant::now());
            let enough = self.stop.child_token();
            let returned = watch::Sender::new(ReturnedMessages::NoneHeld);
            let until_none_left = until_none_left(returned.subscribe());
            let consuming = self.consume(queue, Pace::OneAtATime(returned), enough.clone());
            let mut consuming = std::pin::pin!(consuming);
            let consumed = tokio::select! {
                consumed = &mut consuming => consumed,
                () = until_none_left => {
                    enough.cancel();
                    consuming.await
                }
            };
            let wait = match consumed {
                Ok(()) => return,
                Err(BrokerError::Amqp(error)) if is_broker_failure(&error) => {
                    delays.reset();
                    UNREADABLE_RETRY
                }
                Err(error) => {
                    tracing::debug!(queue = name, %error, "a queue that is consumed apart is tried again");
                    delays.following()
                }
            };
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    /// Consumes a queue on a pair of connections of its own, until `stop` (then `Ok`) or until something breaks.
    async fn consume(
        &self,
        queue: ConsumedQueue,
        pace: Pace,
        stop: CancellationToken,
    ) -> Result<(), BrokerError> {
        let name = format!("{}, apart", self.context.replica);
        let pool = Arc::new(ConnectionPool::connect_one_pair(&self.address, &name).await?);
        let lost = self.lost.child_token();
        let consumers = Consumers {
            context: self.context.clone(),
            pool: pool.clone(),
            stop: stop.clone(),
            lost: lost.clone(),
        };
        let mut consuming = std::pin::pin!(consumers.consume(queue, pace).fuse());
        // Declared behind the consumer, so that the connections end first when a session that is over drops this.
        let _end_first = pool.end_on_drop();
        let mut events = pool.events();
        let consumed = tokio::select! {
            () = &mut consuming => if stop.is_cancelled() {
                Ok(())
            } else {
                Err(pool.cause(&mut events).await)
            },
            error = pool.until_unresponsive() => Err(error),
            () = pool.until_disconnected() => Err(pool.cause(&mut events).await),
        };
        lost.cancel();
        // The consumer lives on until the connections are closed: dropping it before would cancel it, and another replica
        // would be active ahead of what is returned here.
        let mut closing = std::pin::pin!(pool.close());
        tokio::select! {
            () = &mut closing => {}
            () = &mut consuming => closing.await,
        }
        consumed
    }

    fn name(&self, queue: ConsumedQueue) -> String {
        subscription(&self.context, queue).map(|subscription| subscription.queue).unwrap_or_default()
    }
}

/// Returns when none is left of the messages that came back to a queue. If the channel closed before, the message that it
/// holds would go back behind the others, and their order would be lost.
async fn until_none_left(mut returned: watch::Receiver<ReturnedMessages>) {
    loop {
        let now = *returned.borrow_and_update();
        let changed = match now {
            ReturnedMessages::AllGone => return,
            ReturnedMessages::Held => returned.changed().await,
            ReturnedMessages::NoneHeld => {
                match tokio::time::timeout(NONE_LEFT_AFTER, returned.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                }
            }
        };
        if changed.is_err() {
            // The consumer that reports is gone, and its end says more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_ends_with_a_new_message_or_with_none_for_a_while() {
        let watched = |pace: &Pace| match pace {
            Pace::OneAtATime(returned) => Box::pin(until_none_left(returned.subscribe())),
            Pace::Prefetched => panic!("not one at a time"),
        };
        let pace = Pace::OneAtATime(watch::Sender::new(ReturnedMessages::NoneHeld));
        let mut ending = watched(&pace);
        tokio::time::advance(NONE_LEFT_AFTER / 2).await;
        assert!(futures_util::poll!(ending.as_mut()).is_pending());
        pace.received(true);
        assert!(futures_util::poll!(ending.as_mut()).is_pending());
        tokio::time::advance(NONE_LEFT_AFTER * 9).await;
        assert!(futures_util::poll!(ending.as_mut()).is_pending(), "it is held");
        pace.none_held();
        assert!(futures_util::poll!(ending.as_mut()).is_pending());
        tokio::time::advance(NONE_LEFT_AFTER).await;
        assert!(futures_util::poll!(ending.as_mut()).is_ready());
        let mut ending = watched(&pace);
        pace.received(false);
        pace.none_held();
        assert!(futures_util::poll!(ending.as_mut()).is_ready());
    }
}
