//! Searches the suspected queues of one session, and consumes those apart that hold an unreadable message. One for each
//! session that leaves queues out.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apart::ApartConsumer;
use super::errors::is_broker_failure;
use super::quarantine::{Quarantine, QueuesApart, Search};
use super::search::{SearchResult, search};
use crate::backoff::Delays;
use crate::broker::amqp::address::Address;
use crate::broker::consuming::subscription::ConsumedQueue;
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::{FAILED_LOOKS, LOOK_DELAYS, PROOFS, SUSPECTS_APART};

/// The queues that a session leaves out.
pub(in crate::broker) struct Isolation {
    consumer: ApartConsumer,
    /// Takes queues that the session may consume like all others.
    cleared: mpsc::Sender<ConsumedQueue>,
}

impl Isolation {
    pub(in crate::broker) fn new(
        context: Arc<Context>,
        quarantine: Arc<Quarantine>,
        address: Address,
        cleared: mpsc::Sender<ConsumedQueue>,
        stop: CancellationToken,
        lost: CancellationToken,
    ) -> Self {
        Self { consumer: ApartConsumer { context, quarantine, address, stop, lost }, cleared }
    }

    /// Searches the suspects and consumes queues apart, for as long as the session holds.
    pub(in crate::broker) async fn run(self, queues: QueuesApart) {
        let ApartConsumer { context, quarantine, address, stop, .. } = &self.consumer;
        let mut apart: FuturesUnordered<_> =
            queues.unreadable.into_iter().map(|queue| self.consumer.of(queue).run(queue)).collect();
        let mut delays = Delays::new(LOOK_DELAYS.0, LOOK_DELAYS.1);
        let (mut failed, mut broker_failures) = (0, 0);
        let mut found = false;
        // The last group is searched first.
        let mut groups = vec![queues.suspects];
        while let Some(mut suspects) = groups.pop() {
            if suspects.is_empty() {
                continue;
            }
            let none_known = BTreeSet::new();
            let searched = {
                let mut searching = std::pin::pin!(search(context, address, &suspects, &none_known));
                loop {
                    tokio::select! {
                        () = stop.cancelled() => break None,
                        searched = &mut searching => break Some(searched),
                        Some(()) = apart.next() => {}
                    }
                }
            };
            match searched {
                None => break,
                Some(Ok(SearchResult::Unreadable(queue, _))) => {
                    found = true;
                    quarantine.found_unreadable(queue, Instant::now());
                    suspects.retain(|suspect| *suspect != queue);
                    apart.push(self.consumer.of(queue).run(queue));
                    groups.push(suspects);
                }
                Some(Ok(SearchResult::Nothing)) => {
                    broker_failures = 0;
                    let in_vain = !found && groups.is_empty();
                    self.clear(&suspects, if in_vain { Search::InVain } else { Search::Partial }).await;
                }
                Some(Err(BrokerError::Amqp(error))) if is_broker_failure(&error) => {
                    // The broker hands out nothing of the message, so the queue is found by searching fewer and fewer.
                    let others = suspects.split_off(next_group(&suspects));
                    broker_failures = if others.is_empty() { broker_failures + 1 } else { 0 };
                    if others.is_empty() && broker_failures >= PROOFS {
                        broker_failures = 0;
                        found = true;
                        for queue in suspects {
                            quarantine.found_unreadable(queue, Instant::now());
                            apart.push(self.consumer.of(queue).run(queue));
                        }
                    } else {
                        groups.extend([others, suspects]);
                    }
                }
                Some(Err(error)) => {
                    failed += 1;
                    tracing::debug!(%error, "queues could not be searched for an unreadable message");
                    if failed >= FAILED_LOOKS && suspects.len() <= SUSPECTS_APART {
                        apart.extend(suspects.drain(..).map(|queue| self.consumer.of(queue).run(queue)));
                    } else if failed >= FAILED_LOOKS {
                        self.clear(&suspects, Search::Partial).await;
                    } else {
                        tokio::select! {
                            () = stop.cancelled() => break,
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

    async fn clear(&self, queues: &[ConsumedQueue], search: Search) {
        self.consumer.quarantine.clear(queues, search);
        for queue in queues {
            if self.cleared.send(*queue).await.is_err() {
                return;
            }
        }
    }
}

/// How many of the suspects to search next: the intake alone, because anybody may publish there; else half of them.
fn next_group(suspects: &[ConsumedQueue]) -> usize {
    if suspects.contains(&ConsumedQueue::Intake) { 1 } else { suspects.len().div_ceil(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConsumedQueue = ConsumedQueue::Lane(0);
    const B: ConsumedQueue = ConsumedQueue::Lane(1);

    #[test]
    fn fewer_queues_are_searched_and_the_intake_first() {
        assert_eq!(next_group(&[ConsumedQueue::Intake, A, B]), 1);
        assert_eq!(next_group(&[ConsumedQueue::Intake]), 1);
        assert_eq!(next_group(&[A, B]), 1);
        assert_eq!(next_group(&[A, B, ConsumedQueue::Lane(2)]), 2);
        assert_eq!(next_group(&[A]), 1);
    }
}
