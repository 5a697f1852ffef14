//! How a unit goes from step to step, and what an answer makes of it. Pure. Bulk calls are next door.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::time::Instant;

use super::bulk::LEAST;
use super::deals::DealAt;
use super::remedy;
use super::remedy::{Remembered, may_be_mended};
use super::tags;
use super::tags::Found;
use super::work_item::{ContactWork, Step, Work, WorkItem, identity, report};
use crate::freshsales::{
    Call, Endpoint, JobStatus, SalesAccountLink, UnavailableCause, Verdict, custom_fields, found_email,
    is_another_contact, job_id, linked_accounts, read_job_status, record_id,
};
use crate::lane::contact::cache::records::{Account, fingerprint};
use crate::lane::scheduler::calls::{Ground, Outgoing, Polling, Purpose, Refused};
use crate::lane::scheduler::window::Key;
use crate::lane::scheduler::{Effect, Name, Scheduler};
use crate::mapping::{Identity, Omitted};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::schema::Entity;

/// No contact's `external_id` has more characters.
const LONGEST_ID: usize = 255;

/// Whether a contact can have this `userId`. A longer one need not be looked up, and might fit no URL: then its call could
/// never be made, which looks like an outage.
fn may_be_known(user_id: &str) -> bool {
    user_id.chars().nth(LONGEST_ID).is_none()
}

impl<D> Scheduler<D> {
    /// Passes over what is known, and finds out whether the unit's next step may be planned.
    pub(in crate::lane) fn settle_stage(&mut self, number: u64) {
        let Some(unit) = self.units.get_mut(&number) else { return };
        let Some(work) = unit.contact_mut() else {
            self.idle.insert(number);
            return;
        };
        if work.stage == Step::Company
            && !work.fresh
            && let Some(company) = &work.write.company
            && let Some(known) = self.memo.account(&company.name)
            && known.written == Some(fingerprint(&company.record))
            // While somebody writes it, what was written last is not known.
            && work.name().is_none_or(|name| !self.names.contains_key(&name))
        {
            work.account = Some(known.id);
            work.remembered = true;
            work.stage = Step::Contact;
        }
        if self.settle_whose(number) {
            return;
        }
        let Some(work) = self.units.get(&number).and_then(WorkItem::contact) else { return };
        match work.name() {
            Some(name) => {
                if let Some(taken) = self.names.get_mut(&name).filter(|taken| taken.holder != number) {
                    taken.others.push_back(number);
                    self.look_again_later(number);
                } else {
                    self.names.entry(name).or_insert(Name { holder: number, others: VecDeque::new() });
                    self.idle.insert(number);
                }
            }
            None => {
                self.idle.insert(number);
            }
        }
    }

    /// The unit no longer writes the record of this stage: the next one may.
    pub(in crate::lane) fn release(&mut self, number: u64) {
        let Some(name) = self.name(number) else { return };
        if self.names.get(&name).is_none_or(|taken| taken.holder != number) {
            return;
        }
        for other in self.names.remove(&name).map(|taken| taken.others).unwrap_or_default() {
            self.settle_stage(other);
        }
    }

    fn name(&self, number: u64) -> Option<(Entity, String)> {
        self.units.get(&number).and_then(WorkItem::contact).and_then(ContactWork::name)
    }

    /// A call failed and waits. If it may take long, others may write its sales account or deal meanwhile: one contact's
    /// trouble must not be all its company's.
    pub(in crate::lane) fn stand_aside(&mut self, call: u64) {
        let Some(&Purpose::Step(number)) = self.calls.get(&call).map(|outgoing| &outgoing.purpose) else {
            return;
        };
        if let Some(company) = self.units.get(&number).and_then(WorkItem::contact).and_then(|work| {
            work.write
                .company
                .as_ref()
                .filter(|_| work.stage == Step::Company)
                .map(|company| company.name.clone())
        }) && let Some(known) = self.memo.account(&company)
        {
            // It may have taken effect all the same.
            self.memo.learn_account(&company, Account { written: None, ..known });
        }
        self.release(number);
    }

    /// Whether another unit writes the record that a call is to write.
    pub(in crate::lane) fn name_is_taken(&self, outgoing: &Outgoing) -> bool {
        let Purpose::Step(number) = outgoing.purpose else { return false };
        let taken = self.name(number).and_then(|name| self.names.get(&name).map(|taken| taken.holder));
        taken.is_some_and(|holder| holder != number)
    }

