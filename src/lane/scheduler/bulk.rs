//! Bulk calls: which work items go in one, and what its job's report makes of each of them. Which records are eligible,
//! and whether bulk calls are of use, [`contact::bulk`](crate::lane::contact::bulk) decides.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::Instant;

use super::calls::{Polling, Purpose};
use super::event::WhileJobsRun;
use super::{Effect, Scheduler};
use crate::freshsales::{
    BULK_JOB_LIMIT, Call, Endpoint, Identifier, JobStatus, is_about_record, job_id, read_job_status,
};
use crate::lane::contact::bulk::job_polling::Refusals;
use crate::lane::contact::bulk::policy::BulkUse;
use crate::lane::contact::bulk::{FEWEST, MOST_RECORDS, eligible, report};
use crate::lane::contact::refusal::{Ground, RefusedCall};
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// The entity that the item's step would write in bulk.
    pub(super) fn bulk_entity(&mut self, number: u64, now: Instant) -> Option<Entity> {
        let entity = eligible::entity(self.items.contact(number)?, &mut self.records)?;
        self.bulk.allows(entity, now).then_some(entity)
    }

    /// The item, and others that write the same entity in bulk: idle ones, and waiting events. `None` if it goes alone.
    pub(super) fn collect_bulk(&mut self, number: u64, now: Instant) -> Option<(Entity, Vec<u64>)> {
        let entity = self.bulk_entity(number, now).filter(|_| self.may_submit_job(now))?;
        let mut items = BTreeSet::from([number]);
        let idle: Vec<u64> = self.items.idle().collect();
        for other in idle {
            if items.len() < MOST_RECORDS && self.bulk_entity(other, now) == Some(entity) {
                items.insert(other);
            }
        }
        let waiting = self.waiting_events_for(entity, now);
        // Events that are too few for a bulk call stay in the window, so that more identifies may merge with them.
        if items.len() + waiting.len() < FEWEST {
            return None;
        }
        for event in waiting {
            if items.len() < MOST_RECORDS
                && let Some(item) = self.take_work_item(event)
                && self.items.is_idle(item)
                && self.bulk_entity(item, now) == Some(entity)
            {
                items.insert(item);
            }
        }
        (items.len() >= FEWEST).then(|| (entity, items.into_iter().collect()))
    }

    /// Events that wait, and whose first step writes this entity in bulk.
    fn waiting_events_for(&mut self, entity: Entity, now: Instant) -> Vec<u64> {
        if !self.bulk.allows(entity, now) {
            return Vec::new();
        }
        let records = &mut self.records;
        // One of a company's contacts writes it, and the others find it written.
        let mut companies = BTreeSet::new();
        let events = self.window.ready().filter(|(_, open)| {
            eligible::first_write(&open.event, entity, records).is_some_and(|write| {
                let company = write.company.as_ref().map(|company| company.name.to_lowercase());
                entity == Entity::Contact || companies.insert(company)
            })
        });
        events.map(|(number, _)| number).take(MOST_RECORDS).collect()
    }

    /// The entities whose records wait until a bulk job may be submitted. Where too few wait for a bulk call, they need no
    /// job.
    pub(super) fn entities_waiting_for_jobs(&mut self, now: Instant) -> Vec<Entity> {
        if !self.bulk.is_worth_waiting() || self.may_submit_job(now) {
            return Vec::new();
        }
        let idle: Vec<u64> = self.items.idle().collect();
        let idle: Vec<Entity> = idle.into_iter().filter_map(|item| self.bulk_entity(item, now)).collect();
        let entities = Entity::ALL.iter().copied().filter(|entity| {
            let items = idle.iter().filter(|other| *other == entity).count();
            items + self.waiting_events_for(*entity, now).len() >= FEWEST
        });
        entities.collect()
    }

    fn may_submit_job(&self, now: Instant) -> bool {
        let running = self.calls.iter().filter(|call| call.purpose.is_job()).count();
        self.bulk.may_submit(running, now)
    }

    /// Makes a bulk call of the items' records.
    pub(super) fn plan_bulk(&mut self, entity: Entity, items: Vec<u64>) -> Option<u64> {
        let contacts = items.iter().filter_map(|item| self.items.contact(*item));
        let records: Vec<_> =
            contacts.filter_map(|work| Some((work.identifier()?.1, work.record()?))).collect();
        if records.len() != items.len() {
            return None;
        }
        for item in &items {
            self.items.set_busy(*item);
            if let Some(work) = self.items.contact_mut(*item) {
                eligible::keep_cached_ids(work, &mut self.records);
            }
        }
        Some(self.calls.add_in_flight(Call::bulk_upsert(entity, &records), Purpose::Bulk(items)))
    }

    /// A bulk call was answered: asks for its job's status in a while.
    pub(super) fn bulk_answered(
        &mut self,
        items: Vec<u64>,
        endpoint: Endpoint,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Err(RefusedCall { ground: ground @ (Ground::Denied(..) | Ground::Blocked(_)), .. }) = &result {
            // One of the records is to blame, or the entity: sent alone, each record will show it.
            if let (Ground::Denied(Some(_), _), Endpoint::BulkUpsert(entity)) = (ground, endpoint) {
                self.bulk.deny(entity, now);
            }
            self.send_singly(items);
            return Vec::new();
        }
        let Some(job) = result.ok().as_ref().and_then(job_id) else {
            return self.report_unusable(items, now);
        };
        let first_wait = self.bulk.job_accepted();
        let polling = Polling { items, questions: 0, submitted: now, first_wait };
        self.calls.add_due(Call::job_status(&job), Purpose::Poll(polling), now + first_wait);
        Vec::new()
    }

    /// A job's status was asked for.
    pub(super) fn job_answered(
        &mut self,
        call: Call,
        mut polling: Polling,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let status = result.map_or(JobStatus::Unclear, |body| read_job_status(&body));
        polling.questions += 1;
        if polling.questions == 1 && status != JobStatus::Unclear {
            self.bulk.learn_job_time(polling.first_wait, status != JobStatus::Running);
        }
        let results = match status {
            JobStatus::Running if now.saturating_duration_since(polling.submitted) < BULK_JOB_LIMIT => {
                let again = now + self.bulk.ask_again_after(polling.questions);
                self.calls.add_due(call, Purpose::Poll(polling), again);
                return Vec::new();
            }
            JobStatus::Running | JobStatus::Unclear => None,
            JobStatus::Ended { succeeded, failures } => {
                report::per_record(&self.identifiers(&polling.items), succeeded, &failures)
            }
        };
        self.bulk.job_over(now);
        let Some(results) = results else { return self.report_unusable(polling.items, now) };
        self.bulk.report_usable();
        results.into_iter().flat_map(|(item, refused)| self.bulk_record_done(item, refused, now)).collect()
    }

    fn identifiers(&self, items: &[u64]) -> Vec<(u64, Option<Identifier>)> {
        let identifier = |item: u64| Some(self.items.contact(item)?.identifier()?.1);
        items.iter().map(|item| (*item, identifier(*item))).collect()
    }

    /// A job's report says of one record whether it was refused.
    fn bulk_record_done(&mut self, item: u64, refused: Option<RefusedCall>, now: Instant) -> Vec<Effect<D>> {
        let Some(work) = self.items.contact(item) else { return Vec::new() };
        let endpoint = work.step.single_upsert();
        match refused {
            // The failure is about something else than the record: sent alone, the record will show what is meant.
            Some(refused) if !refused.status.is_some_and(is_about_record) => {
                self.send_singly(vec![item]);
                Vec::new()
            }
            Some(refused) => self.step_refused(item, endpoint, refused, now),
            // The report names no ids, and what needs one did not go in bulk.
            None => self.step_succeeded(item, endpoint, &Value::Null, now),
        }
    }

    /// A bulk call's answer or its job's report is of no use: the records go one by one.
    pub(super) fn report_unusable(&mut self, items: Vec<u64>, now: Instant) -> Vec<Effect<D>> {
        self.send_singly(items);
        match self.bulk.report_unusable(now) {
            BulkUse::GivenUp => vec![Effect::BulkGivenUp],
            BulkUse::GoesOn => Vec::new(),
        }
    }

    fn send_singly(&mut self, items: Vec<u64>) {
        for item in items {
            if let Some(work) = self.items.contact_mut(item) {
                work.singly = true;
                self.items.set_idle(item);
            }
        }
    }

    /// A bulk call was refused because too many jobs run: its records are collected again, with others.
    pub(super) fn too_many_jobs(&mut self, items: Vec<u64>, now: Instant) -> Vec<Effect<D>> {
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
