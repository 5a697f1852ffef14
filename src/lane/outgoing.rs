//! Calls on their way, or waiting to be sent again: what each is for, and whose it is.

use std::time::Duration;

use tokio::time::Instant;

use super::doubt::Doubt;
use super::jobs::GIVEN_UP;
use crate::delays::Delays;
use crate::freshsales::{Call, Family, Trouble as Failure, Verdict};
use crate::schema::Entity;

/// A call and what it is for.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) call: Call,
    pub(super) purpose: Purpose,
    pub(super) delays: Delays,
    /// When it was sent for the first time.
    pub(super) since: Option<Instant>,
    /// When it was sent last.
    pub(super) sent: Option<Instant>,
    /// When it may come again, as it was told when calls were too many or the server too busy.
    pub(super) told: Option<Instant>,
    /// It met something that may be its own fault.
    pub(super) doubt: Option<Doubt>,
    /// How often it was answered, and did not get through.
    pub(super) failures: u32,
    /// How often it found no answer although others had got through since it did so before, and when it did last.
    pub(super) alone: u32,
    pub(super) failed: Option<Instant>,
    /// It was sent to find out whether a block is over.
    pub(super) probe: bool,
    /// What must not be sent again as it is: the creation of a deal that may have taken effect, or what holds a part of the
    /// record that others may have written meanwhile. The call reads what is there now, and this takes its place again if it is needed.
    pub(super) unsure: Option<Call>,
}

/// After so many failures of its own a call is repeated only in turn with others like it.
const OFTEN: u32 = 5;

impl Outgoing {
    /// Whose failures and successes say something about it: those of what it is made for in the end.
    pub(super) fn family(&self) -> Family {
        self.unsure.as_ref().unwrap_or(&self.call).endpoint.family()
    }

    /// Whether a bulk call, or the question about its job, has failed for so long that its records are better done
    /// one by one. Where everything fails, a bulk call waits: many calls would not get through either.
    pub(super) fn hopeless(&self, verdict: &Verdict, worked: Option<Instant>, now: Instant) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= GIVEN_UP;
        match self.purpose {
            Purpose::Fields(_) | Purpose::Check(_) | Purpose::Step(_) => false,
            Purpose::Poll(Polling { submitted, .. }) => {
                let unavailable = matches!(verdict, Verdict::Unavailable { .. });
                long(submitted) && (unavailable || self.others_got_through(worked))
            }
            Purpose::Bulk(_) => self.since.is_some_and(|since| {
                let own =
                    matches!(verdict, Verdict::Unavailable { trouble: Failure::ServerError(..500), .. });
                long(since) && (own || self.others_got_through(worked))
            }),
        }
    }

    /// It found no answer; others got through last at `worked`.
    pub(super) fn fails(&mut self, worked: Option<Instant>, now: Instant) {
        let others = self.failed.zip(worked).is_some_and(|(failed, worked)| worked > failed);
        self.alone += u32::from(others);
        self.failed = Some(now);
    }

    /// Whether it is repeated only in turn with others like it: many of them must not use up the quota of those that get
    /// through.
    pub(super) fn takes_turns(&self) -> bool {
        self.alone >= OFTEN && matches!(self.purpose, Purpose::Step(_))
    }

    /// Whether a call got through, the last of them at `worked`, since this one did not: after it was told to wait, only
    /// what got through when the wait was over counts.
    pub(super) fn others_got_through(&self, worked: Option<Instant>) -> bool {
        let since = self.told.or(self.since);
        worked.zip(since).is_some_and(|(worked, since)| worked > since)
    }
}

/// What a call is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    Fields(Entity),
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
    /// Whether it is made for what the account's fields are. A check reads fields, too, but does not look at them.
    pub(super) const fn reads_fields(&self) -> bool {
        match self {
            Self::Fields(_) => true,
            Self::Check(_) | Self::Step(_) | Self::Bulk(_) | Self::Poll(_) => false,
        }
    }

    /// Whether a bulk job runs for it, or will if it is accepted.
    pub(super) const fn is_job(&self) -> bool {
        match self {
            Self::Fields(_) | Self::Check(_) | Self::Step(_) => false,
            Self::Bulk(_) | Self::Poll(_) => true,
        }
    }

    /// Whether the call changes nothing and belongs to no event.
    pub(super) fn is_harmless(&self) -> bool {
        match self {
            Self::Fields(_) | Self::Check(_) => true,
            Self::Step(_) | Self::Bulk(_) | Self::Poll(_) => false,
        }
    }

    /// The units that the call is made for.
    pub(super) fn units(&self) -> &[u64] {
        match self {
            Self::Fields(_) | Self::Check(_) => &[],
            Self::Step(unit) => std::slice::from_ref(unit),
            Self::Bulk(units) | Self::Poll(Polling { units, .. }) => units,
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The HTTP status, where there was an answer.
    pub(super) status: Option<u16>,
    pub(super) ground: Ground,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// What Freshsales says about the record.
    Said(Vec<String>),
    /// It is not let in, in Freshsales' words, and the right that is missing, where it is one.
    Denied(Option<Family>, Vec<String>),
    /// What stands before Freshsales lets all through but this one.
    Seen(String),
    /// It never got through, for too long.
    Never(String),
}

impl Refused {
    pub(super) fn said(status: u16, messages: Vec<String>) -> Self {
        Self { status: Some(status), ground: Ground::Said(messages) }
    }
}

/// A bulk job that is asked about.
#[derive(Debug, Clone)]
pub(super) struct Polling {
    pub(super) units: Vec<u64>,
    /// How often it was asked about.
    pub(super) asked: u32,
    pub(super) submitted: Instant,
    /// By then it was expected to have ended, when it was submitted.
    pub(super) guess: Duration,
}
