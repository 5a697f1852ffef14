//! Whether records go in bulk at all: not while the account's reports are of no use, nor with entities that it may not
//! write in bulk, nor while too many jobs of the account run.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::holds::Holds;
use super::job_slots::{JobSlots, Refusals};
use super::usual_wait::{LONGEST, UsualWait};
use crate::lane::budget::Impediment;
use crate::schema::Entity;

/// After so many unusable reports in a row records go one by one for [`SINGLE_FOR`].
const UNUSABLE_REPORTS: u32 = 3;
const SINGLE_FOR: Duration = Duration::from_hours(1);
/// So many times as late one asks about further jobs while nothing is known of how long they take.
const WHILE_UNKNOWN: u32 = 8;

#[derive(Debug)]
pub(in crate::lane) struct BulkPolicy {
    /// Records go one by one until then, because reports were of no use.
    single_until: Option<Instant>,
    /// An entity's records go one by one until then, because the account may not write them in bulk.
    denied_until: HashMap<Entity, Instant>,
    unusable_reports: u32,
    job_times: UsualWait,
    /// How long after a write a search finds it.
    search_times: UsualWait,
    slots: JobSlots,
    pub(in crate::lane) holds: Holds,
}

/// Whether bulk calls go on after an unusable report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum BulkUse {
    GoesOn,
    GivenUp,
}

impl BulkPolicy {
    /// `most_jobs` of this program may run at once; `waits` are the first and the longest wait after a refusal. After
    /// `search_delay` a search finds what was written.
    pub(in crate::lane) fn new(
        most_jobs: usize,
        waits: (Duration, Duration),
        search_delay: Duration,
    ) -> Self {
        Self {
            single_until: None,
            denied_until: HashMap::new(),
            unusable_reports: 0,
            job_times: UsualWait::of_jobs(),
            search_times: UsualWait::of_searches(search_delay),
            slots: JobSlots::new(most_jobs, waits),
            holds: Holds::default(),
        }
    }

    /// So many jobs of this program may run at once from now on.
    pub(in crate::lane) fn set_most_jobs(&mut self, most_jobs: usize) {
        self.slots.set_most(most_jobs);
    }

    /// Whether records of the entity may go in bulk.
    pub(in crate::lane) fn allows(&self, entity: Entity, now: Instant) -> bool {
        let over = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        over(self.single_until) && over(self.denied_until.get(&entity).copied())
    }

    /// The account may not write the entity in bulk.
    pub(in crate::lane) fn deny(&mut self, entity: Entity, now: Instant) {
        self.denied_until.insert(entity, now + SINGLE_FOR);
    }

    pub(in crate::lane) fn report_usable(&mut self) {
        self.unusable_reports = 0;
    }

    /// A bulk call's answer or its job's report was of no use.
    pub(in crate::lane) fn report_unusable(&mut self, now: Instant) -> BulkUse {
        self.unusable_reports += 1;
        if self.unusable_reports < UNUSABLE_REPORTS {
            return BulkUse::GoesOn;
        }
        self.unusable_reports = 0;
        self.single_until = Some(now + SINGLE_FOR);
        BulkUse::GivenUp
    }

    /// Whether one more job may be submitted while so many of ours are running.
    pub(in crate::lane) fn may_submit(&self, running: usize, now: Instant) -> bool {
        self.slots.free(running, now)
    }

    /// Whether records wait where no job may be submitted, rather than go one by one.
    pub(in crate::lane) fn is_worth_waiting(&self) -> bool {
        self.slots.worth_waiting()
    }

    /// When to submit a job again after a refusal.
    pub(in crate::lane) fn submit_again_at(&self) -> Option<Instant> {
        self.slots.ask_at()
    }

    /// What people are shown while records wait for a job to end.
    pub(in crate::lane) fn impediment(&self) -> Option<&(Impediment, String)> {
        self.slots.impediment()
    }

    /// A job was refused because too many of the account run.
    pub(in crate::lane) fn job_refused(&mut self, now: Instant) -> Refusals {
        self.slots.refuse(now)
    }

    pub(in crate::lane) fn job_accepted(&mut self) {
        self.slots.accept();
    }

    /// How long after its submission to ask for a job's status; `asked_before` says that another one is asked about
    /// first. As long as it is hardly known how long jobs take, they are asked about one after another, because each
    /// answer says when to ask about the next.
    pub(in crate::lane) fn ask_after(&self, asked_before: bool) -> Duration {
        let first = self.job_times.first();
        if self.job_times.is_rough() && asked_before { (first * WHILE_UNKNOWN).min(LONGEST) } else { first }
    }

    /// The first question about a job, asked after `wait`, found it ended or running.
    pub(in crate::lane) fn learn_job_time(&mut self, wait: Duration, ended: bool) {
        self.job_times.learn(wait, ended);
    }

    /// How long to wait before the next question about a job, after this many. `progress`, in percent, is how far it had
    /// come after running for `taken`.
    pub(in crate::lane) fn ask_again_after(
        &mut self,
        questions: u32,
        progress: Option<u8>,
        taken: Duration,
    ) -> Duration {
        self.job_times.takes_at_least(taken);
        let again = self.job_times.again(questions);
        match progress.filter(|progress| (1..100).contains(progress)) {
            Some(percent) => {
                let left = taken * u32::from(100 - percent) / u32::from(percent);
                self.job_times.takes_at_least(taken + left);
                // A little later, or a rounded number has one ask too early. It may stay at 99 for long.
                (left + left / 10).clamp(again / 2, LONGEST)
            }
            None => again,
        }
    }

    /// A bulk call of the entity is sent.
    pub(in crate::lane) fn job_begins(&mut self, entity: Entity, now: Instant) {
        self.holds.begin(entity, self.job_times.first(), now);
    }

    /// How long after a write a search usually finds it.
    pub(in crate::lane) fn usual_search_wait(&self) -> Duration {
        self.search_times.first()
    }

    /// The first search for what was written, made after `wait`, found all of it or not.
    pub(in crate::lane) fn learn_search_time(&mut self, wait: Duration, found: bool) {
        self.search_times.learn(wait, found);
    }

    /// How long to wait before the next search for what was written, after this many.
    pub(in crate::lane) fn search_again_after(&mut self, searches: u32, waited: Duration) -> Duration {
        self.search_times.takes_at_least(waited);
        self.search_times.again(searches)
    }

    pub(in crate::lane) fn job_over(&mut self, now: Instant) {
        self.slots.job_over(now);
    }
}
