//! What an answer does to its budget: to the breaker, the quota and the impediment that people are shown. The scheduler
//! calls it for every answer, before it looks at what the answer means for the event.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{CallAttempt, CallClass};
use super::doubt::attribution::DoubtfulAnswer;
use super::{Budget, Impediment};
use crate::freshsales::{RateLimit, UnavailableCause, Verdict};

/// When a call is tried again.
type Again = Instant;

impl Budget {
    /// Takes the answer to a call. Returns when it may be sent again, unless it got through.
    pub(in crate::lane) fn answered(
        &mut self,
        mut attempt: CallAttempt<'_>,
        verdict: &Verdict,
        limit: &RateLimit,
        now: Instant,
    ) -> Option<Instant> {
        self.in_flight = self.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Done(_) | Verdict::Refused { .. } | Verdict::TooManyJobs => {
                self.got_through(&attempt, limit, now);
                None
            }
            Verdict::Unauthorized { .. } | Verdict::Denied { .. } | Verdict::Unrecognized(_) => {
                if let Some(answer) = DoubtfulAnswer::of(verdict) {
                    self.met_by(&attempt, &answer, now);
                }
                Some(now)
            }
            Verdict::Throttled { retry_after } => {
                Some(self.throttled(&mut attempt, *retry_after, limit, now))
            }
            Verdict::Unavailable { cause, retry_after } => {
                Some(self.unavailable(&mut attempt, *cause, *retry_after, now))
            }
        }
    }

    fn got_through(&mut self, attempt: &CallAttempt<'_>, limit: &RateLimit, now: Instant) {
        if attempt.probe {
            let unavailable = &mut self.waits.unavailable;
            if self.breaker.probe_got_through(attempt.class, now, || unavailable.following()) {
                self.reads_left = 0;
            }
        }
        match attempt.class {
            CallClass::Check => {}
            CallClass::Read | CallClass::Work => {
                self.last_success = Some(now);
                self.breaker.forget_failures();
            }
        }
        if self.breaker.is_closed() {
            // Credentials that read fields may not suffice to write records: only a record that is written shows that.
            let only_checked = attempt.class == CallClass::Check;
            self.impediment.take_if(|(kind, _)| !only_checked || *kind != Impediment::Unauthorized);
            self.waits.throttled.reset();
            self.waits.unauthorized.reset();
            self.waits.unavailable.reset();
        }
        self.observe(now, limit, self.in_flight);
        if self.impediment.is_none()
            && let Some(wait) = self.breaker.wait(now)
        {
            let why = format!("no calls are left; going on in {} s", wait.as_secs());
            self.impediment = Some((Impediment::Throttled, why));
        }
    }

    /// Whether the account or the record is at fault is decided elsewhere; only a check speaks for the account.
    fn met_by(&mut self, attempt: &CallAttempt<'_>, answer: &DoubtfulAnswer, now: Instant) {
        match attempt.class {
            CallClass::Check => {
                // Calls that were in flight when the wait began say nothing new: they do not lengthen it.
                if attempt.probe || !self.is_fields_only() {
                    let wait = match self.explain(answer).0 {
                        Impediment::Unauthorized => self.waits.unauthorized.following(),
                        Impediment::Throttled | Impediment::Retrying => self.waits.unavailable.following(),
                    };
                    self.admit_fields_only(answer, wait, now);
                }
            }
            CallClass::Read | CallClass::Work => {
                if attempt.probe {
                    self.breaker.release_probe(now);
                }
            }
        }
    }

    fn throttled(
        &mut self,
        attempt: &mut CallAttempt<'_>,
        retry_after: Option<Duration>,
        limit: &RateLimit,
        now: Instant,
    ) -> Again {
        // Without Retry-After the reset is the next best; it counts only when nothing is left. A wait of zero would
        // allow to send without a pause.
        let reset = limit.reset.filter(|_| limit.remaining == Some(0));
        let asked = retry_after.or(reset).filter(|wait| !wait.is_zero());
        if let Some(again) = self.own_wait(attempt, asked, now) {
            return again;
        }
        if asked.is_some() || attempt.probe || self.breaker.is_closed() {
            let wait = asked.unwrap_or_else(|| self.waits.throttled.following());
            self.block_throttled(now, wait);
            let why = format!("too many calls; going on in {} s", wait.as_secs());
            self.impediment = Some((Impediment::Throttled, why));
        }
        // It may be the only record that is throttled: others go first.
        self.not_before(attempt, now) + attempt.delays.following()
    }

    fn unavailable(
        &mut self,
        attempt: &mut CallAttempt<'_>,
        cause: UnavailableCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Again {
        if may_be_down(cause) {
            self.breaker.fail(attempt.number);
        }
        // One failure says nothing about the limit: the next call is another probe.
        if attempt.probe {
            self.breaker.release_probe(now);
        }
        let still_shut = attempt.class == CallClass::Check && self.is_fields_only();
        if still_shut {
            self.block_unavailable(now);
        }
        // Calls that were in flight when the outage began say nothing new.
        if self.is_outage() && (attempt.probe || self.breaker.is_closed()) {
            self.block_unavailable(now);
        }
        let mut again = now;
        // Retry-After speaks for the server, not for the record.
        if let Some(wait) = retry_after.filter(|wait| !wait.is_zero()) {
            if let Some(again) = self.own_wait(attempt, Some(wait), now) {
                return again;
            }
            self.block(now, wait);
            let until = self.not_before(attempt, now);
            // In an outage the others go first anyway.
            if !self.is_outage() {
                again = until;
            }
        }
        self.impediment = Some((Impediment::Retrying, in_words(cause)));
        again + attempt.delays.following()
    }

    fn own_wait(
        &mut self,
        attempt: &mut CallAttempt<'_>,
        asked: Option<Duration>,
        now: Instant,
    ) -> Option<Again> {
        let again = attempt.own_wait(asked, self.last_success, now)?;
        if attempt.probe {
            self.breaker.release_probe(now);
        }
        Some(again)
    }

    /// Notes in the call that it waits as long as all others do.
    fn not_before(&self, attempt: &mut CallAttempt<'_>, now: Instant) -> Instant {
        let until = now + self.breaker.wait(now).unwrap_or_default();
        *attempt.not_before = Some(until);
        until
    }
}

/// Whether a failure is one that an outage is made of. A server that answers 4xx works.
const fn may_be_down(cause: UnavailableCause) -> bool {
    match cause {
        UnavailableCause::ServerError(_)
        | UnavailableCause::UnexpectedBody(_)
        | UnavailableCause::Timeout
        | UnavailableCause::Connection => true,
        UnavailableCause::UnexpectedStatus(_) | UnavailableCause::Panicked => false,
    }
}

fn in_words(cause: UnavailableCause) -> String {
    match cause {
        UnavailableCause::ServerError(status) | UnavailableCause::UnexpectedStatus(status) => {
            format!("Freshsales answered {status}")
        }
        UnavailableCause::UnexpectedBody(_) => {
            "Freshsales' answer is not what the endpoint answers".to_owned()
        }
        UnavailableCause::Timeout => "no answer within delivery.request_timeout".to_owned(),
        UnavailableCause::Connection => "Freshsales cannot be reached".to_owned(),
        UnavailableCause::Panicked => "sending a call panicked; this is a bug".to_owned(),
    }
}
