//! Calls on their way, or waiting to be sent again: what each is for, and whose it is.

use std::time::Duration;

use tokio::time::Instant;

use super::jobs::GIVEN_UP;
use crate::delays::Delays;
use crate::freshsales::{Call, Trouble as Failure};
use crate::schema::Entity;

/// A call and what it is for.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) call: Call,
    pub(super) purpose: Purpose,
    pub(super) delays: Delays,
    /// When it was sent for the first time.
    pub(super) since: Option<Instant>,
    /// It was sent to find out whether a block is over.
    pub(super) probe: bool,
}

impl Outgoing {
    /// Whether a bulk call, or the question about its job, has failed for so long that its records are better done
    /// one by one. Where everything fails, a bulk call waits: many calls would not get through either.
    pub(super) fn hopeless(&self, trouble: Failure, worked: Option<Instant>, now: Instant) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= GIVEN_UP;
        match self.purpose {
            Purpose::Fields(_) | Purpose::Step(_) => false,
            Purpose::Poll(Polling { submitted, .. }) => long(submitted),
            Purpose::Bulk(_) => self.since.is_some_and(|since| {
                let outage = !matches!(trouble, Failure::ServerError(..500));
                long(since) && (!outage || worked.is_some_and(|at| at > since))
            }),
        }
    }
}

/// What a call is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    Fields(Entity),
    /// One unit's next step.
    Step(u64),
    /// The same step of many units.
    Bulk(Vec<u64>),
    /// What became of a bulk call.
    Poll(Polling),
}

impl Purpose {
    /// Whether it reads the account's fields.
    pub(super) const fn reads_fields(&self) -> bool {
        match self {
            Self::Fields(_) => true,
            Self::Step(_) | Self::Bulk(_) | Self::Poll(_) => false,
        }
    }

    /// Whether a bulk job runs for it, or will if it is accepted.
    pub(super) const fn is_job(&self) -> bool {
        match self {
            Self::Fields(_) | Self::Step(_) => false,
            Self::Bulk(_) | Self::Poll(_) => true,
        }
    }

    /// The units that the call is made for.
    pub(super) fn units(&self) -> &[u64] {
        match self {
            Self::Fields(_) => &[],
            Self::Step(unit) => std::slice::from_ref(unit),
            Self::Bulk(units) | Self::Poll(Polling { units, .. }) => units,
        }
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
