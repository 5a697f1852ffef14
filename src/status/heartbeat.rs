//! Whether the daemon's own threads still run its tasks, told from a thread that is not one of them.
//!
//! A task among the daemon's beats once a second. The pages' thread looks once a second whether it did. What counts is
//! how many of the looks in a row saw no beat, not the time: in a process that is stopped and goes on, both stand still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

const SECOND: Duration = Duration::from_secs(1);
/// Far longer than any turn of a task; a restart costs less than such a hang.
const HUNG: u64 = 30;

/// Shared by the task that beats and those who look.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    beats: AtomicU64,
    /// Looks in a row that saw no beat.
    missed: AtomicU64,
}

impl Heartbeat {
    /// Runs among the daemon's tasks, for ever.
    pub(super) async fn beat(self) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            self.0.beats.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs on the pages' thread, for ever.
    pub(super) async fn look(self) {
        let mut ticks = ticks();
        let mut seen = None;
        loop {
            ticks.tick().await;
            let beats = Some(self.0.beats.load(Ordering::Relaxed));
            if seen == beats {
                self.0.missed.fetch_add(1, Ordering::Relaxed);
            } else {
                self.0.missed.store(0, Ordering::Relaxed);
            }
            seen = beats;
        }
    }

    /// For how many seconds no task has run, if that is too long.
    pub(super) fn hung(&self) -> Option<u64> {
        Some(self.0.missed.load(Ordering::Relaxed)).filter(|missed| *missed >= HUNG)
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heart_that_stops_is_noticed_and_one_that_goes_on_is_well() {
        let heartbeat = Heartbeat::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeat.clone().look());
        let beating = tasks.spawn(heartbeat.clone().beat());
        tokio::time::sleep(SECOND * 100).await;
        assert_eq!(heartbeat.hung(), None);
        beating.abort();
        tokio::time::sleep(SECOND * 25).await;
        assert_eq!(heartbeat.hung(), None);
        tokio::time::sleep(SECOND * 10).await;
        assert!(heartbeat.hung().is_some_and(|missed| missed >= HUNG));
        tasks.spawn(heartbeat.clone().beat());
        tokio::time::sleep(SECOND * 3).await;
        assert_eq!(heartbeat.hung(), None);
    }
}
