//! How long something that runs elsewhere usually takes, learned from the first question about each: it costs a call, so it
//! should rarely come too early.

use std::time::Duration;

#[derive(Debug)]
pub(in crate::lane) struct UsualWait {
    /// By then it has mostly happened.
    usual: Duration,
    longest: Duration,
    /// No question has come too early yet, so the guess may be far too long.
    untried: bool,
}

const FIRST_GUESS: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_mins(2);
/// In balance when about six of seven first questions come late enough: ln 1.35 / -ln 0.95 ≈ 6.
const LONGER: f64 = 1.35;
const SHORTER: f64 = 0.95;
/// Until a question came too early, the guess falls faster.
const MUCH_SHORTER: f64 = 0.7;

impl UsualWait {
    /// For the end of bulk jobs.
    pub(in crate::lane) fn of_jobs() -> Self {
        Self { usual: FIRST_GUESS, longest: LONGEST, untried: true }
    }

    /// For what searches show after a write: no later than this, as far as is known.
    pub(in crate::lane) fn of_searches(delay: Duration) -> Self {
        Self { usual: delay, longest: delay, untried: true }
    }

    /// How long to wait before asking for the first time.
    pub(in crate::lane) fn first(&self) -> Duration {
        self.usual
    }

    /// How long to wait before asking again, after this many questions.
    pub(in crate::lane) fn again(&self, asked: u32) -> Duration {
        (self.usual * asked.min(10) / 2).clamp(SHORTEST.min(self.longest), self.longest)
    }

    /// The first question, asked after `guess`, came late enough or too early. Several that share one guess teach only once.
    pub(in crate::lane) fn learn(&mut self, guess: Duration, late_enough: bool) {
        let factor = match late_enough {
            true if guess <= self.usual && self.untried => MUCH_SHORTER,
            true if guess <= self.usual => SHORTER,
            false if guess >= self.usual => LONGER,
            _ => return,
        };
        self.untried &= late_enough;
        self.usual = self.usual.mul_f64(factor).clamp(SHORTEST.min(self.longest), self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_submitted_together_teach_no_more_than_one() {
        let mut times = UsualWait::of_jobs();
        let guess = times.first();
        for _ in 0..20 {
            times.learn(guess, false);
        }
        assert_eq!(times.first(), guess.mul_f64(LONGER));
    }

    #[test]
    fn the_first_question_mostly_finds_the_job_ended_and_not_long_after() {
        let mut times = UsualWait::of_jobs();
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
