//! How many calls may go now by the account's quota. Knows nothing of failures: [`Budget`](super::Budget) asks here once
//! its breaker is closed, and keeps the calls away when this says that the quota is used up. Pure: the time is handed in.
//!
//! Two allowances add up to the quota. The *pace* gives one call at even intervals. The *burst* gives many at
//! once, and each of its calls comes back one period after it was spent, never earlier. So no window of one period
//! holds more calls than the quota, and all of the quota is used while work waits.

mod spent_calls;
mod withheld_calls;

use std::time::Duration;

use tokio::time::Instant;

use self::spent_calls::SpentCalls;
use self::withheld_calls::WithheldCalls;
use crate::freshsales::RateLimit;
use crate::lane::status::facts::QuotaFacts;
use crate::lane::timing::QUOTA_PAUSE;

/// Calls per period, as granted to one lane.
#[derive(Debug)]
pub struct Quota {
    period: Duration,
    /// Calls in a period.
    calls: usize,
    share: f64,
    burst: QuotaBurst,
    pace: QuotaPace,
    /// What the last answer said may still be spent, less the calls granted since.
    left: Option<f64>,
    /// Of what is left, this many calls are kept for reading fields: a lane that has used up its quota must still
    /// notice that its fields changed.
    pub(super) reserve: usize,
}

/// Calls that may go at once.
#[derive(Debug)]
struct QuotaBurst {
    size: usize,
    spent: SpentCalls,
    withheld: WithheldCalls,
}

/// Calls at even intervals.
#[derive(Debug)]
struct QuotaPace {
    interval: Duration,
    next: Instant,
    /// How far the pace may catch up after a moment without work.
    slack: Duration,
}

/// Whether a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It may go.
    Now,
    /// Ask again then.
    At(Instant),
    /// A probe is out; ask again when it is answered.
    AfterProbe,
}

/// Nothing may be spent for a while but a few calls that read fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedUp {
    pub(super) wait: Duration,
    pub(super) reads_left: usize,
}

/// The part of the quota that may go at once.
const BURST_SHARE: f64 = 0.25;

