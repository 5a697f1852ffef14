//! Queues that may hold a message over which connections end: kept off the connection that all share, looked at, and
//! consumed on a connection of their own if something was found.
//!
//! So such a message costs the other accounts one connection, and no more. Told by the session what a connection may
//! have ended over; see [`super::unreadable`] for how the message is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::lifeline::Lifeline;
use super::session::{Broken, Broker};
use super::unreadable::{Consumed, Look, cleanse, is_unreadable, look};
use crate::delays::Delays;

/// A queue in which something was found is consumed apart for at least so long after the last time.
const APART: Duration = Duration::from_mins(10);
/// Between two attempts that failed.
const DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// So few suspects are consumed apart without proof, where they cannot be looked at. Each takes two connections.
const FEW: usize = 8;
/// So many failed looks, and a queue is consumed without one: apart, it can harm no other.
const MOST_LOOKS: u32 = 3;

/// What is known of the queues, from one session to the next. A queue that is not named is above suspicion.
#[derive(Debug, Default)]
pub(super) struct Quarantine(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    queues: BTreeMap<Consumed, Standing>,
    /// The last look at all suspects found nothing, and so it is none of them.
    missed: bool,
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
    pub(super) fn suspect(
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

    /// The queues that a new session keeps apart: those to be looked at, and those to be consumed apart.
    pub(super) fn apart(&self, now: Instant) -> (Vec<Consumed>, Vec<Consumed>) {
        let mut known = self.lock();
        known.queues.retain(|_, standing| match standing {
            Standing::Suspect => true,
            Standing::Guilty(found) => now < *found + APART,
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
pub(super) struct Isolation {
    pub(super) broker: Arc<Broker>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) address: Address,
    /// Takes queues that are to be consumed like all others.
    pub(super) cleared: mpsc::Sender<Consumed>,
    pub(super) stop: CancellationToken,
    pub(super) lost: CancellationToken,
}

impl Isolation {
    /// Looks at suspects and consumes what has to be apart, for as long as the session holds.
    pub(super) async fn run(self, mut suspects: Vec<Consumed>, guilty: Vec<Consumed>) {
        let mut apart: FuturesUnordered<_> = guilty.into_iter().map(|queue| self.apart(queue)).collect();
        let mut delays = Delays::new(DELAYS.0, DELAYS.1);
        let mut failed = 0;
        let mut found = false;
        while !suspects.is_empty() {
            let none = BTreeSet::new();
            let looked = tokio::select! {
                () = self.stop.cancelled() => break,
                looked = look(&self.broker, &self.address, &suspects, &none) => looked,
                Some(()) = apart.next() => continue,
            };
            match looked {
                Ok(Look::Culprit(queue, _)) => {
                    found = true;
                    self.quarantine.guilty(queue, Instant::now());
                    suspects.retain(|suspect| *suspect != queue);
                    apart.push(self.apart(queue));
                }
                Ok(Look::Clean(_)) => {
                    self.clear(&suspects, !found).await;
                    suspects.clear();
                }
                Err(broken) => {
                    failed += 1;
                    tracing::debug!(%broken, "queues could not be looked at");
                    if failed >= MOST_LOOKS && suspects.len() <= FEW {
                        apart.extend(suspects.drain(..).map(|queue| self.apart(queue)));
                    } else if failed >= MOST_LOOKS {
                        self.clear(&suspects, false).await;
                        suspects.clear();
                    } else {
                        // What is consumed apart goes on meanwhile.
                        tokio::select! {
                            () = self.stop.cancelled() => break,
                            () = tokio::time::sleep(delays.following()) => {}
                            Some(()) = apart.next() => {}
                        }
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
        let name = self.broker.subscription(queue).map(|subscription| subscription.queue).unwrap_or_default();
        tracing::warn!(queue = name, "connections end over a message of this queue; it is consumed apart");
        let mut delays = Delays::new(DELAYS.0, DELAYS.1);
        let mut failed = 0;
        while !self.stop.is_cancelled() {
            let cleansing = cleanse(&self.broker, &self.address, queue);
            let broken = match self.stop.run_until_cancelled(cleansing).await {
                None => return,
                Some(Err(broken)) if failed < MOST_LOOKS => {
                    failed += 1;
                    broken
                }
                Some(Err(_) | Ok(_)) => {
                    failed = 0;
                    match self.consume(queue).await {
                        Ok(()) => return,
                        Err(Broken::Amqp(error)) if is_unreadable(&error) => {
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

    /// Consumes a queue on a pair of connections of its own until `stop` (then `Ok`) or until something breaks.
    async fn consume(&self, queue: Consumed) -> Result<(), Broken> {
        let name = format!("{}, apart", self.broker.replica);
        let lifeline = Arc::new(Lifeline::connect(&self.address, &name, 1).await?);
        let lost = self.lost.child_token();
        let broker = self.broker.clone();
        let consuming = broker.consume(lifeline.clone(), 0, queue, self.stop.clone(), lost.clone());
        let mut consuming = std::pin::pin!(consuming.fuse());
        // The session that is over lets go of this wherever it is.
        let _ends_before_it = lifeline.end_with();
        let mut fates = lifeline.fates();
        let consumed = tokio::select! {
            () = &mut consuming => if self.stop.is_cancelled() {
                Ok(())
            } else {
                Err(lifeline.cause(&mut fates).await)
            },
            broken = lifeline.silent() => Err(broken),
            () = lifeline.ended() => Err(lifeline.cause(&mut fates).await),
        };
        lost.cancel();
        // Its consumers live on until then, see the session.
        let mut closing = std::pin::pin!(lifeline.close());
        tokio::select! {
            () = &mut closing => {}
            () = &mut consuming => closing.await,
        }
        consumed
    }
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
        tokio::time::advance(APART / 2).await;
        quarantine.guilty(A, Instant::now());
        quarantine.suspect(BTreeSet::from([A]), all());
        tokio::time::advance(APART * 3 / 4).await;
        assert_eq!(quarantine.apart(Instant::now()), (vec![B], vec![A]));
        tokio::time::advance(APART / 4).await;
        assert_eq!(quarantine.apart(Instant::now()), (vec![B], vec![]));
    }
}
