//! Moves work items on: into the next step, into the window again, or to their end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::window::ContactKey;
use crate::freshsales::{Call, Endpoint, found_email};
use crate::lane::contact::activity;
use crate::lane::contact::address_change::identify::{self, AddressRole, Identified};
use crate::lane::contact::address_change::learned;
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, SharedRecord};
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::refused::refusal::RefusedCall;
use crate::lane::contact::step::Step;
use crate::lane::contact::steps::{Advance, Deals, StepContext, StepProgress, refusal, success};
use crate::lane::contact::work_item::WorkItem;
use crate::lane::scheduler::pending::calls::Purpose;
use crate::lane::scheduler::{Effect, Scheduler};
use crate::mapping::Identity;
use crate::outcome::Outcome;

/// At most this often it is reported that deals are not shown.
const DEALS_REPORT: Duration = Duration::from_hours(24);

impl<D> Scheduler<D> {
    /// Follows what is cached, and finds out whether the item's step may get a call: it may have to wait for another
    /// item's lock, or for other events.
    pub(in crate::lane::scheduler) fn enter_step(&mut self, number: u64) {
        let Some(item) = self.items.get_mut(number) else { return };
        if let Some(work) = item.contact_mut() {
            let shared = work.shared_record();
            let is_written = shared.is_some_and(|record| self.locks.is_held(&record));
            // While another item writes the sales account, what it holds is not known.
            if !is_written {
                skip_unchanged_company(work, &mut self.records);
            }
        }
        let window = &self.window;
        let waits_under =
            |event: u64, email: &str| window.has_key(event, &ContactKey::Email(email.to_owned()));
        match identify::before_step(item, &mut self.records, &self.identities, waits_under) {
            Identified::Ready => {}
            Identified::WaitFor { email, role } => return self.put_back(number, &email, role),
            Identified::NoContact(refusal) => {
                // The rest of the item has the same userId. One after another, each would begin within the last.
                item.rejoin();
                let effects = self.finish(number, &Outcome::DeadLetter(refusal));
                self.ended.extend(effects);
                return;
            }
        }
        let Some(work) = self.items.contact_mut(number) else { return self.items.set_idle(number) };
        work.find_created_deal(&mut self.records);
        let has_lock = work.shared_record().is_none_or(|record| self.locks.acquire(record, number));
        if has_lock {
            self.items.set_idle(number);
        } else {
            work.read_again();
        }
    }

    /// Puts the item's events back into the window, behind earlier ones of this address.
    fn put_back(&mut self, number: u64, email: &str, role: AddressRole) {
        self.release_lock(number);
        let Some(item) = self.items.remove(number) else { return };
        let attempts = item.attempts;
        for (number, mut event) in item.into_events() {
            event.put_back += 1;
            event.attempts = attempts;
            if let HeldEvent::Contact(write) = &mut event.event
                && role == AddressRole::Own
                && !write.says_email
            {
                Arc::make_mut(write).email = Some(email.into());
            }
            self.window.put_back(number, ContactKey::Email(email.to_owned()), event);
        }
    }

    pub(in crate::lane::scheduler) fn step_succeeded(
        &mut self,
        number: u64,
        endpoint: Endpoint,
        body: &Value,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(item) = self.items.get_mut(number) else { return Vec::new() };
        item.failing_since = None;
        if item.contact().is_none() && endpoint == Endpoint::Lookup {
            self.activity_looked_up(number, Some(body), now);
            return Vec::new();
        }
        self.advance(number, now, |item, context| success::succeeded(item, endpoint, body, context))
    }