impl Quota {
    /// Grants at most `calls` in any `period`. `share` is the part of what an answer says is left that may be spent.
    pub fn new(calls: f64, period: Duration, share: f64, now: Instant) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of calls"
        )]
        let (calls, burst) = (calls.max(1.0) as usize, (calls * BURST_SHARE) as usize);
        // What the pace may catch up comes out of its rate: a window never holds more.
        let catch_up = calls / 100;
        let paced =
            u32::try_from((calls - burst.min(calls)).saturating_sub(catch_up).max(1)).unwrap_or(u32::MAX);
        let interval = period / paced + Duration::from_nanos(1);
        let slack = interval * u32::try_from(catch_up).unwrap_or(u32::MAX);
        let (spent, withheld) = (SpentCalls::new(burst, period, now), WithheldCalls::new(burst, period, now));
        Self {
            period,
            calls,
            share,
            burst: QuotaBurst { size: burst, spent, withheld },
            pace: QuotaPace { interval, next: now, slack },
            left: None,
            reserve: 0,
        }
    }

    /// Keeps so many calls of what answers say is left for reading fields; fewer where the quota is small.
    #[must_use]
    pub fn with_reserve(mut self, calls: usize) -> Self {
        self.reserve = calls.min(self.burst.size / 10);
        self
    }

    /// Goes on after `before`, which had other limits: what was spent stays spent, and comes back when it would have.
    pub(super) fn go_on_after(&mut self, before: Self, now: Instant) {
        self.burst.spent.take_over(before.burst.spent);
        if before.burst.withheld.is_empty() {
            self.burst.withheld.clear();
        }
        self.pace.next = before.pace.next.min(now + self.pace.interval);
        self.left = before.left.map(|left| left / before.share * self.share);
    }

    /// Between two calls of the pace.
    pub(super) fn interval(&self) -> Duration {
        self.pace.interval
    }

    /// Whether a call may go now; [`Quota::spend`] counts it.
    pub(super) fn ask(&mut self, now: Instant) -> Grant {
        self.burst.take_back(now);
        if self.burst.unspent() > 0 || now >= self.pace.next {
            return Grant::Now;
        }
        let next = self.pace.next;
        Grant::At(self.burst.next_back().map_or(next, |back| next.min(back)))
    }

    /// A call goes, as [`Quota::ask`] just allowed.
    pub(super) fn spend(&mut self, now: Instant) {
        if now >= self.pace.next {
            self.pace.next = self.pace.earliest(now) + self.pace.interval;
        } else {
            self.burst.spent.push(now + self.period);
        }
    }

    /// Takes one call from what the last answer said is left. What it says is used up when that was the last one.
    pub(super) fn take_one_left(&mut self) -> Option<UsedUp> {
        let left = self.left.as_mut()?;
        *left -= 1.0;
        let left = *left;
        // The rest of the account's quota belongs to others until an answer says otherwise.
        self.uses_up(left).then(|| self.used_up(QUOTA_PAUSE, left))
    }

    /// Forgets what the last answer said: it must not bind for ever where later answers say nothing.
    pub(super) fn forget_left(&mut self) {
        self.left = None;
    }

    /// Takes the headers of an answer, while `in_flight` calls are not answered. They count calls of other programs, too.
    pub(super) fn observe(&mut self, limit: &RateLimit, in_flight: usize) -> Option<UsedUp> {
        let remaining = limit.remaining?;
        #[expect(clippy::cast_precision_loss, reason = "a few calls")]
        let left = (f64::from(remaining) * self.share).floor() - in_flight as f64;
        if self.uses_up(left) {
            self.left = None;
            // A reset in the past means that the clocks differ; it does not allow calls.
            let wait = limit.reset.filter(|wait| !wait.is_zero()).unwrap_or(QUOTA_PAUSE);
            return Some(self.used_up(wait, left));
        }
        self.left = Some(left);
        self.burst.withheld.clear();
        None
    }

    fn uses_up(&self, left: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a few calls")]
        let reserve = self.reserve as f64;
        left < 1.0 + reserve
    }

    fn used_up(&self, wait: Duration, left: f64) -> UsedUp {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few calls")]
        let left = left.max(0.0) as usize;
        UsedUp { wait, reads_left: self.reserve.min(left) }
    }

    /// When the next call may go.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        [self.burst.spent.first_after(now), self.burst.withheld.first_after(now), Some(self.pace.next)]
            .into_iter()
            .flatten()
            .min()
    }

    /// For people.
    pub(super) fn facts(&self, now: Instant) -> QuotaFacts {
        let (at_once, period) = (self.burst.size + self.pace.most(), self.period);
        #[expect(clippy::cast_precision_loss, reason = "far fewer calls than that")]
        let allowed = self.calls as f64;
        QuotaFacts { left: self.remaining(now), at_once, allowed, period, next: None }
    }

    /// Calls that could go at once: by this quota, and by what the last answer said is left.
    fn remaining(&self, now: Instant) -> usize {
        let out = self.burst.spent.after(now) + self.burst.withheld.after(now);
        let unspent = self.burst.size.saturating_sub(out);
        let granted = unspent + self.pace.ready(now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few calls")]
        let left = self.left.map(|left| (left.max(0.0) as usize).saturating_sub(self.reserve));
        granted.min(left.unwrap_or(usize::MAX))
    }
}

impl QuotaPace {
    /// When the next call counts as gone; before now where the pace catches up.
    fn earliest(&self, now: Instant) -> Instant {
        self.next.max(now.checked_sub(self.slack).unwrap_or(now))
    }

    /// Calls that may go at once.
    fn ready(&self, now: Instant) -> usize {
        if now < self.next {
            return 0;
        }
        let behind = now.saturating_duration_since(self.earliest(now));
        1 + times(behind, self.interval)
    }

    /// As many as can ever go at once.
    fn most(&self) -> usize {
        1 + times(self.slack, self.interval)
    }
}

/// How often the interval fits.
fn times(duration: Duration, interval: Duration) -> usize {
    usize::try_from(duration.as_nanos() / interval.as_nanos().max(1)).unwrap_or(usize::MAX)
}

impl QuotaBurst {
    fn take_back(&mut self, now: Instant) {
        self.spent.take_back(now);
        self.withheld.take_back(now);
    }

    fn unspent(&self) -> usize {
        self.size.saturating_sub(self.spent.len() + self.withheld.len())
    }

    fn next_back(&self) -> Option<Instant> {
        [self.spent.next_back(), self.withheld.next_back()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
