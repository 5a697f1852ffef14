//! How long something that runs elsewhere usually takes, learned from the first question about each: it costs a call, so it
//! should rarely come too early.

use std::time::Duration;

#[derive(Debug)]
pub(in crate::lane) struct UsualWait {
    /// By then it has mostly happened.
    usual: Duration,
    longest: Duration,
    learned: Learned,
}

/// How good the guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learned {
    /// No question has come too early yet, so the guess may be far too long.
    Nothing,
    /// A first question has come too early, and since then so many have not.
    TooShort(u8),
    Roughly,
}

const FIRST_GUESS: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(200);
pub(super) const LONGEST: Duration = Duration::from_mins(2);
/// In balance when about ten of eleven first questions come late enough: ln 1.35 / -ln 0.97 ≈ 10.
const LONGER: f64 = 1.35;
const SHORTER: f64 = 0.97;
/// After so many in time in a row, the guess is believed.
const BELIEVED_AFTER: u8 = 4;
/// Until a question came too early, the guess falls faster.
const MUCH_SHORTER: f64 = 0.7;

impl UsualWait {
    /// For the end of bulk jobs.
    pub(in crate::lane) fn of_jobs() -> Self {
        Self { usual: FIRST_GUESS, longest: LONGEST, learned: Learned::Nothing }
    }

    /// For what searches show after a write: no later than this, as far as is known.
    pub(in crate::lane) fn of_searches(delay: Duration) -> Self {
        Self { usual: delay, longest: delay, learned: Learned::Nothing }
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
        let (factor, learned) = match (late_enough, self.learned) {
            (true, Learned::Nothing) if guess <= self.usual => (MUCH_SHORTER, Learned::Nothing),
            // One that ended in time says little where they differ much.
            (true, Learned::TooShort(in_time)) if in_time + 1 < BELIEVED_AFTER => {
                (1.0, Learned::TooShort(in_time + 1))
            }
            (true, Learned::TooShort(_) | Learned::Roughly) if guess <= self.usual => {
                (SHORTER, Learned::Roughly)
            }
            (false, Learned::Roughly) if guess >= self.usual => (LONGER, Learned::Roughly),
            (false, Learned::TooShort(_)) if guess < self.usual => (1.0, Learned::TooShort(0)),
            (false, Learned::Nothing | Learned::TooShort(_)) if guess >= self.usual => {
                (LONGER, Learned::TooShort(0))
            }
            _ => return,
        };
        self.learned = learned;
        self.set(self.usual.mul_f64(factor));
    }

    /// Whether the guess follows what single answers say.
    pub(in crate::lane) fn is_rough(&self) -> bool {
        self.learned != Learned::Roughly
    }

    /// One of them takes at least so long, and others may take longer. As long as the guess is known to be too short, it
    /// follows.
    pub(in crate::lane) fn takes_at_least(&mut self, long: Duration) {
        if matches!(self.learned, Learned::TooShort(_)) {
            self.set(self.usual.max(long.mul_f64(LONGER)));
        }
    }

    fn set(&mut self, usual: Duration) {
        self.usual = usual.clamp(SHORTEST.min(self.longest), self.longest);
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
    fn as_long_as_the_guess_is_too_short_later_questions_teach_as_well() {
        let mut times = UsualWait::of_jobs();
        times.takes_at_least(Duration::from_mins(1));
        assert_eq!(times.first(), FIRST_GUESS, "nothing says yet that it is too short");
        times.learn(FIRST_GUESS, false);
        times.takes_at_least(Duration::from_secs(4));
        assert_eq!(times.first(), Duration::from_secs(4).mul_f64(LONGER));
        (0..BELIEVED_AFTER).for_each(|_| times.learn(times.first(), true));
        times.takes_at_least(Duration::from_mins(1));
        assert!(times.first() < Duration::from_secs(6), "one long job says little");
    }

    #[test]
    fn what_an_answer_says_of_the_whole_counts_only_while_the_guess_is_too_short() {
        let mut times = UsualWait::of_jobs();
        times.takes_at_least(Duration::from_mins(1));
        assert!(times.is_rough() && times.first() == FIRST_GUESS);
        times.learn(FIRST_GUESS, false);
        times.takes_at_least(Duration::from_secs(4));
        assert_eq!(times.first(), Duration::from_secs(4).mul_f64(LONGER));
        (0..BELIEVED_AFTER).for_each(|_| times.learn(times.first(), true));
        let usual = times.first();
        times.takes_at_least(Duration::from_mins(1));
        assert!(!times.is_rough() && times.first() == usual);
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
