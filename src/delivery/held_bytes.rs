//! How many bytes of events this replica holds: for each account, and for all of them together. RabbitMQ's prefetch counts
//! messages only, and a message may be large. A lane's consumer asks here before it takes the next message off its channel;
//! the file feed asks before it reads the next line.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

/// All accounts together may hold so many times as much as one.
const PROCESS: u64 = 8;
/// However much the others hold, an account may hold this fraction of its own limit. So it always makes progress.
const RESERVED: u64 = 64;

/// How many bytes an event takes in addition to the body that it was read from; none if it points into that body.
pub(crate) fn beside(body: &Bytes, event: &Bytes) -> usize {
    if body.as_ptr_range().contains(&event.as_ptr()) { 0 } else { event.len() }
}

/// Counts what all accounts hold.
#[derive(Debug)]
pub struct HeldBytes {
    per_account: u64,
    all: watch::Sender<u64>,
}

impl HeldBytes {
    /// `per_account`: the bytes that one account may hold; one event it may always hold.
    pub fn new(per_account: u64) -> Self {
        Self { per_account, all: watch::Sender::new(0) }
    }

    /// For all accounts together, apart from what each may always hold.
    fn limit(&self) -> u64 {
        self.per_account.saturating_mul(PROCESS)
    }

    /// One account's part, while its lane is consumed.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { all: self.clone(), held: 0 }
    }

    /// Whether each account is down to what it may always hold.
    pub(crate) fn full(&self) -> bool {
        *self.all.borrow() >= self.limit()
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.all.send_if_modified(|all| {
            *all = all.saturating_add(bytes);
            false
        });
    }

    pub(crate) fn remove(&self, bytes: u64) {
        let limit = self.limit();
        // Wakes those that wait for room, and only when there is some again: this is called for every event.
        self.all.send_if_modified(|all| {
            let full = *all >= limit;
            *all = all.saturating_sub(bytes);
            full && *all < limit
        });
    }
}

/// Counts what one account holds.
#[derive(Debug)]
pub(crate) struct Share {
    all: Arc<HeldBytes>,
    held: u64,
}

impl Share {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
        self.all.add(bytes);
    }

    pub(crate) fn remove(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
        self.all.remove(bytes);
    }

    /// Whether another event may be taken. Its size is not known before, so it may go beyond the limit.
    pub(crate) fn has_room(&self) -> bool {
        self.held == 0 || (self.held < self.all.per_account && !self.waits_for_others())
    }

    /// Whether there would be room if the other accounts held less.
    pub(crate) fn waits_for_others(&self) -> bool {
        let more_than_reserved = self.held >= (self.all.per_account / RESERVED).max(1);
        more_than_reserved && self.held < self.all.per_account && self.all.full()
    }

    /// Returns when the other accounts hold less.
    pub(crate) async fn room(&self) {
        let limit = self.all.limit();
        if self.all.all.subscribe().wait_for(|all| *all < limit).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Share {
    /// Unsettled events go back to the broker with their channel.
    fn drop(&mut self) {
        self.all.remove(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_takes_events_until_its_limit_and_always_one() {
        let all = Arc::new(HeldBytes::new(100));
        let mut share = all.share();
        assert!(share.has_room());
        share.add(99);
        assert!(share.has_room(), "the size of the next is not known");
        share.add(500);
        assert!(!share.has_room() && !share.waits_for_others());
        share.remove(99);
        assert!(!share.has_room());
        share.remove(500);
        assert!(share.has_room());
    }

    #[tokio::test]
    async fn all_accounts_together_are_bounded_and_each_makes_progress() {
        let all = Arc::new(HeldBytes::new(6400));
        let mut full: Vec<Share> = (0..8).map(|_| all.share()).collect();
        for share in &mut full {
            share.add(6400);
        }
        let mut other = all.share();
        for _ in 0..10 {
            assert!(other.has_room(), "it has its reserve");
            other.add(10);
        }
        assert!(!other.has_room() && other.waits_for_others());
        let mut waiting = Box::pin(other.room());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        full[0].remove(90);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "still full");
        full.pop();
        (&mut waiting).await;
        drop(waiting);
        assert!(other.has_room());
        drop(full);
        drop(other);
        assert_eq!(*all.all.borrow(), 0);
    }
}
