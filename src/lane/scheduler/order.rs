//! What is found while the next call is looked for: what waits, when a due call goes, and when to look again.

use tokio::time::Instant;

/// When a due call goes: before new work, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    BeforeNew,
    AfterNew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    WorkItem(u64),
    /// An event in the window.
    Event(u64),
}

impl Waiting {
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::WorkItem(number) | Self::Event(number) => number,
        }
    }
}

/// When to look again, if nothing can be sent now.
#[derive(Debug, Default)]
pub(super) struct Wake {
    at: Option<Instant>,
    pub(super) quota_is_missing: bool,
}

impl Wake {
    pub(super) fn no_later_than(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }
}
