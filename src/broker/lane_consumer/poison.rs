//! What a lane and the intake do about messages that have come back often. Pure.
//!
//! A message that makes a replica die comes back, and with it all that was delivered and not settled by then. RabbitMQ
//! counts a return for each of them, and at the queue's delivery limit condemns them all. So in time they are handed over
//! one at a time: what is harmless gets through, and the culprit comes to the front. There it is condemned
//! before the limit would condemn those behind it, too.
//!
//! Taking fewer off the queue would not do: what is then given back comes behind what was given back before it, and
//! the order is lost.

use crate::broker::timing::{ORDINARY_RETURNS, POISON_RETURNS, SLOW_POISON_RETURNS, SLOW_RETURN};
use std::time::Duration;

/// What is known of the messages that a channel brings.
#[derive(Debug)]
pub(in crate::broker) struct PoisonGuard {
    first: bool,
    alone: bool,
}

impl PoisonGuard {
    /// A channel that has brought nothing yet.
    pub(in crate::broker) fn new() -> Self {
        Self { first: true, alone: false }
    }

    /// Takes note of the next message, how often it has come back, and in what time; true if it is to be given up.
    ///
    /// Only the first one of a channel: those behind it may have come back as often without a fault of their own.
    pub(in crate::broker) fn condemns(&mut self, returns: u64, waited: Duration) -> bool {
        let first = std::mem::take(&mut self.first);
        if first {
            self.alone = returns >= ORDINARY_RETURNS;
        } else if returns == 0 {
            // Nothing is left of what came back.
            self.alone = false;
        }
        let hurried = waited < SLOW_RETURN * u32::try_from(returns).unwrap_or(u32::MAX);
        first && (returns >= SLOW_POISON_RETURNS || (returns >= POISON_RETURNS && hurried))
    }

    /// Whether a message is taken only when those before it are settled.
    pub(in crate::broker) fn alone(&self) -> bool {
        self.alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_returns_change_nothing() {
        let mut caution = PoisonGuard::new();
        for returns in [19, 19, 3, 0, 200] {
            assert!(!caution.condemns(returns, Duration::from_hours(2)));
            assert!(!caution.alone());
        }
    }

    #[test]
    fn what_came_back_often_is_taken_alone_until_something_new_comes() {
        let mut caution = PoisonGuard::new();
        for (returns, alone) in [(20, true), (20, true), (5, true), (0, false), (0, false)] {
            assert!(!caution.condemns(returns, Duration::from_hours(2)));
            assert_eq!(caution.alone(), alone, "{returns}");
        }
    }

    #[test]
    fn only_the_first_message_of_a_channel_is_condemned() {
        let mut caution = PoisonGuard::new();
        assert!(!caution.condemns(99, Duration::from_hours(2)));
        let mut caution = PoisonGuard::new();
        assert!(caution.condemns(100, Duration::from_hours(2)));
        assert!(caution.alone());
        assert!(!caution.condemns(100, Duration::from_hours(2)));
        assert!(!caution.condemns(199, Duration::from_hours(2)));
    }

    #[test]
    fn what_came_back_within_weeks_has_more_time() {
        let weeks = Duration::from_hours(24 * 7 * 5);
        assert!(!PoisonGuard::new().condemns(100, weeks));
        assert!(!PoisonGuard::new().condemns(179, weeks));
        assert!(PoisonGuard::new().condemns(180, weeks));
        assert!(PoisonGuard::new().condemns(100, Duration::from_hours(8)));
    }

    /// A lane with messages that kill the replica as soon as they are handed over; each life begins a new channel.
    #[test]
    fn culprits_are_condemned_and_the_innocent_are_not() {
        const LIMIT: u64 = 200;
        const PREFETCH: usize = 400;
        for culprits in [vec![0], vec![399], vec![1000], vec![3, 4, 390]] {
            let mut lane: Vec<(bool, u64)> =
                (0..2000).map(|number| (culprits.contains(&number), 0)).collect();
            let mut condemned = 0;
            while !lane.is_empty() {
                let mut caution = PoisonGuard::new();
                // Taken together, nothing is settled before the culprit strikes: the worst case.
                while let Some((culprit, returns)) = lane.first().copied() {
                    let given_up = caution.condemns(returns, Duration::from_hours(2));
                    assert!(!given_up || culprit, "{culprits:?}: an innocent was given up");
                    condemned += usize::from(given_up);
                    let together = if caution.alone() { 1 } else { PREFETCH };
                    let dies = lane.iter().take(together).any(|(culprit, _)| *culprit);
                    if dies && !given_up {
                        lane.iter_mut().take(PREFETCH).for_each(|(_, returns)| *returns += 1);
                        break;
                    }
                    lane.remove(0);
                }
                assert!(lane.iter().all(|(_, returns)| *returns < LIMIT), "{culprits:?}: the queue's limit");
            }
            assert_eq!(condemned, culprits.len(), "{culprits:?}");
        }
    }
}
