//! Whether a lane is stuck: there is work, nothing stands in the way, and nothing comes of it.
//!
//! The lane only leaves marks at each turn. They are judged by somebody else ([`mod@crate::lane::status::watchdog`], `/livez`), so that a
//! lane that hangs, spins or is gone is noticed, too. Pure: the time is handed in.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// What the lane looks like between two turns.
#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct Mark {
    /// Events taken and not settled.
    pub(in crate::lane) unsettled: usize,
    /// Grows with each event that is settled, however it ended, and each call for one that was accepted: an event may
    /// wait for several bulk jobs in a row.
    pub(in crate::lane) progress: u64,
    /// Something stands in the way that a restart would not mend: it waits on purpose.
    pub(in crate::lane) excused: bool,
}

/// A lane's marks.
#[derive(Debug)]
pub(in crate::lane) struct Pulse {
    last: Mark,
    /// Since then something could have been settled, and nothing was.
    quiet_since: Instant,
    /// The turn it is at has taken since then.
    awake_since: Option<Instant>,
    /// It ended, and nobody told it to.
    gone_since: Option<Instant>,
}

/// A lane that is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// For how long, in whole seconds.
    pub seconds: u64,
    /// Events it holds.
    pub events: usize,
    /// What it looks like, in words.
    pub why: &'static str,
    /// It has lasted so long that nothing but a restart of the replica may help.
    #[serde(skip)]
    pub hopeless: bool,
}

impl Pulse {
    pub(in crate::lane) fn new(now: Instant) -> Self {
        let last = Mark { unsettled: 0, progress: 0, excused: false };
        Self { last, quiet_since: now, awake_since: None, gone_since: None }
    }

    /// A turn is over.
    pub(in crate::lane) fn rests(&mut self, mark: Mark, now: Instant) {
        let could = |mark: &Mark| mark.unsettled > 0 && !mark.excused;
        if !could(&self.last) || !could(&mark) || mark.progress != self.last.progress {
            self.quiet_since = now;
        }
        self.last = mark;
        self.awake_since = None;
    }

    /// A turn begins.
    pub(in crate::lane) fn wakes(&mut self, now: Instant) {
        self.awake_since = Some(now);
    }

    /// The session is over: what is left ends by itself, or under a deadline.
    pub(in crate::lane) fn halts(&mut self) {
        self.last.excused = true;
        self.awake_since = None;
    }

    /// It ended without having been told to.
    pub(in crate::lane) fn ended(&mut self, now: Instant) {
        self.gone_since.get_or_insert(now);
    }

    /// Whether it is stuck, by a patience of `after`.
    pub(in crate::lane) fn stuck(&self, after: Duration, now: Instant) -> Option<Stuck> {
        let told = |since: Instant, least: Duration, why| {
            let lasted = now.saturating_duration_since(since);
            let hopeless = lasted >= least + after;
            let stuck = Stuck { seconds: lasted.as_secs(), events: self.last.unsettled, why, hopeless };
            (lasted >= least).then_some(stuck)
        };
        if let Some(since) = self.gone_since {
            return told(since, Duration::ZERO, "its task ended early; this is a bug");
        }
        if let Some(since) = self.awake_since {
            return told(since, after, "it is still at work on one event or answer; this is a bug");
        }
        if self.last.unsettled == 0 || self.last.excused {
            return None;
        }
        told(self.quiet_since, after, "nothing is settled, and nothing is known to stand in the way")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_mins(15);
    const SECOND: Duration = Duration::from_secs(1);

    fn mark(unsettled: usize, progress: u64) -> Mark {
        Mark { unsettled, progress, excused: false }
    }

    #[test]
    fn work_of_which_nothing_comes_is_stuck_and_after_twice_as_long_hopeless() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let taken = start + AFTER * 10;
        pulse.wakes(taken);
        pulse.rests(mark(3, 7), taken);
        // Turns alone are no progress.
        pulse.wakes(taken + SECOND);
        pulse.rests(mark(4, 7), taken + SECOND);
        assert_eq!(pulse.stuck(AFTER, taken + AFTER - SECOND), None);
        let stuck = pulse.stuck(AFTER, taken + AFTER).unwrap();
        assert_eq!((stuck.seconds, stuck.events, stuck.hopeless), (900, 4, false));
        assert!(!pulse.stuck(AFTER, taken + AFTER * 2 - SECOND).unwrap().hopeless);
        assert!(pulse.stuck(AFTER, taken + AFTER * 2).unwrap().hopeless);
        // One event settled ends it, whatever else is there.
        pulse.rests(mark(3, 8), taken + AFTER * 3);
        assert_eq!(pulse.stuck(AFTER, taken + AFTER * 4 - SECOND), None);
        assert!(pulse.stuck(AFTER, taken + AFTER * 4).is_some());
    }

    #[test]
    fn a_lane_without_work_is_never_stuck() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.stuck(AFTER, start + AFTER * 100), None);
        pulse.rests(mark(0, 3), start);
        assert_eq!(pulse.stuck(AFTER, start + AFTER * 100), None);
        // The time without work does not count.
        pulse.rests(mark(1, 3), start + AFTER * 100);
        assert_eq!(pulse.stuck(AFTER, start + AFTER * 101 - SECOND), None);
    }

    #[test]
    fn a_lane_that_waits_on_purpose_is_never_stuck_and_has_all_its_time_afterwards() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.rests(mark(5, 0), start);
        let throttled = start + AFTER - SECOND;
        pulse.rests(Mark { excused: true, ..mark(5, 0) }, throttled);
        assert_eq!(pulse.stuck(AFTER, throttled + AFTER * 100), None);
        let over = throttled + AFTER * 100;
        pulse.rests(mark(5, 0), over);
        assert_eq!(pulse.stuck(AFTER, over + AFTER - SECOND), None);
        assert!(pulse.stuck(AFTER, over + AFTER).is_some());
        pulse.halts();
        assert_eq!(pulse.stuck(AFTER, over + AFTER * 100), None);
    }

    #[test]
    fn a_turn_without_an_end_is_stuck_whatever_was_marked_before() {
        let start = Instant::now();
        for before in [mark(0, 0), Mark { excused: true, ..mark(5, 0) }] {
            let mut pulse = Pulse::new(start);
            pulse.rests(before, start);
            pulse.wakes(start + AFTER);
            assert_eq!(pulse.stuck(AFTER, start + AFTER * 2 - SECOND), None);
            let stuck = pulse.stuck(AFTER, start + AFTER * 2).unwrap();
            assert!(stuck.why.contains("still at work") && !stuck.hopeless);
            assert!(pulse.stuck(AFTER, start + AFTER * 3).unwrap().hopeless);
            pulse.rests(before, start + AFTER * 3);
            assert_eq!(pulse.stuck(AFTER, start + AFTER * 3), None);
        }
    }

    #[test]
    fn a_lane_that_ended_early_is_stuck_at_once() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.ended(start);
        let stuck = pulse.stuck(AFTER, start).unwrap();
        assert!(stuck.why.contains("ended early") && !stuck.hopeless);
        assert!(pulse.stuck(AFTER, start + AFTER).unwrap().hopeless);
    }
}
