//! The ids of records that were written in bulk: a job's report names none, so they are searched for, once a search usually
//! sees them. What is never found is written singly, which answers with the id.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::searches::{by_address, searched_feature};
use crate::freshsales::{Call, ContactRows, found_contacts, found_sales_accounts};
use crate::lane::contact::bulk::eligible::SharedCall;
use crate::lane::contact::bulk::features::BulkFeature;
use crate::lane::contact::steps::success;
use crate::lane::scheduler::pending::calls::RecordSearch;
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// Reads the ids of the records that the work items have written in bulk.
    pub(super) fn plan_finding(&mut self, entity: Entity, items: Vec<u64>) -> u64 {
        let works = items.iter().filter_map(|item| self.items.contact(*item));
        let values: Vec<&str> = match entity {
            Entity::SalesAccount => {
                works.filter_map(|work| Some(&*work.write.company.as_ref()?.name)).collect()
            }
            Entity::Contact | Entity::Deal => works.map(|work| work.write.address()).collect(),
        };
        let call = Call::search(entity, &values);
        let asked = values.into_iter().map(str::to_owned).collect();
        self.search(call, RecordSearch { items, asked, what: SharedCall::FindIds(entity), control: None })
    }

    pub(super) fn accounts_found(
        &mut self,
        search: &RecordSearch,
        body: &Value,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(found) = found_sales_accounts(body) else { return self.search_failed(search.clone()) };
        let name = |scheduler: &Self, item: u64| {
            let company = scheduler.items.contact(item)?.write.company.as_ref()?;
            Some(company.name.trim().to_lowercase())
        };
        let first_wait = self.first_wait(search);
        let mut effects = Vec::new();
        let mut missing = Vec::new();
        for item in &search.items {
            match name(self, *item).and_then(|name| found.get(&name)) {
                Some(Some(id)) => {
                    effects.extend(self.feature_works(BulkFeature::SalesAccountSearch));
                    effects.extend(
                        self.advance(*item, now, |item, context| success::account_found(item, *id, context)),
                    );
                }
                Some(None) => self.write_singly(*item),
                None => missing.push(*item),
            }
        }
        effects.extend(self.not_found_yet(search, first_wait, &missing, now));
        effects
    }

    pub(super) fn contacts_found(
        &mut self,
        search: &RecordSearch,
        body: &Value,
        seen_since: Instant,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let found = found_contacts(body).filter(|found| Self::honours(search, found));
        let Some(ContactRows { rows, .. }) = found else { return self.search_failed(search.clone()) };
        let by_address = by_address(&rows);
        let first_wait = self.first_wait(search);
        let mut effects = Vec::new();
        let mut missing = Vec::new();
        for item in &search.items {
            let Some(work) = self.items.contact(*item) else { continue };
            match by_address.get(work.write.address()) {
                Some(Some(row)) if !row.deleted => {
                    effects.extend(self.advance(*item, now, |item, context| {
                        success::contact_found(item, row, seen_since, context)
                    }));
                }
                Some(_) => self.write_singly(*item),
                None => missing.push(*item),
            }
        }
        effects.extend(self.not_found_yet(search, first_wait, &missing, now));
        effects
    }

    /// A search does not see these records yet: they are searched for again, or written singly. `first_wait` is how long
    /// after the writes it was made, if it is the first one for some of them.
    fn not_found_yet(
        &mut self,
        search: &RecordSearch,
        first_wait: Option<Duration>,
        missing: &[u64],
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Some(wait) = first_wait {
            self.bulk.learn_search_time(wait, missing.is_empty());
        }
        let all_missing = missing.len() == search.items.len();
        let mut over = 0;
        let search_delay = self.settings.backoff.look_up_delay;
        for item in missing {
            let Some(work) = self.items.contact_mut(*item) else { continue };
            let Some(for_id) = work.search.for_id.as_mut() else {
                self.write_singly(*item);
                continue;
            };
            for_id.searches += 1;
            let waited = now.saturating_duration_since(for_id.written);
            for_id.next = now + self.bulk.search_again_after(for_id.searches, waited);
            if for_id.is_over(search_delay, now) {
                over += 1;
                self.write_singly(*item);
            } else {
                self.items.set_idle(*item);
            }
        }
        if all_missing && over > 0 && over == missing.len() {
            let feature = searched_feature(search.what);
            return self.feature_fails(feature).into_iter().collect();
        }
        Vec::new()
    }

    /// How long after the writes the search was made, if it is the first one for some of them.
    fn first_wait(&self, search: &RecordSearch) -> Option<Duration> {
        let searches =
            search.items.iter().filter_map(|item| self.items.contact(*item)?.search.for_id.as_ref());
        searches.filter(|search| search.searches == 0).map(|search| search.first_wait).next()
    }

    fn write_singly(&mut self, item: u64) {
        if let Some(work) = self.items.contact_mut(item) {
            work.write_singly();
        }
        self.items.set_idle(item);
    }
}
