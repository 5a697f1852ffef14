//! One budget: its quota, and the troubles that keep calls from getting through. Pure but for the jitter.

pub(super) mod doubt;
pub(super) mod quota;

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;
use crate::freshsales::{BudgetKind, RateLimit, UnavailableCause as Failure, Verdict};
use crate::lane::scheduler::calls::{Outgoing, Purpose};
use doubt::Oddity;
use quota::Quota;

/// How long to wait where no answer says it: the first wait and the longest.
#[derive(Debug, Clone, Copy)]
pub struct BackoffSettings {
    /// Freshsales is down, unreachable, or answers nonsense.
    pub unavailable: (Duration, Duration),
    /// Too many calls.
    pub throttled: (Duration, Duration),
    /// Credentials are refused.
    pub unauthorized: (Duration, Duration),
    /// Too many bulk jobs of the account run.
    pub jobs: (Duration, Duration),
    /// For how long a record is tried that alone gets answers which are not the API's.
    pub foreign: Duration,
    /// By then a look-up finds a contact that was just created or changed.
    pub look_up_delay: Duration,
    /// For how long a record is tried that never gets through, counted while others do.
    pub give_up_after: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            unavailable: (Duration::from_millis(500), Duration::from_mins(1)),
            throttled: (Duration::from_secs(5), Duration::from_mins(5)),
            unauthorized: (Duration::from_secs(30), Duration::from_mins(5)),
            jobs: (Duration::from_secs(2), Duration::from_mins(1)),
            foreign: Duration::from_mins(1),
            // Freshsales' look-ups lag up to about 20 seconds behind.
            look_up_delay: Duration::from_secs(22),
            give_up_after: Duration::from_hours(72),
        }
    }
}

/// What keeps calls from getting through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impediment {
    /// Credentials are refused.
    Unauthorized,
    /// Too many calls.
    Throttled,
    /// Down, unreachable or answering nonsense.
    Retrying,
}

/// After so many answers in a row that were none, and not all to one call, Freshsales is taken to be down.
const OUTAGE: u32 = 5;

/// Answers in a row that were none.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// The call that failed first.
    first: Option<u64>,
    /// Another one failed, too: it is not one record that Freshsales cannot stand.
    several: bool,
}

impl Failures {
    fn add(&mut self, number: u64) {
        self.count = self.count.saturating_add(1);
        self.several |= *self.first.get_or_insert(number) != number;
    }

    fn many(&self) -> bool {
        self.several && self.count >= OUTAGE
    }
}

/// One budget of an account.
#[derive(Debug)]
pub(super) struct Budget {
    /// What its calls are let in with, as the configuration calls it.
    credential: &'static str,
    /// What else to ask where there is nothing at the account's url.
    pub(super) not_there: Option<&'static str>,
    /// Whether one of its calls is harmless: the fields are read with the API's credentials.
    harmless: bool,
    pub(super) quota: Quota,
    /// Its calls that are not answered yet.
    pub(super) sending: usize,
    /// When the next call may be repeated that has often failed while others got through.
    pub(super) repeats: Option<Instant>,
    /// When a call last got through.
    pub(super) worked: Option<Instant>,
    throttled: Delays,
    unauthorized: Delays,
    unavailable: Delays,
    failures: Failures,
    /// Freshsales is down: nothing goes but probes, until one gets through.
    outage: bool,
    /// No record goes, not even as a probe: only a call that reads fields, until one gets through. A record that is
    /// itself the reason would keep the account shut for ever.
    shut: bool,
    /// What is wrong now, and why, in words without personal data.
    pub(super) trouble: Option<(Impediment, String)>,
}

impl Budget {
    pub(super) fn new(budget: BudgetKind, quota: Quota, patience: BackoffSettings) -> Self {
        let (credential, harmless) = match budget {
            BudgetKind::Api => ("api_key", true),
            BudgetKind::Tracking => ("app_token", false),
        };
        Self {
            credential,
            not_there: None,
            harmless,
            quota,
            sending: 0,
            repeats: None,
            worked: None,
            throttled: Delays::new(patience.throttled.0, patience.throttled.1),
            unauthorized: Delays::new(patience.unauthorized.0, patience.unauthorized.1),
            unavailable: Delays::new(patience.unavailable.0, patience.unavailable.1),
            failures: Failures::default(),
            outage: false,
            shut: false,
            trouble: None,
        }
    }

    /// A call will not be answered.
    pub(super) fn aborted(&mut self, probe: bool) {
        self.sending = self.sending.saturating_sub(1);
        if probe {
            self.quota.give_back_probe();
        }
    }

    /// Whether nothing goes but probes, because Freshsales is down.
    pub(super) fn outage(&self) -> bool {
        self.outage
    }

