//! Tells in the log that senders put words into `userId` which name nobody, such as `undefined`: once a minute at most, as
//! every event of a broken sender has one. Names the word, which is one of a fixed list, never an event. The lane calls it.

use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::AccountName;

/// How long nothing is told again.
const QUIET: Duration = Duration::from_mins(1);

/// What one lane told of such words.
#[derive(Debug)]
pub(in crate::lane) struct Placeholders {
    account: AccountName,
    told: Option<Instant>,
    /// Events that had one since then.
    since: u64,
}

impl Placeholders {
    pub(in crate::lane) fn new(account: AccountName) -> Self {
        Self { account, told: None, since: 0 }
    }

    /// Tells of an event whose `userId` is this word, unless one was told of lately.
    pub(in crate::lane) fn tell(&mut self, word: &'static str, now: Instant) {
        let Some(events) = self.count(now) else { return };
        tracing::warn!(
            account = &*self.account,
            word,
            events,
            "a userId names nobody and counts as absent; the sender has no user there"
        );
    }

    /// How many events to tell of now; none if one was told of lately.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < QUIET) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_word_is_told_once_a_minute_with_all_events_since() {
        let mut placeholders = Placeholders::new("acme".into());
        let start = Instant::now();
        assert_eq!(placeholders.count(start), Some(1));
        assert_eq!(placeholders.count(start), None);
        assert_eq!(placeholders.count(start + QUIET), Some(2));
        assert_eq!(placeholders.count(start + QUIET), None);
    }
}
