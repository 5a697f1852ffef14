//! What a quota grants, against one that keeps every call in a list.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// Grants as the quota does; `late` is how much later than after a period each call of the burst comes back.
struct ListedCalls {
    size: usize,
    spent: VecDeque<Instant>,
    withheld: VecDeque<Instant>,
    pace: QuotaPace,
    late: Duration,
}

impl ListedCalls {
    fn new(quota: &Quota, late: Duration, now: Instant) -> Self {
        let QuotaPace { interval, next, slack } = quota.pace;
        let size = quota.burst.size;
        let burst = u32::try_from(size).unwrap();
        let withheld = (1..=burst.saturating_sub(5)).map(|call| now + HOUR / burst.max(1) * call).collect();
        Self { size, spent: VecDeque::new(), withheld, pace: QuotaPace { interval, next, slack }, late }
    }

    fn take_back(&mut self, now: Instant) {
        for calls in [&mut self.spent, &mut self.withheld] {
            while calls.front().is_some_and(|back| *back <= now) {
                calls.pop_front();
            }
        }
    }

    fn unspent(&self) -> usize {
        self.size.saturating_sub(self.spent.len() + self.withheld.len())
    }

    fn left(&mut self, now: Instant) -> usize {
        self.take_back(now);
        self.unspent() + self.pace.ready(now)
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        self.take_back(now);
        let backs = [self.spent.front(), self.withheld.front(), Some(&self.pace.next)];
        backs.into_iter().flatten().min().copied()
    }

    fn take(&mut self, now: Instant) -> bool {
        self.take_back(now);
        if now >= self.pace.next {
            self.pace.next = self.pace.earliest(now) + self.pace.interval;
            return true;
        }
        let granted = self.unspent() > 0;
        if granted {
            self.spent.push_back(now + HOUR + self.late);
        }
        granted
    }
}

fn take(quota: &mut Quota, now: Instant) -> bool {
    let granted = quota.ask(now) == Grant::Now;
    if granted {
        quota.spend(now);
    }
    granted
}

/// Milliseconds to wait and calls to ask for, and whether an answer then says that much is left.
fn steps(wait: u64, calls: usize) -> impl Strategy<Value = Vec<(u64, usize, bool)>> {
    prop::collection::vec((0..wait, 0..calls, prop::bool::weighted(0.1)), 1..60)
}

fn much_left(quota: &mut Quota, others: &mut [&mut ListedCalls]) {
    let limit = RateLimit { limit: None, remaining: Some(u32::MAX), reset: None };
    assert!(quota.observe(&limit, 0).is_none());
    for other in others {
        other.withheld.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_small_quota_grants_to_the_nanosecond_what_a_list_of_calls_would(
        calls in 1.0..1019.0_f64,
        steps in steps(900_000, 120),
    ) {
        let mut now = Instant::now();
        let mut quota = Quota::new(calls, HOUR, 1.0, now);
        let mut listed = ListedCalls::new(&quota, Duration::ZERO, now);
        for (wait, calls, answered) in steps {
            now += Duration::from_millis(wait);
            prop_assert_eq!(quota.remaining(now), listed.left(now));
            prop_assert_eq!(quota.next(now), listed.next(now));
            for _ in 0..calls {
                prop_assert_eq!(take(&mut quota, now), listed.take(now));
            }
            if answered {
                much_left(&mut quota, &mut [&mut listed]);
            }
        }
    }

    #[test]
    fn a_large_quota_grants_a_call_at_most_a_slot_late_and_never_early(
        calls in 1020.0..20_000.0_f64,
        steps in steps(900_000, 1500),
    ) {
        let mut now = Instant::now();
        let mut quota = Quota::new(calls, HOUR, 1.0, now);
        let mut exact = ListedCalls::new(&quota, Duration::ZERO, now);
        let mut late = ListedCalls::new(&quota, HOUR / 254, now);
        let mut granted = [0; 3];
        for (wait, calls, answered) in steps {
            now += Duration::from_millis(wait);
            for _ in 0..calls {
                let took = [late.take(now), take(&mut quota, now), exact.take(now)];
                granted.iter_mut().zip(took).for_each(|(sum, took)| *sum += usize::from(took));
            }
            prop_assert!(granted.is_sorted(), "a slot late, the quota, on time: {granted:?}");
            if answered {
                much_left(&mut quota, &mut [&mut exact, &mut late]);
            }
        }
    }
}

#[test]
fn any_quota_takes_little_memory() {
    for calls in [900.0, 5_000.0, 1_000_000.0] {
        let mut now = Instant::now();
        let memory = crate::cost::allocated(|| {
            let mut quota = Quota::new(calls, HOUR, 1.0, now);
            for _ in 0..7200 {
                now += Duration::from_secs(1);
                while take(&mut quota, now) {}
            }
        });
        assert!(memory.bytes_max <= 8 * 1024, "{calls} an hour: {memory:?}");
    }
}
