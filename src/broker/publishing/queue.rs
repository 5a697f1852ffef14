//! Messages that must get to a queue: each is sent until the broker has taken it. Pure: sending is done elsewhere, and
//! the time is handed in.
//!
//! A message that the broker refuses (a full queue, one that is missing) is sent again after a while. Until it is taken,
//! others for its queue wait behind it, so that their order is kept as far as it can be: what had been sent behind it
//! before the refusal was known, the broker may have taken. Other queues go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::broker::amqp::properties;
use crate::broker::timing::{PUBLISHES_PER_QUEUE, REFUSED_DELAYS};
use crate::segment::EventBody;

/// A message, and where it must get to.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Publication {
    /// The queue that the route leads to.
    pub(in crate::broker) queue: String,
    pub(in crate::broker) route: Route,
    content: EventBody,
    properties: Arc<BasicProperties>,
    /// The broker may have it already.
    copied: bool,
}

impl Publication {
    /// A message for this queue.
    pub(in crate::broker) fn new(
        queue: String,
        route: Route,
        content: EventBody,
        properties: Arc<BasicProperties>,
    ) -> Self {
        Self { queue, route, content, properties, copied: false }
    }

    /// What is published.
    pub(in crate::broker) fn publishing(&self) -> (Bytes, BasicProperties) {
        let properties = (*self.properties).clone();
        let properties = if self.copied { properties::as_copy(properties) } else { properties };
        (self.content.bytes(), properties)
    }
}

/// An exchange and a routing key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::broker) struct Route {
    pub(in crate::broker) exchange: String,
    pub(in crate::broker) key: String,
}

/// What is not taken yet, by the number under which it was put in.
#[derive(Debug, Default)]
pub(in crate::broker) struct PublishQueue {
    held: BTreeMap<u64, Held>,
    queues: HashMap<String, Queue>,
}

#[derive(Debug)]
struct Held {
    parcel: Publication,
    /// On its way since then, however often it was sent; else it waits behind another one, or to be sent again.
    sent: Option<Instant>,
}

/// How it stands with one queue.
#[derive(Debug, Default)]
struct Queue {
    /// How many are on their way.
    going: usize,
    /// What is not: behind those, or behind one that was refused.
    waiting: BTreeSet<u64>,
    refused: Option<Refused>,
}

/// The queue refused something.
#[derive(Debug)]
struct Refused {
    delays: Delays,
    /// What was sent since then, and is on its way.
    out: BTreeSet<u64>,
    /// How many may be so: one at first, for the order's sake, and twice as many each time that all are taken.
    window: usize,
    /// When the next are sent, if there are none on their way.
    again: Option<Instant>,
}

impl Refused {
    fn new() -> Self {
        Self {
            delays: Delays::new(REFUSED_DELAYS.0, REFUSED_DELAYS.1),
            out: BTreeSet::new(),
            window: 1,
            again: None,
        }
    }
}

impl Queue {
    /// What goes next.
    fn next(&mut self) -> BTreeSet<u64> {
        let room = self
            .refused
            .as_ref()
            .map_or(PUBLISHES_PER_QUEUE.saturating_sub(self.going), |refused| refused.window);
        let next: BTreeSet<u64> = std::iter::from_fn(|| self.waiting.pop_first()).take(room).collect();
        self.going += next.len();
        if let Some(refused) = &mut self.refused {
            refused.out.clone_from(&next);
        }
        next
    }

    /// The broker took one; tells which go next.
    fn taken(&mut self, number: u64) -> BTreeSet<u64> {
        self.going = self.going.saturating_sub(1);
        if let Some(refused) = &mut self.refused {
            // Others were on their way before the refusal, and say nothing about what comes after it.
            if !refused.out.remove(&number) {
                return BTreeSet::new();
            }
            refused.delays.reset();
            if !refused.out.is_empty() {
                return BTreeSet::new();
            }
            refused.window = (refused.window * 2).min(PUBLISHES_PER_QUEUE);
            if self.waiting.is_empty() {
                self.refused = None;
            }
        }
        self.next()
    }

