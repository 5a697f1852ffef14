//! When a bulk job may be submitted. Freshsales runs about ten jobs of an account at once, those of all
//! programs together, and refuses more.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;
use crate::lane::budget::Impediment;

/// After refusals for this long records go one by one until a bulk upsert is accepted: other programs may hold all jobs
/// of the account for good, or the account has none.
const ONE_BY_ONE_AFTER: Duration = Duration::from_mins(2);

/// Whether one more bulk job may be submitted.
#[derive(Debug)]
pub(in crate::lane) struct JobSlots {
    /// Jobs of this program that may run at once.
    most: usize,
    refused: Option<RefusedJobs>,
    delays: Delays,
}

/// Bulk upserts are being refused because too many jobs run.
#[derive(Debug)]
struct RefusedJobs {
    since: Instant,
    ask_at: Instant,
    one_by_one: bool,
    why: (Impediment, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Refusals {
    /// Records wait from now on.
    Began,
    /// Records go one by one from now on.
    LastTooLong,
    /// Nothing changes.
    GoOn,
}

impl JobSlots {
    /// At most so many jobs at once; `waits` are the first and the longest wait after a refusal.
    pub(in crate::lane) fn new(most: usize, waits: (Duration, Duration)) -> Self {
        Self { most: most.max(1), refused: None, delays: Delays::new(waits.0, waits.1) }
    }

    pub(in crate::lane) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// Whether one may be submitted now, while so many are running.
    pub(in crate::lane) fn free(&self, running: usize, now: Instant) -> bool {
        running < self.most && self.refused.as_ref().is_none_or(|refused| refused.ask_at <= now)
    }

    pub(in crate::lane) fn worth_waiting(&self) -> bool {
        self.refused.as_ref().is_none_or(|refused| !refused.one_by_one)
    }

    pub(in crate::lane) fn ask_at(&self) -> Option<Instant> {
        self.refused.as_ref().map(|refused| refused.ask_at)
    }

    pub(in crate::lane) fn impediment(&self) -> Option<&(Impediment, String)> {
        self.refused.as_ref().filter(|refused| !refused.one_by_one).map(|refused| &refused.why)
    }

    /// One was refused because too many run.
    pub(in crate::lane) fn refuse(&mut self, now: Instant) -> Refusals {
        // If no job was submitted for long, the last refusal says nothing about the time since.
        self.refused.take_if(|refused| now.saturating_duration_since(refused.ask_at) > ONE_BY_ONE_AFTER);
        if self.refused.is_none() {
            self.delays.reset();
        }
        let ask_at = now + self.delays.following();
        let Some(refused) = &mut self.refused else {
            let why = "too many bulk jobs of the account are running; records wait for one to end".to_owned();
            let why = (Impediment::Throttled, why);
            self.refused = Some(RefusedJobs { since: now, ask_at, one_by_one: false, why });
            return Refusals::Began;
        };
        refused.ask_at = ask_at;
        if refused.one_by_one || now.saturating_duration_since(refused.since) < ONE_BY_ONE_AFTER {
            return Refusals::GoOn;
        }
        refused.one_by_one = true;
        Refusals::LastTooLong
    }

    pub(in crate::lane) fn accept(&mut self) {
        self.refused = None;
    }

    /// A job of this program ended, so another one may be submitted at once.
    pub(in crate::lane) fn job_over(&mut self, now: Instant) {
        if let Some(refused) = &mut self.refused {
            refused.ask_at = refused.ask_at.min(now);
        }
    }
}
