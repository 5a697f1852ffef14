//! How many calls may go now. Pure: the time is handed in, waiting is done elsewhere.
//!
//! Two allowances add up to the quota. The *pace* gives one call at even intervals. The *burst* gives many at
//! once, and each of its calls comes back exactly one period after it was spent. So in no window of one period
//! more calls go than the quota, and where work waits all of it is used.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::freshsales::RateLimit;

/// One budget of one account.
#[derive(Debug)]
pub struct Quota {
    period: Duration,
    share: f64,
    /// Calls of the burst; those spent stand in `spent` with the time they come back.
    burst: usize,
    spent: VecDeque<Instant>,
    /// Calls of the burst that another replica may have spent: when they come back at the latest.
    withheld: VecDeque<Instant>,
    /// Between two calls of the pace.
    interval: Duration,
    next: Instant,
    /// How far the pace may catch up after a moment without work.
    slack: Duration,
    /// What the last answer said may still be spent, less what was granted since.
    left: Option<f64>,
    /// Of what is left, so many calls go for nothing but reading fields: a lane that has used up its quota must still
    /// find out that its fields changed.
    reserve: usize,
    blocked: Option<Block>,
}

/// Nothing goes until the block's end; then one call, and the others by its answer.
#[derive(Debug, Clone, Copy)]
struct Block {
    until: Instant,
    probing: bool,
    /// Calls that may still read fields: the quota is used up but for these.
    spare: usize,
}

/// Whether a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It may go.
    Now,
    /// Ask again then.
    At(Instant),
    /// A probe is out; ask again when it is answered.
    AfterProbe,
}

/// The part of the quota that may go at once.
const BURST_SHARE: f64 = 0.25;
/// What a lane may spend of its burst before the first answer tells how much is left.
const UNTOLD: usize = 5;
/// How long to stay away where an answer says that nothing is left, but not until when.
const EXHAUSTED: Duration = Duration::from_mins(1);