    /// A gateway before Freshsales asks to stay away until then.
    pub(super) fn stay_away(&mut self, until: Instant, now: Instant) {
        let wait = until.saturating_duration_since(now);
        self.quota.block(now, wait);
        if self.trouble.as_ref().is_none_or(|(trouble, _)| *trouble != Impediment::Unauthorized) {
            let wait = wait.as_secs();
            let why = format!("too many calls for the gateway before Freshsales; going on in {wait} s");
            self.trouble = Some((Impediment::Throttled, why));
            self.shut |= self.harmless;
        }
    }

    /// Whether nothing goes but what reads fields.
    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }

    /// Whether a call that was a probe stands behind those that were not: one record must not be every probe.
    pub(super) fn probes_in_turn(&self) -> bool {
        self.outage || self.quota.is_blocked() && matches!(self.trouble, Some((Impediment::Unauthorized, _)))
    }

    fn told(&self, oddity: &Oddity) -> (Impediment, String) {
        let (trouble, why) = oddity.trouble(self.credential);
        match self.not_there.filter(|_| oddity.is_not_there()) {
            Some(question) => (trouble, format!("{why}; {question}")),
            None => (trouble, why),
        }
    }

    /// Lets nothing go but what reads fields, and that after this wait.
    pub(super) fn shut(&mut self, oddity: &Oddity, wait: Duration, now: Instant) {
        self.shut = true;
        self.quota.block(now, wait);
        let (trouble, why) = self.told(oddity);
        // A wait that is shorter than a second would read as none.
        let why =
            if wait.is_zero() { why } else { format!("{why}; asking again in {} s", wait.as_secs().max(1)) };
        self.trouble = Some((trouble, why));
    }

    /// The credentials were refused. Where it was not a harmless call that met this, one asks at once.
    pub(super) fn refused(&mut self, oddity: &Oddity, harmless: bool, now: Instant) {
        let wait = if harmless { self.unauthorized.following() } else { Duration::ZERO };
        self.shut(oddity, wait, now);
    }

    /// A record met something that may be everybody's, where no harmless call can tell. So did `several` others.
    pub(super) fn met(&mut self, oddity: &Oddity, several: bool, number: u64, probe: bool, now: Instant) {
        // Calls that were under way when a block began are old news: they make it no longer.
        if self.quota.is_blocked() && !probe {
            return;
        }
        self.trouble = Some(self.told(oddity));
        match oddity {
            Oddity::Denied(..) if !several => {}
            Oddity::Unauthorized(_) | Oddity::Denied(..) => {
                let wait = self.unauthorized.following();
                self.quota.block(now, wait);
            }
            Oddity::Foreign(_) if several => self.suspect(number, now),
            Oddity::Foreign(_) => {
                if self.outage {
                    self.quota.block(now, self.unavailable.following());
                }
            }
        }
    }

    /// A record met what several others met, too: it counts as a failure of all.
    pub(super) fn suspect(&mut self, number: u64, now: Instant) {
        self.failures.add(number);
        if self.failures.many() {
            self.outage = true;
            self.quota.block(now, self.unavailable.following());
        }
    }

    /// All was given back that was not on its way: what a call met with concerns nobody here any more. An outage
    /// stays, or else each new session would begin with many calls.
    pub(super) fn gave_back(&mut self) {
        if self.sending > 0 || self.outage || self.shut {
            return;
        }
        self.failures = Failures::default();
        self.trouble.take_if(|(trouble, _)| *trouble == Impediment::Retrying);
    }

    /// When a call is to come again that was told to wait before, if others got through when that wait was over, and it is
    /// told the same again: then it is believed for itself only. One record must not keep the account waiting for ever.
    fn its_own_wait(
        &mut self,
        outgoing: &mut Outgoing,
        asked: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        if outgoing.told.is_none() || !outgoing.others_got_through(self.worked) {
            return None;
        }
        if outgoing.probe {
            self.quota.give_back_probe();
        }
        Some(now + asked.unwrap_or_default().max(outgoing.delays.following()))
    }

    /// Notes what an answer says about the budget; tells when the call may be tried again, if it must be.
    pub(super) fn judge(
        &mut self,
        number: u64,
        outgoing: &mut Outgoing,
        verdict: &Verdict,
        told: &RateLimit,
        now: Instant,
    ) -> Option<Instant> {
        let probe = outgoing.probe;
        let check = matches!(outgoing.purpose, Purpose::Check(_));
        self.sending = self.sending.saturating_sub(1);
        match verdict {
            Verdict::Done(_) | Verdict::Refused { .. } | Verdict::TooManyJobs => {
                if probe {
                    self.quota.unblock();
                    self.shut &= self.quota.is_blocked();
                }
                if check {
                    // That fields can be read says nothing about records that fail.
                    if self.outage && !self.quota.is_blocked() {
                        self.quota.block(now, self.unavailable.following());
                    }
                } else {
                    self.worked = Some(now);
                    self.failures = Failures::default();
                }
                if !self.quota.is_blocked() {
                    // Credentials that read fields may still not write records: that is over when one is written.
                    self.trouble.take_if(|(trouble, _)| !check || *trouble != Impediment::Unauthorized);
                    self.throttled.reset();
                    self.unauthorized.reset();
                    self.unavailable.reset();
                    self.outage = false;
                }
                self.quota.observe(now, told, self.sending);
                if self.trouble.is_none()
                    && let Some(wait) = self.quota.blocked_for(now)
                {
                    let why = format!("no calls are left; going on in {} s", wait.as_secs());
                    self.trouble = Some((Impediment::Throttled, why));
                }
                None
            }
            // What a record meets is told apart elsewhere. Calls that were under way when a block began are old news: they
            // make it no longer.
            Verdict::Unauthorized { .. } | Verdict::Denied { .. } | Verdict::Unrecognized(_) => {
                if probe && !check {
                    self.quota.give_back_probe();
                }
                if check
                    && (probe || !self.shut)
                    && let Some(oddity) = Oddity::of(verdict)
                {
                    let delays = match oddity.trouble(self.credential).0 {
                        Impediment::Unauthorized => &mut self.unauthorized,
                        Impediment::Throttled | Impediment::Retrying => &mut self.unavailable,
                    };
                    let wait = delays.following();
                    self.shut(&oddity, wait, now);
                }
                Some(now)
            }
            Verdict::Throttled { retry_after } => {
                // Without Retry-After the reset is the next best word; it is believed only when nothing is left.
                // A wait of nothing, or until a time that has passed, would be a licence to hammer.
                let reset = told.reset.filter(|_| told.remaining == Some(0));
                let asked = retry_after.or(reset).filter(|wait| !wait.is_zero());
                if let Some(again) = self.its_own_wait(outgoing, asked, now) {
                    return Some(again);
                }
                if asked.is_some() || probe || !self.quota.is_blocked() {
                    let wait = asked.unwrap_or_else(|| self.throttled.following());
                    self.quota.block(now, wait);
                    let why = format!("too many calls; going on in {} s", wait.as_secs());
                    self.trouble = Some((Impediment::Throttled, why));
                    self.shut |= self.harmless;
                }
                // One record may be the only one that is throttled: others go first.
                let until = now + self.quota.blocked_for(now).unwrap_or_default();
                outgoing.told = Some(until);
                Some(until + outgoing.delays.following())
            }
            Verdict::Unavailable { cause, retry_after } => {
                if may_be_down(*cause) {
                    self.failures.add(number);
                    self.outage |= self.failures.many();
                }
                // A probe that failed alone says nothing about the limit: the next call probes again.
                if probe {
                    self.quota.give_back_probe();
                }
                if check && self.shut {
                    self.quota.block(now, self.unavailable.following());
                }
                // Calls that were under way when the outage began are old news, as above.
                if self.outage && (probe || !self.quota.is_blocked()) {
                    self.quota.block(now, self.unavailable.following());
                }
                // It speaks for the server, not for the record.
                let asked = retry_after.filter(|wait| !wait.is_zero());
                let mut again = now;
                if let Some(wait) = asked {
                    if let Some(again) = self.its_own_wait(outgoing, asked, now) {
                        return Some(again);
                    }
                    self.quota.block(now, wait);
                    let until = now + self.quota.blocked_for(now).unwrap_or_default();
                    outgoing.told = Some(until);
                    // Others go first, as they do in an outage anyway.
                    if !self.outage {
                        again = until;
                    }
                }
                let why = match cause {
                    Failure::ServerError(status) | Failure::UnexpectedStatus(status) => {
                        format!("Freshsales answered {status}")
                    }
                    Failure::UnexpectedBody(_) => {
                        "Freshsales' answer is not what the endpoint answers".to_owned()
                    }
                    Failure::Timeout => "no answer within delivery.request_timeout".to_owned(),
                    Failure::Connection => "Freshsales cannot be reached".to_owned(),
                };
                self.trouble = Some((Impediment::Retrying, why));
                Some(again + outgoing.delays.following())
            }
        }
    }
}

/// Whether a failure is one that an outage is made of. A 4xx is the word of a server that works.
const fn may_be_down(trouble: Failure) -> bool {
    !matches!(trouble, Failure::UnexpectedStatus(_))
}
