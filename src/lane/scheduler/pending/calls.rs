//! A call that is in flight or waits to be sent: what it is for, and how it has failed so far.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;
use crate::freshsales::{BULK_JOB_LIMIT, BudgetKind, Call, EndpointFamily, UnavailableCause, Verdict};
use crate::lane::budget::attempt::{CallAttempt, CallClass};
use crate::lane::budget::doubt::attribution::Suspicion;
use crate::lane::contact::bulk::eligible::SharedCall;
use crate::schema::{Entity, Selector};

#[derive(Debug)]
pub(in crate::lane::scheduler) struct PendingCall {
    pub(in crate::lane::scheduler) call: Call,
    pub(in crate::lane::scheduler) purpose: Purpose,
    /// The call that this one prepares: it holds what was read before, so that is read anew, and then it is made again.
    pub(in crate::lane::scheduler) prepares: Option<Call>,
    /// It met answers that may be due to its record.
    pub(in crate::lane::scheduler) suspicion: Option<Suspicion>,
    pub(in crate::lane::scheduler) state: CallState,
    failures: Failures,
    sent: Sendings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane::scheduler) enum CallState {
    /// To be sent, or sent again, at this time or later.
    Due(Instant),
    InFlight,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    /// How often it got no answer although others had got through since it got none before.
    alone: u32,
    last: Option<Instant>,
    /// Freshsales asked not to send it again before this time.
    not_before: Option<Instant>,
    delays: Delays,
}

#[derive(Debug, Default)]
struct Sendings {
    first: Option<Instant>,
    last: Option<Instant>,
    /// It was sent last to find out whether the breaker may close.
    probe: bool,
}

/// After this many failures while others got through, a call is repeated only in turn with others like it.
const OFTEN: u32 = 5;

impl PendingCall {
    pub(in crate::lane::scheduler) fn new(
        call: Call,
        purpose: Purpose,
        state: CallState,
        waits: (Duration, Duration),
    ) -> Self {
        let delays = Delays::new(waits.0, waits.1);
        Self {
            call,
            purpose,
            prepares: None,
            suspicion: None,
            state,
            failures: Failures { count: 0, alone: 0, last: None, not_before: None, delays },
            sent: Sendings::default(),
        }
    }

    pub(in crate::lane::scheduler) fn budget(&self) -> BudgetKind {
        self.call.endpoint.budget()
    }

    /// The endpoints whose failures and successes say something about it: those of the call that it is made for.
    pub(in crate::lane::scheduler) fn family(&self) -> EndpointFamily {
        self.prepares.as_ref().unwrap_or(&self.call).endpoint.family()
    }

