//! The circuit breaker of a budget. Closed, calls go. Open, none goes before a time. Half open, one call is out as the
//! probe, and its answer decides for the others. [`Budget`](super::Budget) owns it and says what an answer means. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::CallClass;
use super::quota::Grant;

/// After so many failures in a row, not all of one call, Freshsales is taken to be down.
const OUTAGE: u32 = 5;

/// Opens for any wait that concerns all calls: a used-up quota, a 429, refused credentials, an outage.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: BreakerState,
    /// Kept in every state: calls that were in flight when it opened fail, too.
    failures: FailureStreak,
    /// It is open because Freshsales is down. Never set while closed.
    outage: bool,
    /// Only a call that reads fields may be the probe: a record that is itself the reason would keep the account shut
    /// for ever. Never set while closed.
    fields_only: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    #[default]
    Closed,
    /// From `until` on the next call is the probe.
    Open {
        until: Instant,
    },
    HalfOpen,
}

/// Calls in a row that got no answer.
#[derive(Debug, Default)]
struct FailureStreak {
    count: u32,
    first: Option<u64>,
    /// More than one call failed, so it is not one record that Freshsales cannot bear.
    several_calls: bool,
}

impl Breaker {
    pub(super) fn is_closed(&self) -> bool {
        self.state == BreakerState::Closed
    }

    pub(super) fn is_outage(&self) -> bool {
        self.outage
    }

    pub(super) fn is_fields_only(&self) -> bool {
        self.fields_only
    }

    pub(super) fn ask(&self, now: Instant) -> Grant {
        match self.state {
            BreakerState::Open { until } if now < until => Grant::At(until),
            BreakerState::Closed | BreakerState::Open { .. } => Grant::Now,
            BreakerState::HalfOpen => Grant::AfterProbe,
        }
    }

    /// When the next call may go as a probe; `None` if that is not a matter of time.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    /// How long no call goes; `None` while closed.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
            BreakerState::HalfOpen => Some(Duration::ZERO),
        }
    }

    /// Lets nothing go for at least this long. Never shortens an earlier wait.
    pub(super) fn open(&mut self, now: Instant, wait: Duration) {
        let until = now + wait;
        self.state = match self.state {
            BreakerState::Open { until: earlier } => BreakerState::Open { until: earlier.max(until) },
            BreakerState::Closed | BreakerState::HalfOpen => BreakerState::Open { until },
        };
    }

    /// The same, and then only a call that reads fields.
    pub(super) fn open_for_fields(&mut self, now: Instant, wait: Duration) {
        self.open(now, wait);
        self.fields_only = true;
    }

    /// The next call is the probe, and it may go now.
    pub(super) fn end_wait(&mut self, now: Instant) {
        if let BreakerState::Open { until } = &mut self.state {
            *until = now;
        }
    }

    /// A call goes. True if it is the probe.
    pub(super) fn send(&mut self) -> bool {
        match self.state {
            BreakerState::Closed => false,
            BreakerState::Open { .. } | BreakerState::HalfOpen => {
                self.state = BreakerState::HalfOpen;
                true
            }
        }
    }

    /// The probe's end says nothing; the next call is another one.
    pub(super) fn release_probe(&mut self, now: Instant) {
        if self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open { until: now };
        }
    }

    /// The probe got through. False, and nothing changes, if a newer wait began since it was sent. In an outage a check
    /// does not close it: the next probe is due `next` later.
    pub(super) fn probe_got_through(
        &mut self,
        class: CallClass,
        now: Instant,
        next: impl FnOnce() -> Duration,
    ) -> bool {
        if self.state != BreakerState::HalfOpen {
            return false;
        }
        self.fields_only = false;
        if self.outage && class == CallClass::Check {
            self.state = BreakerState::Open { until: now + next() };
        } else {
            self.state = BreakerState::Closed;
            self.outage = false;
        }
        true
    }

    /// A call failed as they do in an outage. True once there are so many that it is one; then the caller must open it.
    pub(super) fn fail(&mut self, number: u64) -> bool {
        self.failures.count = self.failures.count.saturating_add(1);
        self.failures.several_calls |= *self.failures.first.get_or_insert(number) != number;
        let down = self.failures.several_calls && self.failures.count >= OUTAGE;
        self.outage |= down;
        down
    }

    pub(super) fn forget_failures(&mut self) {
        self.failures = FailureStreak::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    enum Do {
        Open,
        Send,
        Release,
        Work,
        Check,
    }

    /// What is done, and what is granted one second after the last of it.
    #[test]
    fn it_opens_for_a_time_lets_one_probe_through_and_closes_when_that_gets_through() {
        use Do::{Check, Open, Release, Send, Work};
        let start = Instant::now();
        for (outage, steps, granted) in [
            (false, &[Open][..], Grant::Now),
            (false, &[Open, Send], Grant::AfterProbe),
            (false, &[Open, Send, Release], Grant::Now),
            (false, &[Open, Send, Open], Grant::Now),
            (false, &[Open, Send, Work], Grant::Now),
            (false, &[Open, Send, Check], Grant::Now),
            (true, &[Open, Send, Work], Grant::Now),
            (true, &[Open, Send, Check], Grant::At(start + SECOND * 3)),
        ] {
            let mut breaker = Breaker::default();
            if outage {
                assert!((0..5).fold(false, |_, number| breaker.fail(number)));
            }
            let mut sent = 0;
            for step in steps {
                match step {
                    Open => breaker.open(start, SECOND),
                    Send => sent += u32::from(breaker.send()),
                    Release => breaker.release_probe(start),
                    Work => assert!(breaker.probe_got_through(CallClass::Work, start, || SECOND * 3)),
                    Check => assert!(breaker.probe_got_through(CallClass::Check, start, || SECOND * 3)),
                }
            }
            assert_eq!(breaker.ask(start + SECOND), granted);
            let closed = steps.iter().any(|step| matches!(step, Work | Check)) && granted == Grant::Now;
            assert_eq!((breaker.is_closed(), breaker.is_outage()), (closed, outage && !closed));
            assert_eq!(breaker.send(), !closed);
            assert!(sent <= 1);
        }
    }

    #[test]
    fn a_wait_is_never_shortened_nor_ended_by_an_older_probe() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.open(start, SECOND * 10);
        breaker.open_for_fields(start, SECOND);
        assert_eq!(breaker.ask(start + SECOND), Grant::At(start + SECOND * 10));
        assert!(breaker.send());
        breaker.open(start, SECOND * 20);
        assert!(!breaker.probe_got_through(CallClass::Work, start, || SECOND));
        assert!(!breaker.is_closed() && breaker.is_fields_only());
        assert_eq!(breaker.wait(start + SECOND), Some(SECOND * 19));
        assert!(breaker.send());
        assert!(breaker.probe_got_through(CallClass::Check, start, || SECOND));
        assert!(breaker.is_closed() && !breaker.is_fields_only());
    }

    #[test]
    fn one_call_that_fails_often_is_no_outage_and_five_of_several_are() {
        let mut breaker = Breaker::default();
        assert!((0..100).all(|_| !breaker.fail(7)));
        assert!(breaker.fail(8) && breaker.is_outage());
        let mut breaker = Breaker::default();
        assert!((0..4).all(|number| !breaker.fail(number)));
        breaker.forget_failures();
        assert!((0..4).all(|number| !breaker.fail(number)));
        assert!(breaker.fail(0));
    }
}
