//! Keeps the [`agenda`](super::agenda) up to date: whatever came, ended, moved on or is known otherwise now is looked at
//! again, and nothing else.

use super::agenda::{AgendaPlace, Filing};
use super::order::Waiting;
use crate::lane::contact::activity;
use crate::lane::contact::bulk::eligible::company_of;
use crate::lane::contact::bulk::standing::{CallStanding, CompanyStanding, FactReader};
use crate::lane::contact::held::HeldEvent;
use crate::lane::scheduler::Scheduler;
use crate::mapping::Identity;
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// Looks again at what may have another next call by now.
    pub(in crate::lane::scheduler) fn file_changed(&mut self) {
        for record in self.locks.take_changed() {
            if record.0 == Entity::SalesAccount {
                let held = self.locks.is_held(&record);
                self.agenda.hold_company(self.window.digest_of_shared(&record), held);
            }
        }
        let mut unfiled = std::mem::take(&mut self.agenda.unfiled);
        unfiled.extend(self.window.drain_changed().chain(self.items.drain_changed()));
        for fact in self.records.drain_changed().chain(self.identities.drain_changed()) {
            unfiled.extend(self.agenda.relying_on(fact));
        }
        unfiled.sort_unstable();
        unfiled.dedup();
        for number in unfiled.drain(..) {
            let filing = self.filing(number);
            self.agenda.file(number, filing);
        }
        self.agenda.unfiled = unfiled;
    }

    fn filing(&mut self, number: u64) -> Option<Filing> {
        if let Some(open) = self.window.ready_item(number) {
            let waiting = Waiting::Event(number);
            if matches!(open.event, HeldEvent::Track(_) | HeldEvent::Page(_)) {
                return Some(self.filing_of_activity(waiting, &open.event));
            }
            let mut reader = FactReader::new(&mut self.records);
            let standing = reader.of_event(&open.event);
            let mut place = AgendaPlace::Api(standing);
            if let (CallStanding::Company(company), Some(name)) = (standing, company_of(&open.event)) {
                let record = (Entity::SalesAccount, name);
                let company = CompanyStanding { held: self.locks.is_held(&record), ..company };
                place = AgendaPlace::Company(self.window.digest_of_shared(&record), company);
            }
            return Some(Filing {
                waiting,
                place,
                not_before: None,
                turns_at: None,
                facts: reader.into_read(),
            });
        }
        let item = self.items.get(number).filter(|_| self.items.is_idle(number))?;
        let waiting = Waiting::WorkItem(number);
        let Some(work) = item.contact() else {
            return Some(self.filing_of_activity(waiting, &item.events.first()?.1.event));
        };
        let mut reader = FactReader::new(&mut self.records);
        let place = AgendaPlace::Api(reader.of_work(work));
        let not_before = work.search.not_before();
        Some(Filing { waiting, place, not_before, turns_at: None, facts: reader.into_read() })
    }

    /// It is reported, or first its contact is looked up.
    fn filing_of_activity(&self, waiting: Waiting, event: &HeldEvent) -> Filing {
        let mut filing = Filing {
            waiting,
            place: AgendaPlace::Report,
            not_before: None,
            turns_at: None,
            facts: Vec::new(),
        };
        if let Some(Identity::UserId(user_id)) = activity::identity(event) {
            filing.facts.push(self.identities.fact(user_id));
            filing.turns_at = self.identities.look_up_at(user_id);
            if self.identities.needs_look_up(user_id) {
                filing.place = AgendaPlace::Api(CallStanding::Alone);
            }
        }
        filing
    }
}
