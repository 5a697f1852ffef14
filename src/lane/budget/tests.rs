//! What a budget grants: by its quota, by what answers say is left, and while it is blocked.

use super::*;
use crate::lane::budget::attempt::CallClass;
use crate::lane::timing::QUOTA_PAUSE;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_hours(1);

/// What tests of the lane set and look at.
impl Budget {
    pub(in crate::lane) fn set_quota(&mut self, quota: Quota) {
        self.quota = quota;
    }

    pub(in crate::lane) fn keep_away(&mut self, now: Instant, wait: Duration) {
        self.block(now, wait);
    }

    pub(in crate::lane) fn blocked_for(&self, now: Instant) -> Option<Duration> {
        self.breaker.wait(now)
    }

    fn probe_got_through(&mut self, now: Instant) {
        self.breaker.probe_got_through(CallClass::Work, now, || Duration::ZERO);
    }
}

fn of(quota: Quota) -> Budget {
    Budget::new(BudgetKind::Api, quota, BackoffSettings::default())
}

fn without_reserve(calls: f64, share: f64, now: Instant) -> Budget {
    of(Quota::new(calls, HOUR, share, now))
}

fn with_reserve(calls: f64, share: f64, now: Instant) -> Budget {
    of(Quota::new(calls, HOUR, share, now).with_reserve(3))
}

fn answered(remaining: u32, reset: Option<u64>) -> RateLimit {
    RateLimit { limit: Some(1000), remaining: Some(remaining), reset: reset.map(Duration::from_secs) }
}

fn take(budget: &mut Budget, now: Instant) -> Grant {
    let grant = budget.ask(now);
    if grant == Grant::Now {
        budget.spend(now);
    }
    grant
}

fn grants(budget: &mut Budget, now: Instant) -> usize {
    (0..10_000).take_while(|_| take(budget, now) == Grant::Now).count()
}

fn reads(budget: &mut Budget, now: Instant) -> usize {
    let take = |budget: &mut Budget| {
        let granted = budget.ask_to_read(now) == Grant::Now;
        granted && !budget.spend_to_read(now)
    };
    (0..10_000).take_while(|_| take(budget)).count()
}

#[test]
fn a_new_lane_spends_little_until_an_answer_says_what_is_left() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    assert_eq!(grants(&mut budget, now), 6);
    budget.observe(now, &answered(994, None), 0);
    assert_eq!(grants(&mut budget, now), 220);
}

#[test]
fn an_answer_takes_away_what_others_spent() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.observe(now, &answered(10, None), 2);
    assert_eq!(grants(&mut budget, now), 7);
}

#[test]
fn with_nothing_left_a_budget_waits_for_the_reset_and_then_sends_one_probe() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.observe(now, &answered(0, Some(600)), 0);
    assert_eq!(take(&mut budget, now), Grant::At(now + Duration::from_mins(10)));
    let later = now + Duration::from_mins(10);
    assert_eq!(take(&mut budget, later), Grant::Now);
    assert_eq!(take(&mut budget, later), Grant::AfterProbe);
    budget.probe_got_through(now);
    assert_eq!(take(&mut budget, later), Grant::Now);
}

#[test]
fn the_last_calls_that_are_left_only_read_fields() {
    let now = Instant::now();
    let mut budget = with_reserve(900.0, 0.9, now);
    budget.observe(now, &answered(10, Some(600)), 0);
    // Nine are ours to spend.
    assert_eq!(grants(&mut budget, now), 6);
    assert_eq!(reads(&mut budget, now), 3);
    assert_eq!(budget.ask(now), Grant::At(now + QUOTA_PAUSE));
    // An answer that was under way knows less; it adds nothing to what is spare.
    budget.observe(now, &answered(4, Some(600)), 0);
    assert_eq!(reads(&mut budget, now), 0);
    assert!(with_reserve(50.0, 0.9, now).quota.reserve <= 1);
}

