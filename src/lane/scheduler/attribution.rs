//! What the scheduler does about doubtful answers: the call waits, something harmless is asked where nothing else is on
//! its way, and once others got through, the call is given up or tried again. The rules are in
//! [`attribution`](crate::lane::budget::attribution). Called after every answer.

use tokio::time::Instant;

use crate::freshsales::{BudgetKind, Call, EndpointFamily};
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::attribution::{About, DoubtfulAnswer, Evidence, Success, Suspicion};
use crate::lane::scheduler::calls::{Ground, Outgoing, Purpose, Refused};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// A call met a doubtful answer. It waits until other calls show what the answer means.
    pub(in crate::lane) fn suspect(
        &mut self,
        number: u64,
        mut outgoing: Outgoing,
        answer: &DoubtfulAnswer,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let (family, budget) = (outgoing.family(), outgoing.call.endpoint.budget());
        if let Purpose::Step(work_item) = outgoing.purpose {
            self.history.record_failure(family, work_item);
        }
        let several = self.history.several_fail(family);
        let ordinary = outgoing.delays.following();
        let suspicion = outgoing.suspicion.get_or_insert_with(|| Suspicion::new(answer.clone(), now));
        suspicion.add(answer.clone(), now);
        let again = now + suspicion.wait(self.patience.foreign, ordinary);
        let family_works = suspicion.family_works();
        let (class, probe) = (outgoing.purpose.class(), outgoing.probe);
        self.calls.insert(number, outgoing);
        self.due.insert((again, number));
        self.stand_aside(number);
        match budget {
            // No harmless call uses the app token: other tracks are the best evidence there is.
            BudgetKind::Tracking => {
                self.budgets.of_mut(budget).met(answer, several, number, probe, now);
                if matches!(answer, DoubtfulAnswer::Unrecognized(_)) && (family_works || !several) {
                    self.check(Entity::Contact, now);
                }
            }
            BudgetKind::Api => {
                let api = self.budgets.of_mut(budget);
                if matches!(answer, DoubtfulAnswer::Unauthorized(_)) && !api.is_fields_only() {
                    api.refuse_credentials(answer, class, now);
                }
                let entity = match class {
                    CallClass::Check | CallClass::Read => Entity::SalesAccount,
                    CallClass::Work => Entity::Contact,
                };
                self.check(entity, now);
            }
        }
        self.give_up_if_proven(number, now)
    }

    /// Reads an entity's fields to find out whether Freshsales answers, unless that is done already.
    fn check(&mut self, entity: Entity, now: Instant) {
        if !self.budgets.of(BudgetKind::Api).is_fields_only() && !self.is_checking() {
            self.enqueue(Call::fields(entity), Purpose::Check(entity), now);
        }
    }

    pub(in crate::lane) fn is_checking(&self) -> bool {
        self.calls.values().any(|outgoing| matches!(outgoing.purpose, Purpose::Check(_)))
    }

    /// A call got through: Freshsales is there and lets the account in. Weighs that against each suspected call.
    pub(in crate::lane) fn weigh_success(&mut self, through: &Outgoing, now: Instant) -> Vec<Effect<D>> {
        let Some(sent) = through.sent else { return Vec::new() };
        let (family, budget) = (through.call.endpoint.family(), through.call.endpoint.budget());
        // A read before a call is sent again proves nothing about writes: a gateway may block those alone.
        let is_record = through.purpose.class() == CallClass::Work && through.unsure.is_none();
        if is_record {
            self.history.record_success(family, through.suspicion.as_ref(), now);
        }
        let success = Success { sent, family, budget, is_record };
        let mut proven = Vec::new();
        for (number, outgoing) in &mut self.calls {
            let (budget, own) = (outgoing.call.endpoint.budget(), outgoing.family());
            let several = self.history.several_fail(own);
            let Some(suspicion) = outgoing.suspicion.as_mut() else { continue };
            match suspicion.weigh(&success, own, budget, several, now) {
                Evidence::None => {}
                Evidence::TooLate => {
                    if let Some(due) = self.due.iter().find(|(_, due)| due == number).copied() {
                        self.due.remove(&due);
                        self.due.insert((now, *number));
                    }
                }
                Evidence::AgainstFamily => {
                    if budget == BudgetKind::Api {
                        self.budgets.of_mut(budget).count_failure(*number, now);
                    }
                }
                Evidence::AgainstRecord => {
                    if self.due.iter().any(|(_, due)| due == number) {
                        proven.push(*number);
                    }
                }
            }
        }
        proven.sort_unstable();
        proven.into_iter().flat_map(|number| self.give_up_if_proven(number, now)).collect()
    }

    /// The harmless call failed as well: the account is at fault for every answer in doubt, whatever gets through later.
    pub(in crate::lane) fn blame_account(&mut self) {
        self.calls
            .values_mut()
            .filter_map(|outgoing| outgoing.suspicion.as_mut())
            .for_each(Suspicion::blame_account);
    }

    fn give_up_if_proven(&mut self, number: u64, now: Instant) -> Vec<Effect<D>> {
        let Some(outgoing) = self.calls.get(&number) else { return Vec::new() };
        let about = self.about(&outgoing.purpose);
        let Some(suspicion) = outgoing
            .suspicion
            .as_ref()
            .filter(|suspicion| suspicion.is_proven(about, &self.history, self.patience.foreign, now))
        else {
            return Vec::new();
        };
        let refused = refused(suspicion.last_answer(), outgoing.family());
        let Some(outgoing) = self.calls.remove(&number) else { return Vec::new() };
        self.due.retain(|(_, due)| *due != number);
        self.conclude(outgoing, Err(refused), now)
    }

    fn about(&self, purpose: &Purpose) -> About {
        let one = match purpose {
            Purpose::Step(unit) => self.units.get(unit).is_none_or(|unit| unit.events.len() <= 1),
            // The submitted job may still end well: it is asked about as patiently as one record.
            Purpose::Poll(_) => true,
            Purpose::Fields(_) | Purpose::Selector(_) | Purpose::Check(_) | Purpose::Bulk(_) => false,
        };
        if one { About::OneEvent } else { About::Several }
    }
}

fn refused(answer: &DoubtfulAnswer, family: EndpointFamily) -> Refused {
    match answer {
        DoubtfulAnswer::Denied(status, messages) => {
            let right = (*status == 403).then_some(family);
            Refused { status: Some(*status), ground: Ground::Denied(right, messages.clone()) }
        }
        DoubtfulAnswer::Unrecognized(unrecognized) => {
            let why = format!("was answered with {unrecognized} each time, while others got through");
            Refused { status: Some(unrecognized.status), ground: Ground::Seen(why) }
        }
        DoubtfulAnswer::Unauthorized(status) => {
            let why = format!("was answered with status {status} each time, while others got through");
            Refused { status: Some(*status), ground: Ground::Seen(why) }
        }
    }
}
