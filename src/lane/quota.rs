//! How many calls may go now. Pure: the time is handed in, waiting is done elsewhere.

use std::time::Duration;

use tokio::time::Instant;

use crate::freshsales::RateLimit;

/// A token bucket that answers correct.
#[derive(Debug)]
pub struct Quota {
    per_second: f64,
    burst: f64,
    share: f64,
    tokens: f64,
    refilled: Instant,
    /// No answer has told yet how much is left; another replica may have spent it a moment ago.
    untold: bool,
    blocked: Option<Block>,
    /// Counts the blocks.
    era: Era,
}

/// The time between two blocks. Only a call of the current era says anything about the block in force:
/// older ones were under way when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Era(u64);

/// Nothing goes until the block's end; then one call, and the others by its answer.
#[derive(Debug, Clone, Copy)]
struct Block {
    until: Instant,
    probing: bool,
}

/// Whether a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It may go, and is counted.
    Now,
    /// Ask again then.
    At(Instant),
    /// A probe is out; ask again when it is answered.
    AfterProbe,
}

/// What a lane may spend before the first answer tells how much is left.
const UNTOLD: f64 = 5.0;
/// The part of the rate kept for bursts: in no window of `period` are more calls granted than the rate.
const BURST_SHARE: f64 = 0.05;
/// How long to stay away where an answer says that nothing is left, but not until when.
const EXHAUSTED: Duration = Duration::from_mins(1);

impl Quota {
    /// Grants at most `calls` in any `period`. `share` is the part of what an answer says is left that may be spent.
    pub fn new(calls: f64, period: Duration, share: f64, now: Instant) -> Self {
        let burst = (calls * BURST_SHARE).max(1.0);
        let per_second = ((calls - burst) / period.as_secs_f64()).max(1.0 / period.as_secs_f64());
        Self {
            per_second,
            burst,
            share,
            tokens: burst.min(UNTOLD),
            refilled: now,
            untold: true,
            blocked: None,
            era: Era::default(),
        }
    }

    /// Asks for one call.
    pub fn take(&mut self, now: Instant) -> Grant {
        self.refill(now);
        if let Some(block) = &mut self.blocked {
            if now < block.until {
                return Grant::At(block.until);
            }
            if block.probing {
                return Grant::AfterProbe;
            }
            block.probing = true;
            // The probe is worth a token, but a missing one must not keep it back.
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Grant::Now;
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Grant::Now;
        }
        let missing = Duration::from_secs_f64((1.0 - self.tokens) / self.per_second);
        // One tick more than computed, so that rounding never makes it ask in vain.
        Grant::At(now + missing + Duration::from_millis(1))
    }

    /// Takes what the headers of an answer say. They know of calls that were not ours.
    pub fn observe(&mut self, now: Instant, told: &RateLimit) {
        self.refill(now);
        let Some(remaining) = told.remaining else { return };
        if remaining == 0 {
            // A reset that has passed already is a clock that differs, not a licence.
            self.block(now, told.reset.filter(|wait| !wait.is_zero()).unwrap_or(EXHAUSTED));
            self.tokens = 0.0;
            return;
        }
        let left = f64::from(remaining) * self.share;
        if std::mem::take(&mut self.untold) {
            // What was spent untold stays spent.
            self.tokens += self.burst - self.burst.min(UNTOLD);
        }
        self.tokens = self.tokens.min(left.max(1.0));
    }

    /// Nothing goes for this long; then one call goes first.
    pub fn block(&mut self, now: Instant, wait: Duration) {
        let until = now + wait;
        let until = self.blocked.map_or(until, |block| block.until.max(until));
        self.blocked = Some(Block { until, probing: false });
        self.era.0 += 1;
    }

    /// How long nothing goes, if something blocks.
    pub fn blocked_for(&self, now: Instant) -> Option<Duration> {
        self.blocked.map(|block| block.until.saturating_duration_since(now))
    }

    /// The era of a call that is granted now.
    pub fn era(&self) -> Era {
        self.era
    }

    /// A call of this era was answered, and the answer blocks nothing. If it is the probe, others may go.
    /// True if nothing is blocked now.
    pub fn unblock(&mut self, era: Era) -> bool {
        if era == self.era {
            self.blocked = None;
        }
        self.blocked.is_none()
    }

