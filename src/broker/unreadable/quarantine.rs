//! Queues that may hold a message over which connections end: kept off the connection that all share, looked at, and
//! consumed on a connection of their own if something was found.
//!
//! So such a message costs the other accounts one connection, and no more. Told by the session what a connection may
//! have ended over; see [`crate::broker::unreadable`] for how the message is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Look, cleanse, is_broker_s_own, is_unreadable, look};
use crate::backoff::Delays;
use crate::broker::amqp::addresses::Address;
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::consuming::Consumers;
use crate::broker::consuming::pace::{Pace, ReturnedMessages};
use crate::broker::consuming::subscription::{Consumed, subscription};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::{
    APART_FOR, FAILED_LOOKS, FAILS_AGAIN_WITHIN, LOOK_DELAYS, NONE_LEFT_AFTER, PROOFS, SUSPECTS_APART,
    UNREADABLE_RETRY,
};

/// What is known of the queues, from one session to the next. A queue that is not named is above suspicion.
#[derive(Debug, Default)]
pub(in crate::broker) struct Quarantine(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    queues: BTreeMap<Consumed, Standing>,
    /// The last look at all suspects found nothing, and so it is none of them.
    missed: bool,
    /// When a connection last ended over trouble of the broker's own.
    troubled: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Suspect,
    /// Something was found in it, lastly then.
    Guilty(Instant),
}

impl Quarantine {
    /// A connection ended over something that was read from one of `suspects`, or from one of `all` if those were
    /// suspected in vain or are none.
    pub(in crate::broker) fn suspect(
        &self,
        suspects: BTreeSet<Consumed>,
        all: BTreeSet<Consumed>,
    ) -> BTreeSet<Consumed> {
        let mut known = self.lock();
        let missed = std::mem::take(&mut known.missed);
        let suspects = if missed || suspects.is_empty() { all } else { suspects };
        for queue in &suspects {
            known.queues.entry(*queue).or_insert(Standing::Suspect);
        }
        suspects
    }

    /// A connection ended over trouble of the broker's own. Whether that happens time and again.
    pub(in crate::broker) fn is_troubled_again(&self, now: Instant) -> bool {
        let before = self.lock().troubled.replace(now);
        before.is_some_and(|before| now.duration_since(before) < FAILS_AGAIN_WITHIN)
    }

    /// The queues that a new session keeps apart: those to be looked at, and those to be consumed apart.
    pub(in crate::broker) fn apart(&self, now: Instant) -> (Vec<Consumed>, Vec<Consumed>) {
        let mut known = self.lock();
        known.queues.retain(|_, standing| match standing {
            Standing::Suspect => true,
            Standing::Guilty(found) => now < *found + APART_FOR,
        });
        let of = |suspect: bool| {
            let queues =
                known.queues.iter().filter(|(_, standing)| (**standing == Standing::Suspect) == suspect);
            queues.map(|(queue, _)| *queue).collect()
        };
        (of(true), of(false))
    }

    fn cleared(&self, queues: &[Consumed], missed: bool) {
        let mut known = self.lock();
        known.missed = missed;
        for queue in queues {
            known.queues.remove(queue);
        }
    }

