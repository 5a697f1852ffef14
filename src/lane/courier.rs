//! Gets one call through: waits for quota, sends, judges the answer, tries again. The only layer that retries.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::quota::{Era, Grant, Quota};
use super::state::{Board, Trouble};
use crate::delays::Delays;
use crate::freshsales::Trouble as Failure;
use crate::freshsales::{Answer, Budget, Call, Client, NoAnswer, RateLimit, Verdict, classify};
use crate::metrics::AccountMetrics;

/// How long to wait where no answer says it: the first wait and the longest.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Freshsales is down, unreachable, or answers nonsense.
    pub unavailable: (Duration, Duration),
    /// Too many calls.
    pub throttled: (Duration, Duration),
    /// Credentials are refused.
    pub unauthorized: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            unavailable: (Duration::from_millis(500), Duration::from_mins(1)),
            throttled: (Duration::from_secs(5), Duration::from_mins(5)),
            unauthorized: (Duration::from_secs(30), Duration::from_mins(5)),
        }
    }
}

impl Patience {
    fn delays(&self, trouble: Trouble) -> Delays {
        let (first, longest) = match trouble {
            Trouble::Retrying => self.unavailable,
            Trouble::Throttled => self.throttled,
            Trouble::Unauthorized => self.unauthorized,
        };
        Delays::new(first, longest)
    }
}

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotDone {
    /// Freshsales refused the record for good.
    Refused { status: u16, messages: Vec<String> },
    /// It was given up before it was sent (again), because the lane is stopping.
    Abandoned,
}

/// One account's way to Freshsales. Shared by all calls in flight.
#[derive(Debug)]
pub(super) struct Courier {
    client: Client,
    board: std::sync::Arc<Board>,
    metrics: AccountMetrics,
    patience: Patience,
    limits: Mutex<Limits>,
    /// A block was lifted or a probe ended: whoever waits asks again.
    changed: Notify,
}

#[derive(Debug)]
struct Limits {
    api: Limit,
    tracking: Limit,
    waiting: u32,
    /// Up to when waiting was counted.
    counted: Instant,
}

/// One budget's quota, and how long its troubles have lasted.
#[derive(Debug)]
struct Limit {
    quota: Quota,
    throttled: Delays,
    unauthorized: Delays,
}

impl Limits {
    fn of(&mut self, budget: Budget) -> &mut Limit {
        match budget {
            Budget::Api => &mut self.api,
            Budget::Tracking => &mut self.tracking,
        }
    }
}

impl Courier {
    pub(super) fn new(
        client: Client,
        board: std::sync::Arc<Board>,
        metrics: AccountMetrics,
        patience: Patience,
        api: Quota,
        tracking: Quota,
    ) -> Self {
        let limit = |quota| Limit {
            quota,
            throttled: patience.delays(Trouble::Throttled),
            unauthorized: patience.delays(Trouble::Unauthorized),
        };
        let limits =
            Limits { api: limit(api), tracking: limit(tracking), waiting: 0, counted: Instant::now() };
        Self { client, board, metrics, patience, limits: Mutex::new(limits), changed: Notify::new() }
    }

    pub(super) fn can_track(&self) -> bool {
        self.client.can_track()
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the waiting up to now. At every change, because a lane short of quota may wait without an end.
    fn count_waiting(&self, limits: &mut Limits) {
        let now = Instant::now();
        if limits.waiting > 0 {
            let waited = now.saturating_duration_since(limits.counted);
            self.metrics.quota_wait_seconds.inc_by(waited.as_secs_f64());
        }
        limits.counted = now;
    }

    /// Gets the call through. `attempts` counts what was sent. After `stop` nothing new is sent,
    /// but an answer under way is waited for.
    pub(super) async fn call(
        &self,
        call: &Call,
        stop: &CancellationToken,
        attempts: &mut u32,
    ) -> Result<Value, NotDone> {
        let budget = call.endpoint.budget();
        let mut delays = self.patience.delays(Trouble::Retrying);
        loop {
            let Some(probe) = stop.run_until_cancelled(self.permit(budget)).await else {
                return Err(NotDone::Abandoned);
            };
            *attempts += 1;
            let started = Instant::now();
            let answer = self.client.send(call).await;
            let era = probe.answered();
            let verdict = classify(call.endpoint, answer.as_ref().map_err(|error| *error));
            self.metrics.requests.observe(call.endpoint.as_str(), verdict.as_str(), started.elapsed(), 1);
            match self.judge(budget, era, verdict, answer.as_ref()) {
                Judged::Done(body) => return Ok(body),
                Judged::Refused { status, messages } => return Err(NotDone::Refused { status, messages }),
                // The budget is blocked; the next permit waits for it.
                Judged::Blocked => {}
                Judged::Later(asked) => {
                    let wait = asked.unwrap_or_default().max(delays.following());
                    if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return Err(NotDone::Abandoned);
                    }
                }
            }
        }
    }

