//! Messages that must get to a queue: each is kept and sent until the broker has confirmed it. Pure: the publisher sends,
//! and hands in the time.
//!
//! A message that the broker refuses (its queue is full or missing) is sent again after a while. Until it is confirmed,
//! others for its queue wait behind it. This keeps their order as far as it can be kept: what was sent behind it before
//! the refusal was known may be in the queue ahead of it. Other queues go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::destination::Destination;
use super::publication::{Publication, Route};
use super::window::{ChannelNumber, FreeChannels, SHARED};
use crate::broker::timing::PROMPT_CONFIRM;

/// The messages that are not confirmed yet, each under the number with which it was pushed.
#[derive(Debug, Default)]
pub(in crate::broker) struct PublishQueue {
    unconfirmed: BTreeMap<u64, Unconfirmed>,
    /// By the queue's name.
    destinations: HashMap<String, Destination>,
    /// The queues that refused a message, and have not confirmed all since.
    refusing: BTreeSet<String>,
    /// When each of these is tried again: nobody looks at all of them for each event.
    retries: BTreeSet<(Instant, String)>,
    free_channels: FreeChannels,
}

#[derive(Debug)]
struct Unconfirmed {
    publication: Publication,
    /// When it was sent first; none while it waits, or was refused.
    in_flight_since: Option<Instant>,
}

impl PublishQueue {
    /// So many queues may have a channel of their own at a time.
    pub(super) fn new(own_channels: usize) -> Self {
        Self { free_channels: FreeChannels::new(own_channels), ..Self::default() }
    }

    pub(super) fn channel(&self, publication: &Publication) -> ChannelNumber {
        self.destinations.get(&publication.target.queue).map_or(SHARED, Destination::channel)
    }

    pub(in crate::broker) fn len(&self) -> usize {
        self.unconfirmed.len()
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// The lowest number that is not confirmed yet.
    pub(in crate::broker) fn first(&self) -> Option<u64> {
        self.unconfirmed.keys().next().copied()
    }

    /// Whether all messages wait, for instance until a queue that refuses them is tried again.
    pub(in crate::broker) fn has_none_in_flight(&self) -> bool {
        self.unconfirmed.values().all(|message| message.in_flight_since.is_none())
    }

    pub(super) fn publication(&self, number: u64) -> Option<&Publication> {
        self.unconfirmed.get(&number).map(|message| &message.publication)
    }

    /// These are sent once more, although the broker may have them.
    pub(super) fn mark_as_possible_duplicates<'a>(&mut self, numbers: impl IntoIterator<Item = &'a u64>) {
        for number in numbers {
            if let Some(message) = self.unconfirmed.get_mut(number) {
                message.publication.mark_as_possible_duplicate();
            }
        }
    }

    /// A queue that refused a message, and has not confirmed all since.
    pub(super) fn refusing_queue(&self) -> Option<&str> {
        self.refusing.first().map(String::as_str)
    }

    /// True if the message is to be sent now. Of those that wait, the one with the lowest number is sent first.
    pub(super) fn push(&mut self, number: u64, publication: Publication, now: Instant) -> bool {
        let queue = &publication.target.queue;
        let send = match self.destinations.get_mut(queue) {
            Some(destination) => destination.push(number),
            None => self.destinations.entry(queue.clone()).or_default().push(number),
        };
        let in_flight_since = send.then_some(now);
        self.unconfirmed.insert(number, Unconfirmed { publication, in_flight_since });
        send
    }

    /// The broker has the message. Returns those that are to be sent now, in their order.
    pub(super) fn on_confirmed(&mut self, number: u64, now: Instant) -> BTreeSet<u64> {
        let Some(Unconfirmed { publication, in_flight_since }) = self.unconfirmed.remove(&number) else {
            return BTreeSet::new();
        };
        let queue = &publication.target.queue;
        let promptly = in_flight_since.is_some_and(|since| now < since + PROMPT_CONFIRM);
        let confirmed = self.change(queue, |destination, free| {
            (destination.on_confirmed(number, promptly, free), destination.is_refusing())
        });
        let Some((next, is_refusing)) = confirmed else { return BTreeSet::new() };
        if !self.refusing.is_empty() && !is_refusing {
            self.refusing.remove(queue);
        }
        self.mark_in_flight(&next, now);
        next
    }

    /// The broker has not taken the message. True if this is the first refusal of its queue.
    pub(super) fn on_refused(&mut self, number: u64, now: Instant) -> bool {
        let Some(message) = self.unconfirmed.get_mut(&number) else { return false };
        message.in_flight_since = None;
        let queue = message.publication.target.queue.clone();
        let refused = self.change(&queue, |destination, free| destination.on_refused(number, now, free));
        let is_first = refused.unwrap_or_default();
        if is_first {
            self.refusing.insert(queue);
        }
        is_first
    }

    /// When to ask [`Self::take_due`].
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// The refused messages that are to be sent again now.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeSet<u64> {
        let mut due = BTreeSet::new();
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, queue)) = self.retries.pop_first() else { break };
            due.extend(self.change(&queue, |destination, _| destination.take_due(now)).into_iter().flatten());
        }
        self.mark_in_flight(&due, now);
        due
    }

    /// Changes a destination, and keeps in mind when it is tried again.
    fn change<T>(
        &mut self,
        queue: &str,
        change: impl FnOnce(&mut Destination, &mut FreeChannels) -> T,
    ) -> Option<T> {
        let destination = self.destinations.get_mut(queue)?;
        let before = destination.next_attempt();
        let changed = change(destination, &mut self.free_channels);
        let now = destination.next_attempt();
        if before != now {
            if let Some(at) = before {
                self.retries.remove(&(at, queue.to_owned()));
            }
            self.retries.extend(now.map(|at| (at, queue.to_owned())));
        }
        Some(changed)
    }

    fn mark_in_flight(&mut self, numbers: &BTreeSet<u64>, now: Instant) {
        for number in numbers {
            if let Some(message) = self.unconfirmed.get_mut(number) {
                message.in_flight_since = Some(now);
            }
        }
    }

    pub(super) fn in_flight(&self) -> Vec<u64> {
        self.in_flight_where(|_| true)
    }

    pub(super) fn in_flight_to(&self, route: &Route) -> Vec<u64> {
        self.in_flight_where(|publication| publication.target.route == *route)
    }

    fn in_flight_where(&self, wanted: impl Fn(&Publication) -> bool) -> Vec<u64> {
        let found = self
            .unconfirmed
            .iter()
            .filter(|(_, message)| message.in_flight_since.is_some() && wanted(&message.publication));
        found.map(|(number, _)| *number).collect()
    }

    /// Since when the oldest of the messages in flight is there, and for which queue.
    pub(super) fn longest_in_flight(&self) -> Option<(Instant, &str)> {
        self.unconfirmed
            .values()
            .filter_map(|message| Some((message.in_flight_since?, message.publication.target.queue.as_str())))
            .min_by_key(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests;
