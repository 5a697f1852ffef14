//! How a unit goes from step to step, and how steps become calls: one, or many in bulk. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::dispatch::{Dispatch, Effect, Outgoing, Purpose};
use super::jobs::GIVEN_UP;
use super::memo::{Account, fingerprint};
use super::unit::{Stage, Unit, Work, identity, report};
use super::window::Key;
use crate::freshsales::{
    Call, Endpoint, Failure, Job, Link, found_email, job_id, linked_accounts, read_job, record_id,
};
use crate::mapping::{ContactWrite, Identity, Mapped};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::schema::Entity;

/// The most records of one bulk call.
const MOST: usize = 100;
/// A bulk call costs itself and at least one question about its job: fewer records are cheaper one by one.
const LEAST: usize = 3;
/// After so many reports of no use, or an answer that bulk calls are not there, records go one by one for a while.
const UNCLEAR: u32 = 3;
const SINGLE_FOR: Duration = Duration::from_hours(1);

/// A refusal as an answer or a report tells it.
type Refused = (u16, Vec<String>);

impl<D> Dispatch<D> {
    /// Passes over what is known, and finds out whether the unit's next step may be planned.
    pub(super) fn settle_stage(&mut self, number: u64) {
        let Some(unit) = self.units.get_mut(&number) else { return };
        let Some(work) = unit.contact_mut() else {
            self.idle.insert(number);
            return;
        };
        if work.stage == Stage::Company
            && !work.fresh
            && let Some(company) = &work.write.company
            && let Some(known) = self.memo.account(&company.name)
            && known.written == fingerprint(&company.record)
        {
            work.account = Some(known.id);
            work.remembered = true;
            work.stage = Stage::Contact;
        }
        match work.name() {
            Some(name) => match self.names.get_mut(&name) {
                Some(others) => others.push_back(number),
                None => {
                    self.names.insert(name, std::collections::VecDeque::new());
                    self.idle.insert(number);
                }
            },
            None => {
                self.idle.insert(number);
            }
        }
    }

    /// The unit no longer writes the record of this stage: the next one may.
    fn release(&mut self, number: u64) {
        let Some(name) =
            self.units.get(&number).and_then(Unit::contact).and_then(super::unit::ContactWork::name)
        else {
            return;
        };
        for other in self.names.remove(&name).unwrap_or_default() {
            self.settle_stage(other);
        }
    }

    /// Makes the unit's next step a call, with as many like it as may go along.
    pub(super) fn plan(&mut self, number: u64, now: Instant) -> Option<u64> {
        let bulk = self.bulk_entity(number, now).map(|entity| (entity, self.gather(number, entity, now)));
        if let Some((entity, units)) = bulk
            && units.len() >= LEAST
        {
            return self.plan_bulk(entity, units);
        }
        let call = match &self.units.get(&number)?.work {
            Work::Contact(work) => work.call()?,
            Work::Activity => self.activity_call(number)?,
        };
        self.idle.remove(&number);
        Some(self.prepare(call, Purpose::Step(number)))
    }

    fn activity_call(&self, number: u64) -> Option<Call> {
        let mapped = &self.units.get(&number)?.events.first()?.1.mapped;
        match identity(mapped)? {
            Identity::Email(email) => report(mapped, email),
            Identity::UserId(user_id) if self.identities.unknown(user_id) => {
                Some(Call::lookup_external_id(user_id))
            }
            Identity::UserId(user_id) => {
                report(mapped, self.identities.email(user_id).as_deref().unwrap_or(user_id))
            }
        }
    }

    fn plan_bulk(&mut self, entity: Entity, units: Vec<u64>) -> Option<u64> {
        let records: Vec<_> = units
            .iter()
            .filter_map(|unit| self.units.get(unit)?.contact()?.record())
            .map(|(_, name, record)| (name, record))
            .collect();
        if records.len() != units.len() {
            return None;
        }
        for unit in &units {
            self.idle.remove(unit);
        }
        Some(self.prepare(Call::bulk_upsert(entity, records), Purpose::Bulk(units)))
    }