impl Quota {
    /// Grants at most `calls` in any `period`. `share` is the part of what an answer says is left that may be spent.
    pub fn new(calls: f64, period: Duration, share: f64, now: Instant) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of calls"
        )]
        let (calls, burst) = (calls.max(1.0) as usize, (calls * BURST_SHARE) as usize);
        // What the pace may catch up comes out of its rate: a window never holds more.
        let catch_up = calls / 100;
        let paced =
            u32::try_from((calls - burst.min(calls)).saturating_sub(catch_up).max(1)).unwrap_or(u32::MAX);
        let interval = period / paced + Duration::from_nanos(1);
        let slack = interval * u32::try_from(catch_up).unwrap_or(u32::MAX);
        let spread = |index: usize| {
            let part = u32::try_from(index + 1).unwrap_or(u32::MAX);
            now + period / u32::try_from(burst).unwrap_or(u32::MAX) * part
        };
        let withheld = (0..burst.saturating_sub(UNTOLD)).map(spread).collect();
        Self {
            period,
            share,
            burst,
            spent: VecDeque::new(),
            withheld,
            interval,
            next: now,
            slack,
            left: None,
            reserve: 0,
            blocked: None,
        }
    }

    /// Keeps so many calls of what answers say is left for reading fields; fewer where the quota is small.
    #[must_use]
    pub fn with_reserve(mut self, calls: usize) -> Self {
        self.reserve = calls.min(self.burst / 10);
        self
    }

    /// Between two calls of the pace.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether a call may go now; it is counted by [`Quota::spend`].
    pub fn ask(&mut self, now: Instant) -> Grant {
        if let Some(block) = &self.blocked {
            if now < block.until {
                return Grant::At(block.until);
            }
            return if block.probing { Grant::AfterProbe } else { Grant::Now };
        }
        self.allowance(now)
    }

    /// The same for a call that reads fields. It may also go while the quota is used up but for the reserve.
    pub fn ask_to_read(&mut self, now: Instant) -> Grant {
        if self.spare(now).is_some() { self.allowance(now) } else { self.ask(now) }
    }

    /// The calls that may read fields although nothing else goes, if there are any.
    fn spare(&mut self, now: Instant) -> Option<&mut usize> {
        let block = self.blocked.as_mut().filter(|block| now < block.until);
        block.map(|block| &mut block.spare).filter(|spare| **spare > 0)
    }

    fn allowance(&mut self, now: Instant) -> Grant {
        for spent in [&mut self.spent, &mut self.withheld] {
            while spent.front().is_some_and(|back| *back <= now) {
                spent.pop_front();
            }
        }
        if self.spent.len() + self.withheld.len() < self.burst || now >= self.next {
            return Grant::Now;
        }
        let back = [self.spent.front(), self.withheld.front()].into_iter().flatten().min();
        Grant::At(back.map_or(self.next, |back| self.next.min(*back)))
    }

    /// A call goes, as [`Quota::ask`] just allowed. True if it is the probe after a block.
    pub fn spend(&mut self, now: Instant) -> bool {
        let probe = self.blocked.is_some();
        if let Some(block) = &mut self.blocked {
            block.probing = true;
        }
        if let Some(left) = &mut self.left {
            *left -= 1.0;
            let left = *left;
            if self.uses_up(left) && self.blocked.is_none() {
                // What is left of the account's quota belongs to others until an answer says otherwise.
                self.exhausted(now, EXHAUSTED, left);
                // Told once, it must not bind for ever where answers stop telling.
                self.left = None;
            }
        }
        self.count(now);
        probe
    }

    /// A call that reads fields goes, as [`Quota::ask_to_read`] just allowed. True if it is the probe after a block.
    pub fn spend_to_read(&mut self, now: Instant) -> bool {
        let Some(spare) = self.spare(now) else { return self.spend(now) };
        *spare -= 1;
        self.count(now);
        false
    }

    fn count(&mut self, now: Instant) {
        if now >= self.next {
            let behind = now.checked_sub(self.slack).unwrap_or(now);
            self.next = self.next.max(behind) + self.interval;
        } else {
            self.spent.push_back(now + self.period);
        }
    }

    fn uses_up(&self, left: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a few calls")]
        let reserve = self.reserve as f64;
        left < 1.0 + reserve
    }

    /// Nothing is left but the reserve, or less.
    fn exhausted(&mut self, now: Instant, wait: Duration, left: f64) {
        // Where something else blocks already, what is spare stays that: nothing, or what is not spent yet.
        let before = self.blocked.map(|block| block.spare);
        self.block(now, wait);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few calls")]
        let left = left.max(0.0) as usize;
        if let Some(block) = &mut self.blocked {
            block.spare = before.unwrap_or(self.reserve).min(left);
        }
    }

    /// Takes what the headers of an answer say, while `in_flight` calls are not answered.
    /// They know of calls that were not ours.
    pub fn observe(&mut self, now: Instant, told: &RateLimit, in_flight: usize) {
        let Some(remaining) = told.remaining else { return };
        #[expect(clippy::cast_precision_loss, reason = "a few calls")]
        let left = (f64::from(remaining) * self.share).floor() - in_flight as f64;
        if self.uses_up(left) {
            self.left = None;
            // A reset that has passed already is a clock that differs, not a licence.
            let wait = told.reset.filter(|wait| !wait.is_zero()).unwrap_or(EXHAUSTED);
            self.exhausted(now, wait, left);
            return;
        }
        self.left = Some(left);
        self.withheld.clear();
    }

    /// Nothing goes for this long; then one call goes first.
    pub fn block(&mut self, now: Instant, wait: Duration) {
        let until = now + wait;
        let until = self.blocked.map_or(until, |block| block.until.max(until));
        self.blocked = Some(Block { until, probing: false, spare: 0 });
    }

    /// The probe was answered well: others may go. Answers to calls sent before the block do not lift it,
    /// nor does a probe lift a block that began after it was sent.
    pub fn unblock(&mut self) {
        if self.blocked.is_some_and(|block| block.probing) {
            self.blocked = None;
        }
    }

    /// Whether nothing but a probe may go.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// How long nothing goes, if something blocks.
    pub fn blocked_for(&self, now: Instant) -> Option<Duration> {
        self.blocked.map(|block| block.until.saturating_duration_since(now))
    }

    /// The probe found nothing out; another call may be the probe.
    pub fn give_back_probe(&mut self) {
        if let Some(block) = &mut self.blocked {
            block.probing = false;
        }
    }

    /// Calls that could go at once.
    pub fn remaining(&self, now: Instant) -> usize {
        if self.blocked.is_some() {
            return 0;
        }
        let spent = self.spent.iter().chain(&self.withheld).filter(|back| **back > now).count();
        self.burst.saturating_sub(spent) + usize::from(now >= self.next)
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

    fn take(quota: &mut Quota, now: Instant) -> Grant {
        let grant = quota.ask(now);
        if grant == Grant::Now {
            quota.spend(now);
        }
        grant
    }

    fn grants(quota: &mut Quota, now: Instant) -> usize {
        (0..10_000).take_while(|_| take(quota, now) == Grant::Now).count()
    }

    fn reads(quota: &mut Quota, now: Instant) -> usize {
        let take = |quota: &mut Quota| {
            let granted = quota.ask_to_read(now) == Grant::Now;
            granted && !quota.spend_to_read(now)
        };
        (0..10_000).take_while(|_| take(quota)).count()
    }

    #[test]
    fn a_new_lane_starts_small_until_an_answer_tells() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        assert_eq!(grants(&mut quota, now), 6);
        quota.observe(now, &told(994, None), 0);
        assert_eq!(grants(&mut quota, now), 220);
    }

    #[test]
    fn an_answer_takes_away_what_others_spent() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.observe(now, &told(10, None), 2);
        assert_eq!(grants(&mut quota, now), 7);
    }

    #[test]
    fn nothing_left_waits_for_the_reset_and_then_probes_with_one() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.observe(now, &told(0, Some(600)), 0);
        assert_eq!(take(&mut quota, now), Grant::At(now + Duration::from_mins(10)));
        let later = now + Duration::from_mins(10);
        assert_eq!(take(&mut quota, later), Grant::Now);
        assert_eq!(take(&mut quota, later), Grant::AfterProbe);
        quota.unblock();
        assert_eq!(take(&mut quota, later), Grant::Now);
    }

    #[test]
    fn what_is_left_at_last_reads_fields_and_does_nothing_else() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now).with_reserve(3);
        quota.observe(now, &told(10, Some(600)), 0);
        // Nine are ours to spend.
        assert_eq!(grants(&mut quota, now), 6);
        assert_eq!(reads(&mut quota, now), 3);
        assert_eq!(quota.ask(now), Grant::At(now + EXHAUSTED));
        // An answer that was under way knows less; it adds nothing to what is spare.
        quota.observe(now, &told(4, Some(600)), 0);
        assert_eq!(reads(&mut quota, now), 0);
        assert!(Quota::new(50.0, HOUR, 0.9, now).with_reserve(3).reserve <= 1);
    }

    #[test]
    fn the_reserve_is_no_way_round_any_other_block() {
        let now = Instant::now();
        let quota = || Quota::new(900.0, HOUR, 0.9, now).with_reserve(3);
        let mut blocked = quota();
        blocked.block(now, HOUR);
        blocked.observe(now, &told(3, Some(600)), 0);
        assert_eq!(blocked.ask_to_read(now), Grant::At(now + HOUR));
        let mut blocked = quota();
        blocked.observe(now, &told(4, Some(600)), 0);
        assert_eq!(blocked.ask_to_read(now), Grant::Now);
        blocked.block(now, HOUR);
        assert_eq!(blocked.ask_to_read(now), Grant::At(now + HOUR));
        // Nothing is left: others have spent all of it.
        let mut spent = quota();
        spent.observe(now, &told(1, Some(600)), 0);
        assert_eq!(spent.ask_to_read(now), Grant::At(now + Duration::from_mins(10)));
        // The block is over: a call that reads fields is as good a probe as any.
        let later = now + Duration::from_mins(10);
        assert_eq!(spent.ask_to_read(later), Grant::Now);
        assert!(spent.spend_to_read(later));
        assert_eq!(spent.ask_to_read(later), Grant::AfterProbe);
    }

    #[test]
    fn a_block_is_never_shortened() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.block(now, Duration::from_mins(10));
        quota.block(now, Duration::from_secs(1));
        assert_eq!(take(&mut quota, now + Duration::from_mins(1)), Grant::At(now + Duration::from_mins(10)));
    }

    #[test]
    fn a_count_that_is_never_told_again_does_not_bind_for_ever() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.observe(now, &told(3, None), 0);
        assert_eq!(grants(&mut quota, now), 2);
        let later = now + EXHAUSTED;
        assert_eq!(take(&mut quota, later), Grant::Now);
        quota.unblock();
        assert!(grants(&mut quota, later) > 100);
    }

    #[test]
    fn a_probe_that_was_under_way_does_not_lift_a_newer_block() {
        let now = Instant::now();
        let mut quota = Quota::new(900.0, HOUR, 0.9, now);
        quota.block(now, Duration::from_secs(10));
        let later = now + Duration::from_secs(10);
        assert_eq!(take(&mut quota, later), Grant::Now);
        // A call that was sent long ago is answered now: stay away for an hour. Then comes the probe's answer.
        quota.block(later, HOUR);
        quota.unblock();
        assert_eq!(take(&mut quota, later), Grant::At(later + HOUR));
    }

    #[test]
    fn where_work_always_waits_nearly_all_of_the_quota_is_used() {
        for calls in [10u32, 900, 4500] {
            let start = Instant::now();
            let mut quota = Quota::new(f64::from(calls), HOUR, 1.0, start);
            let mut now = start;
            let mut used = 0u32;
            while now < start + HOUR * 24 {
                match take(&mut quota, now) {
                    Grant::Now => used += 1,
                    Grant::At(then) => now = then,
                    Grant::AfterProbe => unreachable!("nothing blocks"),
                }
            }
            assert!(
                used >= calls * 24 * 98 / 100 && used <= calls * 24 + calls / 2,
                "{used} of {calls} an hour"
            );
        }
    }

    proptest! {
        /// In no period more than the quota, whatever the pattern of asking; who waits as told is granted.
        #[test]
        fn never_more_than_the_quota_in_any_period(
            calls in 1u32..2000,
            gaps in prop::collection::vec(0u64..120_000, 1..400),
        ) {
            let start = Instant::now();
            let mut quota = Quota::new(f64::from(calls), HOUR, 1.0, start);
            quota.observe(start, &RateLimit { remaining: Some(u32::MAX), ..RateLimit::default() }, 0);
            let mut now = start;
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if gap % 5 == 0 && quota.ask_to_read(now) == Grant::Now {
                    quota.spend_to_read(now);
                    granted.push(now);
                }
                for _ in 0..20 {
                    match take(&mut quota, now) {
                        Grant::Now => granted.push(now),
                        Grant::At(then) => {
                            prop_assert!(then > now && then <= now + HOUR + Duration::from_secs(1));
                            if gap % 2 == 0 {
                                now = then;
                                prop_assert_eq!(take(&mut quota, now), Grant::Now);
                                granted.push(now);
                            }
                            break;
                        }
                        Grant::AfterProbe => prop_assert!(false, "no probe was asked for"),
                    }
                }
            }
            for (index, first) in granted.iter().enumerate() {
                let within = granted[index..].iter().take_while(|at| **at - *first < HOUR).count();
                prop_assert!(within <= calls as usize, "{within} of {calls}");
            }
        }

        /// Whatever answers say is left, no more goes before the next answer; and of that the last few only to read.
        #[test]
        fn no_more_than_an_answer_left_goes_with_or_without_the_reserve(
            remaining in 0u32..60,
            reading in prop::collection::vec(any::<bool>(), 100),
        ) {
            let now = Instant::now();
            let mut quota = Quota::new(900.0, HOUR, 1.0, now).with_reserve(3);
            quota.observe(now, &told(remaining, Some(600)), 0);
            let (mut reads, mut others) = (0, 0);
            for read in reading {
                if read && quota.ask_to_read(now) == Grant::Now {
                    quota.spend_to_read(now);
                    reads += 1;
                } else if !read && quota.ask(now) == Grant::Now {
                    quota.spend(now);
                    others += 1;
                }
            }
            prop_assert!(reads + others <= remaining, "{reads} and {others} of {remaining}");
            prop_assert!(others == 0 || others + 3 <= remaining, "{others} of {remaining}");
        }
    }
}
