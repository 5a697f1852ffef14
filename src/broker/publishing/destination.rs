//! One queue's share of the publish queue: how many messages may be in flight to it, and when it is tried again after it
//! refused one. Pure.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::window::{ChannelNumber, FreeChannels, PublishWindow};
use crate::backoff::Delays;
use crate::broker::timing::{PUBLISHES_PER_QUEUE, REFUSED_DELAYS};

#[derive(Debug, Default)]
pub(super) struct Destination {
    in_flight: usize,
    window: PublishWindow,
    /// Behind those in flight, or behind one that was refused.
    waiting: BTreeSet<u64>,
    retrying: Option<Retrying>,
}

/// The queue refused a message, and has not confirmed all since.
#[derive(Debug)]
struct Retrying {
    delays: Delays,
    /// Sent since the first refusal, and in flight.
    attempts: BTreeSet<u64>,
    /// How many attempts may be in flight: one at first, for the order's sake, and twice as many each time that all are
    /// confirmed.
    window: usize,
    /// When to send the next ones; none while attempts are in flight.
    next_attempt: Option<Instant>,
}

impl Retrying {
    fn new() -> Self {
        let delays = Delays::new(REFUSED_DELAYS.0, REFUSED_DELAYS.1);
        Self { delays, attempts: BTreeSet::new(), window: 1, next_attempt: None }
    }
}

impl Destination {
    /// Takes a message in; true if it is to be sent now.
    pub(super) fn push(&mut self, number: u64) -> bool {
        let send = self.retrying.is_none() && self.window.room(self.in_flight) > 0;
        if send {
            self.in_flight += 1;
            self.window.on_sent(1);
        } else {
            self.waiting.insert(number);
        }
        send
    }

    /// The channel for all that is on its way.
    pub(super) fn channel(&self) -> ChannelNumber {
        self.window.channel()
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.retrying.is_some()
    }

    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.retrying.as_ref()?.next_attempt
    }

    /// The attempts to send now, if their time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeSet<u64> {
        let next = self.retrying.as_mut().and_then(|retrying| retrying.next_attempt.take_if(|at| *at <= now));
        if next.is_some() { self.send_next() } else { BTreeSet::new() }
    }

    /// Returns what is to be sent next. `promptly`: the confirm was not late.
    pub(super) fn on_confirmed(
        &mut self,
        number: u64,
        promptly: bool,
        free: &mut FreeChannels,
    ) -> BTreeSet<u64> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.window.on_confirmed(promptly, self.in_flight, !self.waiting.is_empty(), free);
        if let Some(retrying) = &mut self.retrying {
            // Others were in flight before the refusal, and say nothing about what is sent after it.
            if !retrying.attempts.remove(&number) {
                return BTreeSet::new();
            }
            retrying.delays.reset();
            if !retrying.attempts.is_empty() {
                return BTreeSet::new();
            }
            retrying.window = (retrying.window * 2).min(PUBLISHES_PER_QUEUE);
            if self.waiting.is_empty() {
                self.retrying = None;
            }
        }
        self.send_next()
    }

    /// True if this is the first refusal.
    pub(super) fn on_refused(&mut self, number: u64, now: Instant, free: &mut FreeChannels) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.window.fall_back(free);
        if self.in_flight == 0 {
            self.window.change(true, free);
        }
        self.waiting.insert(number);
        let is_first = self.retrying.is_none();
        let retrying = self.retrying.get_or_insert_with(Retrying::new);
        if retrying.attempts.remove(&number) || retrying.attempts.is_empty() {
            retrying.window = 1;
        }
        if retrying.attempts.is_empty() && retrying.next_attempt.is_none() {
            retrying.next_attempt = Some(now + retrying.delays.following());
        }
        is_first
    }

    fn send_next(&mut self) -> BTreeSet<u64> {
        let room = match &self.retrying {
            Some(retrying) => retrying.window,
            None => self.window.room(self.in_flight),
        };
        let next: BTreeSet<u64> = std::iter::from_fn(|| self.waiting.pop_first()).take(room).collect();
        self.in_flight += next.len();
        self.window.on_sent(next.len());
        if let Some(retrying) = &mut self.retrying {
            retrying.attempts.clone_from(&next);
        }
        next
    }
}
