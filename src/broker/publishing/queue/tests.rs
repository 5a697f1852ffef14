//! A pretended broker that confirms and refuses messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::broker::publishing::publication::PublishTarget;
use crate::broker::timing::{PUBLISHES_ON_OWN_CHANNEL, PUBLISHES_PER_QUEUE};
use crate::segment::EventBody;

fn publication(key: &str) -> Publication {
    let route = Route { exchange: "lanes".to_owned(), key: key.to_owned() };
    let target = PublishTarget { queue: key.to_owned(), route };
    Publication::new(Arc::new(target), EventBody::Whole(Bytes::new()), Arc::default())
}

fn sent(numbers: BTreeSet<u64>) -> Vec<u64> {
    numbers.into_iter().collect()
}

#[test]
fn a_refused_message_holds_up_its_queue_and_no_other() {
    let now = Instant::now();
    let mut queue = PublishQueue::default();
    assert!(queue.push(1, publication("a"), now) && queue.push(2, publication("b"), now));
    assert!(queue.on_refused(1, now));
    for number in 3..10 {
        assert!(!queue.push(number, publication("a"), now));
    }
    assert!(queue.push(10, publication("b"), now));
    assert_eq!((queue.first(), queue.refusing_queue()), (Some(1), Some("a")));
    let due = queue.next_retry().unwrap();
    assert!(due > now && queue.take_due(now).is_empty());
    assert_eq!(sent(queue.take_due(due)), [1]);
    assert_eq!((sent(queue.take_due(due)), queue.next_retry()), (vec![], None));
    assert_eq!(sent(queue.on_confirmed(1, due)), [3, 4], "more and more at a time");
    assert!(queue.on_confirmed(3, due).is_empty());
    assert_eq!(sent(queue.on_confirmed(4, due)), [5, 6, 7, 8]);
    assert!(!queue.on_refused(6, due), "one of them");
    for number in [5, 7, 2, 10] {
        assert!(queue.on_confirmed(number, due).is_empty());
    }
    assert_eq!(sent(queue.on_confirmed(8, due)), [6, 9]);
    assert!(queue.on_confirmed(6, due).is_empty() && queue.on_confirmed(9, due).is_empty());
    assert!(queue.is_empty() && queue.next_retry().is_none() && queue.refusing_queue().is_none());
    assert!(queue.push(11, publication("a"), due), "its queue takes messages again");
}

/// With work in the square of this number, the test would take minutes.
#[test]
fn queues_that_refuse_are_not_all_looked_at_for_each_event_of_another() {
    const QUEUES: u64 = 20_000;
    let mut now = Instant::now();
    let mut queue = PublishQueue::default();
    for number in 0..QUEUES {
        assert!(queue.push(number, publication(&number.to_string()), now));
        assert!(queue.on_refused(number, now));
    }
    for number in QUEUES..2 * QUEUES {
        assert!(queue.push(number, publication("other"), now) && queue.next_retry().is_some());
        assert!(queue.take_due(now).is_empty() && queue.on_confirmed(number, now).is_empty());
    }
    let mut tried = BTreeSet::new();
    while let Some(due) = queue.next_retry() {
        assert!(due > now, "each is tried at its time");
        now = due;
        tried.extend(queue.take_due(now));
    }
    assert_eq!(tried, (0..QUEUES).collect(), "and none is forgotten");
}

#[test]
fn only_so_many_messages_are_in_flight_to_one_queue() {
    let now = Instant::now();
    let mut queue = PublishQueue::default();
    let in_flight = (0..100).filter(|number| queue.push(*number, publication("a"), now)).count();
    assert_eq!((in_flight, queue.longest_in_flight().is_some()), (PUBLISHES_PER_QUEUE, true));
    assert!(queue.push(100, publication("b"), now), "others go on");
    for number in 0..100 {
        let next: Vec<u64> = (number + PUBLISHES_PER_QUEUE as u64..100).take(1).collect();
        assert_eq!(sent(queue.on_confirmed(number, now)), next);
    }
    // Messages that wait are sent behind the one that is refused.
    for number in 200..300 {
        queue.push(number, publication("a"), now);
    }
    assert!(queue.on_refused(200, now));
    assert!(queue.on_confirmed(201, now).is_empty());
    assert_eq!(sent(queue.take_due(queue.next_retry().unwrap())), [200]);
    assert_eq!(sent(queue.on_confirmed(200, now)), [224, 225]);
}

