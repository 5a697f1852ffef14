//! The first links that are written in bulk in a process: nothing documents that every account takes them. So one contact
//! of that call is read back before the others count as linked, and until then no other links go in bulk.

use serde_json::Value;
use tokio::time::Instant;

use crate::freshsales::{BudgetKind, Call, linked_accounts, record_id};
use crate::lane::contact::bulk::features::{BulkFeature, FeatureState};
use crate::lane::contact::bulk::searching::SearchProgress;
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::refused::refusal::RefusedCall;
use crate::lane::scheduler::pending::call_table::CallTable;
use crate::lane::scheduler::pending::calls::{LinkTrial, Purpose};
use crate::lane::scheduler::unsettled::work_items::WorkItems;
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

/// Whether the first bulk call that writes links is under way, or one of its contacts is being read back.
pub(super) fn links_on_trial<D>(calls: &CallTable, items: &WorkItems<D>, state: FeatureState) -> bool {
    state == FeatureState::Unknown
        && calls.iter().any(|call| match &call.purpose {
            Purpose::ReadBack(_) => true,
            Purpose::Bulk(_, items_of_call) => adds_links(items, items_of_call),
            Purpose::Poll(polling) => adds_links(items, &polling.items),
            Purpose::Fields(_)
            | Purpose::Selector(_)
            | Purpose::Check(_)
            | Purpose::Step(_)
            | Purpose::Search(_) => false,
        })
}

fn adds_links<D>(items: &WorkItems<D>, of_call: &[u64]) -> bool {
    of_call.iter().any(|item| items.contact(*item).is_some_and(ContactWork::adds_link))
}

/// After so many contacts that could not be read back links go singly.
const MOST_TRIALS: u32 = 3;
/// So many calls of a contact's links may get no answer while others do, before it goes alone.
const MOST_LOST: u8 = 2;

impl<D> Scheduler<D> {
    pub(in crate::lane::scheduler) fn adds_links(&self, of_call: &[u64]) -> bool {
        adds_links(&self.items, of_call)
    }

    /// A bulk call that was to write all links of these contacts got no answer, or its job's end is not known. It may write
    /// them later, so nothing else is written until it must have: a link added meanwhile would be lost. Then the contacts
    /// are read again.
    pub(in crate::lane::scheduler) fn links_uncertain(&mut self, items: &[u64], now: Instant) {
        let until = now + self.settings.backoff.look_up_delay;
        let alone = !self.budgets.of(BudgetKind::Api).is_outage();
        for item in items {
            self.links_may_be_written(*item, now);
            if let Some(work) = self.items.contact_mut(*item) {
                let lost = work.search.lost + u8::from(alone);
                work.search =
                    SearchProgress { lost, uncertain_until: Some(until), ..SearchProgress::default() };
                work.singly |= lost >= MOST_LOST;
            }
            self.enter_step(*item);
        }
    }

    /// The item's contact goes on: whatever was uncertain about its links is over.
    pub(super) fn links_certain(&mut self, item: u64) {
        let uncertain = |work: &ContactWork| work.search.uncertain_until.is_some();
        if self.items.contact(item).is_some_and(uncertain) {
            self.release_lock(item);
            if let Some(work) = self.items.contact_mut(item) {
                work.search.uncertain_until = None;
            }
        }
    }

    /// Whether the item's links must be read back before they count as written.
    pub(super) fn is_link_trial(&self, item: u64) -> bool {
        self.features.state(BulkFeature::LinksInBulk) == FeatureState::Unknown
            && self.items.contact(item).is_some_and(ContactWork::adds_link)
    }

    /// Reads the first item's contact back. By its id where that is known, else its upsert is repeated, which changes
    /// nothing and shows the links.
    pub(super) fn read_back(&mut self, trial: LinkTrial, now: Instant) {
        let work = trial.items.first().and_then(|item| self.items.contact(*item));
        let call = work.and_then(|work| match work.known.contact_id {
            Some(id) => Some(Call::contact_read(id)),
            None => work.call(),
        });
        match call {
            Some(call) => {
                self.calls.add_due(call, Purpose::ReadBack(trial), now);
            }
            None => self.send_singly(trial.items),
        }
    }

    /// The first item's contact was read back.
    pub(in crate::lane::scheduler) fn read_back_answered(
        &mut self,
        trial: LinkTrial,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some((sample, account)) = trial.items.first().and_then(|sample| {
            let work = self.items.contact(*sample)?;
            Some((work, work.known.account_id?))
        }) else {
            self.send_singly(trial.items);
            return Vec::new();
        };
        let body = result.unwrap_or_default();
        let same =
            sample.known.contact_id.is_none_or(|id| record_id(&body, Entity::Contact.singular()) == Some(id));
        let Some(links) = linked_accounts(&body).filter(|_| same) else {
            // It says nothing about links. The next bulk call that writes some is tried again, but not for ever.
            self.send_singly(trial.items);
            self.link_trials_failed += u32::from(!self.budgets.of(BudgetKind::Api).is_outage());
            if self.link_trials_failed < MOST_TRIALS {
                return Vec::new();
            }
            return self.feature_fails(BulkFeature::LinksInBulk).into_iter().collect();
        };
        if !links.iter().any(|link| link.id == account) {
            self.send_singly(trial.items);
            return self.feature_fails(BulkFeature::LinksInBulk).into_iter().collect();
        }
        let mut effects: Vec<_> = self.feature_works(BulkFeature::LinksInBulk).into_iter().collect();
        for item in trial.items {
            effects.extend(self.bulk_record_done(item, None, now));
        }
        effects
    }
}
