//! Which queues may hold a message that connections end over, from one session to the next. Does no I/O: the session
//! reports errors, the isolation what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::broker::consuming::subscription::ConsumedQueue;
use crate::broker::timing::{APART_FOR, FAILS_AGAIN_WITHIN};

/// Knows nothing against a queue that it does not list.
#[derive(Debug, Default)]
pub(in crate::broker) struct Quarantine(Mutex<Suspicions>);

#[derive(Debug, Default)]
struct Suspicions {
    queues: BTreeMap<ConsumedQueue, Standing>,
    /// The last search of all suspects found nothing, and so it is another queue.
    searched_in_vain: bool,
    broker_failed_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Suspect,
    /// It held an unreadable message, and the last one at this time.
    Unreadable(Instant),
}

/// The queues that a new session leaves out.
#[derive(Debug)]
pub(in crate::broker) struct QueuesApart {
    /// To be searched.
    pub(super) suspects: Vec<ConsumedQueue>,
    /// To be consumed on connections of their own.
    pub(super) unreadable: Vec<ConsumedQueue>,
}

impl QueuesApart {
    pub(in crate::broker) fn contains(&self, queue: ConsumedQueue) -> bool {
        self.suspects.contains(&queue) || self.unreadable.contains(&queue)
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.unreadable.is_empty()
    }
}

/// How a search ended that found nothing against some queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// All suspects were searched and nothing was found.
    InVain,
    /// Something was found in another queue, or not all could be searched.
    Partial,
}

impl Quarantine {
    /// A connection ended over a message of one of `suspects`; of one of `all`, if those are none or were searched in
    /// vain the last time. Returns the queues that are suspected now.
    pub(in crate::broker) fn suspect(
        &self,
        suspects: BTreeSet<ConsumedQueue>,
        all: BTreeSet<ConsumedQueue>,
    ) -> BTreeSet<ConsumedQueue> {
        let mut known = self.lock();
        let searched_in_vain = std::mem::take(&mut known.searched_in_vain);
        let suspects = if searched_in_vain || suspects.is_empty() { all } else { suspects };
        for queue in &suspects {
            known.queues.entry(*queue).or_insert(Standing::Suspect);
        }
        suspects
    }

    /// A connection ended over a failure of the broker; true if another one did so shortly before.
    pub(in crate::broker) fn broker_failed_again(&self, now: Instant) -> bool {
        let before = self.lock().broker_failed_at.replace(now);
        before.is_some_and(|before| now.duration_since(before) < FAILS_AGAIN_WITHIN)
    }

    /// The queues that a session which begins now leaves out.
    pub(in crate::broker) fn queues_apart(&self, now: Instant) -> QueuesApart {
        let mut known = self.lock();
        let (mut suspects, mut unreadable) = (Vec::new(), Vec::new());
        known.queues.retain(|queue, standing| match standing {
            Standing::Suspect => {
                suspects.push(*queue);
                true
            }
            Standing::Unreadable(found) if now < *found + APART_FOR => {
                unreadable.push(*queue);
                true
            }
            Standing::Unreadable(_) => false,
        });
        QueuesApart { suspects, unreadable }
    }

    pub(super) fn clear(&self, queues: &[ConsumedQueue], search: Search) {
        let mut known = self.lock();
        known.searched_in_vain = search == Search::InVain;
        for queue in queues {
            known.queues.remove(queue);
        }
    }

    pub(super) fn found_unreadable(&self, queue: ConsumedQueue, now: Instant) {
        self.lock().queues.insert(queue, Standing::Unreadable(now));
    }

    fn lock(&self) -> MutexGuard<'_, Suspicions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConsumedQueue = ConsumedQueue::Lane(0);
    const B: ConsumedQueue = ConsumedQueue::Lane(1);

    fn apart(quarantine: &Quarantine) -> (Vec<ConsumedQueue>, Vec<ConsumedQueue>) {
        let QueuesApart { suspects, unreadable } = quarantine.queues_apart(Instant::now());
        (suspects, unreadable)
    }

    fn all() -> BTreeSet<ConsumedQueue> {
        BTreeSet::from([ConsumedQueue::Intake, A, B])
    }

    #[tokio::test(start_paused = true)]
    async fn queues_that_were_read_are_suspected_and_then_all_queues() {
        let quarantine = Quarantine::default();
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), BTreeSet::from([A]));
        assert_eq!(apart(&quarantine), (vec![A], vec![]));
        quarantine.clear(&[A], Search::InVain);
        assert_eq!(apart(&quarantine), (vec![], vec![]));
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), all(), "in vain");
        quarantine.clear(&[A, B], Search::Partial);
        quarantine.found_unreadable(ConsumedQueue::Intake, Instant::now());
        assert_eq!(quarantine.suspect(BTreeSet::from([A]), all()), BTreeSet::from([A]));
        assert_eq!(quarantine.suspect(BTreeSet::new(), all()), all(), "nothing is known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_with_an_unreadable_message_stays_apart_for_a_while_after_the_last_time() {
        let quarantine = Quarantine::default();
        quarantine.suspect(BTreeSet::from([A, B]), all());
        quarantine.found_unreadable(A, Instant::now());
        tokio::time::advance(APART_FOR / 2).await;
        quarantine.found_unreadable(A, Instant::now());
        quarantine.suspect(BTreeSet::from([A]), all());
        tokio::time::advance(APART_FOR * 3 / 4).await;
        assert_eq!(apart(&quarantine), (vec![B], vec![A]));
        tokio::time::advance(APART_FOR / 4).await;
        assert_eq!(apart(&quarantine), (vec![B], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_s_failure_counts_when_there_is_another_one_soon() {
        let quarantine = Quarantine::default();
        assert!(!quarantine.broker_failed_again(Instant::now()));
        tokio::time::advance(FAILS_AGAIN_WITHIN).await;
        assert!(!quarantine.broker_failed_again(Instant::now()));
        tokio::time::advance(FAILS_AGAIN_WITHIN / 2).await;
        assert!(quarantine.broker_failed_again(Instant::now()));
    }
}
