//! One of an account's two budgets: the API's or the tracking endpoints'. It has a quota, a circuit breaker, and the
//! impediment that people are shown. The scheduler asks before each call and hands in each answer; events are unknown
//! here. Pure but for the jitter of its waits.

mod answers;
pub(super) mod attempt;
mod breaker;
pub(super) mod budgets;
pub(super) mod doubt;
mod impediment;
mod quota;
#[cfg(test)]
mod tests;

pub use impediment::Impediment;
pub use quota::{Grant, Quota};

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;
use crate::freshsales::{BudgetKind, RateLimit};
use crate::lane::status::facts::QuotaFacts;
use crate::lane::timing::BackoffSettings;
use breaker::Breaker;
use quota::UsedUp;

/// Of this many calls at the pace of the quota, one may repeat a call that has often failed while others got through.
const CALLS_PER_REPEAT: u32 = 5;

/// One budget of an account.
#[derive(Debug)]
pub struct Budget {
    kind: BudgetKind,
    /// What else to ask where there is nothing at the account's url.
    not_found_hint: Option<&'static str>,
    quota: Quota,
    breaker: Breaker,
    /// Calls that may still read fields while the breaker is open because the quota is used up.
    reads_left: usize,
    /// Calls that are not answered yet.
    in_flight: usize,
    /// When the next call may be repeated that has often failed while others got through.
    next_repeat: Option<Instant>,
    last_success: Option<Instant>,
    waits: Waits,
    /// What is wrong now, and why, in words without personal data.
    impediment: Option<(Impediment, String)>,
}

/// The growing waits, one for each kind of impediment.
#[derive(Debug)]
struct Waits {
    throttled: Delays,
    unauthorized: Delays,
    unavailable: Delays,
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(kind: BudgetKind, quota: Quota, backoff: BackoffSettings) -> Self {
        let waits = |(first, longest)| Delays::new(first, longest);
        Self {
            kind,
            not_found_hint: None,
            quota,
            breaker: Breaker::default(),
            reads_left: 0,
            in_flight: 0,
            next_repeat: None,
            last_success: None,
            waits: Waits {
                throttled: waits(backoff.throttled),
                unauthorized: waits(backoff.unauthorized),
                unavailable: waits(backoff.unavailable),
            },
            impediment: None,
        }
    }

    /// The account has other limits from now on.
    pub(super) fn change_quota(&mut self, quota: Quota, now: Instant) {
        let before = std::mem::replace(&mut self.quota, quota);
        self.quota.go_on_after(before, now);
    }

    /// Somebody changed the account's settings, maybe its key: if credentials were refused, a call finds out at once.
    pub(super) fn end_unauthorized_wait(&mut self, now: Instant) {
        if self.has(Impediment::Unauthorized) {
            self.breaker.end_wait(now);
            self.waits.unauthorized.reset();
        }
    }

    pub(super) fn set_not_found_hint(&mut self, hint: &'static str) {
        self.not_found_hint = Some(hint);
    }

    /// Whether a call may go now; [`Budget::spend`] counts it.
    pub fn ask(&mut self, now: Instant) -> Grant {
        if self.breaker.is_closed() { self.quota.ask(now) } else { self.breaker.ask(now) }
    }

    /// The same for a call that reads fields: it may also go while the quota is used up but for the reserve.
    pub(super) fn ask_to_read(&mut self, now: Instant) -> Grant {
        if self.may_read_from_reserve(now) { self.quota.ask(now) } else { self.ask(now) }
    }

    fn may_read_from_reserve(&self, now: Instant) -> bool {
        self.reads_left > 0 && matches!(self.breaker.ask(now), Grant::At(_))
    }

    /// A call goes, as [`Budget::ask`] just allowed. True if it is the breaker's probe.
    pub fn spend(&mut self, now: Instant) -> bool {
        self.in_flight += 1;
        let probe = self.breaker.send();
        if let Some(used_up) = self.quota.take_one_left().filter(|_| !probe) {
            self.use_up(used_up, now);
            self.quota.forget_left();
        }
        self.quota.spend(now);
        probe
    }

    /// A call that reads fields goes, as [`Budget::ask_to_read`] just allowed. True if it is the breaker's probe.
    pub(super) fn spend_to_read(&mut self, now: Instant) -> bool {
        if !self.may_read_from_reserve(now) {
            return self.spend(now);
        }
        self.in_flight += 1;
        self.reads_left -= 1;
        self.quota.spend(now);
        false
    }

