//! Who a contact is, where its e-mail address alone does not say: an identify without an address, and a `userId` that
//! comes with another address than before. Pure; what is asked and written here are steps of a unit, as all others are.
//!
//! Freshsales' `external_id` is unique. So an identify is written by its address, optimistically, unless this lane knows
//! better; a refusal may mean that another contact has its `userId`. That contact then gets the address.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::emails::addresses;
use super::held::{HeldEvent, RecordText};
use super::remedy::may_be_mended;
use super::work_item::{ContactWork, Step, WorkItem, first_stage};
use crate::freshsales::{
    Endpoint, FoundContact, emails_of, found_contact, found_owner, has_another_external_id,
};
use crate::lane::contact::cache::identities::End;
use crate::lane::scheduler::calls::{Ground, Purpose, Refused};
use crate::lane::scheduler::window::Key;
use crate::lane::scheduler::{Effect, Scheduler};
use crate::mapping::Omitted;
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::schema::Entity;

/// So often an event is given back to wait for events of an address found later, and so often somebody found turns out to
/// be somebody else. More can only be by answers that contradict each other.
const MOST_TRIES: u8 = 3;

/// What is known of who a contact is, beside its write.
#[derive(Debug, Default)]
pub(in crate::lane) struct Whose {
    /// What stands if nobody else is found.
    refused: Option<Refused>,
    /// Look-ups made since it was refused.
    asked: u8,
    /// How often the contact that was found was not used.
    misses: u8,
    /// The addresses that it is to have, an array's text, where it is written by its id.
    emails: Option<String>,
    /// What is remembered does not hold: it is written by its address.
    by_address: bool,
    /// This contact is not there any more, or has another `external_id`, whatever a look-up says.
    gone: Option<i64>,
    /// Its address is another contact's than its `external_id`, so it is written without that.
    pub(in crate::lane) apart: bool,
    /// An address is left out, because the contact has as many as Freshsales keeps.
    pub(in crate::lane) too_many_emails: bool,
}

impl ContactWork {
    /// The body of a contact's record, an object's text.
    pub(in crate::lane) fn contact_object(&self, record: &RecordText) -> String {
        let listed = record.field("emails").filter(|emails| emails.starts_with('['));
        let emails = match (&self.stage, &self.write.email, listed) {
            (Step::Update, ..) => self.whose.emails.clone(),
            // The list was made without knowing the address.
            (_, Some(email), Some(_)) if !self.write.says_email => {
                Some(addresses(Vec::new(), record.field("emails"), email).0)
            }
            (_, None | Some(_), None | Some(_)) => None,
        };
        let mut left_out = Vec::with_capacity(2);
        let mut more = Vec::with_capacity(1);
        if self.whose.apart {
            left_out.push("external_id");
        }
        if let Some(emails) = emails {
            left_out.push("emails");
            more.push(("emails", emails));
        }
        record.object_without(&left_out, &more)
    }

    /// Whether the contact is written by its id and gets another address.
    pub(in crate::lane) fn changes_address(&self) -> bool {
        self.whose.emails.is_some()
    }

    /// Takes the addresses that the contact has, to write them with its new one; false if it is somebody else's by now.
    pub(in crate::lane) fn take_addresses(&mut self, body: &Value) -> bool {
        if self.write.external_id().is_none_or(|user_id| has_another_external_id(body, &user_id)) {
            return false;
        }
        let record = &self.write.record;
        let (emails, too_many) = addresses(emails_of(body), record.field("emails"), self.write.address());
        self.whose.emails = Some(emails);
        self.whose.too_many_emails = too_many;
        true
    }
}