    fn guilty(&self, queue: Consumed, now: Instant) {
        self.lock().queues.insert(queue, Standing::Guilty(now));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one session's quarantine works with.
pub(in crate::broker) struct Isolation {
    pub(in crate::broker) context: Arc<Context>,
    pub(in crate::broker) quarantine: Arc<Quarantine>,
    pub(in crate::broker) address: Address,
    /// Takes queues that are to be consumed like all others.
    pub(in crate::broker) cleared: mpsc::Sender<Consumed>,
    pub(in crate::broker) stop: CancellationToken,
    pub(in crate::broker) lost: CancellationToken,
}

impl Isolation {
    /// Looks at suspects and consumes what has to be apart, for as long as the session holds.
    pub(in crate::broker) async fn run(self, suspects: Vec<Consumed>, guilty: Vec<Consumed>) {
        let mut apart: FuturesUnordered<_> = guilty.into_iter().map(|queue| self.apart(queue)).collect();
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        let (mut failed, mut by_broker) = (0, 0);
        let mut found = false;
        // Those behind are looked at first.
        let mut groups = vec![suspects];
        while let Some(mut suspects) = groups.pop() {
            if suspects.is_empty() {
                continue;
            }
            let none = BTreeSet::new();
            let looked = {
                let mut looking = std::pin::pin!(look(&self.context, &self.address, &suspects, &none));
                loop {
                    tokio::select! {
                        () = self.stop.cancelled() => break None,
                        looked = &mut looking => break Some(looked),
                        Some(()) = apart.next() => {}
                    }
                }
            };
            match looked {
                None => break,
                Some(Ok(Look::Culprit(queue, _))) => {
                    found = true;
                    self.quarantine.guilty(queue, Instant::now());
                    suspects.retain(|suspect| *suspect != queue);
                    apart.push(self.apart(queue));
                    groups.push(suspects);
                }
                Some(Ok(Look::Clean(_))) => {
                    by_broker = 0;
                    self.clear(&suspects, !found && groups.is_empty()).await;
                }
                Some(Err(BrokerError::Amqp(error))) if is_broker_s_own(&error) => {
                    // Nothing of the message comes here: the queue is found by looking at fewer and fewer.
                    let fewer = half(&suspects);
                    let others = suspects.split_off(fewer);
                    by_broker = if others.is_empty() { by_broker + 1 } else { 0 };
                    if others.is_empty() && by_broker >= PROOFS {
                        by_broker = 0;
                        found = true;
                        for queue in suspects {
                            self.quarantine.guilty(queue, Instant::now());
                            apart.push(self.apart(queue));
                        }
                    } else {
                        groups.extend([others, suspects]);
                    }
                }
                Some(Err(broken)) => {
                    failed += 1;
                    tracing::debug!(%broken, "queues could not be looked at");
                    if failed >= FAILED_LOOKS && suspects.len() <= SUSPECTS_APART {
                        apart.extend(suspects.drain(..).map(|queue| self.apart(queue)));
                    } else if failed >= FAILED_LOOKS {
                        self.clear(&suspects, false).await;
                    } else {
                        // What is consumed apart goes on meanwhile.
                        tokio::select! {
                            () = self.stop.cancelled() => break,
                            () = tokio::time::sleep(delays.following()) => {}
                            Some(()) = apart.next() => {}
                        }
                        groups.push(suspects);
                    }
                }
            }
        }
        while apart.next().await.is_some() {}
    }

    async fn clear(&self, queues: &[Consumed], missed: bool) {
        self.quarantine.cleared(queues, missed);
        for queue in queues {
            if self.cleared.send(*queue).await.is_err() {
                return;
            }
        }
    }

    /// Takes out of a queue what connections end over and consumes the rest on a connection of its own, until `stop`.
    async fn apart(&self, queue: Consumed) {
        let name =
            subscription(&self.context, queue).map(|subscription| subscription.queue).unwrap_or_default();
        tracing::warn!(queue = name, "connections end over a message of this queue; it is consumed apart");
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        let mut failed = 0;
        while !self.stop.is_cancelled() {
            let cleansing = cleanse(&self.context, &self.address, queue);
            let broken = match self.stop.run_until_cancelled(cleansing).await {
                None => return,
                Some(Err(BrokerError::Amqp(error))) if is_broker_s_own(&error) => {
                    self.singly(queue).await;
                    continue;
                }
                Some(Err(broken)) if failed < FAILED_LOOKS => {
                    failed += 1;
                    broken
                }
                Some(Err(_) | Ok(_)) => {
                    failed = 0;
                    match self.consume(queue, Pace::Prefetched, self.stop.clone()).await {
                        Ok(()) => return,
                        Err(BrokerError::Amqp(error)) if is_broker_s_own(&error) => {
                            self.singly(queue).await;
                            continue;
                        }
                        Err(BrokerError::Amqp(error)) if is_unreadable(&error) => {
                            self.quarantine.guilty(queue, Instant::now());
                            delays.reset();
                            error.into()
                        }
                        Err(broken) => broken,
                    }
                }
            };
            tracing::debug!(queue = name, %broken, "a queue that is consumed apart is tried again");
            let waited = self.stop.run_until_cancelled(tokio::time::sleep(delays.following())).await;
            if waited.is_none() {
                return;
            }
        }
    }

    /// Works a queue one message at a time, because it holds one that the broker cannot hand out. Each try counts for that
    /// message alone, until the broker itself makes it a dead letter at the delivery limit.
    async fn singly(&self, queue: Consumed) {
        let name =
            subscription(&self.context, queue).map(|subscription| subscription.queue).unwrap_or_default();
        tracing::warn!(
            queue = name,
            "the broker fails over a message of this queue, until its delivery limit; one is taken at a time"
        );
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        while !self.stop.is_cancelled() {
            self.quarantine.guilty(queue, Instant::now());
            let enough = self.stop.child_token();
            let progress = watch::Sender::new(ReturnedMessages::NoneHeld);
            let over = over(progress.subscribe());
            let consuming = self.consume(queue, Pace::OneAtATime(progress), enough.clone());
            let mut consuming = std::pin::pin!(consuming);
            let consumed = tokio::select! {
                consumed = &mut consuming => consumed,
                () = over => {
                    enough.cancel();
                    consuming.await
                }
            };
            let wait = match consumed {
                Ok(()) => return,
                Err(BrokerError::Amqp(error)) if is_broker_s_own(&error) => {
                    delays.reset();
                    UNREADABLE_RETRY
                }
                Err(broken) => {
                    tracing::debug!(queue = name, %broken, "a queue that is consumed apart is tried again");
                    delays.following()
                }
            };
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    /// Consumes a queue on a pair of connections of its own until `stop` (then `Ok`) or until something breaks.
    async fn consume(&self, queue: Consumed, pace: Pace, stop: CancellationToken) -> Result<(), BrokerError> {
        let name = format!("{}, apart", self.context.replica);
        let pool = Arc::new(ConnectionPool::connect_one_pair(&self.address, &name).await?);
        let lost = self.lost.child_token();
        let consumers = Consumers {
            context: self.context.clone(),
            pool: pool.clone(),
            stop: stop.clone(),
            lost: lost.clone(),
        };
        let consuming = consumers.consume(queue, pace);
        let mut consuming = std::pin::pin!(consuming.fuse());
        // The session that is over lets go of this wherever it is.
        let _ends_before_it = pool.end_on_drop();
        let mut events = pool.events();
        let consumed = tokio::select! {
            () = &mut consuming => if stop.is_cancelled() {
                Ok(())
            } else {
                Err(pool.cause(&mut events).await)
            },
            broken = pool.until_unresponsive() => Err(broken),
            () = pool.until_disconnected() => Err(pool.cause(&mut events).await),
        };
        lost.cancel();
        // Its consumers live on until then, see the session.
        let mut closing = std::pin::pin!(pool.close());
        tokio::select! {
            () = &mut closing => {}
            () = &mut consuming => closing.await,
        }
        consumed
    }
}

/// Returns when nothing is left of what came back to a queue. Not before: an event that is given back while others wait
/// that came back, too, comes behind them.
async fn over(mut progress: watch::Receiver<ReturnedMessages>) {
    loop {
        let now = *progress.borrow_and_update();
        let changed = match now {
            ReturnedMessages::AllGone => return,
            ReturnedMessages::Held => progress.changed().await,
            ReturnedMessages::NoneHeld => {
                match tokio::time::timeout(NONE_LEFT_AFTER, progress.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                }
            }
        };
        if changed.is_err() {
            // With the consumer that tells.
            std::future::pending::<()>().await;
        }
    }
}

/// How many of the suspects to look at next: the intake alone, where anybody publishes; else half of them.
fn half(suspects: &[Consumed]) -> usize {
    if suspects.contains(&Consumed::Intake) { 1 } else { suspects.len().div_ceil(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Consumed = Consumed::Lane(0);
    const B: Consumed = Consumed::Lane(1);

    fn all() -> BTreeSet<Consumed> {
        BTreeSet::from([Consumed::Intake, A, B])
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_read_are_suspected_and_then_all() {
        let quarantine = Quarantine::default();
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), BTreeSet::from([A]));
        assert_eq!(quarantine.apart(Instant::now()), (vec![A], vec![]));
        quarantine.cleared(&[A], true);
        assert_eq!(quarantine.apart(Instant::now()), (vec![], vec![]));
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), all(), "in vain");
        quarantine.cleared(&[A, B], false);
        quarantine.guilty(Consumed::Intake, Instant::now());
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), BTreeSet::from([A]));
        assert_eq!(quarantine.suspect(BTreeSet::new(), all()), all(), "nothing is known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guilty_one_stays_apart_for_a_while_after_the_last_time() {
        let quarantine = Quarantine::default();
        quarantine.suspect(BTreeSet::from([A, B]), all());
        quarantine.guilty(A, Instant::now());
        tokio::time::advance(APART_FOR / 2).await;
        quarantine.guilty(A, Instant::now());
        quarantine.suspect(BTreeSet::from([A]), all());
        tokio::time::advance(APART_FOR * 3 / 4).await;
        assert_eq!(quarantine.apart(Instant::now()), (vec![B], vec![A]));
        tokio::time::advance(APART_FOR / 4).await;
        assert_eq!(quarantine.apart(Instant::now()), (vec![B], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_broker_s_trouble_counts_when_it_comes_again_soon() {
        let quarantine = Quarantine::default();
        assert!(!quarantine.is_troubled_again(Instant::now()));
        tokio::time::advance(FAILS_AGAIN_WITHIN).await;
        assert!(!quarantine.is_troubled_again(Instant::now()));
        tokio::time::advance(FAILS_AGAIN_WITHIN / 2).await;
        assert!(quarantine.is_troubled_again(Instant::now()));
    }

    #[test]
    fn fewer_are_looked_at_and_the_intake_first() {
        assert_eq!(half(&[Consumed::Intake, A, B]), 1);
        assert_eq!(half(&[Consumed::Intake]), 1);
        assert_eq!(half(&[A, B]), 1);
        assert_eq!(half(&[A, B, Consumed::Lane(2)]), 2);
        assert_eq!(half(&[A]), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_ends_with_something_new_or_with_nothing_for_a_while() {
        let watched = |pace: &Pace| match pace {
            Pace::OneAtATime(progress) => Box::pin(over(progress.subscribe())),
            Pace::Prefetched => panic!("not singly"),
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
