//! What a lane shows of itself. The lane writes it at each turn; the metric, the log, the status page and the watchdog
//! read the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::facts::LaneFacts;
use super::lane_state::LaneState;
use super::progress::{Progress, Stuck, TurnEnd};
use super::wait::{Wait, WaitReason};
use crate::delivery::AccountName;
use crate::metrics::AccountMetrics;

/// Whether a lane has work from its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Phase {
    /// No event came in this session.
    Standby,
    Active,
    /// The session is over and its last calls are in flight: people see what they saw last.
    Stopping,
}

/// What a person sees of a lane.
#[derive(Debug, Clone, Serialize)]
pub struct LaneView {
    /// The account.
    pub account: AccountName,
    /// The state now.
    pub state: LaneState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not flowing, in words; empty if it is.
    pub why: String,
}

/// Where a lane's state is written, by the lane alone.
#[derive(Debug)]
pub struct LaneStatus {
    account: AccountName,
    metrics: AccountMetrics,
    current: Mutex<Current>,
    facts: Mutex<LaneFacts>,
}

#[derive(Debug)]
struct Current {
    state: LaneState,
    since: Timestamp,
    why: String,
    progress: Progress,
    /// The log says that it is stuck.
    reported_stuck: bool,
}

impl LaneStatus {
    /// A lane in standby.
    pub fn new(account: AccountName, metrics: AccountMetrics) -> Self {
        let state = LaneState::Standby;
        metrics.lane.state.of(state.as_str()).set(1);
        let current = Current {
            state,
            since: Timestamp::now(),
            why: String::new(),
            progress: Progress::new(Instant::now()),
            reported_stuck: false,
        };
        Self { account, metrics, current: Mutex::new(current), facts: Mutex::default() }
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Current) -> T) -> T {
        edit(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose lane it is.
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// What the lane noted so far.
    pub fn facts(&self) -> LaneFacts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::lane) fn note<T>(&self, note: impl FnOnce(&mut LaneFacts) -> T) -> T {
        note(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many events are on hand, the oldest of them queued then.
    pub(in crate::lane) fn note_on_hand(&self, unsettled: usize, oldest: Option<Timestamp>) {
        let before = self.note(|facts| {
            facts.deliveries.unsettled = unsettled;
            std::mem::replace(&mut facts.deliveries.oldest, oldest)
        });
        if before != oldest {
            self.metrics.lane.oldest.set(oldest.map_or(0.0, |oldest| oldest.as_duration().as_secs_f64()));
        }
    }

    /// A call failed, in these words.
    pub(in crate::lane) fn note_error(&self, words: String) {
        self.note(|facts| facts.last_error = Some((Timestamp::now(), words)));
    }

    /// What a person sees.
    pub fn view(&self) -> LaneView {
        let account = self.account.clone();
        self.edit(|current| LaneView {
            account,
            state: current.state,
            since: current.since,
            why: current.why.clone(),
        })
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Timestamp {
        self.edit(|current| current.since)
    }

    /// Whether the lane is stuck: it could settle something, and settles nothing for `after`.
    pub fn stuck(&self, after: Duration) -> Option<Stuck> {
        self.edit(|current| current.progress.stuck(after, Instant::now()))
    }

    /// Logs when the lane becomes stuck, and when it no longer is.
    pub(super) fn report_stuck(&self, after: Duration) {
        let stuck = self.stuck(after);
        // A lane without events has no such series.
        if stuck.is_some() || self.metrics.lane.stuck.made().is_some() {
            self.metrics.lane.stuck.set(i64::from(stuck.is_some()));
        }
        let before = self.edit(|current| std::mem::replace(&mut current.reported_stuck, stuck.is_some()));
        let account = &*self.account;
        match stuck {
            Some(Stuck { seconds, events, why, .. }) if !before => {
                tracing::error!(
                    account,
                    lane.events = events,
                    lane.stuck_s = seconds,
                    why,
                    "the lane is stuck"
                );
            }
            None if before => tracing::info!(account, "the lane is no longer stuck"),
            Some(_) | None => {}
        }
    }

    /// Shows why the lane waits now. It is also shown within a turn, so that nobody sees an event settled and the wait
    /// that its answer ended.
    pub(in crate::lane) fn show(&self, phase: Phase, wait: Option<&Wait<'_>>) {
        let state = match phase {
            Phase::Standby => LaneState::Standby,
            Phase::Active => wait.map_or(LaneState::Flowing, |wait| wait.reason.state()),
            Phase::Stopping => return,
        };
        self.edit(|current| self.change(current, state, wait));
    }

    fn change(&self, current: &mut Current, state: LaneState, wait: Option<&Wait<'_>>) {
        if matches!(state, LaneState::Flowing | LaneState::Standby) {
            current.why.clear();
        } else if let Some(wait) = wait
            && let Some(why) = wait.why.filter(|why| *why != current.why)
        {
            // The state does not change then, and a wrong url is the likeliest first mistake.
            if wait.reason == WaitReason::SchemaBlocked {
                tracing::warn!(account = &*self.account, why, "the account's fields cannot be read yet");
            }
            why.clone_into(&mut current.why);
        }
        if state == current.state {
            return;
        }
        let before = std::mem::replace(&mut current.state, state);
        current.since = Timestamp::now();
        self.metrics.lane.state.of(before.as_str()).set(0);
        self.metrics.lane.state.of(state.as_str()).set(1);
        let account = &*self.account;
        match state {
            LaneState::Flowing | LaneState::Standby | LaneState::WaitingForSchema => {
                tracing::info!(
                    account,
                    lane.state = state.as_str(),
                    lane.before = before.as_str(),
                    "lane changed"
                );
            }
            LaneState::Unauthorized | LaneState::Throttled | LaneState::Retrying => {
                tracing::warn!(
                    account,
                    lane.state = state.as_str(),
                    lane.before = before.as_str(),
                    why = current.why,
                    "lane changed"
                );
            }
        }
    }
}

/// Held by the lane's task. Dropped without [`TaskGuard::finished`], the task ended early, most likely by a panic.
pub(in crate::lane) struct TaskGuard(Option<Arc<LaneStatus>>);

impl TaskGuard {
    pub(in crate::lane) fn new(status: Arc<LaneStatus>) -> Self {
        Self(Some(status))
    }

    /// The lane begins to work on an event, an answer or a timer.
    pub(in crate::lane) fn turn_started(&self) {
        self.progress(Progress::turn_started);
    }

    /// The lane waits for the next one.
    pub(in crate::lane) fn turn_ended(&self, end: TurnEnd) {
        self.progress(|progress, now| progress.turn_ended(end, now));
    }

    /// Only calls in flight are left; they end by themselves or at a deadline.
    pub(in crate::lane) fn session_ended(&self) {
        self.progress(|progress, _| progress.session_ended());
    }

    /// The task ends as it should.
    pub(in crate::lane) fn finished(mut self) {
        self.0 = None;
    }

    fn progress(&self, edit: impl FnOnce(&mut Progress, Instant)) {
        if let Some(status) = &self.0 {
            status.edit(|current| edit(&mut current.progress, Instant::now()));
        }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.progress(Progress::task_ended_early);
    }
}