    /// The unit's record is being written.
    pub(in crate::lane) fn claim_name(&mut self, number: u64) {
        if let Some(name) = self.name(number) {
            self.names.entry(name).or_insert(Name { holder: number, others: VecDeque::new() });
        }
    }

    /// Makes the unit's next step a call, with as many like it as may go along.
    pub(in crate::lane) fn plan(&mut self, number: u64, now: Instant) -> Option<u64> {
        let entity = self.bulk_entity(number, now).filter(|_| self.job_free(now));
        let bulk = entity.map(|entity| (entity, self.gather(number, entity, now)));
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
            Identity::UserId(user_id) if self.identities.unknown(user_id) && may_be_known(user_id) => {
                Some(Call::lookup_external_id(user_id))
            }
            Identity::UserId(user_id) => {
                // Where nobody is found, a later identify may say whom Freshsales will know it by.
                let email = self.identities.email(user_id).or_else(|| self.identities.latest(user_id));
                report(mapped, email.unwrap_or(user_id))
            }
        }
    }

    /// What an answer means to whoever knows what was asked for: one that tells of another contact, or not what was asked, is
    /// no answer, and nothing is built upon it.
    pub(in crate::lane) fn believed(&self, outgoing: &Outgoing, verdict: Verdict) -> Verdict {
        let (Verdict::Done(body), Purpose::Step(unit)) = (&verdict, &outgoing.purpose) else {
            return verdict;
        };
        let Some(work) = self.units.get(unit).and_then(WorkItem::contact) else { return verdict };
        if let Step::ReadTags(tagging) | Step::Tags(tagging) = &work.stage {
            let same = record_id(body, tagging.entity.singular()) == Some(tagging.id);
            return if same { verdict } else { nonsense() };
        }
        if let Step::StillThere(remembered) = &work.stage {
            let same = record_id(body, remembered.entity.singular()) == Some(remembered.id);
            return if same { verdict } else { nonsense() };
        }
        let other_id = || record_id(body, Entity::Contact.singular()) != work.contact;
        let odd = match outgoing.call.endpoint {
            Endpoint::Upsert(Entity::Contact) => is_another_contact(body, work.write.address()),
            Endpoint::ContactRead => {
                other_id() || work.stage == Step::ReadLinks && linked_accounts(body).is_none()
            }
            Endpoint::ContactUpdate => other_id(),
            Endpoint::DealRead | Endpoint::DealUpdate => {
                record_id(body, Entity::Deal.singular()).map(DealAt::Id) != Some(work.deal)
            }
            Endpoint::Fields(_)
            | Endpoint::Selector(_)
            | Endpoint::Upsert(Entity::SalesAccount | Entity::Deal)
            | Endpoint::BulkUpsert(_)
            | Endpoint::JobStatus
            | Endpoint::Lookup
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealCreate
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => false,
        };
        if odd { nonsense() } else { verdict }
    }

    /// What a call came to, now that Freshsales has judged it.
    pub(in crate::lane) fn conclude(
        &mut self,
        outgoing: Outgoing,
        result: Result<Value, Refused>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        match outgoing.purpose {
            Purpose::Fields(entity) => {
                vec![Effect::Fields(entity, result.map_err(|refused| refused.status.unwrap_or_default()))]
            }
            Purpose::Selector(selector) => {
                let result = result.map_err(|refused| refused.status.unwrap_or_default());
                vec![Effect::Selector(selector, result)]
            }
            Purpose::Check(_) => {
                self.next_check = Entity::Contact;
                Vec::new()
            }
            Purpose::Step(unit) => match result {
                Ok(body) => self.step_done(unit, outgoing.call.endpoint, &body, now),
                Err(refused) => self.step_refused(unit, outgoing.call.endpoint, refused, now),
            },
            Purpose::Bulk(units)
                if let Err(Refused { ground: ground @ (Ground::Denied(..) | Ground::Seen(_)), .. }) =
                    &result =>
            {
                let right = matches!(ground, Ground::Denied(Some(_), _));
                self.not_together(units, outgoing.call.endpoint, right, now)
            }
            Purpose::Bulk(units) => {
                let Some(job) = result.ok().as_ref().and_then(job_id) else { return self.singly(units, now) };
                self.slots.accept();
                let guess = self.times.first();
                let polling = Polling { units, asked: 0, submitted: now, guess };
                self.enqueue(Call::job_status(&job), Purpose::Poll(polling), now + guess);
                Vec::new()
            }
            Purpose::Poll(polling) => {
                let job = result.map_or(JobStatus::Unclear, |body| read_job_status(&body));
                self.polled(outgoing.call, job, polling, now)
            }
        }
    }

    pub(in crate::lane) fn step_done(
        &mut self,
        number: u64,
        endpoint: Endpoint,
        body: &Value,
        now: Instant,
    ) -> Vec<Effect<D>> {
        // Before all else, look-ups included: the next step's patience runs on another clock.
        if let Some(unit) = self.units.get_mut(&number) {
            unit.failing = None;
        }
        if let Endpoint::Lookup = endpoint {
            return self.looked_up(number, Some(body), now);
        }
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        if unit.contact().is_some_and(|work| work.stage == Step::ReadEmails) {
            return self.emails_read(number, body);
        }
        let Some(work) = unit.contact_mut() else { return self.finish(number, &Outcome::Delivered) };
        if let Step::StillThere(remembered) = work.stage.clone() {
            if !remembered.is_deleted(body) {
                return self.still_there(number, *remembered, now);
            }
            let company = work.write.company.as_ref().map(|company| company.name.clone());
            self.memo.forget(work.write.address(), company.as_deref());
            unit.refresh();
            self.settle_stage(number);
            return Vec::new();
        }
        if endpoint == Endpoint::DealRead && work.stage == Step::Deal {
            work.kept_custom = Some(custom_fields(body).unwrap_or_default());
            self.idle.insert(number);
            return Vec::new();
        }
        let mut effects = Vec::new();
        effects.extend(remedy::left_out(work));
        let mut hidden = false;
        let email = work.write.address().to_owned();
        let next = match work.stage.clone() {
            Step::Company => {
                let Some(company) = &work.write.company else { return Vec::new() };
                let known = self.memo.account(&company.name).map(|account| account.id);
                let id = record_id(body, Entity::SalesAccount.singular()).or(work.account).or(known);
                if let Some(id) = id {
                    let written = Some(fingerprint(&company.record));
                    self.memo.learn_account(&company.name, Account { id, written });
                }
                work.account = id;
                Some(Step::Contact)
            }
            Step::Contact | Step::Update => {
                let links = linked_accounts(body);
                let id = record_id(body, Entity::Contact.singular());
                if let Some(id) = id {
                    work.contact = Some(id);
                    self.memo.learn_contact(&email, id, links.as_deref());
                } else {
                    // In bulk goes only what is linked, under the id that was remembered.
                    work.remembered = true;
                }
                work.find_deal(body);
                if work.deal == DealAt::New {
                    // The deals were not asked for here, so that none is shown says nothing.
                    work.deal = DealAt::Unknown;
                }
                match (work.account.filter(|_| id.is_some()), links) {
                    (Some(account), Some(links)) if !links.iter().any(|link| link.id == account) => {
                        Some(Step::Link(with(links, account)))
                    }
                    (Some(account), None) if !self.memo.linked(&email, account) => Some(Step::ReadLinks),
                    _ => work.toward_deal(self.deal_identity, &mut self.memo),
                }
            }
            Step::ReadLinks => match (work.account, linked_accounts(body)) {
                (Some(account), Some(links)) if !links.iter().any(|link| link.id == account) => {
                    Some(Step::Link(with(links, account)))
                }
                _ => work.toward_deal(self.deal_identity, &mut self.memo),
            },
            Step::Link(links) => {
                if let Some(contact) = work.contact {
                    self.memo.learn_contact(&email, contact, Some(&links));
                }
                work.toward_deal(self.deal_identity, &mut self.memo)
            }
            Step::FindDeal => {
                hidden = !work.find_deal(body);
                if hidden {
                    work.deal = DealAt::New;
                }
                Some(Step::Deal)
            }
            Step::Deal => {
                let id = match work.deal {
                    DealAt::Id(id) => Some(id),
                    DealAt::New => record_id(body, Entity::Deal.singular()),
                    DealAt::Name | DealAt::Unknown => None,
                };
                if let (Some(contact), Some(deal), Some(id)) = (work.contact, &work.write.deal, id) {
                    self.memo.learn_deal(contact, &deal.name, id);
                }
                None
            }
            Step::ReadTags(tagging) => match tagging.compare(body) {
                Found::Missing(tagging) => Some(Step::Tags(tagging)),
                Found::All => {
                    self.memo.learn_tags(tagging.entity, tagging.id, &tagging.tags);
                    tagging.then.map(|then| *then)
                }
                Found::NotShown => {
                    effects.push(tags::left_out(&tagging));
                    tagging.then.map(|then| *then)
                }
            },
            Step::Tags(tagging) => {
                self.memo.learn_tags(tagging.entity, tagging.id, &tagging.tags);
                tagging.then.map(|then| *then)
            }
            // The answers of the others are read elsewhere.
            Step::FindContact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::FindOwner
            | Step::StillThere(_) => None,
        };
        let next = tags::after(work, body, next, &mut self.memo);
        if hidden {
            effects.extend(self.deals_not_shown(now));
        }
        // Nobody else looks for the deal between the look and the creation.
        let creates = next == Some(Step::Deal) && self.looked_in_vain(number);
        if !creates && !matches!(next, Some(Step::ReadTags(_) | Step::Tags(_))) {
            self.release(number);
        }
        match next {
            Some(stage) => {
                if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) {
                    work.stage = stage;
                    work.trial = None;
                }
                self.settle_stage(number);
            }
            None => effects.extend(self.finish(number, &Outcome::Delivered)),
        }
        effects
    }

    pub(in crate::lane) fn step_refused(
        &mut self,
        number: u64,
        endpoint: Endpoint,
        refused: Refused,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Ground::Said(_) = refused.ground
            && let Some(unit) = self.units.get_mut(&number)
        {
            // It got through, and what comes next may be of another kind.
            unit.failing = None;
        }
        if let Endpoint::Lookup = endpoint {
            // Refused is as good as not found: the userId itself is sent.
            return self.looked_up(number, None, now);
        }
        if let Some(effects) = self.whose_gone(number, &refused) {
            return effects;
        }
        self.release(number);
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        let gone = endpoint.has_record_id() && matches!(refused.status, Some(404 | 410));
        let said = matches!(refused.ground, Ground::Said(_));
        if let Some(work) = unit.contact()
            && (work.remembered || gone)
            && !work.fresh
            && said
        {
            // What was remembered may be gone, and a contact may be deleted while it is written: once more without its id.
            let company = work.write.company.as_ref().map(|company| company.name.clone());
            let email = work.write.address().to_owned();
            if let Some((contact, deal)) = work.contact.zip(work.write.deal.as_ref()) {
                self.memo.forget_deal(contact, &deal.name);
            }
            self.memo.forget(&email, company.as_deref());
            unit.refresh();
            self.settle_stage(number);
            return Vec::new();
        }
        if let Some(Step::StillThere(remembered)) = unit.contact().map(|work| work.stage.clone()) {
            return self.still_there(number, *remembered, now);
        }
        if self.leaves_out
            && let Ground::Denied(Some(_), _) = refused.ground
            && let Some(work) = unit.contact_mut()
            && let Some(entity) = work.leave_out()
        {
            let mut effects = vec![Effect::LeftOut(Omitted {
                entity,
                field: entity.singular().to_owned(),
                trait_path: entity.singular().to_owned(),
                why: "the API key has no right to write it".to_owned(),
            })];
            if entity == Entity::Deal {
                effects.extend(self.finish(number, &Outcome::Delivered));
            } else {
                self.settle_stage(number);
            }
            return effects;
        }
        if let Some(effects) = self.look_up_owner(number, &refused) {
            return effects;
        }
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        if unit.events.len() > 1 {
            // Which of them is refused cannot be told from the answer to all.
            unit.split();
            self.settle_stage(number);
            return Vec::new();
        }
        if let Some(effects) = self.look_up_holder(number, &refused) {
            return effects;
        }
        let Some(unit) = self.units.get_mut(&number) else { return Vec::new() };
        let refused = if said && let Some(work) = unit.contact_mut() {
            match remedy::next(work, &mut self.memo, refused) {
                Ok(()) => {
                    self.settle_stage(number);
                    return Vec::new();
                }
                Err(first) => {
                    if let Some(remembered) = Remembered::of(work, &mut self.memo, &first) {
                        work.stage = Step::StillThere(Box::new(remembered));
                        self.settle_stage(number);
                        return Vec::new();
                    }
                    first
                }
            }
        } else {
            refused
        };
        if let Some(effects) = self.look_up_again(number, &refused, now) {
            return effects;
        }
        self.give_up(number, refused)
    }

    /// A refused record is there, so defaults are not for it: what was refused stays refused.
    fn still_there(&mut self, number: u64, remembered: Remembered, now: Instant) -> Vec<Effect<D>> {
        if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) {
            work.stage = remembered.stage();
        }
        if let Some(effects) = self.look_up_again(number, &remembered.refused, now) {
            return effects;
        }
        self.give_up(number, remembered.refused)
    }

    /// The end of an event that Freshsales refuses for good.
    pub(in crate::lane) fn give_up(&mut self, number: u64, refused: Refused) -> Vec<Effect<D>> {
        let Some(unit) = self.units.get(&number) else { return Vec::new() };
        let place = unit.contact().map_or("activity", ContactWork::place);
        let said = matches!(refused.ground, Ground::Said(_)) && may_be_mended(refused.status);
        let absent = unit.contact().filter(|_| said).and_then(|work| remedy::absent(work, &mut self.memo));
        let mut refusal = refused.refusal(place);
        refusal.problems.extend(absent);
        self.finish(number, &Outcome::DeadLetter(refusal))
    }

    /// A look-up ended. An event whose contact is known by its e-mail address now waits for those queued before it
    /// under that address.
    fn looked_up(&mut self, number: u64, body: Option<&Value>, now: Instant) -> Vec<Effect<D>> {
        if self.units.get(&number).is_some_and(|unit| unit.contact().is_some()) {
            return self.whose_looked_up(number, body, now);
        }
        let Some(mut unit) = self.units.remove(&number) else { return Vec::new() };
        let Some((event, waiting)) = unit.events.pop() else { return Vec::new() };
        let Some(Identity::UserId(user_id)) = identity(&waiting.mapped) else { return Vec::new() };
        let user_id = user_id.clone();
        match body.and_then(|body| found_email(body, &user_id)) {
            Some(email) => self.identities.found(&user_id, email),
            None => self.identities.looked_up_in_vain(&user_id, now),
        }
        let email = self.identities.email(&user_id).map(str::to_owned);
        self.window.put_back(event, email.map_or(Key::UserId(user_id), Key::Email), waiting);
        Vec::new()
    }

    /// The events being worked on end; the rest, if any, is taken up.
    pub(in crate::lane) fn finish(&mut self, number: u64, outcome: &Outcome) -> Vec<Effect<D>> {
        let left_out = self.learn_whose(number, outcome);
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
        effects.extend(left_out);
        effects
    }
}

