//! How many messages a lane takes at a time when they have come back often. Pure.
//!
//! A message that makes a replica die comes back, and with it all that was delivered and not settled by then: RabbitMQ
//! counts a return for each of them. So the more often the first message of a lane has come back, the fewer are taken
//! beside it. In the end the culprit is alone, reaches the queue's delivery limit alone, and the others go on.

/// So many returns are in the ordinary course of things: restarts, lost connections.
const ORDINARY: u64 = 3;

/// One lane's prefetch.
#[derive(Debug)]
pub(super) struct Caution {
    full: u16,
    width: u16,
    /// No message has come yet on this channel.
    first: bool,
}

impl Caution {
    /// Everything at once, until a message gives reason for less.
    pub(super) fn new(full: u16) -> Self {
        Self { full, width: full, first: true }
    }

    /// The prefetch for the next channel.
    pub(super) fn open(&mut self) -> u16 {
        self.first = true;
        self.width
    }

    /// Whether a message that has come back so often may be taken. If not, a channel of another width is needed: opened
    /// when all that was taken is settled.
    pub(super) fn takes(&mut self, returns: u64) -> bool {
        let first = std::mem::take(&mut self.first);
        let wanted = self.wanted(returns);
        // What stands behind the first has come back no more often than it.
        let other = (first && wanted < self.width) || (wanted == self.full && self.width < self.full);
        if other {
            self.width = wanted;
        }
        !other
    }

    fn wanted(&self, returns: u64) -> u16 {
        let halvings = u32::try_from(returns.saturating_sub(ORDINARY - 1)).unwrap_or(u32::MAX);
        self.full.checked_shr(halvings).unwrap_or_default().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oftener_the_first_message_came_back_the_fewer_are_taken() {
        for (returns, width) in [(0, 400), (2, 400), (3, 200), (4, 100), (10, 1), (11, 1), (u64::MAX, 1)] {
            let mut caution = Caution::new(400);
            assert_eq!(caution.open(), 400);
            assert_eq!(caution.takes(returns), width == 400, "{returns}");
            assert_eq!(caution.open(), width, "{returns}");
            assert!(caution.takes(returns), "{returns}: opened anew for ever");
        }
    }

    #[test]
    fn a_narrow_lane_is_widened_by_a_message_that_is_new() {
        let mut caution = Caution::new(400);
        caution.open();
        assert!(!caution.takes(9));
        assert_eq!(caution.open(), 3);
        assert!(caution.takes(9) && caution.takes(8) && caution.takes(3));
        assert!(!caution.takes(0));
        assert_eq!(caution.open(), 400);
        assert!(caution.takes(0));
    }

    #[test]
    fn only_the_first_message_narrows() {
        let mut caution = Caution::new(400);
        caution.open();
        assert!(caution.takes(0) && caution.takes(100));
        assert_eq!(caution.open(), 400);
    }

    /// A lane of which one message kills the replica at once, and a queue with the documented limit. The worst case:
    /// nothing that is taken together with the culprit is ever settled.
    #[test]
    fn a_message_that_kills_reaches_the_limit_alone() {
        const LIMIT: u64 = 200;
        for position in [0, 1, 7, 250, 399, 1000] {
            let mut culprit: usize = position;
            let mut returns = vec![0_u64; 2000];
            let mut lives = 0;
            while returns[culprit] <= LIMIT {
                lives += 1;
                // A new process knows nothing.
                let mut caution = Caution::new(400);
                let mut width = usize::from(caution.open());
                while !caution.takes(returns[0]) {
                    returns.iter_mut().take(width).for_each(|count| *count += 1);
                    width = usize::from(caution.open());
                }
                // What comes before the culprit is settled until the culprit is among what is taken.
                let settled = (culprit + 1).saturating_sub(width);
                returns.drain(..settled);
                culprit -= settled;
                returns.iter_mut().take(width).for_each(|count| *count += 1);
            }
            returns.remove(culprit);
            let most = returns.iter().max().unwrap();
            assert!(*most <= LIMIT / 2 + 10, "{position}: an innocent came back {most} times");
            assert!(lives > 90, "{position}: after {lives} lives");
        }
    }
}
