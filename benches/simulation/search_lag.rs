//! What the search index still shows of records that were written a moment ago: what they were before.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The last states of records that changed within the search delay. `None` is a record that was not there.
pub struct SearchLag<T> {
    delay: Duration,
    /// In the order of their times.
    changes: VecDeque<(Instant, usize, Option<T>)>,
}

/// What search shows of a record.
pub enum Shown<'a, T> {
    AsItIs,
    AsItWas(&'a T),
    Nothing,
}

impl<T> SearchLag<T> {
    pub fn new(delay: Duration) -> Self {
        Self { delay, changes: VecDeque::new() }
    }

    /// A record changes now.
    pub fn note(&mut self, place: usize, was: Option<T>, now: Instant) {
        while self.changes.front().is_some_and(|(at, _, _)| *at + self.delay <= now) {
            self.changes.pop_front();
        }
        self.changes.push_back((now, place, was));
    }

    pub fn shown(&self, place: usize, now: Instant) -> Shown<'_, T> {
        let hidden = |(at, of, _): &&(Instant, usize, Option<T>)| *of == place && *at + self.delay > now;
        match self.changes.iter().find(hidden) {
            None => Shown::AsItIs,
            Some((_, _, Some(was))) => Shown::AsItWas(was),
            Some((_, _, None)) => Shown::Nothing,
        }
    }
}