/// The answer tells of something else than was asked for.
fn nonsense() -> Verdict {
    Verdict::Unavailable { cause: UnavailableCause::UnexpectedBody(200), retry_after: None }
}

/// The old links and one more. The API replaces the whole set, and wants exactly one primary.
pub(in crate::lane) fn with(mut links: Vec<SalesAccountLink>, account: i64) -> Vec<SalesAccountLink> {
    let primary = !links.iter().any(|link| link.primary);
    links.push(SalesAccountLink { id: account, primary });
    links
}

impl Refused {
    /// What becomes of the event.
    pub(in crate::lane) fn refusal(self, place: &str) -> Refusal {
        let told =
            |problem: String, expected: Option<String>| Problem { problem, expected, ..Problem::default() };
        let quoted = |messages: Vec<String>, expected: &Option<String>| {
            let quote =
                |message| told(format!("Freshsales refused the {place}: {message}"), expected.clone());
            messages.into_iter().map(quote).collect()
        };
        let (reason, problems) = match self.ground {
            Ground::Said(messages) => (DeadLetterReason::Rejected, quoted(messages, &None)),
            Ground::Denied(family, messages) => {
                let expected =
                    family.map(|family| format!("an API key whose user may {}", family.permission()));
                (DeadLetterReason::Rejected, quoted(messages, &expected))
            }
            Ground::Seen(what) => {
                (DeadLetterReason::Rejected, vec![told(format!("the {place} {what}"), None)])
            }
            Ground::Never(what) => {
                (DeadLetterReason::Undeliverable, vec![told(format!("the {place} {what}"), None)])
            }
        };
        Refusal { reason, problems, http_status: self.status }
    }
}
