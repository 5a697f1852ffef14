//! Looks at every lane from outside and logs which are stuck. Started once by the commands that run lanes.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::roster::LaneRoster;
use crate::lane::timing::WATCHDOG_INTERVAL;

/// Watches for ever. A lane is stuck when it could settle something and settles nothing for `after`.
pub async fn watch(lanes: LaneRoster, after: Duration) {
    let mut ticks = tokio::time::interval(WATCHDOG_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for lane in &*lanes.lanes() {
            lane.report_stuck(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lane::status::lane_status::{LaneStatus, TaskGuard};
    use crate::lane::status::progress::TurnEnd;
    use crate::lane::status::wait::WaitReason;
    use crate::metrics::Metrics;
    use tokio::task::JoinSet;

    const AFTER: Duration = Duration::from_mins(15);

    struct Watched {
        metrics: Metrics,
        status: Arc<LaneStatus>,
        _watching: JoinSet<()>,
    }

    fn watched() -> Watched {
        let metrics = Metrics::new().unwrap();
        let status = Arc::new(LaneStatus::new("acme".into(), metrics.account("acme")));
        let mut watching = JoinSet::new();
        let lanes = LaneRoster::default();
        lanes.show(vec![status.clone()], Vec::new());
        watching.spawn(watch(lanes, AFTER));
        Watched { metrics, status, _watching: watching }
    }

    impl Watched {
        fn guard(&self) -> TaskGuard {
            TaskGuard::new(self.status.clone())
        }

        async fn gauge_after(&self, time: Duration) -> i64 {
            tokio::time::sleep(time).await;
            self.metrics.lane_stuck.with_label_values(&["acme"]).get()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_settles_nothing_is_reported_until_it_settles_something() {
        let watched = watched();
        let lane = watched.guard();
        let end = |progress| TurnEnd { unsettled: 2, progress, waits: None };
        lane.turn_ended(end(0));
        assert_eq!(watched.gauge_after(AFTER.checked_sub(WATCHDOG_INTERVAL).unwrap()).await, 0);
        assert_eq!(watched.gauge_after(WATCHDOG_INTERVAL * 2).await, 1);
        assert!(watched.status.stuck(AFTER).is_some_and(|stuck| !stuck.needs_restart));
        assert_eq!(watched.gauge_after(AFTER).await, 1);
        assert!(watched.status.stuck(AFTER).is_some_and(|stuck| stuck.needs_restart));
        lane.turn_ended(end(1));
        assert_eq!(watched.status.stuck(AFTER), None);
        assert_eq!(watched.gauge_after(WATCHDOG_INTERVAL * 2).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_for_a_known_reason_is_not_reported() {
        let watched = watched();
        let lane = watched.guard();
        lane.turn_ended(TurnEnd { unsettled: 2, progress: 0, waits: Some(WaitReason::Throttled) });
        assert_eq!(watched.gauge_after(AFTER * 50).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_panics_is_reported_at_once_and_one_that_ends_is_not() {
        for (panics, reported) in [(true, 1), (false, 0)] {
            let watched = watched();
            let guard = watched.guard();
            let mut lane = JoinSet::new();
            lane.spawn(async move {
                assert!(!panics, "on purpose");
                guard.finished();
            });
            assert_eq!(lane.join_next().await.unwrap().is_err(), panics);
            assert_eq!(watched.gauge_after(WATCHDOG_INTERVAL * 2).await, reported);
        }
    }
}
