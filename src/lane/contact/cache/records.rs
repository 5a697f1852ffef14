//! The ids, links and tags of records that this lane has written or read.

use std::hash::{Hash as _, Hasher as _};
use std::num::{NonZeroI64, NonZeroUsize};

use lru::LruCache;
use siphasher::sip::SipHasher13;

use super::contacts::{ContactCache, LearningTimes};
use super::fact::FactKey;
use crate::freshsales::SalesAccountLink;
use crate::lane::bounded::lru;
use crate::lane::contact::held::RecordText;
use crate::schema::Entity;

const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
const DEALS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
const TAGGED: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Of a record with more tags none are remembered.
const MOST_TAGS: usize = 100;

/// Sales accounts by name, contacts by e-mail address, deals by contact and name.
#[derive(Debug)]
pub(in crate::lane) struct RecordCache {
    /// Each with the period in which it was written.
    accounts: LruCache<String, (CachedAccount, u64)>,
    pub(in crate::lane) contacts: ContactCache,
    /// By the contact's id and a digest of the deal's name. `None` for one that may be there although searches do not show
    /// it yet.
    deals: LruCache<(i64, u64), Option<NonZeroI64>>,
    /// Digests of the tags that a record is known to have.
    tagged: LruCache<(Entity, i64), Box<[u64]>>,
    period: u64,
    /// What has changed since the last time that was asked for. What a full cache drops is not told.
    changed: Vec<FactKey>,
}

/// A sales account that was written before.
#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct CachedAccount {
    pub(in crate::lane) id: i64,
    /// The fingerprint of what was written last, if no other replica can have written since.
    pub(in crate::lane) written: Option<u64>,
}

impl RecordCache {
    pub(in crate::lane) fn new() -> Self {
        Self {
            accounts: lru(ACCOUNTS),
            contacts: ContactCache::new(),
            deals: lru(DEALS),
            tagged: lru(TAGGED),
            period: 0,
            changed: Vec::new(),
        }
    }

    pub(in crate::lane) fn account(&mut self, name: &str) -> Option<CachedAccount> {
        let (account, period) = self.accounts.get(&name.to_lowercase()).copied()?;
        Some(CachedAccount { written: account.written.filter(|_| period == self.period), ..account })
    }

    pub(in crate::lane) fn learn_account(&mut self, name: &str, account: CachedAccount) {
        let known = self.account(name);
        let name = name.to_lowercase();
        if known.map(|known| known.id) != Some(account.id) {
            self.changed.push(FactKey::account(&name));
        }
        let written = known.and_then(|known| known.written);
        if written != account.written {
            let values = [written, account.written].into_iter().flatten();
            self.changed.extend(values.map(|values| FactKey::account_values(&name, values)));
        }
        self.accounts.put(name, (account, self.period));
    }

    pub(in crate::lane) fn drain_changed(&mut self) -> impl Iterator<Item = FactKey> {
        self.changed.drain(..).chain(self.contacts.changed.drain(..))
    }

    /// Another replica may have the lane from now on, and write what this one does not see.
    pub(in crate::lane) fn distrust_values(&mut self) {
        self.period += 1;
    }

    pub(in crate::lane) fn contact_id(&mut self, email: &str) -> Option<i64> {
        self.contacts.id(email)
    }

    pub(in crate::lane) fn linked(&mut self, email: &str, account: i64) -> bool {
        self.contacts.linked(email, account)
    }

    pub(in crate::lane) fn learn_contact(
        &mut self,
        email: &str,
        id: i64,
        links: Option<&[SalesAccountLink]>,
        times: LearningTimes,
    ) {
        // Contacts are cached by their address.
        if !email.is_empty() {
            self.contacts.learn(email, id, links, times);
        }
    }

    pub(in crate::lane) fn deal(&mut self, contact: i64, name: &str) -> Option<i64> {
        self.deals.get(&(contact, digest(name))).copied().flatten().map(NonZeroI64::get)
    }

    /// Whether the contact may have a deal of this name whose id is not known: only a reading by the contact's id tells.
    pub(in crate::lane) fn may_have_deal(&mut self, contact: i64, name: &str) -> bool {
        self.deals.get(&(contact, digest(name))) == Some(&None)
    }

    pub(in crate::lane) fn learn_deal(&mut self, contact: i64, name: &str, id: i64) {
        self.deals.put((contact, digest(name)), NonZeroI64::new(id));
        self.deal_changed(contact, name);
    }

    /// The deal is about to be created.
    pub(in crate::lane) fn deal_may_be_created(&mut self, contact: i64, name: &str) {
        self.deals.put((contact, digest(name)), None);
        self.deal_changed(contact, name);
    }

    fn deal_changed(&mut self, contact: i64, name: &str) {
        self.changed.push(FactKey::deal(contact, name));
    }

