//! Since when this replica has the lane, and whether the one that had it before may still have calls in flight.

use std::time::Duration;

use tokio::time::Instant;

use crate::lane::timing::{AWAY_FOR, TAKE_OVER_DELAY};

#[derive(Debug, Default)]
pub(super) struct Tenure {
    /// Only fields are read until then, because the calls of the last holder may not be over.
    quiet_until: Option<Instant>,
    /// Since the first event that it brought: until then another replica may have the lane.
    since: Option<Instant>,
    /// Since when only this replica can have written.
    alone_since: Option<Instant>,
    /// It holds no event since then, so another replica may have had the lane.
    empty_since: Option<Instant>,
}

impl Tenure {
    /// The lane may have been elsewhere since.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// The lane was never elsewhere: look-ups find everything at once. Searches are waited for all the same, because
    /// the last run of a file may have ended a moment ago: a link that a search does not show yet would be written
    /// over.
    pub(super) fn restart_alone(&mut self, look_up_delay: Duration, now: Instant) {
        self.restart();
        self.since = now.checked_sub(look_up_delay);
    }

    /// Starts the take-over delay, once each time the lane comes here.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.quiet_until.get_or_insert(now + TAKE_OVER_DELAY);
    }

    /// The end of the take-over delay, if it is not over.
    pub(super) fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.quiet_until.filter(|until| now < *until)
    }

    /// The session works.
    pub(super) fn begin(&mut self, now: Instant) {
        self.alone_since.get_or_insert(now);
    }

    /// Whether events are held here: a lane cannot move while they are. Another replica cannot take it over, write, settle
    /// and leave in less than [`AWAY_FOR`].
    pub(super) fn holds_events(&mut self, holds: bool, now: Instant) {
        if !holds {
            self.empty_since.get_or_insert(now);
            return;
        }
        self.since.get_or_insert(now);
        if let Some(since) = self.empty_since.take()
            && now.saturating_duration_since(since) > AWAY_FOR
        {
            self.alone_since = Some(now);
        }
    }

    /// The last holder was not done with all its events. Until then its bulk jobs may still run, and write the links that
    /// contacts had then.
    pub(super) fn links_uncertain_until(&self, search_delay: Duration, now: Instant) -> Option<Instant> {
        let until = self.quiet_until? + search_delay.saturating_sub(TAKE_OVER_DELAY);
        (now < until).then_some(until)
    }

    /// From when on searches see all that another replica may have written.
    pub(super) fn searches_complete_at(&self, search_delay: Duration, now: Instant) -> Instant {
        self.alone_since.unwrap_or(now) + search_delay
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}
