//! Events that wait, in an order that each contact can rely on. Pure.
//!
//! An event is about everyone its keys name (an e-mail address, a `userId`). It is ready when no
//! earlier event shares a key with it: so a contact's events go one after another, in the order they
//! were queued, even where one event knows the contact by another name; all others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map};

use crate::lane::bounded::Digests;

/// A name by which an event knows its contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An e-mail address, trimmed and lower-cased.
    Email(String),
    /// A `userId` that is no e-mail address.
    UserId(String),
}

/// The waiting and the working events of a lane. Of their names only digests are kept.
#[derive(Debug)]
pub struct Window<T> {
    digests: Digests,
    next: u64,
    entries: BTreeMap<u64, Entry<T>>,
    queues: HashMap<u128, Queue>,
    ready: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry<T> {
    keys: Box<[u128]>,
    /// Gone once it is being worked on.
    item: Option<Box<T>>,
    /// The place is kept for an event that cannot be judged yet.
    kept: bool,
}

/// The events of one key, in the order they were queued. Mostly there is one, and that takes no room of its own.
#[derive(Debug)]
enum Queue {
    One(u64),
    #[expect(clippy::box_collection, reason = "unboxed it would make the many that are one twice as large")]
    Many(Box<VecDeque<u64>>),
}

impl Queue {
    fn get(&self, place: usize) -> Option<u64> {
        match self {
            Self::One(number) => (place == 0).then_some(*number),
            Self::Many(numbers) => numbers.get(place).copied(),
        }
    }

    /// All of them, in their order.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        (0..).map_while(|place| self.get(place))
    }

    fn insert(&mut self, number: u64) {
        match self {
            Self::One(other) => *self = Self::Many(Box::new([number.min(*other), number.max(*other)].into())),
            Self::Many(numbers) => {
                let place = numbers.partition_point(|other| *other < number);
                numbers.insert(place, number);
            }
        }
    }