#[test]
fn the_reserve_is_no_way_round_any_other_block() {
    let now = Instant::now();
    let quota = || with_reserve(900.0, 0.9, now);
    let mut blocked = quota();
    blocked.block(now, HOUR);
    blocked.observe(now, &answered(3, Some(600)), 0);
    assert_eq!(blocked.ask_to_read(now), Grant::At(now + HOUR));
    let mut blocked = quota();
    blocked.observe(now, &answered(4, Some(600)), 0);
    assert_eq!(blocked.ask_to_read(now), Grant::Now);
    blocked.block(now, HOUR);
    assert_eq!(blocked.ask_to_read(now), Grant::At(now + HOUR));
    // Nothing is left: others have spent all of it.
    let mut spent = quota();
    spent.observe(now, &answered(1, Some(600)), 0);
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
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.block(now, Duration::from_mins(10));
    budget.block(now, Duration::from_secs(1));
    assert_eq!(take(&mut budget, now + Duration::from_mins(1)), Grant::At(now + Duration::from_mins(10)));
}

#[test]
fn the_number_of_calls_left_is_forgotten_where_later_answers_do_not_state_it() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.observe(now, &answered(3, None), 0);
    assert_eq!(grants(&mut budget, now), 2);
    let later = now + QUOTA_PAUSE;
    assert_eq!(take(&mut budget, later), Grant::Now);
    budget.probe_got_through(now);
    assert!(grants(&mut budget, later) > 100);
}

#[test]
fn a_probe_that_was_in_flight_does_not_lift_a_newer_block() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.block(now, Duration::from_secs(10));
    let later = now + Duration::from_secs(10);
    assert_eq!(take(&mut budget, later), Grant::Now);
    // A call that was sent long ago is answered now: stay away for an hour. Then comes the probe's answer.
    budget.block(later, HOUR);
    budget.probe_got_through(now);
    assert_eq!(take(&mut budget, later), Grant::At(later + HOUR));
}

#[test]
fn where_work_always_waits_nearly_all_of_the_quota_is_used() {
    for calls in [10u32, 900, 4500] {
        let start = Instant::now();
        let mut budget = without_reserve(f64::from(calls), 1.0, start);
        let mut now = start;
        let mut used = 0u32;
        while now < start + HOUR * 24 {
            match take(&mut budget, now) {
                Grant::Now => used += 1,
                Grant::At(then) => now = then,
                Grant::AfterProbe => unreachable!("nothing blocks"),
            }
        }
        assert!(used >= calls * 24 * 98 / 100 && used <= calls * 24 + calls / 2, "{used} of {calls} an hour");
    }
}

proptest! {
    /// In no period more than the quota, whatever the pattern of asking; a call that waits as long as it was told to is
    /// granted.
    #[test]
    fn never_more_than_the_quota_in_any_period(
        calls in 1u32..2000,
        gaps in prop::collection::vec(0u64..120_000, 1..400),
    ) {
        let start = Instant::now();
        let mut budget = without_reserve(f64::from(calls), 1.0, start);
        budget.observe(start, &RateLimit { remaining: Some(u32::MAX), ..RateLimit::default() }, 0);
        let mut now = start;
        let mut granted: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(gap);
            if gap % 5 == 0 && budget.ask_to_read(now) == Grant::Now {
                budget.spend_to_read(now);
                granted.push(now);
            }
            for _ in 0..20 {
                match take(&mut budget, now) {
                    Grant::Now => granted.push(now),
                    Grant::At(then) => {
                        prop_assert!(then > now && then <= now + HOUR + Duration::from_secs(1));
                        if gap % 2 == 0 {
                            now = then;
                            prop_assert_eq!(take(&mut budget, now), Grant::Now);
                            granted.push(now);
                        }
                        break;
                    }
                    Grant::AfterProbe => prop_assert!(false, "no probe was asked for"),
                }
            }
        }
        for one_too_many in granted.windows(calls as usize + 1) {
            let [first, .., last] = one_too_many else { unreachable!("more than one") };
            prop_assert!(*last - *first >= HOUR, "more than {calls} within {:?}", *last - *first);
        }
    }

    /// Whatever answers say is left, no more goes before the next answer; and of that the last few only to read.
    #[test]
    fn no_more_than_an_answer_left_goes_with_or_without_the_reserve(
        remaining in 0u32..60,
        reading in prop::collection::vec(any::<bool>(), 100),
    ) {
        let now = Instant::now();
        let mut budget = with_reserve(900.0, 1.0, now);
        budget.observe(now, &answered(remaining, Some(600)), 0);
        let (mut reads, mut others) = (0, 0);
        for read in reading {
            if read && budget.ask_to_read(now) == Grant::Now {
                budget.spend_to_read(now);
                reads += 1;
            } else if !read && budget.ask(now) == Grant::Now {
                budget.spend(now);
                others += 1;
            }
        }
        prop_assert!(reads + others <= remaining, "{reads} and {others} of {remaining}");
        prop_assert!(others == 0 || others + 3 <= remaining, "{others} of {remaining}");
    }
}

