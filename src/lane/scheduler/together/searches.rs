//! Searches, and the reading of contacts before they are written in bulk. A search may not honour what was asked, and sees
//! writes only after a while, so it is believed only where its answer shows that it may be.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tokio::time::Instant;

use crate::freshsales::{Call, ContactRow, ContactRows, found_contacts};
use crate::lane::contact::bulk::eligible::SharedCall;
use crate::lane::contact::bulk::features::BulkFeature;
use crate::lane::contact::cache::contacts::Control;
use crate::lane::contact::refused::refusal::RefusedCall;
use crate::lane::scheduler::pending::calls::{Purpose, RecordSearch};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

/// The rows of an answer by address; `None` for an address that several contacts have.
pub(super) type RowsByAddress<'a> = HashMap<&'a str, Option<&'a ContactRow>>;

impl<D> Scheduler<D> {
    /// Reads the work items' contacts before they are written.
    pub(super) fn plan_reading(&mut self, items: Vec<u64>, now: Instant) -> Option<u64> {
        let Control::Now(control) = self.records.contacts.control(now) else { return None };
        for item in &items {
            self.links_certain(*item);
        }
        let contacts = items.iter().filter_map(|item| self.items.contact(*item));
        let mut addresses: Vec<&str> = contacts.map(|work| work.write.address()).collect();
        // It stands last, so that it is not found where a search takes fewer values.
        addresses.retain(|address| *address != control);
        addresses.push(&control);
        let call = Call::search(Entity::Contact, &addresses);
        let asked = addresses.into_iter().map(str::to_owned).collect();
        let what = SharedCall::ReadContacts;
        Some(self.search(call, RecordSearch { items, asked, what, control: Some(control) }))
    }

    pub(super) fn search(&mut self, call: Call, search: RecordSearch) -> u64 {
        search.items.iter().for_each(|item| self.items.set_busy(*item));
        self.calls.add_in_flight(call, Purpose::Search(search))
    }

    /// A search was answered, which was sent at `sent`.
    pub(in crate::lane::scheduler) fn searched(
        &mut self,
        search: RecordSearch,
        result: Result<Value, RefusedCall>,
        sent: Instant,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let seen_since = sent.checked_sub(self.settings.backoff.look_up_delay).unwrap_or(sent);
        match (search.what, result) {
            (SharedCall::ReadContacts, Ok(body)) => self.contacts_read(&search, &body, seen_since),
            (SharedCall::FindIds(Entity::SalesAccount), Ok(body)) => self.accounts_found(&search, &body, now),
            (SharedCall::FindIds(_), Ok(body)) => self.contacts_found(&search, &body, seen_since, now),
            (_, Err(_)) | (SharedCall::Write(_), Ok(_)) => self.search_failed(search),
        }
    }

    /// The search is of no use: the records go on without it, from now on.
    pub(super) fn search_failed(&mut self, search: RecordSearch) -> Vec<Effect<D>> {
        let feature = searched_feature(search.what);
        for item in search.items {
            if let Some(work) = self.items.contact_mut(item) {
                work.write_singly();
            }
            self.enter_step(item);
        }
        self.feature_fails(feature).into_iter().collect()
    }

    pub(super) fn feature_works(&mut self, feature: BulkFeature) -> Option<Effect<D>> {
        self.features.works(feature).then_some(Effect::BulkFeature(feature, true))
    }

    pub(super) fn feature_fails(&mut self, feature: BulkFeature) -> Option<Effect<D>> {
        self.features.fails(feature).then_some(Effect::BulkFeature(feature, false))
    }

    fn contacts_read(&mut self, search: &RecordSearch, body: &Value, seen_since: Instant) -> Vec<Effect<D>> {
        let Some(ContactRows { rows, complete }) =
            found_contacts(body).filter(|found| Self::honours(search, found))
        else {
            return self.search_failed(search.clone());
        };
        let by_address = by_address(&rows);
        let control = search.control.as_deref().unwrap_or_default();
        let sees_all = complete && by_address.contains_key(control);
        if sees_all {
            self.controls_missed = 0;
        } else {
            self.records.contacts.forget_control(control);
            self.controls_missed += 1;
        }
        let mut effects = Vec::new();
        if self.controls_missed >= MOST_MISSED {
            effects.extend(self.feature_fails(BulkFeature::ContactSearch));
        } else if sees_all {
            effects.extend(self.feature_works(BulkFeature::ContactSearch));
        }
        for item in &search.items {
            let Some(work) = self.items.contact_mut(*item) else { continue };
            match by_address.get(work.write.address()) {
                Some(Some(row)) if !row.deleted => {
                    let shown = row.links.as_deref().unwrap_or_default();
                    let address = work.write.address();
                    let links = self.records.contacts.learn_found(address, row.id, shown, seen_since);
                    work.known.contact_id = Some(row.id);
                    work.cache.relied = true;
                    work.search.links = Some(links);
                    work.show_deals(row);
                }
                // Of several contacts, or a deleted one, Freshsales knows which it writes.
                Some(_) => work.singly = true,
                None if sees_all => {
                    let address = work.write.address();
                    work.search.links = Some(self.records.contacts.links_of_unfound(address, seen_since));
                    // By its id it is locked for others that know it by another address.
                    work.known.contact_id = self.records.contact_id(address);
                    work.search.is_new = true;
                }
                // It is searched for again, with another control.
                None => {}
            }
            self.enter_step(*item);
        }
        let deals_shown = rows.iter().all(|row| row.deals.all);
        if !rows.is_empty() {
            let feature = BulkFeature::DealsInSearch;
            effects.extend(if deals_shown {
                self.feature_works(feature)
            } else {
                self.feature_fails(feature)
            });
        }
        effects
    }

    /// Whether the answer holds only contacts that were asked for, each with its links.
    pub(super) fn honours(search: &RecordSearch, found: &ContactRows) -> bool {
        let asked: HashSet<&str> = search.asked.iter().map(String::as_str).collect();
        found.rows.iter().all(|row| {
            row.links.is_some() && row.addresses.iter().any(|address| asked.contains(address.as_str()))
        })
    }

    /// A search gets no answer, and nothing else shows whether that is due to searches alone: its oldest record goes singly.
    /// If that gets through, the search is given up. False if none is left.
    pub(in crate::lane::scheduler) fn let_one_go_singly(&mut self, search: &mut RecordSearch) -> bool {
        if search.items.is_empty() {
            return false;
        }
        let item = search.items.remove(0);
        if let Some(work) = self.items.contact_mut(item) {
            work.write_singly();
            work.singly = true;
        }
        self.enter_step(item);
        !search.items.is_empty()
    }
}

/// What a search of this kind relies on.
pub(super) const fn searched_feature(what: SharedCall) -> BulkFeature {
    match what {
        SharedCall::FindIds(Entity::SalesAccount) => BulkFeature::SalesAccountSearch,
        SharedCall::FindIds(_) | SharedCall::ReadContacts | SharedCall::Write(_) => {
            BulkFeature::ContactSearch
        }
    }
}

/// After so many searches in a row that did not find their control, searches are not believed any more.
const MOST_MISSED: u32 = 3;

pub(super) fn by_address(rows: &[ContactRow]) -> RowsByAddress<'_> {
    let mut by_address: RowsByAddress<'_> = HashMap::new();
    for row in rows {
        for address in row.addresses.iter().collect::<HashSet<_>>() {
            let several = |known: &mut Option<&ContactRow>| *known = None;
            by_address.entry(address).and_modify(several).or_insert(Some(row));
        }
    }
    by_address
}