    /// If its id is known, the deal may not exist any more.
    pub(in crate::lane) fn doubt_deal(&mut self, contact: i64, name: &str) {
        if let Some(id) = self.deals.get_mut(&(contact, digest(name))) {
            *id = None;
            self.deal_changed(contact, name);
        }
    }

    pub(in crate::lane) fn no_deal(&mut self, contact: i64, name: &str) {
        self.deals.pop(&(contact, digest(name)));
        self.deal_changed(contact, name);
    }

    pub(in crate::lane) fn has_tags<'a>(
        &mut self,
        entity: Entity,
        id: i64,
        mut tags: impl Iterator<Item = &'a str>,
    ) -> bool {
        let Some(known) = self.tagged.get(&(entity, id)) else { return false };
        tags.all(|tag| known.contains(&hashed(tag)))
    }

    pub(in crate::lane) fn learn_tags(&mut self, entity: Entity, id: i64, tags: &[String]) {
        if tags.is_empty() || tags.len() > MOST_TAGS {
            self.forget_tags(entity, id);
        } else {
            self.tagged.put((entity, id), tags.iter().map(|tag| hashed(tag)).collect());
            self.changed.push(FactKey::tags(entity, id));
        }
    }

    pub(in crate::lane) fn forget_tags(&mut self, entity: Entity, id: i64) {
        self.tagged.pop(&(entity, id));
        self.changed.push(FactKey::tags(entity, id));
    }

    /// Something about them was refused, so they may not exist any more.
    pub(in crate::lane) fn forget(&mut self, email: &str, company: Option<&str>) {
        self.contacts.forget(email);
        if let Some(company) = company {
            let company = company.to_lowercase();
            if let Some((known, _)) = self.accounts.pop(&company) {
                let values = known.written.map(|values| FactKey::account_values(&company, values));
                self.changed.extend(values.into_iter().chain([FactKey::account(&company)]));
            }
        }
    }
}

fn digest(name: &str) -> u64 {
    hashed(&name.trim().to_lowercase())
}

fn hashed(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    text.hash(&mut hasher);
    hasher.finish()
}

pub(in crate::lane) fn fingerprint(record: &RecordText) -> u64 {
    let mut hasher = SipHasher13::new();
    record.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    /// A change, and what is told of it.
    type Change<'a> = (&'a dyn Fn(&mut RecordCache), &'a [FactKey]);

    #[test]
    fn whoever_relies_on_something_is_told_when_it_changes_and_only_then() {
        let mut records = RecordCache::new();
        let times = LearningTimes { now: Instant::now(), search_delay: Duration::from_mins(1) };
        let account = |id, written| CachedAccount { id, written };
        let link = [SalesAccountLink { id: 7, primary: true }];
        let values = |values| FactKey::account_values("acme", values);
        let (acme, ada) = (FactKey::account("Acme"), FactKey::contact("a@x.com"));
        let (deal, tags) = (FactKey::deal(1, " renewal"), FactKey::tags(Entity::Deal, 5));
        let changes: [Change<'_>; 15] = [
            (&|records| records.learn_account("Acme", account(7, Some(1))), &[acme, values(1)]),
            (&|records| records.learn_account("ACME", account(7, Some(1))), &[]),
            (&|records| records.learn_account("acme", account(7, Some(2))), &[values(1), values(2)]),
            (&|records| records.learn_account("acme", account(8, None)), &[acme, values(2)]),
            (&|records| records.forget("b@x.com", Some("Acme")), &[acme, FactKey::contact("b@x.com")]),
            (&|records| records.learn_contact("a@x.com", 1, None, times), &[ada]),
            (&|records| records.learn_contact("a@x.com", 1, Some(&link), times), &[ada]),
            (&|records| drop(records.contacts.learn_found("a@x.com", 1, &link, times.now)), &[ada]),
            (&|records| records.learn_deal(1, "Renewal", 5), &[deal]),
            (&|records| records.doubt_deal(1, "Renewal"), &[deal]),
            (&|records| records.deal_may_be_created(1, "Renewal"), &[deal]),
            (&|records| records.no_deal(1, "Renewal"), &[deal]),
            (&|records| records.learn_tags(Entity::Deal, 5, &["new".to_owned()]), &[tags]),
            (&|records| records.forget_tags(Entity::Deal, 5), &[tags]),
            (&|records| assert!(records.account("Acme").is_none()), &[]),
        ];
        for (place, (change, told)) in changes.into_iter().enumerate() {
            change(&mut records);
            let mut changed: Vec<FactKey> = records.drain_changed().collect();
            changed.sort_unstable();
            let mut told = told.to_vec();
            told.sort_unstable();
            assert_eq!(changed, told, "change {place}");
        }
    }
}
