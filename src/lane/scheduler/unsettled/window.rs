//! Events that are not settled, and the order among those of one contact.
//!
//! An event's keys are the names by which it knows its contact: an e-mail address, a `userId`. It is ready when no earlier
//! event shares a key with it. So a contact's events go one after another, in the order in which they were queued, also if
//! one event knows the contact by another name; other contacts' events go on.

mod queue;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};

use crate::lane::bounded::Digests;
use crate::lane::contact::contact_work::SharedRecord;
use crate::schema::Entity;
use queue::Queue;

/// A name by which an event knows its contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContactKey {
    /// An e-mail address, trimmed and lower-cased.
    Email(String),
    /// A `userId` that is no e-mail address.
    UserId(String),
}

/// The events of a lane that wait or are worked on. Of their keys only digests are kept.
#[derive(Debug)]
pub struct Window<T> {
    digests: Digests,
    next: u64,
    entries: BTreeMap<u64, Entry<T>>,
    queues: HashMap<u128, Queue>,
    ready: BTreeSet<u64>,
    /// Those that became ready or ceased to be since the last time that was asked for.
    changed: Vec<u64>,
    /// The places that are kept, by key.
    kept: BTreeSet<(u128, u64)>,
}

#[derive(Debug)]
struct Entry<T> {
    keys: Box<[u128]>,
    /// `None` while it is worked on.
    item: Option<Box<T>>,
    /// The place is kept for an event that cannot be mapped yet.
    kept: bool,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            digests: Digests::new(),
            next: 0,
            entries: BTreeMap::new(),
            queues: HashMap::new(),
            ready: BTreeSet::new(),
            changed: Vec::new(),
            kept: BTreeSet::new(),
        }
    }
}

impl<T> Window<T> {
    /// Events that wait or are worked on.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event waits or is worked on.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an event behind all events that share a key with it.
    pub fn insert(&mut self, keys: &[ContactKey], item: T) {
        let number = self.keep(keys);
        self.fill(number, &[], item);
    }

