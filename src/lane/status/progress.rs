//! Whether a lane is stuck: it holds events, nothing keeps it from settling them, and it settles none.
//!
//! The lane only notes when its turns start and end. Others judge that (the [`watchdog`](super::watchdog), `/livez`),
//! so that they also notice a lane that hangs, spins or is gone. Pure: the time is handed in.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::wait::WaitReason;

#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct TurnEnd {
    /// Events taken and not settled.
    pub(in crate::lane) unsettled: usize,
    /// Grows with each event that is settled, however it ended, and with each accepted call for one: an event may wait
    /// for several bulk jobs in a row.
    pub(in crate::lane) progress: u64,
    /// Why it waits, if not only for an answer.
    pub(in crate::lane) waits: Option<WaitReason>,
}

impl TurnEnd {
    /// Whether something could be settled.
    fn has_work(&self) -> bool {
        self.unsettled > 0 && !self.waits.is_some_and(WaitReason::may_last)
    }
}

/// What a lane's turns show.
#[derive(Debug)]
pub(in crate::lane) struct Progress {
    last: TurnEnd,
    /// The session is over, so nothing is left to be settled that has no deadline.
    between_sessions: bool,
    /// Since then something could have been settled, and nothing was.
    idle_since: Instant,
    /// When the turn began that has not ended.
    turn_since: Option<Instant>,
    ended_early_at: Option<Instant>,
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
    /// It has lasted twice as long as a lane may be stuck: only a restart of the replica may help.
    #[serde(skip)]
    pub needs_restart: bool,
}

impl Progress {
    pub(in crate::lane) fn new(now: Instant) -> Self {
        let last = TurnEnd { unsettled: 0, progress: 0, waits: None };
        Self { last, between_sessions: false, idle_since: now, turn_since: None, ended_early_at: None }
    }

    pub(in crate::lane) fn turn_ended(&mut self, end: TurnEnd, now: Instant) {
        let could = !self.between_sessions && self.last.has_work() && end.has_work();
        if !could || end.progress != self.last.progress {
            self.idle_since = now;
        }
        self.last = end;
        self.between_sessions = false;
        self.turn_since = None;
    }

    pub(in crate::lane) fn turn_started(&mut self, now: Instant) {
        self.turn_since = Some(now);
    }

    pub(in crate::lane) fn session_ended(&mut self) {
        self.between_sessions = true;
        self.turn_since = None;
    }

    pub(in crate::lane) fn task_ended_early(&mut self, now: Instant) {
        self.ended_early_at.get_or_insert(now);
    }

    /// Whether it is stuck, if it may settle nothing for `after`.
    pub(in crate::lane) fn stuck(&self, after: Duration, now: Instant) -> Option<Stuck> {
        let lasting = |since: Instant, least: Duration, why| {
            let lasted = now.saturating_duration_since(since);
            let needs_restart = lasted >= least + after;
            let stuck = Stuck { seconds: lasted.as_secs(), events: self.last.unsettled, why, needs_restart };
            (lasted >= least).then_some(stuck)
        };
        if let Some(since) = self.ended_early_at {
            return lasting(since, Duration::ZERO, "its task ended early; this is a bug");
        }
        if let Some(since) = self.turn_since {
            return lasting(since, after, "it is still at work on one event or answer; this is a bug");
        }
        if self.between_sessions || !self.last.has_work() {
            return None;
        }
        lasting(self.idle_since, after, "nothing is settled, and nothing is known to stand in the way")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_mins(15);
    const SECOND: Duration = Duration::from_secs(1);

    fn end(unsettled: usize, progress: u64) -> TurnEnd {
        TurnEnd { unsettled, progress, waits: None }
    }

    #[test]
    fn work_without_progress_is_stuck_and_needs_a_restart_after_twice_as_long() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let taken = start + AFTER * 10;
        progress.turn_started(taken);
        progress.turn_ended(end(3, 7), taken);
        // Turns alone are no progress.
        progress.turn_started(taken + SECOND);
        progress.turn_ended(end(4, 7), taken + SECOND);
        assert_eq!(progress.stuck(AFTER, taken + AFTER - SECOND), None);
        let stuck = progress.stuck(AFTER, taken + AFTER).unwrap();
        assert_eq!((stuck.seconds, stuck.events, stuck.needs_restart), (900, 4, false));
        assert!(!progress.stuck(AFTER, taken + AFTER * 2 - SECOND).unwrap().needs_restart);
        assert!(progress.stuck(AFTER, taken + AFTER * 2).unwrap().needs_restart);
        // One settled event ends it.
        progress.turn_ended(end(3, 8), taken + AFTER * 3);
        assert_eq!(progress.stuck(AFTER, taken + AFTER * 4 - SECOND), None);
        assert!(progress.stuck(AFTER, taken + AFTER * 4).is_some());
    }

    #[test]
    fn a_lane_without_work_is_never_stuck() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        assert_eq!(progress.stuck(AFTER, start + AFTER * 100), None);
        progress.turn_ended(end(0, 3), start);
        assert_eq!(progress.stuck(AFTER, start + AFTER * 100), None);
        // Time without work does not count.
        progress.turn_ended(end(1, 3), start + AFTER * 100);
        assert_eq!(progress.stuck(AFTER, start + AFTER * 101 - SECOND), None);
    }

    #[test]
    fn a_lane_that_waits_on_purpose_is_never_stuck_and_has_all_its_time_afterwards() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        progress.turn_ended(end(5, 0), start);
        let throttled = start + AFTER - SECOND;
        progress.turn_ended(TurnEnd { waits: Some(WaitReason::Throttled), ..end(5, 0) }, throttled);
        assert_eq!(progress.stuck(AFTER, throttled + AFTER * 100), None);
        let over = throttled + AFTER * 100;
        progress.turn_ended(end(5, 0), over);
        assert_eq!(progress.stuck(AFTER, over + AFTER - SECOND), None);
        assert!(progress.stuck(AFTER, over + AFTER).is_some());
        progress.session_ended();
        assert_eq!(progress.stuck(AFTER, over + AFTER * 100), None);
    }

    #[test]
    fn a_turn_that_does_not_end_is_stuck_however_the_last_one_ended() {
        let start = Instant::now();
        for before in [end(0, 0), TurnEnd { waits: Some(WaitReason::Throttled), ..end(5, 0) }] {
            let mut progress = Progress::new(start);
            progress.turn_ended(before, start);
            progress.turn_started(start + AFTER);
            assert_eq!(progress.stuck(AFTER, start + AFTER * 2 - SECOND), None);
            let stuck = progress.stuck(AFTER, start + AFTER * 2).unwrap();
            assert!(stuck.why.contains("still at work") && !stuck.needs_restart);
            assert!(progress.stuck(AFTER, start + AFTER * 3).unwrap().needs_restart);
            progress.turn_ended(before, start + AFTER * 3);
            assert_eq!(progress.stuck(AFTER, start + AFTER * 3), None);
        }
    }

    #[test]
    fn a_lane_that_ended_early_is_stuck_at_once() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        progress.task_ended_early(start);
        let stuck = progress.stuck(AFTER, start).unwrap();
        assert!(stuck.why.contains("ended early") && !stuck.needs_restart);
        assert!(progress.stuck(AFTER, start + AFTER).unwrap().needs_restart);
    }
}