    /// The entity that the unit's next step could write in bulk.
    fn bulk_entity(&mut self, number: u64, now: Instant) -> Option<Entity> {
        if self.single_until.is_some_and(|until| now < until) {
            return None;
        }
        let work = self.units.get(&number)?.contact()?;
        if work.alone {
            return None;
        }
        match &work.stage {
            Stage::Contact => {
                let (write, account) = (&work.write, work.account);
                plain(write, account, work.fresh, &mut self.memo).then_some(Entity::Contact)
            }
            // Its id is asked for with a single call; once known, only the values go.
            Stage::Company => {
                let company = work.write.company.as_ref()?;
                let account = self.memo.account(&company.name)?;
                let (email, fresh) = (work.write.email.clone(), work.fresh);
                (!fresh && self.memo.linked(&email, account.id)).then_some(Entity::SalesAccount)
            }
            Stage::Deal => Some(Entity::Deal),
            Stage::ReadLinks | Stage::Link(_) => None,
        }
    }

    /// The unit, and the others whose next step writes the same entity in bulk: on their way already, or waiting.
    fn gather(&mut self, number: u64, entity: Entity, now: Instant) -> Vec<u64> {
        let mut units = BTreeSet::from([number]);
        let idle: Vec<u64> = self.idle.iter().copied().collect();
        for other in idle {
            if units.len() < MOST && self.bulk_entity(other, now) == Some(entity) {
                units.insert(other);
            }
        }
        if entity == Entity::Contact {
            let memo = &mut self.memo;
            let waiting: Vec<u64> = self
                .window
                .ready()
                .filter(|(_, waiting)| match &waiting.mapped {
                    Mapped::Contact(write) => at_once(write, memo),
                    Mapped::Track(_) | Mapped::Page(_) => false,
                })
                .map(|(number, _)| number)
                .take(MOST)
                .collect();
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
        }
        units.into_iter().collect()
    }

    /// What a call came to, now that Freshsales has judged it.
    pub(super) fn conclude(
        &mut self,
        outgoing: Outgoing,
        result: Result<Value, Refused>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        match outgoing.purpose {
            Purpose::Fields(entity) => {
                vec![Effect::Fields(entity, result.map_err(|(status, _)| status))]
            }
            Purpose::Step(unit) => match result {
                Ok(body) => self.step_done(unit, outgoing.call.endpoint, &body),
                Err(refused) => self.step_refused(unit, outgoing.call.endpoint, refused),
            },
            Purpose::Bulk(units) => match result.ok().as_ref().and_then(job_id) {
                Some(job) => {
                    let purpose = Purpose::Poll { units, asked: 0, submitted: now };
                    self.enqueue(Call::job_status(&job), purpose, now + self.times.first());
                    Vec::new()
                }
                None => {
                    self.singly(units, now);
                    Vec::new()
                }
            },
            Purpose::Poll { units, asked, submitted } => {
                let asked = asked + 1;
                let job = result.map_or(Job::Unclear, |body| read_job(&body));
                if asked == 1 && job != Job::Unclear {
                    self.times.learn(job != Job::Running);
                }
                match job {
                    Job::Running if now.saturating_duration_since(submitted) < GIVEN_UP => {
                        let again = now + self.times.again(asked);
                        self.enqueue(outgoing.call, Purpose::Poll { units, asked, submitted }, again);
                        Vec::new()
                    }
                    Job::Ended { succeeded, failures } => match self.pinned(&units, succeeded, &failures) {
                        Some(results) => {
                            self.unclear = 0;
                            results
                                .into_iter()
                                .flat_map(|(unit, failed)| self.bulk_done(unit, failed))
                                .collect()
                        }
                        None => {
                            self.singly(units, now);
                            Vec::new()
                        }
                    },
                    Job::Running | Job::Unclear => {
                        self.singly(units, now);
                        Vec::new()
                    }
                }
            }
        }
    }

