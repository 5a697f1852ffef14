//! The sandbox's clock: tokio's, so that tests can pause it, with the dates that answers show.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time since the sandbox started.
pub(in crate::sandbox) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), started_at: Timestamp::now() }
    }

    pub(in crate::sandbox) fn instant(&self) -> Instant {
        Instant::now().max(self.started)
    }

    /// The date of [`instant`](Self::instant).
    pub(super) fn date(&self) -> Timestamp {
        self.date_at(self.instant())
    }

    /// The date of a moment since the start.
    pub(super) fn date_at(&self, at: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(at - self.started).unwrap_or_default();
        self.started_at.saturating_add(elapsed).unwrap_or(self.started_at)
    }

    /// Milliseconds since the start.
    pub(in crate::sandbox) fn millis(&self) -> u64 {
        u64::try_from((self.instant() - self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
