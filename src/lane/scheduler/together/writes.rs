//! Bulk upserts, and what the reports of their jobs make of each work item.

use serde_json::Value;
use tokio::time::Instant;

use crate::freshsales::{
    BULK_JOB_LIMIT, Call, Identifier, JobStatus, is_about_record, job_id, read_job_status,
};
use crate::lane::contact::bulk::job_slots::Refusals;
use crate::lane::contact::bulk::policy::BulkUse;
use crate::lane::contact::bulk::{eligible, report};
use crate::lane::contact::refused::refusal::{Ground, RefusedCall};
use crate::lane::scheduler::event::WhileJobsRun;
use crate::lane::scheduler::pending::calls::{CallState, LinkTrial, PendingCall, Polling, Purpose};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobEnd {
    Known,
    Unknown,
}

impl<D> Scheduler<D> {
    pub(super) fn may_submit_job(&self, now: Instant) -> bool {
        let running = self.calls.iter().filter(|call| call.purpose.is_job()).count();
        self.bulk.may_submit(running, now)
    }

    pub(super) fn bulk_calls_unanswered(&self) -> usize {
        let unanswered = |call: &&PendingCall| {
            matches!(call.purpose, Purpose::Bulk(..)) && call.state == CallState::InFlight
        };
        self.calls.iter().filter(unanswered).count()
    }

    pub(super) fn plan_bulk(&mut self, entity: Entity, items: Vec<u64>, now: Instant) -> Option<u64> {
        let contacts = items.iter().filter_map(|item| self.items.contact(*item));
        let records: Vec<_> =
            contacts.filter_map(|work| Some((work.identifier()?.1, work.record_in_bulk()?))).collect();
        if records.len() != items.len() {
            return None;
        }
        for item in &items {
            self.items.set_busy(*item);
            if let Some(work) = self.items.contact_mut(*item) {
                eligible::keep_cached_ids(work, &mut self.records);
            }
        }
        self.bulk.job_begins(entity, now);
        Some(self.calls.add_in_flight(Call::bulk_upsert(entity, &records), Purpose::Bulk(entity, items)))
    }

    /// A bulk call was answered: asks for its job's status in a while.
    pub(in crate::lane::scheduler) fn bulk_answered(
        &mut self,
        entity: Entity,
        items: Vec<u64>,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Err(RefusedCall { ground: ground @ (Ground::Denied(..) | Ground::Blocked(_)), .. }) = &result {
            // One of the records is to blame, or the entity: sent alone, each record will show it.
            if let Ground::Denied(Some(_), _) = ground {
                self.bulk.deny(entity, now);
            }
            self.job_over(entity);
            self.send_singly(items);
            return Vec::new();
        }
        let Some(job) = result.ok().as_ref().and_then(job_id) else {
            return self.report_unusable(entity, items, JobEnd::Unknown, now);
        };
        self.bulk.job_accepted();
        let first_wait = self.bulk.ask_after(self.unasked().next().is_some());
        let polling = Polling { entity, items, questions: 0, submitted: now, first_wait };
        self.calls.add_due(Call::job_status(&job), Purpose::Poll(polling), now + first_wait);
        Vec::new()
    }