    /// Takes the rate limit that an answer's headers state, while `in_flight` calls are not answered.
    pub fn observe(&mut self, now: Instant, limit: &RateLimit, in_flight: usize) {
        if let Some(used_up) = self.quota.observe(limit, in_flight) {
            self.use_up(used_up, now);
        }
    }

    fn use_up(&mut self, used_up: UsedUp, now: Instant) {
        // While something else keeps calls away, the reserve is no way round it.
        let most = if self.breaker.is_closed() { used_up.reads_left } else { self.reads_left };
        self.block(now, used_up.wait);
        self.reads_left = used_up.reads_left.min(most);
    }

    fn block(&mut self, now: Instant, wait: Duration) {
        self.breaker.open(now, wait);
        self.reads_left = 0;
    }

    fn block_all_but_fields(&mut self, now: Instant, wait: Duration) {
        self.breaker.open_for_fields(now, wait);
        self.reads_left = 0;
    }

    /// Lets nothing but reading fields go where a call that reads fields uses the same credentials.
    fn block_throttled(&mut self, now: Instant, wait: Duration) {
        match self.kind {
            BudgetKind::Api => self.block_all_but_fields(now, wait),
            BudgetKind::Tracking => self.block(now, wait),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// For people.
    pub(super) fn facts(&self, now: Instant) -> QuotaFacts {
        let facts = self.quota.facts(now);
        let (left, next) = if self.breaker.is_closed() {
            (facts.left, self.quota.next(now))
        } else {
            (0, self.breaker.until())
        };
        QuotaFacts { left, next: next.filter(|_| left == 0), ..facts }
    }

    pub(super) fn impediment(&self) -> Option<&(Impediment, String)> {
        self.impediment.as_ref()
    }

    fn has(&self, kind: Impediment) -> bool {
        self.impediment.as_ref().is_some_and(|(found, _)| *found == kind)
    }

    /// When a call last got through.
    pub(super) fn last_success(&self) -> Option<Instant> {
        self.last_success
    }

    /// Whether Freshsales is down, so that only probes go.
    pub(super) fn is_outage(&self) -> bool {
        self.breaker.is_outage()
    }

    /// Whether only calls that read fields go.
    pub(super) fn is_fields_only(&self) -> bool {
        self.breaker.is_fields_only()
    }

    /// Whether a call that has been a probe goes after those that have not: no single record may be every probe.
    pub(super) fn probes_in_turn(&self) -> bool {
        self.is_outage() || !self.breaker.is_closed() && self.has(Impediment::Unauthorized)
    }

    pub(super) fn next_repeat(&self) -> Option<Instant> {
        self.next_repeat
    }

    /// One of those calls goes.
    pub(super) fn spend_repeat(&mut self, now: Instant) {
        self.next_repeat = Some(now + self.quota.interval() * CALLS_PER_REPEAT);
    }

    /// One of them got through: what was wrong with it may be over for the others, too.
    pub(super) fn allow_repeats(&mut self) {
        self.next_repeat = None;
    }

    /// A call will not be answered.
    pub(super) fn aborted(&mut self, probe: bool, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if probe {
            self.breaker.release_probe(now);
        }
    }

    /// A gateway before Freshsales asks for no calls until then.
    pub(super) fn stay_away(&mut self, until: Instant, now: Instant) {
        let wait = until.saturating_duration_since(now);
        if self.has(Impediment::Unauthorized) {
            return self.block(now, wait);
        }
        self.block_throttled(now, wait);
        let wait = wait.as_secs();
        let why = format!("too many calls for the gateway before Freshsales; going on in {wait} s");
        self.impediment = Some((Impediment::Throttled, why));
    }

    /// Everything was given back but the calls in flight: earlier failures concern no event that is still here. An outage
    /// stays, or each new session would begin with many calls.
    pub(super) fn gave_back(&mut self) {
        if self.in_flight > 0 || self.is_outage() || self.is_fields_only() {
            return;
        }
        self.breaker.forget_failures();
        self.impediment.take_if(|(kind, _)| *kind == Impediment::Retrying);
    }

    fn block_unavailable(&mut self, now: Instant) {
        let wait = self.waits.unavailable.following();
        self.block(now, wait);
    }

    /// A record met what several others met, too: it counts as a failure of the server.
    pub(super) fn count_failure(&mut self, number: u64, now: Instant) {
        if self.breaker.fail(number) {
            self.block_unavailable(now);
        }
    }
}
