//! The sandbox's time: tokio's clock, so that tests can pause it, told as dates for people.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time since the sandbox started, and the date that goes with it.
pub(super) struct Clock {
    started: Instant,
    date: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), date: Timestamp::now() }
    }

    /// Now, to reckon with.
    pub(super) fn instant(&self) -> Instant {
        Instant::now().max(self.started)
    }

    /// Now, to print.
    pub(super) fn date(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.instant() - self.started).unwrap_or_default();
        self.date.saturating_add(elapsed).unwrap_or(self.date)
    }

    /// Milliseconds since the start.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from((self.instant() - self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
