//! Whether a doubtful answer is due to one record or to the whole account: a 403, a web page, a path that is not there.
//! Calls that get through meanwhile show it; where there are none, the scheduler reads fields to find out. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::success_history::SuccessHistory;
use crate::freshsales::{BudgetKind, EndpointFamily, UnrecognizedAnswer, Verdict};
use crate::lane::budget::impediment::Impediment;

/// How often a record must fail while others get through before it is given up.
const RECORD_LIMIT: u32 = 4;
/// The same for records in one call, which are then sent one by one.
const GROUP_LIMIT: u32 = 2;
/// The same while foreign answers come and go, so that a record may meet several in a row by chance.
const INTERMITTENT_RECORD_LIMIT: u32 = 40;
const INTERMITTENT_GROUP_LIMIT: u32 = 8;
/// A success later than this after a doubtful answer proves nothing: the cause may have been mended in between. Then
/// the record is tried again.
const EVIDENCE_AGE: Duration = Duration::from_secs(30);
/// When to try again, in sixtieths of the time after which the record is given up.
const RETRY_SIXTIETHS: [u32; 5] = [1, 4, 15, 20, 20];

/// An answer that may be due to the record or to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum DoubtfulAnswer {
    /// Status and messages, in the API's own words or a gateway's.
    Denied(u16, Vec<String>),
    /// Not the API's.
    Unrecognized(UnrecognizedAnswer),
    Unauthorized(u16),
}

impl DoubtfulAnswer {
    pub(in crate::lane) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Denied { status, messages } => Some(Self::Denied(*status, messages.clone())),
            Verdict::Unrecognized(unrecognized) => Some(Self::Unrecognized(*unrecognized)),
            Verdict::Unauthorized { status } => Some(Self::Unauthorized(*status)),
            Verdict::Done(_)
            | Verdict::Refused { .. }
            | Verdict::Throttled { .. }
            | Verdict::TooManyJobs
            | Verdict::Unavailable { .. } => None,
        }
    }

    pub(in crate::lane::budget) fn says_not_found(&self) -> bool {
        let (Self::Denied(status, _)
        | Self::Unauthorized(status)
        | Self::Unrecognized(UnrecognizedAnswer { status, .. })) = self;
        matches!(status, 404 | 410)
    }

    /// The account's impediment, and why, if the account is at fault.
    pub(in crate::lane::budget) fn impediment(&self, credential: &str) -> (Impediment, String) {
        match self {
            Self::Unauthorized(status) | Self::Denied(status @ 403, _) => {
                (Impediment::Unauthorized, format!("Freshsales answered {status}: check {credential}"))
            }
            Self::Denied(status, _) => {
                let why = format!("Freshsales answered {status}: was the account renamed? check url");
                (Impediment::Retrying, why)
            }
            Self::Unrecognized(unrecognized) => (
                Impediment::Retrying,
                format!("not Freshsales' API answered, but {unrecognized}: {}", unrecognized.advice()),
            ),
        }
    }
}

/// Whether a call is about one event alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum About {
    OneEvent,
    Several,
}

/// Kept with a call that met doubtful answers: what speaks against its record.
#[derive(Debug)]
pub(in crate::lane) struct Suspicion {
    last_answer: DoubtfulAnswer,
    first_at: Instant,
    /// When the last answer came, until another call shows what it means.
    unexplained_since: Option<Instant>,
    /// Another call got through since, but too late to prove anything: one more doubtful answer counts.
    late_evidence: bool,
    /// How often others got through while this one did not.
    times_alone: u32,
    /// Another record of the family got through since the first answer.
    family_works: bool,
}

/// What a call that got through shows about a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Evidence {
    None,
    /// It came too late: the record is to be tried again at once.
    TooLate,
    /// The family's records fail while others get through: they count as failures of the server.
    AgainstFamily,
    /// This record fails alone.
    AgainstRecord,
}

/// A call that got through.
#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct Success {
    pub(in crate::lane) sent: Instant,
    pub(in crate::lane) family: EndpointFamily,
    pub(in crate::lane) budget: BudgetKind,
    /// It wrote a record, or read one for an event.
    pub(in crate::lane) is_record: bool,
}