impl<D> Scheduler<D> {
    /// Follows what is known of who the unit's contact is, before its next step is planned. True if the unit is gone: it
    /// waits for other events, or has ended.
    pub(in crate::lane) fn settle_whose(&mut self, number: u64) -> bool {
        let Some(unit) = self.units.get_mut(&number) else { return true };
        let Some(work) = unit.contact_mut() else { return false };
        let Some(user_id) = work.write.external_id() else { return false };
        match (&work.stage, work.write.email.as_deref()) {
            (Step::FindContact, _) => {
                if let Some(email) = self.identities.own_email(&user_id).map(str::to_owned) {
                    return self.wait_under(number, &email, true);
                }
                if self.identities.owner_unknown(&user_id) || self.identities.is_in_doubt(&user_id) {
                    return false;
                }
                // The same holds for all that was taken with it. One after another, each would begin within the last.
                let rest = std::mem::take(&mut unit.rest);
                unit.events.extend(rest);
                let effects = self.finish(number, &Outcome::DeadLetter(nobody(NOT_FOUND)));
                self.ended.extend(effects);
                true
            }
            (Step::Contact, None) => {
                work.stage = Step::Update;
                false
            }
            (Step::Company | Step::Contact, Some(email)) if !work.whose.by_address => {
                let apart = self.identities.apart(&user_id, email);
                if apart && unit.part_those_without_an_address() {
                    return self.settle_whose(number);
                }
                if apart && unit.contact().is_some_and(|work| !work.write.says_email) {
                    // An earlier identify named it, and it is another contact's: this one must not be written there.
                    unit.forget_address();
                    return self.settle_whose(number);
                }
                let Some(work) = unit.contact_mut() else { return false };
                work.whose.apart = apart;
                let email = work.write.address().to_owned();
                let email = &*email;
                let Some(before) = self.identities.moved(&user_id, email).map(str::to_owned) else {
                    return false;
                };
                if !work.write.says_email {
                    return self.wait_under(number, &before, true);
                }
                let first = unit.events.first().map_or(number, |(event, _)| *event);
                if !self.window.has_key(first, &Key::Email(before.clone())) {
                    return self.wait_under(number, &before, false);
                }
                let Some(work) = unit.contact_mut().filter(|work| work.stage == Step::Contact) else {
                    return false;
                };
                work.contact = self.memo.contact_id(&before);
                work.stage = if work.contact.is_some() { Step::ReadEmails } else { Step::FindHolder };
                false
            }
            (
                Step::Company
                | Step::Contact
                | Step::FindHolder
                | Step::ReadEmails
                | Step::Update
                | Step::FindOwner
                | Step::ReadLinks
                | Step::Link(_)
                | Step::FindDeal
                | Step::Deal
                | Step::ReadTags(_)
                | Step::StillThere(_)
                | Step::Tags(_),
                _,
            ) => false,
        }
    }

