//! When to ask what became of a bulk job. Every question costs a call, so the schedule learns how long the
//! account's jobs take.

use std::time::Duration;

/// The learned schedule.
#[derive(Debug)]
pub(super) struct JobTimes {
    /// By then most jobs have ended.
    usual: Duration,
    /// No question has come too early yet: the guess may be far too long.
    untried: bool,
}

const FIRST_GUESS: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_mins(2);
/// A job that runs longer than this never ends.
pub(super) const GIVEN_UP: Duration = Duration::from_mins(10);
/// In balance when about six of seven jobs have ended at the first question: ln 1.35 / -ln 0.95 ≈ 6.
const LONGER: f64 = 1.35;
const SHORTER: f64 = 0.95;
/// Until a question came too early, the guess falls faster.
const MUCH_SHORTER: f64 = 0.7;

impl JobTimes {
    pub(super) fn new() -> Self {
        Self { usual: FIRST_GUESS, untried: true }
    }

    /// How long after the submission to ask for the first time.
    pub(super) fn first(&self) -> Duration {
        self.usual
    }

    /// How long to wait before asking again, after this many questions.
    pub(super) fn again(&self, asked: u32) -> Duration {
        (self.usual * asked.min(10) / 2).clamp(SHORTEST, LONGEST)
    }

    /// The first question, asked after `guess`, found the job ended or running.
    ///
    /// Jobs submitted together share one guess: what the first of them taught is not learned again from the others.
    pub(super) fn learn(&mut self, guess: Duration, ended: bool) {
        let factor = match ended {
            true if guess <= self.usual && self.untried => MUCH_SHORTER,
            true if guess <= self.usual => SHORTER,
            false if guess >= self.usual => LONGER,
            _ => return,
        };
        self.untried &= ended;
        self.usual = self.usual.mul_f64(factor).clamp(SHORTEST, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_submitted_together_teach_no_more_than_one() {
        let mut times = JobTimes::new();
        let guess = times.first();
        for _ in 0..20 {
            times.learn(guess, false);
        }
        assert_eq!(times.first(), guess.mul_f64(LONGER));
    }

    #[test]
    fn the_first_question_mostly_finds_the_job_ended_and_not_long_after() {
        let mut times = JobTimes::new();
        let mut ended = 0;
        for round in 0..1000u64 {
            // 8 to 12 seconds, in a fixed pattern.
            let takes = Duration::from_millis(8000 + round * 7919 % 4000);
            let done = takes <= times.first();
            times.learn(times.first(), done);
            if round >= 100 {
                ended += u32::from(done);
                assert!(times.first() < Duration::from_secs(20), "{:?}", times.first());
            }
        }
        assert!(ended > 900 * 75 / 100, "{ended} of 900");
    }
}