    /// A bulk call whose answer is of no use: the same steps again, one by one.
    fn singly(&mut self, units: Vec<u64>, now: Instant) {
        self.unclear += 1;
        if self.unclear >= UNCLEAR {
            self.unclear = 0;
            self.single_until = Some(now + SINGLE_FOR);
            tracing::warn!("reports of bulk upserts cannot be used; records go one by one for an hour");
        }
        for unit in units {
            if let Some(work) = self.units.get_mut(&unit).and_then(Unit::contact_mut) {
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
        failures: &[Failure],
    ) -> Option<Vec<(u64, Option<Refused>)>> {
        if succeeded + failures.len() as u64 != units.len() as u64 {
            return None;
        }
        let mut results: Vec<(u64, Option<Refused>)> = units.iter().map(|unit| (*unit, None)).collect();
        for failure in failures {
            let mut named = results.iter_mut().filter(|(unit, _)| {
                let record =
                    self.units.get(unit).and_then(Unit::contact).and_then(super::unit::ContactWork::record);
                record.is_some_and(|(_, name, _)| failure.names.contains(&name.to_lowercase()))
            });
            let (_, failed) = named.next()?;
            if named.next().is_some() || failed.is_some() {
                return None;
            }
            let messages = if failure.messages.is_empty() {
                vec!["refused in a bulk upsert without a message".to_owned()]
            } else {
                failure.messages.clone()
            };
            *failed = Some((failure.status.unwrap_or(400), messages));
        }
        Some(results)
    }

    fn bulk_done(&mut self, number: u64, failed: Option<Refused>) -> Vec<Effect<D>> {
        let Some(work) = self.units.get(&number).and_then(Unit::contact) else { return Vec::new() };
        let endpoint = match work.stage {
            Stage::Company => Endpoint::Upsert(Entity::SalesAccount),
            Stage::Contact | Stage::ReadLinks | Stage::Link(_) => Endpoint::Upsert(Entity::Contact),
            Stage::Deal => Endpoint::Upsert(Entity::Deal),
        };
        match failed {
            Some(refused) => self.step_refused(number, endpoint, refused),
            // The job tells no ids; what needed one did not go in bulk.
            None => self.step_done(number, endpoint, &Value::Null),
        }
    }

    fn step_done(&mut self, number: u64, endpoint: Endpoint, body: &Value) -> Vec<Effect<D>> {
        if let Endpoint::Lookup = endpoint {
            self.looked_up(number, Some(body));
            return Vec::new();
        }
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        let Some(work) = unit.contact_mut() else { return self.finish(number, &Outcome::Delivered) };
        let email = work.write.email.clone();
        let next = match work.stage.clone() {
            Stage::Company => {
                let Some(company) = &work.write.company else { return Vec::new() };
                let known = self.memo.account(&company.name).map(|account| account.id);
                let id = record_id(body, Entity::SalesAccount.singular()).or(known);
                if let Some(id) = id {
                    let written = fingerprint(&company.record);
                    self.memo.learn_account(&company.name, Account { id, written });
                }
                work.account = id;
                Some(Stage::Contact)
            }
            Stage::Contact => {
                let links = linked_accounts(body);
                if let Some(id) = record_id(body, Entity::Contact.singular()) {
                    work.contact = Some(id);
                    self.memo.learn_contact(&email, id, links.as_deref());
                } else {
                    work.contact = self.memo.contact_id(&email);
                    work.remembered = true;
                }
                match (work.account, links) {
                    (Some(account), links) if !self.memo.linked(&email, account) => match links {
                        Some(links) => Some(Stage::Link(with(links, account))),
                        None => Some(Stage::ReadLinks),
                    },
                    _ => deal_next(&work.write),
                }
            }
            Stage::ReadLinks => match (work.account, linked_accounts(body)) {
                (Some(account), Some(links)) if !links.iter().any(|link| link.id == account) => {
                    Some(Stage::Link(with(links, account)))
                }
                (Some(_), None) => {
                    let problem =
                        "its links to sales accounts cannot be read, so none can be added safely".to_owned();
                    return self.step_refused(number, endpoint, (200, vec![problem]));
                }
                _ => deal_next(&work.write),
            },
            Stage::Link(links) => {
                if let Some(contact) = work.contact {
                    self.memo.learn_contact(&email, contact, Some(&links));
                }
                deal_next(&work.write)
            }
            Stage::Deal => None,
        };
        self.release(number);
        match next {
            Some(stage) => {
                if let Some(work) = self.units.get_mut(&number).and_then(Unit::contact_mut) {
                    work.stage = stage;
                }
                self.settle_stage(number);
                Vec::new()
            }
            None => self.finish(number, &Outcome::Delivered),
        }
    }

    fn step_refused(
        &mut self,
        number: u64,
        endpoint: Endpoint,
        (status, messages): Refused,
    ) -> Vec<Effect<D>> {
        if let Endpoint::Lookup = endpoint {
            // Refused is as good as not found: the userId itself is sent.
            self.looked_up(number, None);
            return Vec::new();
        }
        self.release(number);
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        if let Some(work) = unit.contact()
            && work.remembered
            && !work.fresh
        {
            // What was remembered may be gone: once more without.
            let company = work.write.company.as_ref().map(|company| company.name.clone());
            let email = work.write.email.clone();
            self.memo.forget(&email, company.as_deref());
            unit.refresh();
            self.settle_stage(number);
            return Vec::new();
        }
        if unit.events.len() > 1 {
            // Which of them is refused cannot be told from the answer to all.
            unit.split();
            self.settle_stage(number);
            return Vec::new();
        }
        let place = unit.contact().map_or("activity", super::unit::ContactWork::place);
        let outcome = Outcome::DeadLetter(refusal(place, status, messages));
        self.finish(number, &outcome)
    }

    /// A look-up ended. An event whose contact is known by its e-mail address now waits for those queued before it
    /// under that address.
    fn looked_up(&mut self, number: u64, body: Option<&Value>) {
        let Some(mut unit) = self.units.remove(&number) else { return };
        let Some((event, waiting)) = unit.events.pop() else { return };
        let Some(Identity::UserId(user_id)) = identity(&waiting.mapped) else { return };
        let user_id = user_id.clone();
        match body.and_then(|body| found_email(body, &user_id)) {
            Some(email) => self.identities.learn(&user_id, email),
            None => self.identities.looked_up_in_vain(&user_id),
        }
        let key = self.identities.email(&user_id).map_or(Key::UserId(user_id), Key::Email);
        self.window.put_back(event, key, waiting);
    }

    /// The events being worked on end; the rest, if any, is taken up.
    fn finish(&mut self, number: u64, outcome: &Outcome) -> Vec<Effect<D>> {
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        let attempts = unit.attempts;
        let merged = unit.events.len().saturating_sub(1) as u64;
        let ended: Vec<(u64, D)> =
            unit.events.drain(..).map(|(number, waiting)| (number, waiting.debt)).collect();
        if unit.next() {
            self.settle_stage(number);
        } else {
            self.units.remove(&number);
            self.idle.remove(&number);
        }
        let mut effects = Vec::with_capacity(ended.len() + 1);
        for (number, debt) in ended {
            self.window.finish(number);
            effects.push(Effect::Settled { debt, outcome: outcome.clone(), attempts });
        }
        if merged > 0 && *outcome == Outcome::Delivered {
            effects.push(Effect::Coalesced(merged));
        }
        effects
    }
}

/// Whether a contact can be written without needing anything from the answer.
fn plain(write: &ContactWrite, account: Option<i64>, fresh: bool, memo: &mut super::memo::Memo) -> bool {
    let linked = match (&write.company, account) {
        (None, _) => true,
        (Some(_), Some(account)) => !fresh && memo.linked(&write.email, account),
        (Some(_), None) => false,
    };
    linked && (write.deal.is_none() || (!fresh && memo.contact_id(&write.email).is_some()))
}

/// Whether a waiting identify could go in a bulk call as it stands.
fn at_once(write: &ContactWrite, memo: &mut super::memo::Memo) -> bool {
    let account = match &write.company {
        None => None,
        Some(company) => match memo.account(&company.name) {
            Some(known) if known.written == fingerprint(&company.record) => Some(known.id),
            _ => return false,
        },
    };
    plain(write, account, false, memo)
}

fn deal_next(write: &ContactWrite) -> Option<Stage> {
    write.deal.is_some().then_some(Stage::Deal)
}

/// The old links and one more. The API replaces the whole set, and wants exactly one primary.
fn with(mut links: Vec<Link>, account: i64) -> Vec<Link> {
    let primary = !links.iter().any(|link| link.primary);
    links.push(Link { id: account, primary });
    links
}

fn refusal(place: &str, status: u16, messages: Vec<String>) -> Refusal {
    let problems = messages
        .into_iter()
        .map(|message| Problem {
            problem: format!("Freshsales refused the {place}: {message}"),
            ..Problem::default()
        })
        .collect();
    Refusal { reason: DeadLetterReason::Rejected, problems, http_status: Some(status) }
}