    /// The broker refused one; true if it is the first.
    fn refused(&mut self, number: u64, now: Instant) -> bool {
        self.going = self.going.saturating_sub(1);
        self.waiting.insert(number);
        let anew = self.refused.is_none();
        let refused = self.refused.get_or_insert_with(Refused::new);
        if refused.out.remove(&number) || refused.out.is_empty() {
            refused.window = 1;
        }
        if refused.out.is_empty() && refused.again.is_none() {
            refused.again = Some(now + refused.delays.following());
        }
        anew
    }
}

impl PublishQueue {
    /// How many are not taken yet.
    pub(in crate::broker) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether all is taken.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The first that is not taken yet.
    pub(in crate::broker) fn first(&self) -> Option<u64> {
        self.held.keys().next().copied()
    }

    /// Notes that the broker may have these, and gets them once more.
    pub(in crate::broker) fn note_copies<'a>(&mut self, numbers: impl IntoIterator<Item = &'a u64>) {
        for number in numbers {
            if let Some(Held { parcel, .. }) = self.held.get_mut(number) {
                parcel.copied = true;
            }
        }
    }

    /// A message that is not taken yet.
    pub(in crate::broker) fn parcel(&self, number: u64) -> Option<&Publication> {
        self.held.get(&number).map(|held| &held.parcel)
    }

    /// A queue that refused something, and has not taken all since.
    pub(in crate::broker) fn refusing(&self) -> Option<&str> {
        self.queues.iter().find(|(_, queue)| queue.refused.is_some()).map(|(name, _)| name.as_str())
    }

    /// Whether nothing is on its way.
    pub(in crate::broker) fn rests(&self) -> bool {
        self.held.values().all(|held| held.sent.is_none())
    }

    /// Takes one in, under a number of its own; true if it is to be sent now. Of those that wait, the smallest is sent
    /// first.
    pub(in crate::broker) fn put(&mut self, number: u64, parcel: Publication, now: Instant) -> bool {
        let queue = self.queues.entry(parcel.queue.clone()).or_default();
        let goes = queue.refused.is_none() && queue.going < PUBLISHES_PER_QUEUE;
        if goes {
            queue.going += 1;
        } else {
            queue.waiting.insert(number);
        }
        self.held.insert(number, Held { parcel, sent: goes.then_some(now) });
        goes
    }

    /// The broker took one; tells which are to be sent now, in this order.
    pub(in crate::broker) fn taken(&mut self, number: u64, now: Instant) -> BTreeSet<u64> {
        let held = self.held.remove(&number);
        let queue = held.and_then(|held| self.queues.get_mut(&held.parcel.queue));
        let next = queue.map(|queue| queue.taken(number)).unwrap_or_default();
        self.mark_sent(&next, now);
        next
    }

    /// The broker refused one; true if nothing for its queue was refused before.
    pub(in crate::broker) fn refused(&mut self, number: u64, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(&number) else { return false };
        held.sent = None;
        self.queues.get_mut(&held.parcel.queue).is_some_and(|queue| queue.refused(number, now))
    }

    /// When something is to be sent again.
    pub(in crate::broker) fn wake(&self) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.refused.as_ref()?.again).min()
    }

    /// What is to be sent again now: the first for each queue whose time has come.
    pub(in crate::broker) fn again(&mut self, now: Instant) -> BTreeSet<u64> {
        let mut numbers = BTreeSet::new();
        for queue in self.queues.values_mut() {
            let again =
                queue.refused.as_mut().and_then(|refused| refused.again.take_if(|again| *again <= now));
            if again.is_some() {
                numbers.append(&mut queue.next());
            }
        }
        self.mark_sent(&numbers, now);
        numbers
    }

    fn mark_sent(&mut self, numbers: &BTreeSet<u64>, now: Instant) {
        for number in numbers {
            if let Some(held) = self.held.get_mut(number) {
                held.sent = Some(now);
            }
        }
    }

    /// Those on their way, to this route or to all.
    pub(in crate::broker) fn on_their_way(&self, to: Option<&Route>) -> Vec<u64> {
        let going = |held: &Held| held.sent.is_some() && to.is_none_or(|route| *route == held.parcel.route);
        self.held.iter().filter(|(_, held)| going(held)).map(|(number, _)| *number).collect()
    }

    /// Of those on their way, the one that is longest so, and since when.
    pub(in crate::broker) fn longest_sent(&self) -> Option<(Instant, &str)> {
        self.held
            .values()
            .filter_map(|held| held.sent.map(|sent| (sent, held.parcel.queue.as_str())))
            .min_by_key(|(sent, _)| *sent)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn parcel(key: &str) -> Publication {
        let route = Route { exchange: "lanes".to_owned(), key: key.to_owned() };
        Publication::new(key.to_owned(), route, EventBody::Whole(Bytes::new()), Arc::default())
    }

    fn sent(numbers: BTreeSet<u64>) -> Vec<u64> {
        numbers.into_iter().collect()
    }

    #[test]
    fn what_is_refused_holds_back_its_route_and_no_other() {
        let now = Instant::now();
        let mut outbox = PublishQueue::default();
        assert!(outbox.put(1, parcel("a"), now) && outbox.put(2, parcel("b"), now));
        assert!(outbox.refused(1, now));
        for number in 3..10 {
            assert!(!outbox.put(number, parcel("a"), now));
        }
        assert!(outbox.put(10, parcel("b"), now));
        assert_eq!((outbox.first(), outbox.refusing()), (Some(1), Some("a")));
        let again = outbox.wake().unwrap();
        assert!(again > now && outbox.again(now).is_empty());
        assert_eq!(sent(outbox.again(again)), [1]);
        assert_eq!((sent(outbox.again(again)), outbox.wake()), (vec![], None));
        assert_eq!(sent(outbox.taken(1, again)), [3, 4], "ever more at a time");
        assert!(outbox.taken(3, again).is_empty());
        assert_eq!(sent(outbox.taken(4, again)), [5, 6, 7, 8]);
        assert!(!outbox.refused(6, again), "one of them");
        for number in [5, 7, 2, 10] {
            assert!(outbox.taken(number, again).is_empty());
        }
        assert_eq!(sent(outbox.taken(8, again)), [6, 9]);
        assert!(outbox.taken(6, again).is_empty() && outbox.taken(9, again).is_empty());
        assert!(outbox.is_empty() && outbox.wake().is_none() && outbox.refusing().is_none());
        assert!(outbox.put(11, parcel("a"), again), "its route is free");
    }

    #[test]
    fn only_so_many_are_on_their_way_to_one_queue() {
        let now = Instant::now();
        let mut outbox = PublishQueue::default();
        let going = (0..100).filter(|number| outbox.put(*number, parcel("a"), now)).count();
        assert_eq!((going, outbox.longest_sent().is_some()), (PUBLISHES_PER_QUEUE, true));
        assert!(outbox.put(100, parcel("b"), now), "others go on");
        for number in 0..100 {
            let next: Vec<u64> = (number + PUBLISHES_PER_QUEUE as u64..100).take(1).collect();
            assert_eq!(sent(outbox.taken(number, now)), next);
        }
        // What waits then is behind what is refused.
        for number in 200..300 {
            outbox.put(number, parcel("a"), now);
        }
        assert!(outbox.refused(200, now));
        assert!(outbox.taken(201, now).is_empty());
        assert_eq!(sent(outbox.again(outbox.wake().unwrap())), [200]);
        assert_eq!(sent(outbox.taken(200, now)), [224, 225]);
    }

    #[test]
    fn attempts_come_ever_more_rarely_and_never_end() {
        let start = Instant::now();
        let mut outbox = PublishQueue::default();
        outbox.put(1, parcel("a"), start);
        outbox.refused(1, start);
        let mut attempts = 0;
        while let Some(now) = outbox.wake().filter(|now| *now < start + Duration::from_hours(1)) {
            assert_eq!(sent(outbox.again(now)), [1]);
            assert!(!outbox.refused(1, now));
            attempts += 1;
        }
        assert!((90..250).contains(&attempts), "{attempts}");
    }

    /// A broker that takes or refuses, at random, what it was sent first; answers come in any order.
    #[derive(Debug, Clone)]
    enum Step {
        Put(u8),
        Decide { takes: bool },
        Answer(prop::sample::Index),
        Wait,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..3u8).prop_map(Step::Put),
            3 => prop::bool::weighted(0.7).prop_map(|takes| Step::Decide { takes }),
            3 => any::<prop::sample::Index>().prop_map(Step::Answer),
            1 => Just(Step::Wait),
        ];
        prop::collection::vec(step, 1..200)
    }

    #[derive(Debug)]
    struct Wire {
        now: Instant,
        outbox: PublishQueue,
        put: Vec<u8>,
        sent: Vec<u64>,
        decided: Vec<(u64, bool)>,
        in_queue: Vec<u64>,
    }

    impl Wire {
        fn new() -> Self {
            let (put, sent, decided, in_queue) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            Self { now: Instant::now(), outbox: PublishQueue::default(), put, sent, decided, in_queue }
        }

        /// From now on the broker takes all.
        fn drain(&mut self) {
            for _ in 0..1000 {
                self.decide(true);
                if self.decided.is_empty() {
                    self.wait();
                } else {
                    self.answer(0);
                }
            }
        }

        fn send(&mut self, numbers: impl IntoIterator<Item = u64>) {
            for number in numbers {
                assert!(
                    !self.sent.contains(&number) && !self.in_queue.contains(&number),
                    "{number} goes twice"
                );
                self.sent.push(number);
            }
        }

        fn put(&mut self, key: u8) {
            self.put.push(key);
            let number = self.put.len() as u64;
            if self.outbox.put(number, parcel(&key.to_string()), self.now) {
                self.send([number]);
            }
        }

        fn decide(&mut self, takes: bool) {
            if !self.sent.is_empty() {
                let number = self.sent.remove(0);
                self.decided.push((number, takes));
                if takes {
                    self.in_queue.push(number);
                }
            }
        }

        fn answer(&mut self, index: usize) {
            let (number, takes) = self.decided.remove(index);
            if takes {
                let more = self.outbox.taken(number, self.now);
                self.send(more);
            } else {
                self.outbox.refused(number, self.now);
            }
        }

        fn wait(&mut self) {
            if let Some(wake) = self.outbox.wake() {
                self.now = wake;
                let again = self.outbox.again(wake);
                assert!(!again.is_empty());
                self.send(again);
            }
        }

        fn key(&self, number: u64) -> u8 {
            self.put[usize::try_from(number).unwrap() - 1]
        }
    }

    proptest! {
        #[test]
        fn everything_is_taken_once_whatever_is_refused(steps in steps()) {
            let mut wire = Wire::new();
            for step in steps {
                match step {
                    Step::Put(key) => wire.put(key),
                    Step::Decide { takes } => wire.decide(takes),
                    Step::Answer(index) => {
                        if !wire.decided.is_empty() {
                            wire.answer(index.index(wire.decided.len()));
                        }
                    }
                    Step::Wait => wire.wait(),
                }
            }
            wire.drain();
            prop_assert!(wire.outbox.is_empty() && wire.outbox.wake().is_none(), "{:?}", wire.outbox);
            let mut all = wire.in_queue.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=wire.put.len() as u64).collect::<Vec<_>>());
        }

        #[test]
        fn order_is_kept_where_the_broker_refuses_all_until_it_takes_all(
            keys in prop::collection::vec((0..3u8, any::<bool>()), 1..100),
        ) {
            let mut wire = Wire::new();
            for (key, takes) in keys {
                wire.put(key);
                while !wire.sent.is_empty() {
                    wire.decide(takes);
                    wire.answer(0);
                }
                wire.wait();
                while takes && !wire.sent.is_empty() {
                    wire.decide(true);
                    wire.answer(0);
                }
                if !takes {
                    for _ in 0..wire.sent.len() {
                        wire.decide(false);
                        wire.answer(0);
                    }
                }
            }
            wire.drain();
            for key in 0..3 {
                let of: Vec<u64> = wire.in_queue.iter().copied().filter(|number| wire.key(*number) == key).collect();
                prop_assert!(of.is_sorted(), "{of:?}");
            }
        }
    }
}
