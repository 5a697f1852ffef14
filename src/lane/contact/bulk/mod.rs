//! Steps that go together: which may, which do, and what became of each of them. Pure.

pub(in crate::lane) mod job_polling;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::held::{HeldContact, HeldEvent};
use super::tags;
use super::work_item::{ContactWork, Step, WorkItem};
use crate::freshsales::{BULK_JOB_LIMIT, Call, Endpoint, FailedRow, Identifier, JobStatus, is_about_record};
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::scheduler::calls::{Ground, Polling, Purpose, Refused};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

/// The most records of one bulk call.
const MOST: usize = 100;
/// A bulk call costs itself and at least one question about its job: fewer records are cheaper one by one.
pub(in crate::lane) const LEAST: usize = 3;
/// After so many reports of no use, or an answer that bulk calls are not there, records go one by one for a while.
const UNCLEAR: u32 = 3;
const SINGLE_FOR: Duration = Duration::from_hours(1);

impl<D> Scheduler<D> {
    pub(in crate::lane) fn plan_bulk(&mut self, entity: Entity, units: Vec<u64>) -> Option<u64> {
        let records: Vec<_> = units
            .iter()
            .filter_map(|unit| {
                let work = self.units.get(unit)?.contact()?;
                Some((work.identifier()?.1, work.record()?))
            })
            .collect();
        if records.len() != units.len() {
            return None;
        }
        for unit in &units {
            self.idle.remove(unit);
            // The job tells no ids, and by its end they may be remembered no more.
            if let Some(work) = self.units.get_mut(unit).and_then(WorkItem::contact_mut) {
                match (&work.stage, &work.write.company) {
                    (Step::Contact, _) => work.contact = self.memo.contact_id(work.write.address()),
                    (Step::Company, Some(company)) => {
                        work.account = self.memo.account(&company.name).map(|account| account.id);
                    }
                    _ => {}
                }
            }
        }
        Some(self.prepare(Call::bulk_upsert(entity, &records), Purpose::Bulk(units)))
    }

    /// The entity that the unit's next step could write in bulk.
    pub(in crate::lane) fn bulk_entity(&mut self, number: u64, now: Instant) -> Option<Entity> {
        self.fit_for_bulk(number).filter(|entity| self.goes_in_bulk(*entity, now))
    }

    /// Whether the account's answers to bulk calls with this entity are of use.
    fn goes_in_bulk(&self, entity: Entity, now: Instant) -> bool {
        let over = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        over(self.single_until) && over(self.bulk_denied.get(&entity).copied())
    }

    fn fit_for_bulk(&mut self, number: u64) -> Option<Entity> {
        let work = self.units.get(&number)?.contact()?;
        if work.alone {
            return None;
        }
        match &work.stage {
            Step::Contact => {
                let (write, account) = (&work.write, work.account);
                plain(write, account, work.fresh, &mut self.memo).then_some(Entity::Contact)
            }
            // Its id is asked for with a single call; once known, only the values go.
            Step::Company => {
                let company = work.write.company.as_ref()?;
                let account = self.memo.account(&company.name)?;
                let (email, fresh) = (work.write.address(), work.fresh);
                let tagged =
                    tags::are_there(&company.record, Entity::SalesAccount, Some(account.id), &mut self.memo);
                (!fresh && tagged && self.memo.linked(email, account.id)).then_some(Entity::SalesAccount)
            }
            // Two new deals of one name cannot be told apart in a report.
            Step::Deal => {
                let (entity, identifier) = work.identifier()?;
                let id = match identifier {
                    Identifier::Id(id) => Some(id),
                    Identifier::Text(_) => None,
                };
                let record = &work.write.deal.as_ref()?.record;
                tags::are_there(record, entity, id, &mut self.memo).then_some(entity)
            }
            Step::FindContact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => None,
        }
    }

    /// Whether a bulk job may be submitted now.
    pub(in crate::lane) fn job_free(&self, now: Instant) -> bool {
        let running = self.calls.values().filter(|outgoing| outgoing.purpose.is_job()).count();
        self.slots.free(running, now)
    }

