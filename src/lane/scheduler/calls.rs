//! Calls on their way, or waiting to be sent again: what each is for, and whose it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;
use crate::freshsales::{BULK_JOB_LIMIT, Call, EndpointFamily, UnavailableCause as Failure, Verdict};
use crate::lane::budget::attempt::{Attempt, CallClass};
use crate::lane::budget::attribution::Suspicion;
use crate::schema::{Entity, Selector};

/// A call and what it is for.
#[derive(Debug)]
pub(in crate::lane) struct Outgoing {
    pub(in crate::lane) call: Call,
    pub(in crate::lane) purpose: Purpose,
    pub(in crate::lane) delays: Delays,
    /// When it was sent for the first time.
    pub(in crate::lane) since: Option<Instant>,
    /// When it was sent last.
    pub(in crate::lane) sent: Option<Instant>,
    /// When it may come again, as it was told when calls were too many or the server too busy.
    pub(in crate::lane) told: Option<Instant>,
    /// It met answers that may be due to its record.
    pub(in crate::lane) suspicion: Option<Suspicion>,
    /// How often it was answered, and did not get through.
    pub(in crate::lane) failures: u32,
    /// How often it found no answer although others had got through since it did so before, and when it did last.
    pub(in crate::lane) alone: u32,
    pub(in crate::lane) failed: Option<Instant>,
    /// It was sent to find out whether a block is over.
    pub(in crate::lane) probe: bool,
    /// What must not be sent again as it is: the creation of a deal that may have taken effect, or what holds a part of the
    /// record that others may have written meanwhile. The call reads what is there now, and this takes its place again if it is needed.
    pub(in crate::lane) unsure: Option<Call>,
}

/// After so many failures of its own a call is repeated only in turn with others like it.
const OFTEN: u32 = 5;

impl Outgoing {
    /// Whose failures and successes say something about it: those of what it is made for in the end.
    pub(in crate::lane) fn family(&self) -> EndpointFamily {
        self.unsure.as_ref().unwrap_or(&self.call).endpoint.family()
    }

    /// The call's part that its budget judges.
    pub(in crate::lane) fn attempt(&mut self, number: u64) -> Attempt<'_> {
        let (class, probe) = (self.purpose.class(), self.probe);
        Attempt { number, class, probe, not_before: &mut self.told, delays: &mut self.delays }
    }

    /// Whether a bulk call, or the question about its job, has failed for so long that its records are better done
    /// one by one. Where everything fails, a bulk call waits: many calls would not get through either.
    pub(in crate::lane) fn hopeless(&self, verdict: &Verdict, worked: Option<Instant>, now: Instant) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= BULK_JOB_LIMIT;
        match self.purpose {
            Purpose::Fields(_) | Purpose::Selector(_) | Purpose::Check(_) | Purpose::Step(_) => false,
            Purpose::Poll(Polling { submitted, .. }) => {
                let unavailable = matches!(verdict, Verdict::Unavailable { .. });
                long(submitted) && (unavailable || self.others_got_through(worked))
            }
            Purpose::Bulk(_) => self.since.is_some_and(|since| {
                let own = matches!(
                    verdict,
                    Verdict::Unavailable {
                        cause: Failure::ServerError(408)
                            | Failure::UnexpectedStatus(_)
                            | Failure::UnexpectedBody(_),
                        ..
                    }
                );
                long(since) && (own || self.others_got_through(worked))
            }),
        }
    }

    /// It found no answer; others got through last at `worked`.
    pub(in crate::lane) fn fails(&mut self, worked: Option<Instant>, now: Instant) {
        let others = self.failed.zip(worked).is_some_and(|(failed, worked)| worked > failed);
        self.alone += u32::from(others);
        self.failed = Some(now);
    }

    /// Whether it is repeated only in turn with others like it: many of them must not use up the quota of those that get
    /// through.
    pub(in crate::lane) fn takes_turns(&self) -> bool {
        self.alone >= OFTEN && matches!(self.purpose, Purpose::Step(_))
    }

    /// Whether a call got through, the last of them at `worked`, since this one did not: after it was told to wait, only
    /// what got through when the wait was over counts.
    pub(in crate::lane) fn others_got_through(&self, worked: Option<Instant>) -> bool {
        let since = self.told.or(self.since);
        worked.zip(since).is_some_and(|(worked, since)| worked > since)
    }
}

/// What a call is for.
#[derive(Debug, Clone)]
pub(in crate::lane) enum Purpose {
    Fields(Entity),
    Selector(Selector),
    /// Whether Freshsales is there and lets the account in. Reads fields, because that has no effect; what they are is
    /// not looked at.
    Check(Entity),
    /// One unit's next step.
    Step(u64),
    /// The same step of many units.
    Bulk(Vec<u64>),
    /// What became of a bulk call.
    Poll(Polling),
}

impl Purpose {
    /// Whether a bulk job runs for it, or will if it is accepted.
    pub(in crate::lane) const fn is_job(&self) -> bool {
        match self {
            Self::Fields(_) | Self::Selector(_) | Self::Check(_) | Self::Step(_) => false,
            Self::Bulk(_) | Self::Poll(_) => true,
        }
    }

    pub(in crate::lane) const fn class(&self) -> CallClass {
        match self {
            Self::Check(_) => CallClass::Check,
            Self::Fields(_) | Self::Selector(_) => CallClass::Read,
            Self::Step(_) | Self::Bulk(_) | Self::Poll(_) => CallClass::Work,
        }
    }

    /// The units that the call is made for.
    pub(in crate::lane) fn units(&self) -> &[u64] {
        match self {
            Self::Fields(_) | Self::Selector(_) | Self::Check(_) => &[],
            Self::Step(unit) => std::slice::from_ref(unit),
            Self::Bulk(units) | Self::Poll(Polling { units, .. }) => units,
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) struct Refused {
    /// The HTTP status, where there was an answer.
    pub(in crate::lane) status: Option<u16>,
    pub(in crate::lane) ground: Ground,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Ground {
    /// What Freshsales says about the record.
    Said(Vec<String>),
    /// It is not let in, in Freshsales' words, and the right that is missing, where it is one.
    Denied(Option<EndpointFamily>, Vec<String>),
    /// What stands before Freshsales lets all through but this one.
    Seen(String),
    /// It never got through, for too long.
    Never(String),
}

impl Refused {
    pub(in crate::lane) fn said(status: u16, messages: Vec<String>) -> Self {
        Self { status: Some(status), ground: Ground::Said(messages) }
    }
}

/// A bulk job that is asked about.
#[derive(Debug, Clone)]
pub(in crate::lane) struct Polling {
    pub(in crate::lane) units: Vec<u64>,
    /// How often it was asked about.
    pub(in crate::lane) asked: u32,
    pub(in crate::lane) submitted: Instant,
    /// By then it was expected to have ended, when it was submitted.
    pub(in crate::lane) guess: Duration,
}
