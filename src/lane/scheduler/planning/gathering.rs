//! Deliveries that come in quick succession may go in one call, so the planning of API work waits for their end, though never
//! for long. Pure.

use tokio::time::Instant;

use crate::lane::timing::{GATHER_FOR, GATHER_GAP};

/// Deliveries that have come since API work was last planned.
#[derive(Debug, Default)]
pub(in crate::lane::scheduler) struct Gathering {
    first_and_last: Option<(Instant, Instant)>,
}

impl Gathering {
    pub(in crate::lane::scheduler) fn arrived(&mut self, now: Instant) {
        let first = self.first_and_last.map_or(now, |(first, _)| first);
        self.first_and_last = Some((first, now));
    }

    /// No more deliveries can come now.
    pub(in crate::lane::scheduler) fn end(&mut self) {
        self.first_and_last = None;
    }

    /// Until when the next delivery is waited for. Once that is over, what is planned waits for none: only a delivery that
    /// comes later begins anew, so that work never waits twice.
    pub(in crate::lane::scheduler) fn until(&mut self, now: Instant) -> Option<Instant> {
        let (first, last) = self.first_and_last?;
        let until = (last + GATHER_GAP).min(first + GATHER_FOR);
        if until <= now {
            self.end();
            return None;
        }
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Deliveries at these milliseconds, and until when is waited as seen at the last number.
    fn waits(arrivals: &[u64], asked: u64) -> Option<u64> {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut gathering = Gathering::default();
        for ms in arrivals {
            gathering.arrived(at(*ms));
        }
        let until = gathering.until(at(asked))?;
        Some(u64::try_from((until - start).as_millis()).unwrap())
    }

    #[test]
    fn planning_waits_for_the_end_of_a_quick_succession_and_never_for_long() {
        let steady: Vec<u64> = (0..=30).map(|number| number * 2).collect();
        for (arrivals, asked, until) in [
            (&[][..], 0, None),
            (&[0], 0, Some(5)),
            (&[0], 4, Some(5)),
            (&[0], 5, None),
            (&[0, 3], 3, Some(8)),
            (&[0, 3, 6, 9], 10, Some(14)),
            (&[0, 4, 8, 12, 16], 17, Some(20)),
            (&[0, 4, 8, 12, 16, 19], 20, None),
            (&[0, 0, 0], 1, Some(5)),
            // Nothing was planned in between, for instance because no request slot was free: what has come long ago has
            // waited enough.
            (&steady, 60, None),
        ] {
            assert_eq!(waits(arrivals, asked), until, "{arrivals:?} asked at {asked}");
        }
    }

    #[test]
    fn what_comes_after_planning_begins_anew_and_a_full_window_waits_for_nothing() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut gathering = Gathering::default();
        gathering.arrived(at(0));
        assert_eq!(gathering.until(at(5)), None);
        gathering.arrived(at(6));
        assert_eq!(gathering.until(at(6)), Some(at(11)));
        gathering.end();
        assert_eq!(gathering.until(at(6)), None);
    }
}
