//! The events that share a key.

use std::collections::VecDeque;

/// The events of one key, in the order in which they were queued. Mostly there is one, which needs no allocation.
#[derive(Debug)]
pub(super) enum Queue {
    One(u64),
    #[expect(clippy::box_collection, reason = "unboxed it would make the many that are one twice as large")]
    Many(Box<VecDeque<u64>>),
}

impl Queue {
    pub(super) fn get(&self, place: usize) -> Option<u64> {
        match self {
            Self::One(number) => (place == 0).then_some(*number),
            Self::Many(numbers) => numbers.get(place).copied(),
        }
    }

    pub(super) fn insert(&mut self, number: u64) {
        match self {
            Self::One(other) => *self = Self::Many(Box::new([number.min(*other), number.max(*other)].into())),
            Self::Many(numbers) => {
                let place = numbers.partition_point(|other| *other < number);
                numbers.insert(place, number);
            }
        }
    }

    /// Takes an event out. True if none is left.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        match self {
            Self::One(other) => *other == number,
            Self::Many(numbers) => {
                if let Ok(place) = numbers.binary_search(&number) {
                    numbers.remove(place);
                }
                numbers.is_empty()
            }
        }
    }
}
