//! The sandbox's time: tokio's clock, so that tests can pause it, told as dates for people.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time since the sandbox started, and the date that goes with it.
pub(in crate::sandbox) struct Clock {
    started: Instant,
    date: Timestamp,
}

impl Clock {
    pub(in crate::sandbox) fn start() -> Self {
        Self { started: Instant::now(), date: Timestamp::now() }
    }

    /// Now, to reckon with.
    pub(in crate::sandbox) fn instant(&self) -> Instant {
        Instant::now().max(self.started)
    }

    /// Now, to print.
    pub(in crate::sandbox) fn date(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.instant() - self.started).unwrap_or_default();
        self.date.saturating_add(elapsed).unwrap_or(self.date)
    }

    /// Milliseconds since the start.
    pub(in crate::sandbox) fn millis(&self) -> u64 {
        u64::try_from((self.instant() - self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
