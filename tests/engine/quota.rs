//! The quota against a model of the account's hour, with calls that overlap and answers that come in any order.

use std::time::Duration;

use freshet::freshsales::{BudgetKind, RateLimit};
use freshet::lane::{BackoffSettings, Budget, Grant, Quota};
use proptest::prelude::*;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The account's own window never refuses a call, however late or disordered the answers are.
    #[test]
    fn the_account_never_has_to_refuse(
        calls in 20u32..3000,
        latencies in prop::collection::vec(1u64..4000, 40..400),
        gaps in prop::collection::vec(0u64..40_000, 40..400),
    ) {
        let start = Instant::now();
        let quota = Quota::new(f64::from(calls), HOUR, 1.0, start);
        let mut budget = Budget::new(BudgetKind::Api, quota, BackoffSettings::default());
        let (mut window, mut used) = (start, 0u32);
        let mut in_flight: Vec<(Instant, RateLimit)> = Vec::new();
        let mut now = start;
        for (latency, gap) in latencies.iter().zip(&gaps) {
            now += Duration::from_millis(*gap);
            in_flight.sort_by_key(|(at, _)| *at);
            while in_flight.first().is_some_and(|(at, _)| *at <= now) {
                let (at, told) = in_flight.remove(0);
                budget.observe(at, &told, in_flight.len());
            }
            while in_flight.len() < 8 && budget.ask(now) == Grant::Now {
                budget.spend(now);
                while now - window >= HOUR {
                    window += HOUR;
                    used = 0;
                }
                used += 1;
                prop_assert!(used <= calls, "call {used} of {calls}");
                let reset = HOUR.saturating_sub(now - window);
                let told = RateLimit { limit: Some(calls), remaining: Some(calls - used), reset: Some(reset) };
                in_flight.push((now + Duration::from_millis(*latency), told));
            }
        }
    }
}
