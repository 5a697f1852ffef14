//! One call, as far as its answer concerns its budget. The scheduler makes it of the calls it keeps.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Delays;

/// What a call does, as far as it matters to who may go while others may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum CallClass {
    /// Reads fields only to find out whether Freshsales answers and lets the account in; what they are is ignored.
    Check,
    /// Reads fields or selectors for the mapping.
    Read,
    /// Works on an event, so it may be the record that fails.
    Work,
}

/// A call that was answered.
#[derive(Debug)]
pub(in crate::lane) struct CallAttempt<'a> {
    pub(in crate::lane) number: u64,
    pub(in crate::lane) class: CallClass,
    /// It was sent to find out whether the breaker may close.
    pub(in crate::lane) probe: bool,
    /// The time before which it was last asked not to come again.
    pub(in crate::lane) not_before: &'a mut Option<Instant>,
    pub(in crate::lane) delays: &'a mut Delays,
}

impl CallAttempt<'_> {
    /// When to send it again if this wait is its own: it was asked to wait before, others got through when that was
    /// over, and it is asked again. One record must not keep the account waiting for ever.
    pub(super) fn own_wait(
        &mut self,
        asked: Option<Duration>,
        last_success: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let not_before = (*self.not_before)?;
        last_success
            .is_some_and(|success| success > not_before)
            .then(|| now + asked.unwrap_or_default().max(self.delays.following()))
    }
}
