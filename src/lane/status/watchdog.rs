//! Looks at every lane's marks, from outside of the lanes: tells which are stuck, and when they no longer are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::lane_status::LaneStatus;

/// A lane's patience is at least as long.
const LOOK: Duration = Duration::from_secs(1);

/// Watches for ever. A lane is stuck when it could settle something and settles nothing for `after`.
pub async fn watch(boards: Vec<Arc<LaneStatus>>, after: Duration) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for board in &boards {
            board.look(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::status::progress::Mark;
    use crate::metrics::Metrics;
    use tokio::task::JoinSet;

    const AFTER: Duration = Duration::from_mins(15);

    struct Watched {
        metrics: Metrics,
        board: Arc<LaneStatus>,
        _watching: JoinSet<()>,
    }

    fn watched() -> Watched {
        let metrics = Metrics::new().unwrap();
        let board = Arc::new(LaneStatus::new("acme".into(), metrics.account("acme")));
        let mut watching = JoinSet::new();
        watching.spawn(watch(vec![board.clone()], AFTER));
        Watched { metrics, board, _watching: watching }
    }

    impl Watched {
        async fn gauge_after(&self, time: Duration) -> i64 {
            tokio::time::sleep(time).await;
            self.metrics.lane_stuck.with_label_values(&["acme"]).get()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_settles_nothing_is_told_until_it_settles_something() {
        let watched = watched();
        let mark = |progress| Mark { unsettled: 2, progress, excused: false };
        watched.board.rests(mark(0));
        assert_eq!(watched.gauge_after(AFTER.checked_sub(LOOK).unwrap()).await, 0);
        assert_eq!(watched.gauge_after(LOOK * 2).await, 1);
        assert!(watched.board.stuck(AFTER).is_some_and(|stuck| !stuck.hopeless));
        assert_eq!(watched.gauge_after(AFTER).await, 1);
        assert!(watched.board.stuck(AFTER).is_some_and(|stuck| stuck.hopeless));
        watched.board.rests(mark(1));
        assert_eq!(watched.board.stuck(AFTER), None);
        assert_eq!(watched.gauge_after(LOOK * 2).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_on_purpose_is_not_told() {
        let watched = watched();
        watched.board.rests(Mark { unsettled: 2, progress: 0, excused: true });
        assert_eq!(watched.gauge_after(AFTER * 50).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_panics_is_told_at_once_and_one_that_ends_is_not() {
        for (panics, told) in [(true, 1), (false, 0)] {
            let watched = watched();
            let vigil = watched.board.vigil();
            let mut lane = JoinSet::new();
            lane.spawn(async move {
                assert!(!panics, "on purpose");
                vigil.over();
            });
            assert_eq!(lane.join_next().await.unwrap().is_err(), panics);
            assert_eq!(watched.gauge_after(LOOK * 2).await, told);
        }
    }
}