#[test]
fn other_limits_forget_nothing_that_was_spent() {
    let now = Instant::now();
    for (calls, at_once) in [(900.0, 0), (1800.0, 225), (450.0, 0)] {
        let mut budget = without_reserve(900.0, 0.9, now);
        budget.observe(now, &answered(1000, None), 0);
        assert_eq!(grants(&mut budget, now), 226, "all of the burst, and one of the pace");
        budget.change_quota(Quota::new(calls, HOUR, 0.9, now), now);
        assert_eq!(grants(&mut budget, now), at_once, "{calls} an hour");
    }
}

#[test]
fn another_share_counts_for_what_an_answer_said_is_left() {
    let now = Instant::now();
    let mut budget = without_reserve(900.0, 0.9, now);
    budget.observe(now, &answered(100, None), 0);
    budget.change_quota(Quota::new(300.0, HOUR, 0.3, now), now);
    assert_eq!(grants(&mut budget, now), 30);
}

#[test]
fn other_settings_end_the_wait_after_refused_credentials_and_no_other() {
    let now = Instant::now();
    for (kind, ends) in
        [(Impediment::Unauthorized, true), (Impediment::Throttled, false), (Impediment::Retrying, false)]
    {
        let mut budget = without_reserve(900.0, 0.9, now);
        budget.keep_away(now, HOUR);
        budget.impediment = Some((kind, String::new()));
        budget.end_unauthorized_wait(now);
        assert_eq!(budget.ask(now) == Grant::Now, ends, "{kind:?}");
        assert!(!ends || budget.spend(now), "one call finds out");
    }
}

proptest! {
    #[test]
    fn the_same_limits_again_change_nothing(
        steps in proptest::collection::vec((0_u64..600, 1_usize..40), 1..40),
        again in 0_usize..40,
    ) {
        let start = Instant::now();
        let both = || without_reserve(900.0, 0.9, start);
        let (mut one, mut other) = (both(), both());
        let mut now = start;
        for (number, (seconds, calls)) in steps.into_iter().enumerate() {
            now += Duration::from_secs(seconds);
            for budget in [&mut one, &mut other] {
                budget.observe(now, &answered(10_000, None), 0);
            }
            if number >= again {
                other.change_quota(Quota::new(900.0, HOUR, 0.9, now), now);
            }
            for _ in 0..calls {
                prop_assert_eq!(take(&mut one, now), take(&mut other, now));
            }
        }
    }
}

proptest! {
    /// What people are told is left is what could go at that moment, whatever was spent before and others were told.
    #[test]
    fn as_many_calls_could_go_at_once_as_are_said_to_be_left(
        calls in 1.0..3000.0_f64,
        reserve in any::<bool>(),
        steps in prop::collection::vec((0..2_000_u64, 0..300_usize, prop::option::of(0..2000_u32)), 0..12),
    ) {
        let mut now = Instant::now();
        let quota = Quota::new(calls, HOUR, 0.5, now);
        let mut budget = of(if reserve { quota.with_reserve(3) } else { quota });
        for (seconds, calls, remaining) in steps {
            now += Duration::from_secs(seconds);
            (0..calls).take_while(|_| take(&mut budget, now) == Grant::Now).count();
            if let Some(remaining) = remaining {
                budget.observe(now, &answered(remaining, None), 0);
            }
        }
        let facts = budget.facts(now);
        prop_assert!(facts.left <= facts.at_once);
        if budget.blocked_for(now).is_some() {
            prop_assert_eq!(facts.left, 0);
        } else {
            let next = facts.next;
            prop_assert_eq!(facts.left, grants(&mut budget, now));
            prop_assert_eq!(next.is_some(), facts.left == 0);
            prop_assert!(next.is_none_or(|next| budget.ask(next) == Grant::Now && next > now));
        }
    }
}