    /// Gives a unit's events back to wait for earlier ones of this address, too, which may become their own. True if
    /// they are given back.
    fn wait_under(&mut self, number: u64, email: &str, becomes_own: bool) -> bool {
        let moves = |unit: &WorkItem<D>| unit.events.iter().map(|(_, waiting)| waiting.moves).max();
        if self.units.get(&number).and_then(moves).unwrap_or_default() >= MOST_TRIES {
            if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) {
                work.whose.by_address = true;
                if becomes_own {
                    Arc::make_mut(&mut work.write).email = Some(email.into());
                    work.stage = first_stage(&work.write);
                }
            }
            return false;
        }
        self.release(number);
        self.idle.remove(&number);
        let Some(unit) = self.units.remove(&number) else { return true };
        for (event, mut waiting) in unit.events.into_iter().chain(unit.rest) {
            waiting.moves += 1;
            if let HeldEvent::Contact(write) = &mut waiting.mapped
                && becomes_own
                && !write.says_email
            {
                Arc::make_mut(write).email = Some(email.into());
            }
            self.window.put_back(event, Key::Email(email.to_owned()), waiting);
        }
        true
    }

    /// A look-up that was made for a contact ended; without a body it was refused, which is as good as finding nobody.
    pub(in crate::lane) fn whose_looked_up(
        &mut self,
        number: u64,
        body: Option<&Value>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) else {
            return Vec::new();
        };
        let Some(user_id) = work.write.external_id() else { return Vec::new() };
        work.whose.asked += 1;
        let there = |found: &FoundContact| found.id.is_some() && found.id != work.whose.gone;
        match work.stage {
            Step::FindContact => {
                let found = body.and_then(|body| found_contact(body, &user_id)).filter(there);
                self.contact_found(number, &user_id, found, body.is_some(), now)
            }
            Step::FindHolder => {
                let found = body.and_then(|body| found_contact(body, &user_id)).filter(there);
                self.holder_found(number, &user_id, found, now)
            }
            Step::FindOwner => {
                let owner = body.and_then(|body| found_owner(body, work.write.address()));
                if owner.and_then(|owner| owner.id).is_none_or(|id| Some(id) == work.contact) {
                    return self.stands(number, now);
                }
                work.whose = Whose { apart: true, ..Whose::default() };
                if let Some(unit) = self.units.get_mut(&number)
                    && unit.part_those_without_an_address()
                    && let Some(work) = unit.contact_mut()
                {
                    work.whose = Whose { apart: true, by_address: true, ..Whose::default() };
                    self.settle_stage(number);
                    return Vec::new();
                }
                self.write_by_address(number);
                Vec::new()
            }
            Step::Company
            | Step::Contact
            | Step::ReadEmails
            | Step::Update
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::Deal
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => Vec::new(),
        }
    }

    /// Who has the `userId` of an identify without an address.
    fn contact_found(
        &mut self,
        number: u64,
        user_id: &str,
        found: Option<FoundContact>,
        answered: bool,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) else {
            return Vec::new();
        };
        match found {
            Some(FoundContact { primary: Some(email), .. }) => {
                self.identities.found(user_id, email);
                self.settle_stage(number);
                Vec::new()
            }
            Some(FoundContact { id, .. }) => {
                work.contact = id;
                work.stage = first_stage(&work.write);
                self.settle_stage(number);
                Vec::new()
            }
            None => {
                let asked = work.whose.asked;
                if let Some(at) = self.too_early(now).filter(|_| answered && asked == 1) {
                    self.again_at(number, at);
                    return Vec::new();
                }
                self.identities.looked_up_in_vain(user_id, now);
                let why = if answered { NOT_FOUND } else { "it cannot be looked up who has it" };
                self.finish(number, &Outcome::DeadLetter(nobody(why)))
            }
        }
    }

    /// Who has the `external_id` of a contact that was refused, or that is remembered under another address.
    fn holder_found(
        &mut self,
        number: u64,
        user_id: &str,
        found: Option<FoundContact>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) else {
            return Vec::new();
        };
        let Some(holder) = found.filter(|found| !found.has(work.write.address())) else {
            if work.whose.refused.is_some() {
                return self.stands(number, now);
            }
            self.write_by_address(number);
            return Vec::new();
        };
        work.trial = None;
        match (holder.primary, holder.id) {
            (Some(email), Some(id)) => {
                self.memo.learn_contact(&email, id, None);
                self.identities.found(user_id, email);
                work.whose = Whose { misses: work.whose.misses + 1, ..Whose::default() };
                work.stage = Step::Contact;
            }
            (_, id) => {
                work.contact = id;
                work.stage = if work.write.says_email { Step::ReadEmails } else { Step::Update };
            }
        }
        self.settle_stage(number);
        Vec::new()
    }

    /// The addresses of the contact that is to get another one have been read.
    pub(in crate::lane) fn emails_read(&mut self, number: u64, body: &Value) -> Vec<Effect<D>> {
        let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) else {
            return Vec::new();
        };
        if !work.take_addresses(body) {
            self.start_without(number);
            return Vec::new();
        }
        let Whose { misses, emails, too_many_emails, .. } = std::mem::take(&mut work.whose);
        work.whose = Whose { misses, emails, too_many_emails, ..Whose::default() };
        work.trial = None;
        work.stage = Step::Update;
        self.settle_stage(number);
        Vec::new()
    }

    /// The contact that was to be changed is not there, or is somebody else: once more, by the address.
    fn start_without(&mut self, number: u64) {
        let Some(unit) = self.units.get_mut(&number) else { return };
        let Some(work) = unit.contact() else { return };
        let (gone, user_id, misses) = (work.contact, work.write.external_id(), work.whose.misses + 1);
        if let Some(user_id) = user_id {
            if let Some(before) = self.identities.moved(&user_id, work.write.address()).map(str::to_owned) {
                self.memo.forget(&before, None);
            }
            self.identities.forget(&user_id);
        }
        unit.refresh();
        if let Some(work) = unit.contact_mut() {
            work.whose = Whose { gone, misses, by_address: true, ..Whose::default() };
        }
        self.settle_stage(number);
    }

    fn write_by_address(&mut self, number: u64) {
        if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) {
            work.whose.by_address = true;
            work.contact = None;
            work.trial = None;
            work.stage = Step::Contact;
        }
        self.settle_stage(number);
    }

    /// A contact that is written by its id is not there. `None` if that is not what was refused.
    pub(in crate::lane) fn whose_gone(&mut self, number: u64, refused: &Refused) -> Option<Vec<Effect<D>>> {
        let work = self.units.get(&number)?.contact()?;
        let by_id = matches!(work.stage, Step::ReadEmails | Step::Update);
        if !by_id || !matches!(refused.status, Some(404 | 410)) || work.whose.gone == work.contact {
            return None;
        }
        self.start_without(number);
        Some(Vec::new())
    }

    /// A contact was not given another address: it may be somebody else's. `None` if that is not what was refused.
    pub(in crate::lane) fn look_up_owner(
        &mut self,
        number: u64,
        refused: &Refused,
    ) -> Option<Vec<Effect<D>>> {
        let work = self.units.get_mut(&number).and_then(WorkItem::contact_mut)?;
        let said = matches!(refused.ground, Ground::Said(_)) && may_be_mended(refused.status);
        if !said || work.stage != Step::Update || work.whose.emails.is_none() || work.whose.asked > 0 {
            return None;
        }
        work.whose.refused = Some(refused.clone());
        work.stage = Step::FindOwner;
        self.settle_stage(number);
        Some(Vec::new())
    }

    /// A contact was refused: another one may have its `external_id`. `None` if that cannot be, or has been asked.
    pub(in crate::lane) fn look_up_holder(
        &mut self,
        number: u64,
        refused: &Refused,
    ) -> Option<Vec<Effect<D>>> {
        let work = self.units.get_mut(&number).and_then(WorkItem::contact_mut)?;
        let said = matches!(refused.ground, Ground::Said(_)) && may_be_mended(refused.status);
        let whose = &work.whose;
        let asked = whose.asked > 0 || whose.misses >= MOST_TRIES;
        if !said || work.stage != Step::Contact || whose.apart || asked {
            return None;
        }
        work.write.external_id()?;
        work.whose.refused = Some(refused.clone());
        work.stage = Step::FindHolder;
        self.settle_stage(number);
        Some(Vec::new())
    }

    /// Nothing else helped against a refusal. Where the look-up was too early it is made once more. `None` if it cannot
    /// find anybody else.
    pub(in crate::lane) fn look_up_again(
        &mut self,
        number: u64,
        refused: &Refused,
        now: Instant,
    ) -> Option<Vec<Effect<D>>> {
        let work = self.units.get_mut(&number).and_then(WorkItem::contact_mut)?;
        if work.whose.asked != 1 || work.whose.apart || !matches!(refused.ground, Ground::Said(_)) {
            return None;
        }
        let user_id = work.write.external_id()?;
        let soon = now + self.patience.look_up_delay;
        let at = match work.stage {
            // It is remembered, and was not found: it was written just now.
            Step::Contact if self.identities.moved(&user_id, work.write.address()).is_some() => soon,
            Step::Contact if self.identities.together(&user_id, work.write.address()) => return None,
            Step::Contact => self.too_early(now)?,
            Step::Update if work.whose.emails.is_some() => soon,
            Step::FindContact
            | Step::Company
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::Deal
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => return None,
        };
        let work = self.units.get_mut(&number).and_then(WorkItem::contact_mut)?;
        work.stage = if work.stage == Step::Update { Step::FindOwner } else { Step::FindHolder };
        work.whose.refused = Some(refused.clone());
        self.again_at(number, at);
        Some(Vec::new())
    }

    /// Nobody else was found: what was refused stays refused.
    fn stands(&mut self, number: u64, now: Instant) -> Vec<Effect<D>> {
        let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut) else {
            return Vec::new();
        };
        let Some(refused) = work.whose.refused.take() else {
            self.write_by_address(number);
            return Vec::new();
        };
        let (stage, endpoint) = match work.whose.emails {
            Some(_) => (Step::Update, Endpoint::ContactUpdate),
            None => (Step::Contact, Endpoint::Upsert(Entity::Contact)),
        };
        work.stage = stage;
        if work.whose.asked > 1 {
            // All that could help has been tried.
            return self.give_up(number, refused);
        }
        self.step_refused(number, endpoint, refused, now)
    }

    /// When a look-up finds all that was written before the lane came here; none if it does so now. What this replica
    /// writes it remembers; what whoever had the lane before it wrote last may not be found yet.
    fn too_early(&self, now: Instant) -> Option<Instant> {
        let at = self.here_since.unwrap_or(now) + self.patience.look_up_delay;
        (now < at).then_some(at)
    }

    /// Makes the stage's look-up at this time.
    fn again_at(&mut self, number: u64, at: Instant) {
        let call = self.units.get(&number).and_then(WorkItem::contact).and_then(ContactWork::call);
        match call {
            Some(call) => {
                self.enqueue(call, Purpose::Step(number), at);
            }
            None => self.settle_stage(number),
        }
    }

    /// What the end of a unit's events says of who they are about.
    pub(in crate::lane) fn learn_whose(&mut self, number: u64, outcome: &Outcome) -> Vec<Effect<D>> {
        let Some(unit) = self.units.get(&number) else { return Vec::new() };
        let Some(work) = unit.contact() else { return Vec::new() };
        let end = match outcome {
            Outcome::Delivered if work.whose.apart => End::Apart,
            Outcome::Delivered => End::Delivered,
            Outcome::DeadLetter(_) => End::Refused,
            Outcome::Skipped(_) | Outcome::Returned => return Vec::new(),
        };
        for (event, waiting) in &unit.events {
            if let HeldEvent::Contact(write) = &waiting.mapped
                && let Some(user_id) = write.external_id()
                && let Some(email) = write.email.as_ref().or(work.write.email.as_ref())
            {
                self.identities.ended(&user_id, email, *event, end);
            }
        }
        let left_out = [
            (
                work.whose.apart,
                "external_id",
                "userId",
                "the event's e-mail address belongs to another contact than its userId",
            ),
            (
                work.whose.too_many_emails,
                "emails",
                "email",
                "the contact has as many e-mail addresses as Freshsales keeps",
            ),
        ];
        let left_out = left_out.into_iter().filter(|(is, ..)| *is && *outcome == Outcome::Delivered);
        let omitted = left_out.map(|(_, field, trait_path, why)| Omitted {
            entity: Entity::Contact,
            field: field.to_owned(),
            trait_path: trait_path.to_owned(),
            why: why.to_owned(),
        });
        omitted.map(Effect::LeftOut).collect()
    }
}

const NOT_FOUND: &str = "no contact has it as its external_id";

/// Nobody is known by the event.
fn nobody(why: &str) -> Refusal {
    let problem = Problem {
        field: Some("emails".to_owned()),
        trait_path: Some("email".to_owned()),
        problem: format!("there is no e-mail address, userId is none, and {why}"),
        expected: Some("an e-mail address, or the userId of a contact that is there".to_owned()),
        ..Problem::default()
    };
    Refusal::new(DeadLetterReason::MissingEmail, problem)
}
