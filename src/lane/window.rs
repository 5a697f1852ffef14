//! Events that wait, in an order that each contact can rely on. Pure.
//!
//! An event is about all that its keys name (an e-mail address, a `userId`, a company). It is ready when no
//! earlier event shares a key with it: so a contact's events go one after another, in the order they
//! were queued, even where one event knows the contact by another name; all others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Something an event is about, by the name the event knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An e-mail address, trimmed and lower-cased.
    Email(String),
    /// A `userId` that is no e-mail address.
    UserId(String),
    /// A sales account's name, lower-cased.
    Company(String),
    /// A deal's name, lower-cased.
    Deal(String),
}

/// The waiting and the working events of a lane.
#[derive(Debug)]
pub struct Window<T> {
    next: u64,
    entries: BTreeMap<u64, Entry<T>>,
    queues: HashMap<Key, VecDeque<u64>>,
    ready: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry<T> {
    keys: Vec<Key>,
    /// Gone once it is being worked on.
    item: Option<T>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { next: 0, entries: BTreeMap::new(), queues: HashMap::new(), ready: BTreeSet::new() }
    }
}

impl<T> Window<T> {
    /// Events waiting or being worked on.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing waits, nothing is worked on.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an event behind all that share a key with it.
    pub fn insert(&mut self, mut keys: Vec<Key>, item: T) {
        let number = self.next;
        self.next += 1;
        keys.dedup();
        for key in &keys {
            self.queues.entry(key.clone()).or_default().push_back(number);
        }
        self.entries.insert(number, Entry { keys, item: Some(item) });
        self.consider(number);
    }

    /// Takes the oldest event that nothing stands before. It keeps its place until [`Window::finish`].
    pub fn take(&mut self) -> Option<(u64, T)> {
        let number = self.ready.pop_first()?;
        let item = self.entries.get_mut(&number)?.item.take()?;
        Some((number, item))
    }

    /// The event taken under this number is done: those behind it may follow.
    pub fn finish(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        for key in entry.keys {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            queue.retain(|waiting| *waiting != number);
            let head = queue.front().copied();
            if queue.is_empty() {
                self.queues.remove(&key);
            }
            if let Some(head) = head {
                self.consider(head);
            }
        }
    }

    /// Takes out everything that is not being worked on, oldest first.
    pub fn drain_waiting(&mut self) -> Vec<T> {
        let waiting: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.item.is_some())
            .map(|(number, _)| *number)
            .collect();
        self.ready.clear();
        let mut items = Vec::with_capacity(waiting.len());
        for number in waiting {
            if let Some(item) = self.entries.get_mut(&number).and_then(|entry| entry.item.take()) {
                items.push(item);
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
            .all(|key| self.queues.get(key).and_then(VecDeque::front).is_none_or(|head| *head == number));
        if entry.item.is_some() && first_everywhere {
            self.ready.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn email(name: &str) -> Key {
        Key::Email(name.to_owned())
    }

    fn user(name: &str) -> Key {
        Key::UserId(name.to_owned())
    }

    #[test]
    fn a_contact_waits_for_itself_and_others_go_on() {
        let mut window = Window::default();
        window.insert(vec![email("a")], 1);
        window.insert(vec![email("a")], 2);
        window.insert(vec![email("b")], 3);
        let (first, item) = window.take().unwrap();
        assert_eq!(item, 1);
        assert_eq!(window.take().unwrap().1, 3);
        assert!(window.take().is_none());
        window.finish(first);
        assert_eq!(window.take().unwrap().1, 2);
    }

    #[test]
    fn one_contact_under_two_names_keeps_its_order() {
        let mut window = Window::default();
        window.insert(vec![user("u")], "track by user id");
        window.insert(vec![user("u"), email("e")], "identify");
        window.insert(vec![email("e")], "page by e-mail");
        let (first, item) = window.take().unwrap();
        assert_eq!(item, "track by user id");
        assert!(window.take().is_none());
        window.finish(first);
        let (second, item) = window.take().unwrap();
        assert_eq!(item, "identify");
        assert!(window.take().is_none());
        window.finish(second);
        assert_eq!(window.take().unwrap().1, "page by e-mail");
    }

    #[test]
    fn what_waits_can_be_taken_out_while_others_are_worked_on() {
        let mut window = Window::default();
        for item in 1..=4 {
            window.insert(vec![email(if item % 2 == 0 { "even" } else { "odd" })], item);
        }
        let (number, _) = window.take().unwrap();
        assert_eq!(window.drain_waiting(), [2, 3, 4]);
        assert_eq!(window.len(), 1);
        window.finish(number);
        assert!(window.is_empty());
        assert!(window.take().is_none());
    }

    proptest! {
        /// Nothing lost, nothing twice, order kept between any two events that share a key, never two at once.
        #[test]
        fn every_event_comes_once_and_in_order(
            events in prop::collection::vec(prop::collection::vec((any::<bool>(), 0u8..5), 1..3), 0..60),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let keys = |event: &[(bool, u8)]| -> Vec<Key> {
                event.iter().map(|(mail, n)| if *mail { email(&n.to_string()) } else { user(&n.to_string()) }).collect()
            };
            let mut window = Window::default();
            let mut working: Vec<(u64, usize)> = Vec::new();
            let mut seen: Vec<usize> = Vec::new();
            let mut picks = picks.iter();
            let mut incoming = events.iter().enumerate();
            loop {
                if let Some((index, event)) = incoming.next() {
                    window.insert(keys(event), index);
                }
                if let Some((number, index)) = window.take() {
                    for (_, other) in &working {
                        prop_assert!(!keys(&events[index]).iter().any(|key| keys(&events[*other]).contains(key)));
                    }
                    working.push((number, index));
                    seen.push(index);
                } else if working.is_empty() && seen.len() == events.len() {
                    break;
                } else if let Some(pick) = picks.next().filter(|_| !working.is_empty()) {
                    let (number, _) = working.remove(pick.index(working.len()));
                    window.finish(number);
                } else if !working.is_empty() {
                    let (number, _) = working.remove(0);
                    window.finish(number);
                }
            }
            prop_assert!(window.is_empty());
            for (place, index) in seen.iter().enumerate() {
                for later in &seen[place + 1..] {
                    prop_assert!(index != later);
                    let shared = keys(&events[*index]).iter().any(|key| keys(&events[*later]).contains(key));
                    prop_assert!(!shared || index < later);
                }
            }
        }
    }
}
