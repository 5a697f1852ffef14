//! What became of the events of a file, in numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What became of the events so far. Read while it grows.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Counts>);

/// Numbers of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events read.
    pub read: u64,
    /// Taken by Freshsales, by account.
    pub delivered: BTreeMap<String, u64>,
    /// Left out, by account and reason.
    pub skipped: BTreeMap<(String, &'static str), u64>,
    /// Dead letters, by account and reason.
    pub dead_lettered: BTreeMap<(String, &'static str), u64>,
    /// Given back unsettled by a lane, mostly because it was told to stop.
    pub returned: u64,
}

impl Counts {
    /// Events that ended.
    pub fn settled(&self) -> u64 {
        self.delivered.values().sum::<u64>()
            + self.skipped.values().sum::<u64>()
            + self.dead_lettered.values().sum::<u64>()
    }

    /// Events that were read and did not end.
    pub fn unsettled(&self) -> u64 {
        self.read.saturating_sub(self.settled())
    }
}

impl Progress {
    /// The numbers now.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Counts)) {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