#[test]
fn a_queue_changes_its_channel_only_while_nothing_is_on_its_way_and_keeps_its_order() {
    const MESSAGES: u64 = 2000;
    let mut now = Instant::now();
    let mut queue = PublishQueue::new(1);
    let to = publication("a");
    let mut on_its_way: VecDeque<(u64, ChannelNumber)> = VecDeque::new();
    let (mut taken, mut most, mut changes) = (Vec::new(), 0, 0);
    let mut send = |queue: &PublishQueue, on_its_way: &mut VecDeque<_>, numbers: Vec<u64>| {
        for number in numbers {
            let channel = queue.channel(&to);
            if let Some((_, other)) = on_its_way.front() {
                assert_eq!(*other, channel, "{number} could overtake");
            }
            on_its_way.push_back((number, channel));
            most = most.max(on_its_way.len());
        }
    };
    for number in 0..MESSAGES {
        let numbers = queue.push(number, publication("a"), now).then_some(number);
        send(&queue, &mut on_its_way, numbers.into_iter().collect());
    }
    while let Some((number, channel)) = on_its_way.pop_front() {
        taken.push(number);
        // One confirm is late, when the queue has had its own channel for a while.
        now += if number == 1000 { PROMPT_CONFIRM } else { Duration::ZERO };
        let next = sent(queue.on_confirmed(number, now));
        changes += usize::from(queue.channel(&publication("a")) != channel);
        send(&queue, &mut on_its_way, next);
    }
    assert_eq!(taken, (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(most, PUBLISHES_ON_OWN_CHANNEL);
    assert_eq!(changes, 4, "to its own, back at the late confirm, to its own again, back at the end");
    assert!(queue.is_empty());
}

#[test]
fn attempts_become_rarer_and_never_end() {
    let start = Instant::now();
    let mut queue = PublishQueue::default();
    queue.push(1, publication("a"), start);
    queue.on_refused(1, start);
    let mut attempts = 0;
    while let Some(now) = queue.next_retry().filter(|now| *now < start + Duration::from_hours(1)) {
        assert_eq!(sent(queue.take_due(now)), [1]);
        assert!(!queue.on_refused(1, now));
        attempts += 1;
    }
    assert!((90..250).contains(&attempts), "{attempts}");
}

/// A broker that takes or refuses, at random, what it was sent first; answers come in any order.
#[derive(Debug, Clone)]
enum BrokerStep {
    Put(u8),
    Decide { takes: bool },
    Answer(prop::sample::Index),
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<BrokerStep>> {
    let step = prop_oneof![
        3 => (0..3u8).prop_map(BrokerStep::Put),
        3 => prop::bool::weighted(0.7).prop_map(|takes| BrokerStep::Decide { takes }),
        3 => any::<prop::sample::Index>().prop_map(BrokerStep::Answer),
        1 => Just(BrokerStep::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

#[derive(Debug)]
struct Wire {
    now: Instant,
    queue: PublishQueue,
    put: Vec<u8>,
    sent: Vec<u64>,
    decided: Vec<(u64, bool)>,
    in_queue: Vec<u64>,
}

impl Wire {
    fn new() -> Self {
        let (put, sent, decided, in_queue) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { now: Instant::now(), queue: PublishQueue::default(), put, sent, decided, in_queue }
    }

    /// From now on the broker takes everything.
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
            assert!(!self.sent.contains(&number) && !self.in_queue.contains(&number), "{number} goes twice");
            self.sent.push(number);
        }
    }

    fn push(&mut self, key: u8) {
        self.put.push(key);
        let number = self.put.len() as u64;
        if self.queue.push(number, publication(&key.to_string()), self.now) {
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
            let more = self.queue.on_confirmed(number, self.now);
            self.send(more);
        } else {
            self.queue.on_refused(number, self.now);
        }
    }

    fn wait(&mut self) {
        if let Some(wake) = self.queue.next_retry() {
            self.now = wake;
            let due = self.queue.take_due(wake);
            assert!(!due.is_empty());
            self.send(due);
        }
    }

    fn key(&self, number: u64) -> u8 {
        self.put[usize::try_from(number).unwrap() - 1]
    }
}

proptest! {
    #[test]
    fn every_message_is_confirmed_once_whatever_is_refused(steps in steps()) {
        let mut wire = Wire::new();
        for step in steps {
            match step {
                BrokerStep::Put(key) => wire.push(key),
                BrokerStep::Decide { takes } => wire.decide(takes),
                BrokerStep::Answer(index) => {
                    if !wire.decided.is_empty() {
                        wire.answer(index.index(wire.decided.len()));
                    }
                }
                BrokerStep::Wait => wire.wait(),
            }
        }
        wire.drain();
        prop_assert!(wire.queue.is_empty() && wire.queue.next_retry().is_none(), "{:?}", wire.queue);
        let mut all = wire.in_queue.clone();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=wire.put.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn order_is_kept_where_the_broker_refuses_all_messages_until_it_takes_all(
        keys in prop::collection::vec((0..3u8, any::<bool>()), 1..100),
    ) {
        let mut wire = Wire::new();
        for (key, takes) in keys {
            wire.push(key);
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

#[test]
fn a_message_costs_few_allocations_between_its_push_and_its_confirm() {
    let now = Instant::now();
    let mut queue = PublishQueue::new(1);
    let to = publication("a");
    let mut carry = |number| {
        let message = to.clone();
        assert!(queue.push(number, message, now));
        drop(queue.publication(number).unwrap().clone().content());
        assert!(queue.on_confirmed(number, now).is_empty());
    };
    carry(0);
    let cost = crate::cost::allocated(|| (1..=100).for_each(&mut carry));
    assert!(cost.count_total <= 10, "{cost:?}");
}
