//! Whether the daemon's threads still run its tasks, observed from the pages' thread.
//!
//! A task of the daemon beats once a second, and the pages' thread checks once a second. It counts the checks in a row that
//! saw no beat, not the time: in a process that is suspended and resumed, both stand still together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

const SECOND: Duration = Duration::from_secs(1);
/// So many missed beats mean that the daemon hangs: no task runs that long without yielding.
const HUNG_AFTER: u64 = 30;

/// Clones share their counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat(Arc<Beats>);

#[derive(Debug, Default)]
struct Beats {
    beats: AtomicU64,
    /// Checks in a row that saw no beat.
    missed: AtomicU64,
}

impl Heartbeat {
    /// Runs among the daemon's tasks. Never returns.
    pub(super) async fn beat(self) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            self.0.beats.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs on the pages' thread. Never returns.
    pub(super) async fn watch(self) {
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

    /// For how many seconds no task has run, if that is long enough to count as hung.
    pub(super) fn hung_for(&self) -> Option<u64> {
        Some(self.0.missed.load(Ordering::Relaxed)).filter(|missed| *missed >= HUNG_AFTER)
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
    async fn a_daemon_hangs_while_its_task_does_not_beat() {
        let heartbeat = Heartbeat::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeat.clone().watch());
        let beating = tasks.spawn(heartbeat.clone().beat());
        tokio::time::sleep(SECOND * 100).await;
        assert_eq!(heartbeat.hung_for(), None);
        beating.abort();
        tokio::time::sleep(SECOND * 25).await;
        assert_eq!(heartbeat.hung_for(), None);
        tokio::time::sleep(SECOND * 10).await;
        assert!(heartbeat.hung_for().is_some_and(|missed| missed >= HUNG_AFTER));
        tasks.spawn(heartbeat.clone().beat());
        tokio::time::sleep(SECOND * 3).await;
        assert_eq!(heartbeat.hung_for(), None);
    }
}