    /// The entities whose records wait until a bulk job may be submitted. Where too few wait for a bulk call, they need
    /// no job.
    pub(in crate::lane) fn waiting_for_jobs(&mut self, now: Instant) -> Vec<Entity> {
        if !self.slots.worth_waiting() || self.job_free(now) {
            return Vec::new();
        }
        let idle: Vec<u64> = self.idle.iter().copied().collect();
        let idle: Vec<Entity> = idle.into_iter().filter_map(|unit| self.bulk_entity(unit, now)).collect();
        let entities = Entity::ALL.iter().copied().filter(|entity| {
            let on_their_way = idle.iter().filter(|other| *other == entity).count();
            on_their_way + self.would_join(*entity, now).len() >= LEAST
        });
        entities.collect()
    }

    /// Events that wait, and whose first step writes this entity in bulk.
    fn would_join(&mut self, entity: Entity, now: Instant) -> Vec<u64> {
        if !self.goes_in_bulk(entity, now) {
            return Vec::new();
        }
        let memo = &mut self.memo;
        // A company is written by one of its contacts; the others find it written.
        let mut companies = BTreeSet::new();
        let waiting = self.window.ready().filter(|(_, waiting)| {
            joins(&waiting.mapped, entity, memo)
                .is_some_and(|write| entity == Entity::Contact || companies.insert(company_name(write)))
        });
        waiting.map(|(number, _)| number).take(MOST).collect()
    }

    /// The unit, and the others whose next step writes the same entity in bulk: on their way already, or waiting.
    pub(in crate::lane) fn gather(&mut self, number: u64, entity: Entity, now: Instant) -> Vec<u64> {
        let mut units = BTreeSet::from([number]);
        let idle: Vec<u64> = self.idle.iter().copied().collect();
        for other in idle {
            if units.len() < MOST && self.bulk_entity(other, now) == Some(entity) {
                units.insert(other);
            }
        }
        let waiting = self.would_join(entity, now);
        // Too few for a bulk call: let them wait, so that more may join them.
        if units.len() + waiting.len() < LEAST {
            return units.into_iter().collect();
        }
        for waiting in waiting {
            if units.len() < MOST
                && let Some(formed) = self.form(waiting)
                && self.idle.contains(&formed)
                && self.bulk_entity(formed, now) == Some(entity)
            {
                units.insert(formed);
            }
        }
        units.into_iter().collect()
    }

    /// What a job's status came to.
    pub(in crate::lane) fn polled(
        &mut self,
        call: Call,
        job: JobStatus,
        mut polling: Polling,
        now: Instant,
    ) -> Vec<Effect<D>> {
        polling.asked += 1;
        if polling.asked == 1 && job != JobStatus::Unclear {
            self.times.learn(polling.guess, job != JobStatus::Running);
        }
        let results = match job {
            JobStatus::Running if now.saturating_duration_since(polling.submitted) < BULK_JOB_LIMIT => {
                let again = now + self.times.again(polling.asked);
                self.enqueue(call, Purpose::Poll(polling), again);
                return Vec::new();
            }
            JobStatus::Running | JobStatus::Unclear => None,
            JobStatus::Ended { succeeded, failures } => self.pinned(&polling.units, succeeded, &failures),
        };
        self.slots.job_over(now);
        if let Some(results) = results {
            self.unclear = 0;
            results.into_iter().flat_map(|(unit, failed)| self.bulk_done(unit, failed, now)).collect()
        } else {
            self.singly(polling.units, now)
        }
    }

    /// A bulk call whose answer is of no use: the same steps again, one by one.
    pub(in crate::lane) fn singly(&mut self, units: Vec<u64>, now: Instant) -> Vec<Effect<D>> {
        let mut effects = Vec::new();
        self.unclear += 1;
        if self.unclear >= UNCLEAR {
            self.unclear = 0;
            self.single_until = Some(now + SINGLE_FOR);
            effects.push(Effect::BulkGivenUp);
        }
        self.one_by_one(units);
        effects
    }

    /// A bulk call that is not let in, because of one of its records or because of what it asks for: each alone will tell.
    pub(in crate::lane) fn not_together(
        &mut self,
        units: Vec<u64>,
        endpoint: Endpoint,
        no_right: bool,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if no_right && let Endpoint::BulkUpsert(entity) = endpoint {
            self.bulk_denied.insert(entity, now + SINGLE_FOR);
        }
        self.one_by_one(units);
        Vec::new()
    }

    fn one_by_one(&mut self, units: Vec<u64>) {
        for unit in units {
            if let Some(work) = self.units.get_mut(&unit).and_then(WorkItem::contact_mut) {
                work.alone = true;
                self.idle.insert(unit);
            }
        }
    }