    /// A job's status was asked for.
    pub(in crate::lane::scheduler) fn job_answered(
        &mut self,
        call: Call,
        mut polling: Polling,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let status = result.map_or(JobStatus::Unclear, |body| read_job_status(&body));
        polling.questions += 1;
        if polling.questions == 1 && status != JobStatus::Unclear {
            let ended = !matches!(status, JobStatus::Running { .. });
            self.bulk.learn_job_time(polling.first_wait, ended);
        }
        let end = match &status {
            JobStatus::Ended { .. } => JobEnd::Known,
            JobStatus::Running { .. } | JobStatus::Unclear => JobEnd::Unknown,
        };
        let results = match status {
            JobStatus::Running { progress }
                if now.saturating_duration_since(polling.submitted) < BULK_JOB_LIMIT =>
            {
                let taken = now.saturating_duration_since(polling.submitted);
                let again = now + self.bulk.ask_again_after(polling.questions, progress, taken);
                self.ask_others(now);
                self.calls.add_due(call, Purpose::Poll(polling), again);
                return Vec::new();
            }
            JobStatus::Running { .. } | JobStatus::Unclear => None,
            JobStatus::Ended { succeeded, failures } => {
                report::per_record(&self.identifiers(&polling.items), succeeded, &failures)
            }
        };
        self.ask_others(now);
        self.bulk.job_over(now);
        let Some(results) = results else {
            return self.report_unusable(polling.entity, polling.items, end, now);
        };
        self.bulk.report_usable();
        self.job_over(polling.entity);
        let (trial, done): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|(item, refused)| refused.is_none() && self.is_link_trial(*item));
        let effects = done.into_iter().flat_map(|(item, refused)| self.bulk_record_done(item, refused, now));
        let effects = effects.collect();
        if !trial.is_empty() {
            self.read_back(LinkTrial { items: trial.into_iter().map(|(item, _)| item).collect() }, now);
        }
        effects
    }

    /// Jobs whose status was not asked for yet, by their calls.
    fn unasked(&self) -> impl Iterator<Item = (u64, Instant)> {
        self.calls.waiting().filter_map(|(_, number, call)| match &call.purpose {
            Purpose::Poll(polling) if polling.questions == 0 && !call.was_sent() => {
                Some((number, polling.submitted))
            }
            Purpose::Poll(_)
            | Purpose::Fields(_)
            | Purpose::Selector(_)
            | Purpose::Check(_)
            | Purpose::Step(_)
            | Purpose::Bulk(..)
            | Purpose::Search(_)
            | Purpose::ReadBack(_) => None,
        })
    }

    /// What was learned of one job says when to ask about those that run with it.
    fn ask_others(&mut self, now: Instant) {
        let mut unasked: Vec<(u64, Instant)> = self.unasked().collect();
        unasked.sort_unstable_by_key(|(number, submitted)| (*submitted, *number));
        for (place, (number, submitted)) in unasked.into_iter().enumerate() {
            let first_wait = self.bulk.ask_after(place > 0);
            if let Some(Purpose::Poll(polling)) = self.calls.purpose_mut(number) {
                polling.first_wait = first_wait;
            }
            self.calls.wait_until(number, (submitted + first_wait).max(now));
        }
    }

    /// A bulk call of the entity came to its end. A few of its records wait no longer, unless another one is under way.
    fn job_over(&mut self, entity: Entity) {
        let of_entity = |call: &PendingCall| match &call.purpose {
            Purpose::Bulk(other, _) => *other == entity,
            Purpose::Poll(polling) => polling.entity == entity,
            Purpose::Fields(_)
            | Purpose::Selector(_)
            | Purpose::Check(_)
            | Purpose::Step(_)
            | Purpose::Search(_)
            | Purpose::ReadBack(_) => false,
        };
        if !self.calls.iter().any(of_entity) {
            self.bulk.holds.end(entity);
        }
    }

    fn identifiers(&self, items: &[u64]) -> Vec<(u64, Option<Identifier>)> {
        let identifier = |item: u64| Some(self.items.contact(item)?.identifier()?.1);
        items.iter().map(|item| (*item, identifier(*item))).collect()
    }

    /// A job's report says of one record whether it was refused.
    pub(super) fn bulk_record_done(
        &mut self,
        item: u64,
        refused: Option<RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(work) = self.items.contact(item) else { return Vec::new() };
        let endpoint = work.step.single_upsert();
        match refused {
            // The failure is about something else than the record: sent alone, the record will show what is meant.
            Some(refused) if !refused.status.is_some_and(is_about_record) => {
                self.send_singly(vec![item]);
                Vec::new()
            }
            Some(refused) => self.step_refused(item, endpoint, refused, now),
            // The report names no ids.
            None => self.step_succeeded(item, endpoint, &Value::Null, now),
        }
    }

    /// A bulk call's answer or its job's report is of no use: the records go one by one.
    fn report_unusable(
        &mut self,
        entity: Entity,
        items: Vec<u64>,
        end: JobEnd,
        now: Instant,
    ) -> Vec<Effect<D>> {
        self.job_over(entity);
        let uncertain = end == JobEnd::Unknown && self.adds_links(&items);
        if uncertain {
            self.links_uncertain(&items, now);
        }
        self.send_singly(items);
        match self.bulk.report_unusable(now) {
            BulkUse::GivenUp => vec![Effect::BulkGivenUp],
            BulkUse::GoesOn => Vec::new(),
        }
    }

    pub(super) fn send_singly(&mut self, items: Vec<u64>) {
        for item in items {
            if let Some(work) = self.items.contact_mut(item) {
                work.singly = true;
                self.items.set_idle(item);
            }
        }
    }

    /// A bulk call was refused because too many jobs run: its records are collected again, with others.
    pub(in crate::lane::scheduler) fn too_many_jobs(
        &mut self,
        entity: Entity,
        items: Vec<u64>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        self.job_over(entity);
        for item in items {
            self.items.set_idle(item);
        }
        match self.bulk.job_refused(now) {
            Refusals::Began => vec![Effect::TooManyJobs(WhileJobsRun::Wait)],
            Refusals::LastTooLong => vec![Effect::TooManyJobs(WhileJobsRun::GoOneByOne)],
            Refusals::GoOn => Vec::new(),
        }
    }
}