    /// Notes what the verdict says about the budget, and what the caller does next.
    fn judge(
        &self,
        budget: Budget,
        era: Era,
        verdict: Verdict,
        answer: Result<&Answer, &NoAnswer>,
    ) -> Judged {
        let now = Instant::now();
        let mut limits = self.limits();
        let limit = limits.of(budget);
        let told = answer.map_or_else(|_| RateLimit::default(), |answer| answer.rate_limit);
        // A call that was under way when a block began neither lifts it nor makes it longer.
        let old_news = era != limit.quota.era();
        let judged = match verdict {
            Verdict::Done(body) => {
                self.got_through(limit, budget, era, &told);
                Judged::Done(body)
            }
            Verdict::Refused { status, messages } => {
                self.got_through(limit, budget, era, &told);
                Judged::Refused { status, messages }
            }
            Verdict::Unauthorized { .. } if old_news => Judged::Blocked,
            Verdict::Unauthorized { status } => {
                let wait = limit.unauthorized.following();
                limit.quota.block(now, wait);
                let what = match budget {
                    Budget::Api => "api_key",
                    Budget::Tracking => "app_token",
                };
                let why = format!(
                    "Freshsales answered {status}: check {what}; trying again in {} s",
                    wait.as_secs()
                );
                self.board.trouble(budget, Trouble::Unauthorized, &why);
                Judged::Blocked
            }
            Verdict::Throttled { retry_after } => {
                // Without Retry-After the reset is the next best word; it is believed only when nothing is left.
                // A wait of nothing, or until a time that has passed, would be a licence to hammer.
                let reset = told.reset.filter(|_| told.remaining == Some(0));
                let asked = retry_after.or(reset).filter(|wait| !wait.is_zero());
                if asked.is_some() || !old_news {
                    let wait = asked.unwrap_or_else(|| limit.throttled.following());
                    limit.quota.block(now, wait);
                    let why = format!("too many calls; going on in {} s", wait.as_secs());
                    self.board.trouble(budget, Trouble::Throttled, &why);
                }
                Judged::Blocked
            }
            Verdict::Unavailable { trouble, retry_after } => {
                match retry_after.filter(|wait| !wait.is_zero()) {
                    // It speaks for the server, not for the record.
                    Some(wait) => limit.quota.block(now, wait),
                    None => {
                        limit.quota.unblock(era);
                    }
                }
                let why = match trouble {
                    Failure::ServerError => match answer.map(|answer| answer.status) {
                        Ok(status) if status >= 300 => format!("Freshsales answered {status}"),
                        _ => "Freshsales' answer is not what the endpoint answers".to_owned(),
                    },
                    Failure::Timeout => "no answer within delivery.request_timeout".to_owned(),
                    Failure::Connection => "Freshsales cannot be reached".to_owned(),
                };
                self.board.trouble(budget, Trouble::Retrying, &why);
                Judged::Later(retry_after)
            }
        };
        if budget == Budget::Api {
            self.metrics.quota_remaining.set(limit.quota.remaining());
        }
        drop(limits);
        self.changed.notify_waiters();
        judged
    }

    /// A call of this era got through, whatever was said of its record.
    fn got_through(&self, limit: &mut Limit, budget: Budget, era: Era, told: &RateLimit) {
        let now = Instant::now();
        if limit.quota.unblock(era) {
            limit.throttled.reset();
            limit.unauthorized.reset();
        }
        limit.quota.observe(now, told);
        match limit.quota.blocked_for(now) {
            None => self.board.well(budget),
            Some(wait) if told.remaining == Some(0) => {
                let why = format!("no calls are left; going on in {} s", wait.as_secs());
                self.board.trouble(budget, Trouble::Throttled, &why);
            }
            Some(_) => {}
        }
    }

    /// Waits until a call of this budget may go.
    async fn permit(&self, budget: Budget) -> Probe<'_> {
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            let changed = self.changed.notified();
            let (grant, era) = {
                let mut limits = self.limits();
                let quota = &mut limits.of(budget).quota;
                (quota.take(Instant::now()), quota.era())
            };
            match grant {
                Grant::Now => return Probe { courier: self, budget, era, answered: false },
                Grant::At(_) | Grant::AfterProbe if waiting.is_none() => waiting = Some(Waiting::new(self)),
                Grant::At(_) | Grant::AfterProbe => {}
            }
            match grant {
                Grant::Now | Grant::AfterProbe => changed.await,
                Grant::At(then) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(then) => {}
                    }
                }
            }
        }
    }
}

/// What the caller of one call does next.
enum Judged {
    Done(Value),
    Refused { status: u16, messages: Vec<String> },
    Blocked,
    Later(Option<Duration>),
}

/// The right to send one call. If it is dropped before the answer, another call may probe.
struct Probe<'a> {
    courier: &'a Courier,
    budget: Budget,
    era: Era,
    answered: bool,
}

impl Probe<'_> {
    fn answered(mut self) -> Era {
        self.answered = true;
        self.era
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.courier.limits().of(self.budget).quota.give_back_probe(self.era);
            self.courier.changed.notify_waiters();
        }
    }
}

/// Counts the time in which at least one call waits for quota.
struct Waiting<'a>(&'a Courier);

impl<'a> Waiting<'a> {
    fn new(courier: &'a Courier) -> Self {
        let mut limits = courier.limits();
        courier.count_waiting(&mut limits);
        limits.waiting += 1;
        Self(courier)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut limits = self.0.limits();
        self.0.count_waiting(&mut limits);
        limits.waiting -= 1;
    }
}
