//! When to ask what became of a bulk job. Every question costs a call, so the schedule learns how long the
//! account's jobs take.

use std::time::Duration;

/// The learned schedule.
#[derive(Debug)]
pub(super) struct JobTimes {
    /// By then most jobs have ended.
    usual: Duration,
}

const FIRST_GUESS: Duration = Duration::from_secs(3);
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(2);
/// A job that runs longer than this never ends.
pub(super) const GIVEN_UP: Duration = Duration::from_mins(10);
/// In balance when about six of seven jobs have ended at the first question: ln 1.35 / -ln 0.95 ≈ 6.
const LONGER: f64 = 1.35;
const SHORTER: f64 = 0.95;

impl JobTimes {
    pub(super) fn new() -> Self {
        Self { usual: FIRST_GUESS }
    }

    /// How long after the submission to ask for the first time.
    pub(super) fn first(&self) -> Duration {
        self.usual
    }

    /// How long to wait before asking again, after this many questions.
    pub(super) fn again(&self, asked: u32) -> Duration {
        (self.usual * asked.min(10) / 2).clamp(SHORTEST, LONGEST)
    }

    /// The first question found the job ended, or running.
    pub(super) fn learn(&mut self, ended: bool) {
        let factor = if ended { SHORTER } else { LONGER };
        self.usual = self.usual.mul_f64(factor).clamp(SHORTEST, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_question_mostly_finds_the_job_ended_and_not_long_after() {
        let mut times = JobTimes::new();
        let mut ended = 0;
        for round in 0..1000u64 {
            // 8 to 12 seconds, in a fixed pattern.
            let takes = Duration::from_millis(8000 + round * 7919 % 4000);
            let done = takes <= times.first();
            times.learn(done);
            if round >= 100 {
                ended += u32::from(done);
                assert!(times.first() < Duration::from_secs(20), "{:?}", times.first());
            }
        }
        assert!(ended > 900 * 75 / 100, "{ended} of 900");
    }
}