    /// Takes one out; true if none is left.
    fn remove(&mut self, number: u64) -> bool {
        match self {
            Self::One(other) => *other == number,
            Self::Many(numbers) => {
                // Mostly the first ends first.
                if let Ok(place) = numbers.binary_search(&number) {
                    numbers.remove(place);
                }
                numbers.is_empty()
            }
        }
    }
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            digests: Digests::new(),
            next: 0,
            entries: BTreeMap::new(),
            queues: HashMap::new(),
            ready: BTreeSet::new(),
        }
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
    pub fn insert(&mut self, keys: &[Key], item: T) {
        let number = self.keep(keys);
        self.fill(number, &[], item);
    }

    /// Keeps a place for an event that cannot be judged yet, behind all that share a key with it. Those that come later
    /// and share one wait for it. It ends by [`Window::fill`] or [`Window::finish`].
    pub fn keep(&mut self, keys: &[Key]) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut keys = self.digests_of(keys);
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            self.queue(*key, number);
        }
        self.entries.insert(number, Entry { keys: keys.into(), item: None, kept: true });
        number
    }

    /// Whether a place before this one is kept for an event that shares one of these keys; without a place, any.
    pub fn kept_before(&self, place: Option<u64>, keys: &[Key]) -> bool {
        let queues = keys.iter().filter_map(|key| self.queues.get(&self.digest(key)));
        let mut before =
            queues.flat_map(Queue::numbers).filter(|number| place.is_none_or(|place| *number < place));
        before.any(|number| self.entries.get(&number).is_some_and(|entry| entry.kept))
    }

    /// Puts an event into its place, maybe known by more names: it stands behind all that came before it.
    pub fn fill(&mut self, number: u64, keys: &[Key], item: T) {
        let keys = self.digests_of(keys);
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.item = Some(Box::new(item));
        entry.kept = false;
        for key in keys {
            let Some(entry) = self.entries.get_mut(&number) else { return };
            if !entry.keys.contains(&key) {
                entry.keys = entry.keys.iter().copied().chain([key]).collect();
                self.queue(key, number);
            }
        }
        self.consider(number);
    }

    /// The events that nothing stands before, oldest first.
    pub fn ready(&self) -> impl Iterator<Item = (u64, &T)> {
        self.ready.iter().filter_map(|number| Some((*number, self.entries.get(number)?.item.as_deref()?)))
    }

    /// Takes a ready event, and with it those right behind it that only it stands before, as long as they `join`,
    /// which is shown every event in turn, the first included.
    /// They keep their places until [`Window::finish`].
    pub fn take(&mut self, number: u64, mut join: impl FnMut(&T) -> bool) -> Vec<(u64, T)> {
        if !self.ready.remove(&number) {
            return Vec::new();
        }
        let mut taken = BTreeSet::from([number]);
        // Of each queue, how many of its first are taken: a contact's events may be many, each under a name of its own,
        // and each is looked at once.
        let mut ahead: HashMap<u128, usize> = HashMap::new();
        // What stands first behind those taken, in each of their queues.
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

    /// Whether nothing but what is taken stands before an event. What is taken stands first in its queues.
    fn follows(&self, next: u64, ahead: &HashMap<u128, usize>) -> bool {
        let first = |key: &u128| self.queues.get(key)?.get(ahead.get(key).copied().unwrap_or_default());
        self.entries.get(&next).is_some_and(|entry| entry.keys.iter().all(|key| first(key) == Some(next)))
    }

    /// Gives a taken event back to wait, now known by one more name: it stands behind all that were queued before it.
    pub fn put_back(&mut self, number: u64, key: Key, item: T) {
        self.fill(number, &[key], item);
    }

    /// Whether an event is known by this name.
    pub fn has_key(&self, number: u64, key: &Key) -> bool {
        let key = self.digest(key);
        self.entries.get(&number).is_some_and(|entry| entry.keys.contains(&key))
    }

    fn digests_of(&self, keys: &[Key]) -> Vec<u128> {
        keys.iter().map(|key| self.digest(key)).collect()
    }

    fn digest(&self, key: &Key) -> u128 {
        match key {
            Key::Email(email) => self.digests.of_kind(0, email),
            Key::UserId(user_id) => self.digests.of_kind(1, user_id),
        }
    }

    fn queue(&mut self, key: u128, number: u64) {
        match self.queues.entry(key) {
            hash_map::Entry::Occupied(mut queue) => {
                let head = queue.get().get(0);
                queue.get_mut().insert(number);
                // An earlier event that turns out to be about the same contact goes first.
                if let Some(head) = head.filter(|head| *head > number) {
                    self.ready.remove(&head);
                }
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(Queue::One(number));
            }
        }
    }

    /// The event under this number is done, or nothing comes into the place kept for it: those behind it may follow.
    pub fn finish(&mut self, number: u64) {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The oldest ready event, alone.
    fn take<T>(window: &mut Window<T>) -> Option<(u64, T)> {
        let number = window.ready().next()?.0;
        window.take(number, |_| false).pop()
    }

    fn email(name: &str) -> Key {
        Key::Email(name.to_owned())
    }

    fn user(name: &str) -> Key {
        Key::UserId(name.to_owned())
    }

    #[test]
    fn an_event_that_turns_out_to_be_about_the_same_contact_goes_before_later_ones() {
        let mut window = Window::default();
        window.insert(&[user("u")], 1);
        window.insert(&[email("a")], 2);
        let (first, item) = take(&mut window).unwrap();
        window.put_back(first, email("a"), item);
        assert!(window.has_key(first, &email("a")) && !window.has_key(first, &email("b")));
        assert_eq!(window.ready().map(|(_, item)| *item).collect::<Vec<_>>(), [1]);
        take(&mut window);
        window.finish(first);
        assert_eq!(take(&mut window).unwrap().1, 2);
    }

    #[test]
    fn a_contact_waits_for_itself_and_others_go_on() {
        let mut window = Window::default();
        window.insert(&[email("a")], 1);
        window.insert(&[email("a")], 2);
        window.insert(&[email("b")], 3);
        let (first, item) = take(&mut window).unwrap();
        assert_eq!(item, 1);
        assert_eq!(take(&mut window).unwrap().1, 3);
        assert!(take(&mut window).is_none());
        window.finish(first);
        assert_eq!(take(&mut window).unwrap().1, 2);
    }

    #[test]
    fn one_contact_under_two_names_keeps_its_order() {
        let mut window = Window::default();
        window.insert(&[user("u")], "track by user id");
        window.insert(&[user("u"), email("e")], "identify");
        window.insert(&[email("e")], "page by e-mail");
        let (first, item) = take(&mut window).unwrap();
        assert_eq!(item, "track by user id");
        assert!(take(&mut window).is_none());
        window.finish(first);
        let (second, item) = take(&mut window).unwrap();
        assert_eq!(item, "identify");
        assert!(take(&mut window).is_none());
        window.finish(second);
        assert_eq!(take(&mut window).unwrap().1, "page by e-mail");
    }

    #[test]
    fn an_event_known_by_one_more_name_waits_for_those_before_it() {
        let mut window = Window::default();
        window.insert(&[email("e")], "page by e-mail");
        window.insert(&[user("u")], "track by user id");
        window.insert(&[email("e")], "later page");
        let (first, _) = take(&mut window).unwrap();
        let (second, item) = take(&mut window).unwrap();
        window.put_back(second, email("e"), item);
        assert!(take(&mut window).is_none());
        window.finish(first);
        assert_eq!(take(&mut window).unwrap().1, "track by user id");
        assert!(take(&mut window).is_none());
        window.finish(second);
        assert_eq!(take(&mut window).unwrap().1, "later page");
    }

    #[test]
    fn what_stands_right_behind_may_come_along() {
        let mut window = Window::default();
        window.insert(&[email("a")], 'a');
        window.insert(&[email("b")], 'b');
        window.insert(&[email("a"), user("u")], 'c');
        window.insert(&[user("u")], 'd');
        window.insert(&[user("u"), email("b")], 'e');
        window.insert(&[email("a")], 'f');
        let items = |taken: Vec<(u64, char)>| taken.into_iter().map(|(_, item)| item).collect::<String>();
        // e waits for b, too, so nothing behind it comes along.
        assert_eq!(items(window.take(0, |_| true)), "acd");
        assert_eq!(items(window.take(1, |_| true)), "b");
        let mut window = Window::default();
        for item in "abcd".chars() {
            window.insert(&[email("a")], item);
        }
        assert_eq!(items(window.take(0, |item| *item != 'c')), "ab");
    }

    #[test]
    fn what_waits_can_be_taken_out_while_others_are_worked_on() {
        let mut window = Window::default();
        for item in 1..=4 {
            window.insert(&[email(if item % 2 == 0 { "even" } else { "odd" })], item);
        }
        let (number, _) = take(&mut window).unwrap();
        assert_eq!(window.drain_waiting(), [2, 3, 4]);
        assert_eq!(window.len(), 1);
        window.finish(number);
        assert!(window.is_empty());
        assert!(take(&mut window).is_none());
    }

    #[test]
    fn a_kept_place_holds_up_its_contact_and_nobody_else() {
        let mut window = Window::default();
        let place = window.keep(&[user("u"), email("a")]);
        window.insert(&[email("a")], "by address");
        window.insert(&[user("u")], "by id");
        window.insert(&[email("b")], "other");
        assert!(window.kept_before(None, &[email("c"), user("u")]));
        assert!(!window.kept_before(None, &[email("b")]));
        assert!(!window.kept_before(Some(place), &[user("u")]));
        assert!(window.kept_before(Some(place + 1), &[user("u")]));
        assert_eq!(take(&mut window).unwrap().1, "other");
        assert!(take(&mut window).is_none());
        assert!(window.drain_waiting().len() == 2 && window.len() == 2);
        window.insert(&[email("a")], "by address");
        window.fill(place, &[email("a")], "kept");
        assert!(!window.kept_before(None, &[email("a")]));
        assert_eq!(take(&mut window), Some((place, "kept")));
        window.finish(place);
        assert_eq!(take(&mut window).unwrap().1, "by address");
        let place = window.keep(&[email("d")]);
        window.insert(&[email("d")], "behind");
        window.finish(place);
        assert_eq!(take(&mut window).unwrap().1, "behind");
    }

    /// What a model knows of an event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Is {
        Kept,
        Waiting,
        Working,
        Over,
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
                    window.insert(&keys(event), index);
                }
                if let Some((number, index)) = take(&mut window) {
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

        /// With places kept for events that are judged later, if at all: ready is exactly what waits and has nothing
        /// before it that shares a key and is not over.
        #[test]
        fn what_is_ready_is_what_nothing_stands_before(
            events in prop::collection::vec(
                (prop::collection::vec((any::<bool>(), 0u8..4), 1..3), any::<bool>()), 1..40),
            steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 0..200),
        ) {
            let keys = |event: &[(bool, u8)]| -> Vec<Key> {
                event.iter().map(|(mail, n)| if *mail { email(&n.to_string()) } else { user(&n.to_string()) }).collect()
            };
            let share = |one: usize, other: usize| {
                let others = keys(&events[other].0);
                keys(&events[one].0).iter().any(|key| others.contains(key))
            };
            let mut window = Window::default();
            let mut model: Vec<Is> = Vec::new();
            for (step, pick) in steps {
                let all = |wanted: Is, model: &[Is]| -> Vec<usize> {
                    (0..model.len()).filter(|index| model[*index] == wanted).collect()
                };
                let chosen = |from: Vec<usize>| (!from.is_empty()).then(|| from[pick.index(from.len())]);
                match step {
                    0 | 1 if model.len() < events.len() => {
                        let (named, kept) = &events[model.len()];
                        if *kept {
                            prop_assert_eq!(window.keep(&keys(named)), model.len() as u64);
                            model.push(Is::Kept);
                        } else {
                            window.insert(&keys(named), model.len());
                            model.push(Is::Waiting);
                        }
                    }
                    2 => {
                        let number = window.ready().next().map(|(number, _)| number);
                        if let Some((number, index)) = number.and_then(|number| window.take(number, |_| false).pop()) {
                            prop_assert_eq!(number, index as u64);
                            model[index] = Is::Working;
                        }
                    }
                    3 => {
                        if let Some(index) = chosen(all(Is::Working, &model)) {
                            window.finish(index as u64);
                            model[index] = Is::Over;
                        }
                    }
                    _ => {
                        if let Some(index) = chosen(all(Is::Kept, &model)) {
                            let saved = pick.index(3) > 0;
                            if saved { window.fill(index as u64, &keys(&events[index].0), index) } else { window.finish(index as u64) }
                            model[index] = if saved { Is::Waiting } else { Is::Over };
                        }
                    }
                }
                let free = |index: &usize| {
                    model[*index] == Is::Waiting
                        && (0..*index).all(|before| model[before] == Is::Over || !share(before, *index))
                };
                let expected: Vec<usize> = (0..model.len()).filter(free).collect();
                let ready: Vec<usize> = window.ready().map(|(_, index)| *index).collect();
                prop_assert_eq!(ready, expected);
                prop_assert_eq!(window.len(), model.iter().filter(|is| **is != Is::Over).count());
            }
        }
    }
}