    /// Takes a step of the item, and does what came of it.
    pub(in crate::lane::scheduler) fn advance(
        &mut self,
        number: u64,
        now: Instant,
        step: impl FnOnce(&mut WorkItem<D>, &mut StepContext<'_>) -> Advance,
    ) -> Vec<Effect<D>> {
        let held = self.shared_record(number);
        let advance = self.with_context(number, now, step);
        self.apply(number, held, advance, now)
    }

    pub(in crate::lane::scheduler) fn step_refused(
        &mut self,
        number: u64,
        endpoint: Endpoint,
        refused: RefusedCall,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(item) = self.items.get(number) else { return Vec::new() };
        if item.contact().is_none() && endpoint == Endpoint::Lookup {
            // A refused look-up counts as one that found no contact: the userId itself is sent.
            self.activity_looked_up(number, None, now);
            return Vec::new();
        }
        self.release_lock(number);
        let advance = self
            .with_context(number, now, |item, context| refusal::refused(item, endpoint, refused, context));
        self.apply(number, None, advance, now)
    }

    fn with_context(
        &mut self,
        number: u64,
        now: Instant,
        step: impl FnOnce(&mut WorkItem<D>, &mut StepContext<'_>) -> Advance,
    ) -> Option<Advance> {
        let look_up_delay = self.settings.backoff.look_up_delay;
        let look_ups_complete_at = self.look_ups_complete_at(now);
        let mut context = StepContext {
            records: &mut self.records,
            identities: &mut self.identities,
            deal_identity: self.settings.records.deal_identity,
            invalid_value: self.settings.invalid_value,
            look_up_delay,
            usual_search_wait: self.bulk.usual_search_wait(),
            look_ups_complete_at,
            now,
        };
        Some(step(self.items.get_mut(number)?, &mut context))
    }

    /// Does what came of an answer. `held` is the record that the item has locked.
    fn apply(
        &mut self,
        number: u64,
        held: Option<SharedRecord>,
        advance: Option<Advance>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(Advance { progress, omitted, deals }) = advance else { return Vec::new() };
        let mut effects: Vec<Effect<D>> = omitted.into_iter().map(Effect::LeftOut).collect();
        if deals == Deals::NotShown {
            effects.extend(self.deals_not_shown(now));
        }
        // The lock stays while the next step is about the same record.
        let finished = matches!(progress, StepProgress::Finished(_));
        if let Some(record) = held
            && (finished || self.shared_record(number).as_ref() != Some(&record))
        {
            self.release(&record, number);
        }
        match progress {
            StepProgress::Entered => self.enter_step(number),
            StepProgress::OneMoreCall => self.items.set_idle(number),
            StepProgress::LookUpAt(at) => self.look_up_at(number, at),
            StepProgress::Finished(outcome) => effects.extend(self.finish(number, &outcome)),
        }
        effects
    }

    /// From when on look-ups find all that was written before the lane came here.
    fn look_ups_complete_at(&self, now: Instant) -> Instant {
        self.tenure.since().unwrap_or(now) + self.settings.backoff.look_up_delay
    }

    fn look_up_at(&mut self, number: u64, at: Instant) {
        match self.items.contact(number).and_then(ContactWork::call) {
            Some(call) => {
                self.calls.add_due(call, Purpose::Step(number), at);
            }
            None => self.enter_step(number),
        }
    }

    /// The contact of a track or page was looked up by its `userId`. If its address is known now, the event waits for those
    /// queued before it under that address.
    fn activity_looked_up(&mut self, number: u64, body: Option<&Value>, now: Instant) {
        let Some((_, open)) = self.items.get(number).and_then(|item| item.events.first()) else { return };
        let Some(Identity::UserId(user_id)) = activity::identity(&open.event) else { return };
        let user_id = user_id.clone();
        let complete_at = self.look_ups_complete_at(now);
        match body.map(|body| found_email(body, &user_id)) {
            Some(Some(email)) => self.identities.found(&user_id, email),
            Some(None) if now < complete_at => {
                self.calls.add_due(Call::lookup_external_id(&user_id), Purpose::Step(number), complete_at);
                return;
            }
            Some(None) | None => self.identities.not_found(&user_id, now),
        }
        let Some(mut item) = self.items.remove(number) else { return };
        let Some((event, mut open)) = item.events.pop() else { return };
        open.attempts = item.attempts;
        let email = self.identities.email(&user_id).map(str::to_owned);
        self.window.put_back(event, email.map_or(ContactKey::UserId(user_id), ContactKey::Email), open);
    }

    /// Ends the events that the item works on, and goes on with the rest, if any.
    fn finish(&mut self, number: u64, outcome: &Outcome) -> Vec<Effect<D>> {
        let Some(item) = self.items.get_mut(number) else { return Vec::new() };
        let omitted = learned::from_end(item, outcome, &mut self.identities);
        let attempts = item.attempts;
        let merged = item.events.len().saturating_sub(1) as u64;
        let ended: Vec<(u64, D)> =
            item.events.drain(..).map(|(number, event)| (number, event.delivery)).collect();
        if item.take_next() {
            self.enter_step(number);
        } else {
            self.items.remove(number);
        }
        let mut effects = Vec::with_capacity(ended.len() + 1);
        for (number, delivery) in ended {
            self.window.finish(number);
            effects.push(Effect::Settled { delivery, outcome: outcome.clone(), attempts });
        }
        if merged > 0 && *outcome == Outcome::Delivered {
            effects.push(Effect::Coalesced(merged));
        }
        effects.extend(omitted.into_iter().map(Effect::LeftOut));
        effects
    }

    fn deals_not_shown(&mut self, now: Instant) -> Option<Effect<D>> {
        let lately = self.deals_not_shown.is_some_and(|at| now.saturating_duration_since(at) < DEALS_REPORT);
        if lately {
            return None;
        }
        self.deals_not_shown = Some(now);
        Some(Effect::DealsNotShown)
    }
}

/// Passes over the sales account if it was last written with the same values.
fn skip_unchanged_company(work: &mut ContactWork, records: &mut RecordCache) {
    if work.step == Step::Company
        && !work.cache.ignored
        && let Some(company) = &work.write.company
        && let Some(known) = records.account(&company.name)
        && known.written == Some(fingerprint(&company.record))
    {
        work.known.account_id = Some(known.id);
        work.cache.relied = true;
        work.step = Step::Contact;
    }
}