    /// A call of this era was given up before it was answered. If it was the probe, another call may be it.
    pub fn give_back_probe(&mut self, era: Era) {
        if let Some(block) = &mut self.blocked
            && era == self.era
        {
            block.probing = false;
        }
    }

    /// Calls that could go now.
    pub fn remaining(&self) -> f64 {
        if self.blocked.is_some() { 0.0 } else { self.tokens.floor() }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.refilled = now;
        self.tokens = (self.tokens + elapsed.as_secs_f64() * self.per_second).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn told(remaining: u32, reset: Option<u64>) -> RateLimit {
        RateLimit { limit: Some(1000), remaining: Some(remaining), reset: reset.map(Duration::from_secs) }
    }

    fn grants(quota: &mut Quota, now: Instant) -> usize {
        (0..10_000).take_while(|_| quota.take(now) == Grant::Now).count()
    }

    #[test]
    fn a_new_lane_starts_small_until_an_answer_tells() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        assert_eq!(grants(&mut quota, now), 5);
        quota.observe(now, &told(995, None));
        assert_eq!(grants(&mut quota, now), 40);
    }

    #[test]
    fn an_answer_takes_away_what_others_spent() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.observe(now, &told(10, None));
        assert_eq!(grants(&mut quota, now), 9);
    }

    #[test]
    fn nothing_left_waits_for_the_reset_and_then_probes_with_one() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.observe(now, &told(0, Some(600)));
        assert_eq!(quota.take(now), Grant::At(now + Duration::from_mins(10)));
        let later = now + Duration::from_mins(10);
        assert_eq!(quota.take(later), Grant::Now);
        assert_eq!(quota.take(later), Grant::AfterProbe);
        quota.give_back_probe(quota.era());
        assert_eq!(quota.take(later), Grant::Now);
        assert!(quota.unblock(quota.era()));
        assert_eq!(quota.take(later), Grant::Now);
    }

    #[test]
    fn only_a_call_sent_since_says_anything_about_a_block() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        let before = quota.era();
        quota.block(now, Duration::from_mins(1));
        assert!(!quota.unblock(before));
        let later = now + Duration::from_mins(1);
        assert_eq!(quota.take(now), Grant::At(later));
        assert_eq!(quota.take(later), Grant::Now);
        quota.give_back_probe(before);
        assert_eq!(quota.take(later), Grant::AfterProbe);
    }

    #[test]
    fn a_block_is_never_shortened() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.block(now, Duration::from_mins(10));
        quota.block(now, Duration::from_secs(1));
        assert_eq!(quota.take(now + Duration::from_mins(1)), Grant::At(now + Duration::from_mins(10)));
    }

    proptest! {
        /// In no hour more than the rate, whatever the pattern of asking; and what is asked for is granted in the end.
        #[test]
        fn never_more_than_the_rate_in_any_period(calls in 1u32..5000, gaps in prop::collection::vec(0u64..120_000, 1..400)) {
            let start = Instant::now();
            let mut quota = Quota::new(f64::from(calls), HOUR, 1.0, start);
            quota.observe(start, &RateLimit { remaining: Some(u32::MAX), ..RateLimit::default() });
            let mut now = start;
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                for _ in 0..20 {
                    match quota.take(now) {
                        Grant::Now => granted.push(now),
                        Grant::At(then) => {
                            prop_assert!(then > now);
                            prop_assert!(then <= now + HOUR + Duration::from_secs(1));
                            break;
                        }
                        Grant::AfterProbe => prop_assert!(false, "no probe was asked for"),
                    }
                }
            }
            for (index, first) in granted.iter().enumerate() {
                let within = granted[index..].iter().take_while(|at| **at - *first < HOUR).count();
                prop_assert!(within <= (calls as usize).max(2), "{within} of {calls}");
            }
        }

        #[test]
        fn who_waits_as_told_is_granted(calls in 1u32..5000, asks in 1usize..50) {
            let mut now = Instant::now();
            let mut quota = Quota::new(f64::from(calls), HOUR, 0.9, now);
            for _ in 0..asks {
                if let Grant::At(then) = quota.take(now) {
                    now = then;
                    prop_assert_eq!(quota.take(now), Grant::Now);
                }
            }
        }
    }
}