    /// The call as its budget sees it.
    pub(in crate::lane::scheduler) fn attempt(&mut self, number: u64) -> CallAttempt<'_> {
        CallAttempt {
            number,
            class: self.purpose.class(),
            probe: self.sent.probe,
            not_before: &mut self.failures.not_before,
            delays: &mut self.failures.delays,
        }
    }

    /// It is sent now; as a probe of its budget or not. Called by the call table, which keeps its state.
    pub(in crate::lane::scheduler) fn mark_sent(&mut self, now: Instant, probe: bool) {
        self.sent.first.get_or_insert(now);
        self.sent.last = Some(now);
        self.sent.probe = probe;
    }

    pub(in crate::lane::scheduler) fn was_sent(&self) -> bool {
        self.sent.first.is_some()
    }

    pub(in crate::lane::scheduler) fn last_sent(&self) -> Option<Instant> {
        self.sent.last
    }

    pub(in crate::lane::scheduler) fn is_probe(&self) -> bool {
        self.sent.probe
    }

    pub(in crate::lane::scheduler) fn failures(&self) -> u32 {
        self.failures.count
    }

    /// Its next wait, which grows.
    pub(in crate::lane::scheduler) fn next_wait(&mut self) -> Duration {
        self.failures.delays.following()
    }

    /// It did not get through. `others` is when another call of its budget last did.
    pub(in crate::lane::scheduler) fn count_failure(
        &mut self,
        verdict: &Verdict,
        others: Option<Instant>,
        now: Instant,
    ) {
        self.failures.count += 1;
        if matches!(verdict, Verdict::Unavailable { .. }) {
            let since_last = self.failures.last.zip(others).is_some_and(|(last, others)| others > last);
            self.failures.alone += u32::from(since_last);
            self.failures.last = Some(now);
        }
    }

    /// Whether it is repeated only in turn with others like it: many such calls must not use up the quota of those that
    /// get through.
    pub(in crate::lane::scheduler) fn takes_turns(&self) -> bool {
        self.failures.alone >= OFTEN && matches!(self.purpose, Purpose::Step(_))
    }

    /// Whether a call got through, the last of them at `others`, since this one did not. After it was asked to wait, only
    /// what got through after that wait counts.
    pub(in crate::lane::scheduler) fn others_got_through(&self, others: Option<Instant>) -> bool {
        let since = self.failures.not_before.or(self.sent.first);
        others.zip(since).is_some_and(|(others, since)| others > since)
    }

    /// Whether a bulk call, or the question about its job, has failed for so long that its records are better sent one by
    /// one. Where every call fails it waits: many calls would not get through either.
    pub(in crate::lane::scheduler) fn is_overdue(
        &self,
        verdict: &Verdict,
        others: Option<Instant>,
        now: Instant,
    ) -> bool {
        let overdue = |since: Instant| now.saturating_duration_since(since) >= BULK_JOB_LIMIT;
        match self.purpose {
            Purpose::Fields(_) | Purpose::Selector(_) | Purpose::Check(_) | Purpose::Step(_) => false,
            Purpose::Poll(Polling { submitted, .. }) => {
                let unavailable = matches!(verdict, Verdict::Unavailable { .. });
                overdue(submitted) && (unavailable || self.others_got_through(others))
            }
            Purpose::Bulk(..) | Purpose::Search(_) | Purpose::ReadBack(_) => {
                self.sent.first.is_some_and(|since| {
                    let due_to_this_call = matches!(
                        verdict,
                        Verdict::Unavailable {
                            cause: UnavailableCause::ServerError(408)
                                | UnavailableCause::UnexpectedStatus(_)
                                | UnavailableCause::UnexpectedBody(_),
                            ..
                        }
                    );
                    overdue(since) && (due_to_this_call || self.others_got_through(others))
                })
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(in crate::lane::scheduler) enum Purpose {
    /// The account's fields, for mapping.
    Fields(Entity),
    /// A selector, for mapping.
    Selector(Selector),
    /// To find out whether Freshsales answers and lets the account in. Reads fields, because that changes nothing; what
    /// they are is ignored.
    Check(Entity),
    /// The step of one work item.
    Step(u64),
    /// The same step of many work items.
    Bulk(Entity, Vec<u64>),
    /// A bulk job's status.
    Poll(Polling),
    /// Records of many work items are searched for.
    Search(RecordSearch),
    /// Whether links that were written in bulk are there.
    ReadBack(LinkTrial),
}

impl Purpose {
    /// Whether a bulk job runs for it, or will if it is accepted.
    pub(in crate::lane::scheduler) const fn is_job(&self) -> bool {
        match self {
            Self::Fields(_)
            | Self::Selector(_)
            | Self::Check(_)
            | Self::Step(_)
            | Self::Search(_)
            | Self::ReadBack(_) => false,
            Self::Bulk(..) | Self::Poll(_) => true,
        }
    }

    pub(in crate::lane::scheduler) const fn class(&self) -> CallClass {
        match self {
            Self::Check(_) => CallClass::Check,
            Self::Fields(_) | Self::Selector(_) => CallClass::Read,
            Self::Step(_) | Self::Bulk(..) | Self::Poll(_) | Self::Search(_) | Self::ReadBack(_) => {
                CallClass::Work
            }
        }
    }

    pub(in crate::lane::scheduler) fn work_items(&self) -> &[u64] {
        match self {
            Self::Fields(_) | Self::Selector(_) | Self::Check(_) => &[],
            Self::Step(item) => std::slice::from_ref(item),
            Self::Bulk(_, items)
            | Self::Poll(Polling { items, .. })
            | Self::Search(RecordSearch { items, .. })
            | Self::ReadBack(LinkTrial { items }) => items,
        }
    }
}

/// A bulk job whose status is asked for.
#[derive(Debug, Clone)]
pub(in crate::lane::scheduler) struct Polling {
    pub(in crate::lane::scheduler) entity: Entity,
    pub(in crate::lane::scheduler) items: Vec<u64>,
    pub(in crate::lane::scheduler) questions: u32,
    pub(in crate::lane::scheduler) submitted: Instant,
    /// How long after its submission the first question was to be asked.
    pub(in crate::lane::scheduler) first_wait: Duration,
}

#[derive(Debug, Clone)]
pub(in crate::lane::scheduler) struct RecordSearch {
    pub(in crate::lane::scheduler) items: Vec<u64>,
    /// The addresses or names that the call asks for.
    pub(in crate::lane::scheduler) asked: Vec<String>,
    pub(in crate::lane::scheduler) what: SharedCall,
    /// A contact that exists. Unless it is found, a contact that is not found may exist as well.
    pub(in crate::lane::scheduler) control: Option<String>,
}

/// Work items whose links were written in the first bulk call that wrote any. The first of them is read back.
#[derive(Debug, Clone)]
pub(in crate::lane::scheduler) struct LinkTrial {
    pub(in crate::lane::scheduler) items: Vec<u64>,
}
