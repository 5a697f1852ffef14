//! Calls of a burst that another replica may have spent, kept as the rule by which they come back. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// What a lane may spend of its burst before the first answer says how much is left.
const BEFORE_FIRST_ANSWER: usize = 5;

/// Calls that another replica may have spent. They come back one by one, at even intervals that end with the period.
#[derive(Debug)]
pub(in crate::lane::budget) struct WithheldCalls {
    since: Instant,
    interval: Duration,
    /// The first that is not back yet, and the end of all, counted from 1.
    first: u32,
    end: u32,
}

impl WithheldCalls {
    /// All of a burst but what may go before the first answer.
    pub(in crate::lane::budget) fn new(burst: usize, period: Duration, now: Instant) -> Self {
        let calls = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (interval, end) =
            (period / calls(burst).max(1), calls(burst.saturating_sub(BEFORE_FIRST_ANSWER)));
        Self { since: now, interval, first: 1, end: end.saturating_add(1) }
    }

    pub(in crate::lane::budget) fn clear(&mut self) {
        self.first = self.end;
    }

    pub(in crate::lane::budget) fn take_back(&mut self, now: Instant) {
        self.first = self.first_of(now);
    }

    pub(in crate::lane::budget) fn len(&self) -> usize {
        self.end.saturating_sub(self.first) as usize
    }

    pub(in crate::lane::budget) fn is_empty(&self) -> bool {
        self.first >= self.end
    }

    pub(in crate::lane::budget) fn next_back(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.back(self.first))
    }

    /// How many come back after `now`.
    pub(in crate::lane::budget) fn after(&self, now: Instant) -> usize {
        self.end.saturating_sub(self.first_of(now)) as usize
    }

    pub(in crate::lane::budget) fn first_after(&self, now: Instant) -> Option<Instant> {
        let first = self.first_of(now);
        (first < self.end).then(|| self.back(first))
    }

    /// The first that comes back after `now`.
    fn first_of(&self, now: Instant) -> u32 {
        let back = now.saturating_duration_since(self.since).as_nanos() / self.interval.as_nanos().max(1);
        let next = u32::try_from(back).unwrap_or(u32::MAX).saturating_add(1);
        next.clamp(self.first.min(self.end), self.end)
    }

    fn back(&self, call: u32) -> Instant {
        self.since + self.interval * call
    }
}