impl Suspicion {
    pub(in crate::lane) fn new(answer: DoubtfulAnswer, now: Instant) -> Self {
        Self {
            last_answer: answer,
            first_at: now,
            unexplained_since: None,
            late_evidence: false,
            times_alone: 0,
            family_works: false,
        }
    }

    pub(in crate::lane) fn last_answer(&self) -> &DoubtfulAnswer {
        &self.last_answer
    }

    /// Foreign answers alone met this record, while others got through.
    pub(in crate::lane) fn was_foreign_alone(&self) -> bool {
        self.times_alone > 0 && self.is_foreign()
    }

    pub(in crate::lane) fn family_works(&self) -> bool {
        self.family_works
    }

    /// The call met a doubtful answer, perhaps not for the first time.
    pub(in crate::lane) fn add(&mut self, answer: DoubtfulAnswer, now: Instant) {
        self.last_answer = answer;
        self.unexplained_since = Some(now);
        self.times_alone += u32::from(std::mem::take(&mut self.late_evidence));
    }

    /// How long the call waits. `ordinary` is its own growing wait: without others that get through, the fixed waits would
    /// start over each time.
    pub(in crate::lane) fn wait(&self, give_up_after: Duration, ordinary: Duration) -> Duration {
        let turn = usize::try_from(self.times_alone).unwrap_or(usize::MAX);
        let sixtieths = RETRY_SIXTIETHS.get(turn).or(RETRY_SIXTIETHS.last()).copied().unwrap_or_default();
        let wait = give_up_after / 60 * sixtieths;
        if self.times_alone == 0 { wait.max(ordinary) } else { wait }
    }

    /// The account is at fault: later successes say nothing about this answer.
    pub(in crate::lane) fn blame_account(&mut self) {
        (self.unexplained_since, self.late_evidence) = (None, false);
    }

    /// Takes what another call's success shows; `family` and `budget` are this call's own.
    pub(in crate::lane) fn weigh(
        &mut self,
        success: &Success,
        family: EndpointFamily,
        budget: BudgetKind,
        several_fail: bool,
        now: Instant,
    ) -> Evidence {
        let alike = success.is_record && family == success.family;
        self.family_works |= alike && success.sent >= self.first_at;
        let Some(since) = self.unexplained_since.filter(|since| success.sent >= *since) else {
            return Evidence::None;
        };
        if !self.shows_something(success.budget, budget) {
            return Evidence::None;
        }
        self.unexplained_since = None;
        if now.saturating_duration_since(since) > EVIDENCE_AGE {
            self.late_evidence = true;
            return Evidence::TooLate;
        }
        if self.is_foreign() && !alike && !self.family_works && several_fail {
            return Evidence::AgainstFamily;
        }
        self.times_alone += 1;
        Evidence::AgainstRecord
    }

    /// Only tracks and pages use the app token, so a success of the API says nothing about it; but an answer that is not
    /// Freshsales' has nothing to do with tokens.
    fn shows_something(&self, successful: BudgetKind, own: BudgetKind) -> bool {
        successful == own || successful == BudgetKind::Api && self.is_foreign()
    }

    fn is_foreign(&self) -> bool {
        matches!(self.last_answer, DoubtfulAnswer::Unrecognized(_))
    }

    /// Whether there is enough against the call to give it up; several records are then sent one by one.
    pub(in crate::lane) fn is_proven(
        &self,
        about: About,
        history: &SuccessHistory,
        give_up_after: Duration,
        now: Instant,
    ) -> bool {
        let (record_limit, group_limit) = if history.is_intermittent(now) {
            (INTERMITTENT_RECORD_LIMIT, INTERMITTENT_GROUP_LIMIT)
        } else {
            (RECORD_LIMIT, GROUP_LIMIT)
        };
        let group = self.times_alone >= group_limit && about == About::Several;
        match &self.last_answer {
            // Credentials are the account's, so no record is given up for them. But one of several may be the one that they
            // do not suffice for, and the others need not wait for it.
            DoubtfulAnswer::Unauthorized(_) => group,
            DoubtfulAnswer::Denied(..) => self.times_alone > 0,
            DoubtfulAnswer::Unrecognized(_) => {
                let long = now.saturating_duration_since(self.first_at) >= give_up_after;
                group || self.times_alone >= record_limit && long
            }
        }
    }
}
