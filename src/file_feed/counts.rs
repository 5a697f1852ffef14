//! What became of the events of a file, in numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Numbers of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events read.
    pub read: u64,
    /// Taken by Freshsales, by account.
    pub delivered: BTreeMap<String, u64>,
    /// Left out, by account and reason.
    pub skipped: BTreeMap<(String, &'static str), u64>,
    /// By account and reason; each is safe where it is kept.
    pub dead_lettered: BTreeMap<(String, &'static str), u64>,
    /// Given back unsettled by a lane, mostly because of a stop.
    pub returned: u64,
}

impl Counts {
    /// Events that were delivered, skipped or dead-lettered.
    pub fn settled(&self) -> u64 {
        self.delivered.values().sum::<u64>()
            + self.skipped.values().sum::<u64>()
            + self.dead_lettered.values().sum::<u64>()
    }

    /// Events that were read, and are neither.
    pub fn unsettled(&self) -> u64 {
        self.read.saturating_sub(self.settled())
    }
}

/// The feed adds to these numbers while the progress bar reads them.
#[derive(Debug, Default)]
pub struct SharedCounts(Mutex<Counts>);

impl SharedCounts {
    /// The numbers at this moment.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut Counts)) {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