    /// Which unit failed and which did not; `None` unless every failure belongs to exactly one of them.
    fn pinned(
        &self,
        units: &[u64],
        succeeded: u64,
        failures: &[FailedRow],
    ) -> Option<Vec<(u64, Option<Refused>)>> {
        if succeeded + failures.len() as u64 != units.len() as u64 {
            return None;
        }
        let mut results: Vec<(u64, Option<Refused>)> = units.iter().map(|unit| (*unit, None)).collect();
        for failure in failures {
            let mut named = results.iter_mut().filter(|(unit, _)| {
                let record =
                    self.units.get(unit).and_then(WorkItem::contact).and_then(ContactWork::identifier);
                record
                    .is_some_and(|(_, identifier)| failure.names.iter().any(|told| identifier.matches(told)))
            });
            let (_, failed) = named.next()?;
            if named.next().is_some() || failed.is_some() {
                return None;
            }
            // A row that says nothing against the record is no word about it.
            let said = !failure.messages.is_empty();
            let status =
                failure.status.or(said.then_some(400)).filter(|status| said || !is_about_record(*status));
            *failed = Some(Refused { status, ground: Ground::Said(failure.messages.clone()) });
        }
        Some(results)
    }

    fn bulk_done(&mut self, number: u64, failed: Option<Refused>, now: Instant) -> Vec<Effect<D>> {
        let Some(work) = self.units.get(&number).and_then(WorkItem::contact) else { return Vec::new() };
        let endpoint = match work.stage {
            Step::Company => Endpoint::Upsert(Entity::SalesAccount),
            Step::FindContact
            | Step::Contact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => Endpoint::Upsert(Entity::Contact),
            Step::Deal => Endpoint::Upsert(Entity::Deal),
        };
        match failed {
            // It speaks of something else than the record: what is meant, the record's own call will tell.
            Some(refused) if !refused.status.is_some_and(is_about_record) => {
                if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) {
                    work.alone = true;
                    self.idle.insert(number);
                }
                Vec::new()
            }
            Some(refused) => self.step_refused(number, endpoint, refused, now),
            // The job tells no ids; what needed one did not go in bulk.
            None => self.step_done(number, endpoint, &Value::Null, now),
        }
    }
}

/// Whether an event that waits would write one of these entities in bulk.
pub(in crate::lane) fn writes_one_of(
    entities: &[Entity],
    mapped: &HeldEvent,
    memo: &mut RecordCache,
) -> bool {
    entities.iter().any(|entity| joins(mapped, *entity, memo).is_some())
}

/// The write of a waiting event, if its first step writes this entity in bulk.
fn joins<'a>(mapped: &'a HeldEvent, entity: Entity, memo: &mut RecordCache) -> Option<&'a HeldContact> {
    match mapped {
        HeldEvent::Contact(write) => (first_write(write, memo) == Some(entity)).then_some(write),
        HeldEvent::Track(_) | HeldEvent::Page(_) => None,
    }
}

/// Whether a contact can be written without needing anything from the answer.
fn plain(write: &HeldContact, account: Option<i64>, fresh: bool, memo: &mut RecordCache) -> bool {
    let linked = match (&write.company, account) {
        (None, _) => true,
        (Some(_), Some(account)) => !fresh && memo.linked(write.address(), account),
        (Some(_), None) => false,
    };
    let id = memo.contact_id(write.address()).filter(|_| !fresh);
    linked
        && tags::are_there(&write.record, Entity::Contact, id, memo)
        && (write.deal.is_none() || id.is_some())
}

/// What the first step of a waiting identify writes, if that can go in a bulk call.
fn first_write(write: &HeldContact, memo: &mut RecordCache) -> Option<Entity> {
    write.email.as_ref()?;
    let account = match &write.company {
        None => None,
        Some(company) => {
            let known = memo.account(&company.name)?;
            if known.written != Some(fingerprint(&company.record)) {
                let tagged = tags::are_there(&company.record, Entity::SalesAccount, Some(known.id), memo);
                return (tagged && memo.linked(write.address(), known.id)).then_some(Entity::SalesAccount);
            }
            Some(known.id)
        }
    };
    plain(write, account, false, memo).then_some(Entity::Contact)
}

fn company_name(write: &HeldContact) -> Option<String> {
    write.company.as_ref().map(|company| company.name.to_lowercase())
}
