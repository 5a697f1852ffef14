//! What is found while the next call is looked for: what waits, when a due call goes, and when to look again.

use tokio::time::Instant;

/// When a due call goes: before new work, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane::scheduler) enum Order {
    BeforeNew,
    AfterNew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane::scheduler) enum Waiting {
    WorkItem(u64),
    /// An event in the window.
    Event(u64),
}

impl Waiting {
    pub(in crate::lane::scheduler) const fn number(self) -> u64 {
        match self {
            Self::WorkItem(number) | Self::Event(number) => number,
        }
    }
}

/// When to look again, if nothing can be sent now.
#[derive(Debug, Default)]
pub(in crate::lane::scheduler) struct Wake {
    at: Option<Instant>,
    pub(in crate::lane::scheduler) quota_is_missing: bool,
}

impl Wake {
    pub(in crate::lane::scheduler) fn no_later_than(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(in crate::lane::scheduler) fn at(&self) -> Option<Instant> {
        self.at
    }
}