    /// Keeps a place for an event that cannot be mapped yet, behind all events that share a key with it. Later events that
    /// share a key wait for it. The place ends by [`Window::fill`] or [`Window::finish`].
    pub fn keep(&mut self, keys: &[ContactKey]) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut keys = self.digests_of(keys);
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            self.queue(*key, number);
            self.kept.insert((*key, number));
        }
        self.entries.insert(number, Entry { keys: keys.into(), item: None, kept: true });
        number
    }

    /// Whether a place before this one is kept for an event that shares one of these keys; without a place, any.
    pub fn kept_before(&self, place: Option<u64>, keys: &[ContactKey]) -> bool {
        let before = place.unwrap_or(u64::MAX);
        let mut keys = keys.iter().map(|key| self.digest(key));
        keys.any(|key| self.kept.range((key, 0)..(key, before)).next().is_some())
    }

    /// Puts an event into its place, perhaps with more keys: it waits behind all events queued before it.
    pub fn fill(&mut self, number: u64, keys: &[ContactKey], item: T) {
        let keys = self.digests_of(keys);
        self.no_longer_kept(number);
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.item = Some(Box::new(item));
        for key in keys {
            let Some(entry) = self.entries.get_mut(&number) else { return };
            if !entry.keys.contains(&key) {
                entry.keys = entry.keys.iter().copied().chain([key]).collect();
                self.queue(key, number);
            }
        }
        self.consider(number);
    }

    /// The events that wait for no other one, oldest first.
    pub fn ready(&self) -> impl Iterator<Item = (u64, &T)> {
        self.ready.iter().filter_map(|number| Some((*number, self.item(*number)?)))
    }

    /// The event, if it waits for no other one.
    pub(in crate::lane::scheduler) fn ready_item(&self, number: u64) -> Option<&T> {
        if self.ready.contains(&number) { self.item(number) } else { None }
    }

    /// The events that became ready or ceased to be since the last time.
    pub(in crate::lane::scheduler) fn drain_changed(&mut self) -> impl Iterator<Item = u64> {
        self.changed.drain(..)
    }

    /// Takes a ready event and the events right behind it that wait for nothing else, as long as `join` takes them;
    /// `join` is shown every event in turn, the first included. They keep their places until [`Window::finish`].
    pub fn take(&mut self, number: u64, mut join: impl FnMut(&T) -> bool) -> Vec<(u64, T)> {
        if !self.ready.remove(&number) {
            return Vec::new();
        }
        self.changed.push(number);
        let mut taken = BTreeSet::from([number]);
        // How many of each queue's first events are taken. A contact may have many events, each under a key of its own, and
        // each is looked at only once.
        let mut ahead: HashMap<u128, usize> = HashMap::new();
        // The first event behind the taken ones, in each of their queues.
        let mut behind = BTreeSet::new();
        let mut last = number;
        while self.item(last).is_some_and(&mut join) {
            taken.insert(last);
            for key in self.entries.get(&last).iter().flat_map(|entry| &entry.keys) {
                let taken = ahead.entry(*key).or_default();
                *taken += 1;
                behind.extend(self.queues.get(key).and_then(|queue| queue.get(*taken)));
            }
            behind.remove(&last);
            let Some(next) = behind.first().copied().filter(|next| self.follows(*next, &ahead)) else {
                break;
            };
            last = next;
        }
        let take = |number| Some((number, *self.entries.get_mut(&number)?.item.take()?));
        taken.into_iter().filter_map(take).collect()
    }

    fn item(&self, number: u64) -> Option<&T> {
        self.entries.get(&number)?.item.as_deref()
    }

    /// Whether an event waits for nothing but the taken ones, which are the first of their queues.
    fn follows(&self, next: u64, ahead: &HashMap<u128, usize>) -> bool {
        let first = |key: &u128| self.queues.get(key)?.get(ahead.get(key).copied().unwrap_or_default());
        self.entries.get(&next).is_some_and(|entry| entry.keys.iter().all(|key| first(key) == Some(next)))
    }

    /// Puts a taken event back to wait, with one more key: it waits behind all events queued before it.
    pub fn put_back(&mut self, number: u64, key: ContactKey, item: T) {
        self.fill(number, &[key], item);
    }

    /// Whether an event has this key.
    pub fn has_key(&self, number: u64, key: &ContactKey) -> bool {
        let key = self.digest(key);
        self.entries.get(&number).is_some_and(|entry| entry.keys.contains(&key))
    }

    pub(in crate::lane::scheduler) fn key_digests(&self, number: u64) -> &[u128] {
        self.entries.get(&number).map_or(&[], |entry| &entry.keys)
    }

    /// A digest for a record that others may write, too. It never equals a key of a contact.
    pub(in crate::lane::scheduler) fn digest_of_shared(&self, (entity, name): &SharedRecord) -> u128 {
        let kind = match entity {
            Entity::SalesAccount => 2,
            Entity::Deal => 3,
            Entity::Contact => 4,
        };
        self.digests.of_kind(kind, name)
    }

    fn digests_of(&self, keys: &[ContactKey]) -> Vec<u128> {
        keys.iter().map(|key| self.digest(key)).collect()
    }

    fn digest(&self, key: &ContactKey) -> u128 {
        match key {
            ContactKey::Email(email) => self.digests.of_kind(0, email),
            ContactKey::UserId(user_id) => self.digests.of_kind(1, user_id),
        }
    }

    fn queue(&mut self, key: u128, number: u64) {
        match self.queues.entry(key) {
            hash_map::Entry::Occupied(mut queue) => {
                let head = queue.get().get(0);
                queue.get_mut().insert(number);
                // An earlier event turned out to be about the same contact: it goes first.
                if let Some(head) = head.filter(|head| *head > number) {
                    self.ready.remove(&head);
                    self.changed.push(head);
                }
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(Queue::One(number));
            }
        }
    }

    /// The event is done, or no event comes into the place kept for it. Events behind it may follow.
    pub fn finish(&mut self, number: u64) {
        self.no_longer_kept(number);
        let Some(entry) = self.entries.remove(&number) else { return };
        for key in entry.keys {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            if queue.remove(number) {
                self.queues.remove(&key);
            } else if let Some(head) = queue.get(0) {
                self.consider(head);
            }
        }
    }

    /// Takes out every event that is not worked on, oldest first.
    pub fn drain_waiting(&mut self) -> Vec<T> {
        let waiting: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.item.is_some())
            .map(|(number, _)| *number)
            .collect();
        self.changed.extend(std::mem::take(&mut self.ready));
        let mut items = Vec::with_capacity(waiting.len());
        for number in waiting {
            if let Some(item) = self.entries.get_mut(&number).and_then(|entry| entry.item.take()) {
                items.push(*item);
            }
            self.finish(number);
        }
        items
    }

    fn consider(&mut self, number: u64) {
        let Some(entry) = self.entries.get(&number) else { return };
        let first_everywhere = entry
            .keys
            .iter()
            .all(|key| self.queues.get(key).and_then(|queue| queue.get(0)).is_none_or(|head| head == number));
        if entry.item.is_some() && first_everywhere {
            self.ready.insert(number);
            self.changed.push(number);
        }
    }

    fn no_longer_kept(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number).filter(|entry| entry.kept) else { return };
        entry.kept = false;
        for key in &entry.keys {
            self.kept.remove(&(*key, number));
        }
    }
}

#[cfg(test)]
mod tests;
