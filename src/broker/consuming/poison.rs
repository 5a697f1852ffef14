//! When to dead-letter a message because it came back too often. Pure. Used by the router and the lanes' consumers.
//!
//! A message that kills the replica comes back, and with it everything that was delivered and not settled by then.
//! RabbitMQ counts a return for each of them, and dead-letters them all at the queue's delivery limit. So after some
//! returns messages are handed over one at a time: harmless ones get through, and the deadly one becomes the first of the
//! queue. There it is dead-lettered before those behind it reach the limit, too.
//!
//! A smaller prefetch would not do: messages that come back then stand behind those that came back before, and the order
//! is lost.

use std::time::Duration;

use crate::broker::timing::{ORDINARY_RETURNS, POISON_RETURNS, SLOW_POISON_RETURNS, SLOW_RETURN};
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// Watches the messages that one channel brings.
#[derive(Debug)]
pub(in crate::broker) struct PoisonGuard {
    is_first: bool,
    one_at_a_time: bool,
}

impl PoisonGuard {
    /// A channel that has brought nothing yet.
    pub(in crate::broker) fn new() -> Self {
        Self { is_first: true, one_at_a_time: false }
    }

    /// Call it for each message, with how often it came back and how long it has been queued.
    ///
    /// True only for the first message of a channel: those behind it may have come back with it.
    pub(in crate::broker) fn should_dead_letter(&mut self, returns: u64, waited: Duration) -> bool {
        let is_first = std::mem::take(&mut self.is_first);
        if is_first {
            self.one_at_a_time = returns >= ORDINARY_RETURNS;
        } else if returns == 0 {
            // RabbitMQ hands out returned messages first, so none is left.
            self.one_at_a_time = false;
        }
        let is_fast = waited < SLOW_RETURN * u32::try_from(returns).unwrap_or(u32::MAX);
        is_first && (returns >= SLOW_POISON_RETURNS || (returns >= POISON_RETURNS && is_fast))
    }

    /// Whether a message must be settled before the next one is taken.
    pub(in crate::broker) fn one_at_a_time(&self) -> bool {
        self.one_at_a_time
    }
}

/// Why a message is dead-lettered that came back too often; `place` says where it stood.
pub(in crate::broker) fn refusal(returns: u64, place: &str) -> Refusal {
    let problem = format!("came back {returns} times, and was first {place}");
    Refusal::new(DeadLetterReason::DeliveryLimit, Problem { problem, ..Problem::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_returns_change_nothing() {
        let mut poison = PoisonGuard::new();
        for returns in [19, 19, 3, 0, 200] {
            assert!(!poison.should_dead_letter(returns, Duration::from_hours(2)));
            assert!(!poison.one_at_a_time());
        }
    }

    #[test]
    fn messages_that_came_back_often_are_taken_one_at_a_time_until_a_new_one_comes() {
        let mut poison = PoisonGuard::new();
        for (returns, one_at_a_time) in [(20, true), (20, true), (5, true), (0, false), (0, false)] {
            assert!(!poison.should_dead_letter(returns, Duration::from_hours(2)));
            assert_eq!(poison.one_at_a_time(), one_at_a_time, "{returns}");
        }
    }

    #[test]
    fn only_the_first_message_of_a_channel_is_dead_lettered() {
        let mut poison = PoisonGuard::new();
        assert!(!poison.should_dead_letter(99, Duration::from_hours(2)));
        let mut poison = PoisonGuard::new();
        assert!(poison.should_dead_letter(100, Duration::from_hours(2)));
        assert!(poison.one_at_a_time());
        assert!(!poison.should_dead_letter(100, Duration::from_hours(2)));
        assert!(!poison.should_dead_letter(199, Duration::from_hours(2)));
    }

    #[test]
    fn a_message_that_came_back_over_weeks_has_more_time() {
        let weeks = Duration::from_hours(24 * 7 * 5);
        assert!(!PoisonGuard::new().should_dead_letter(100, weeks));
        assert!(!PoisonGuard::new().should_dead_letter(179, weeks));
        assert!(PoisonGuard::new().should_dead_letter(180, weeks));
        assert!(PoisonGuard::new().should_dead_letter(100, Duration::from_hours(8)));
    }

    /// A lane with messages that kill the replica as soon as they are handed over; each life begins a new channel.
    #[test]
    fn deadly_messages_are_dead_lettered_and_harmless_ones_are_not() {
        const LIMIT: u64 = 200;
        const PREFETCH: usize = 400;
        for deadly in [vec![0], vec![399], vec![1000], vec![3, 4, 390]] {
            let mut lane: Vec<(bool, u64)> = (0..2000).map(|number| (deadly.contains(&number), 0)).collect();
            let mut count = 0;
            while !lane.is_empty() {
                let mut poison = PoisonGuard::new();
                // Taken together, nothing is settled before the deadly message is handed over: the worst case.
                while let Some((is_deadly, returns)) = lane.first().copied() {
                    let dead_lettered = poison.should_dead_letter(returns, Duration::from_hours(2));
                    assert!(!dead_lettered || is_deadly, "{deadly:?}: a harmless message was dead-lettered");
                    count += usize::from(dead_lettered);
                    let together = if poison.one_at_a_time() { 1 } else { PREFETCH };
                    let dies = lane.iter().take(together).any(|(is_deadly, _)| *is_deadly);
                    if dies && !dead_lettered {
                        lane.iter_mut().take(PREFETCH).for_each(|(_, returns)| *returns += 1);
                        break;
                    }
                    lane.remove(0);
                }
                assert!(
                    lane.iter().all(|(_, returns)| *returns < LIMIT),
                    "{deadly:?}: one reached the queue's limit"
                );
            }
            assert_eq!(count, deadly.len(), "{deadly:?}");
        }
    }
}
