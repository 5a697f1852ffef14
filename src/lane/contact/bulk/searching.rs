//! What a search has shown of a contact that is about to be written in bulk, and the search for the id of a record that was
//! written in bulk: a job's report names none.

use std::time::Duration;

use tokio::time::Instant;

use crate::lane::contact::cache::contacts::KnownLinks;

/// What is known of a contact from searches.
#[derive(Debug, Default)]
pub(in crate::lane) struct SearchProgress {
    /// The contact's links; `None` until a search has shown them.
    pub(in crate::lane) links: Option<KnownLinks>,
    /// No contact had the address.
    pub(in crate::lane) is_new: bool,
    /// The search for the id of the record that was written last.
    pub(in crate::lane) for_id: Option<IdSearch>,
    /// A bulk call that was to write all its links got no answer, so they may be written at any time until then.
    pub(in crate::lane) uncertain_until: Option<Instant>,
    /// How often that happened while others got through.
    pub(in crate::lane) lost: u8,
}

impl SearchProgress {
    /// The contact's next call is not made before that.
    pub(in crate::lane) fn not_before(&self) -> Option<Instant> {
        self.uncertain_until.or(self.for_id.map(|search| search.next))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) struct IdSearch {
    pub(in crate::lane) written: Instant,
    /// How long after that the first search was to be made.
    pub(in crate::lane) first_wait: Duration,
    pub(in crate::lane) searches: u32,
    pub(in crate::lane) next: Instant,
}

impl IdSearch {
    pub(in crate::lane) fn new(written: Instant, first_wait: Duration) -> Self {
        Self { written, first_wait, searches: 0, next: written + first_wait }
    }

    /// Whether the record should have been found by now, so that it is written singly: that answer names the id.
    pub(in crate::lane) fn is_over(&self, search_delay: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.written) > search_delay + search_delay / 2
    }
}
