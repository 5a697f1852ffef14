//! What state a lane is in, told in one place: the metric, the log and the status page agree.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::progress::{Mark, Pulse, Stuck};
use crate::delivery::AccountName;
use crate::freshsales::BudgetKind;
use crate::lane::budget::Impediment;
use crate::metrics::AccountMetrics;

/// The state of a lane, the gravest first where several hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Credentials are refused; messages are kept and it is tried again slowly.
    Unauthorized,
    /// The account's fields are not known yet.
    WaitingForSchema,
    /// Told to slow down, or out of quota.
    Throttled,
    /// Freshsales is down, unreachable or answers nonsense.
    Retrying,
    /// All is well.
    Flowing,
    /// Nothing was delivered to this replica; another one may be serving the lane.
    Standby,
}

impl LaneState {
    const ALL: [Self; 6] = [
        Self::Unauthorized,
        Self::WaitingForSchema,
        Self::Throttled,
        Self::Retrying,
        Self::Flowing,
        Self::Standby,
    ];

    /// The label in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::WaitingForSchema => "waiting_for_schema",
            Self::Throttled => "throttled",
            Self::Retrying => "retrying",
            Self::Flowing => "flowing",
            Self::Standby => "standby",
        }
    }
}

/// What the lane as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Phase {
    Standby,
    WaitingForSchema,
    Active,
}

/// What a person sees of a lane.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// The account.
    pub account: AccountName,
    /// Now.
    pub state: LaneState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not flowing, in words; empty if it is.
    pub why: String,
}

/// Where a lane's state is written. Shared with the status page.
#[derive(Debug)]
pub struct LaneStatus {
    account: AccountName,
    metrics: AccountMetrics,
    inner: Mutex<Inner>,
    pulse: Mutex<Pulse>,
    /// Whether it was stuck when it was last looked at.
    told: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    api: Option<Impediment>,
    tracking: Option<Impediment>,
    why: String,
    state: LaneState,
    since: Timestamp,
}

impl LaneStatus {
    /// A lane in standby.
    pub fn new(account: AccountName, metrics: AccountMetrics) -> Self {
        let state = LaneState::Standby;
        for candidate in LaneState::ALL {
            metrics.lane_state.of(candidate.as_str()).set(i64::from(candidate == state));
        }
        let inner = Inner {
            phase: Phase::Standby,
            api: None,
            tracking: None,
            why: String::new(),
            state,
            since: Timestamp::now(),
        };
        metrics.lane_stuck.set(0);
        let pulse = Mutex::new(Pulse::new(Instant::now()));
        Self { account, metrics, inner: Mutex::new(inner), pulse, told: AtomicBool::new(false) }
    }

    /// What a person sees.
    pub fn view(&self) -> View {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        View { account: self.account.clone(), state: inner.state, since: inner.since, why: inner.why.clone() }
    }

    /// Whether the lane is stuck: it could settle something, and settles nothing for `after`.
    pub fn stuck(&self, after: Duration) -> Option<Stuck> {
        self.pulse(|pulse, now| pulse.stuck(after, now))
    }

    /// Tells if the lane is stuck, or no longer is.
    pub(in crate::lane) fn look(&self, after: Duration) {
        let stuck = self.stuck(after);
        self.metrics.lane_stuck.set(i64::from(stuck.is_some()));
        let told = self.told.swap(stuck.is_some(), Ordering::Relaxed);
        let account = &*self.account;
        match stuck {
            Some(Stuck { seconds, events, why, .. }) if !told => {
                tracing::error!(
                    account,
                    lane.events = events,
                    lane.silent_s = seconds,
                    why,
                    "the lane is stuck"
                );
            }
            None if told => tracing::info!(account, "the lane is no longer stuck"),
            Some(_) | None => {}
        }
    }

    /// Leaves a mark at the end of a turn.
    pub(in crate::lane) fn rests(&self, mark: Mark) {
        self.pulse(|pulse, now| pulse.rests(mark, now));
    }

    /// Leaves a mark at the beginning of a turn.
    pub(in crate::lane) fn wakes(&self) {
        self.pulse(Pulse::wakes);
    }

    /// The session is over.
    pub(in crate::lane) fn halts(&self) {
        self.pulse(|pulse, _| pulse.halts());
    }

    /// To be kept while the lane lives.
    pub(in crate::lane) fn vigil(self: &Arc<Self>) -> TaskGuard {
        TaskGuard(Some(self.clone()))
    }

    fn pulse<T>(&self, look: impl FnOnce(&mut Pulse, Instant) -> T) -> T {
        look(&mut self.pulse.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// The lane does something else now.
    pub(in crate::lane) fn phase(&self, phase: Phase) {
        self.change(|inner| inner.phase = phase);
    }

    /// What keeps the calls of a budget from getting through, and why, without personal data; `None` if nothing does.
    pub(in crate::lane) fn trouble(&self, budget: BudgetKind, trouble: Option<&(Impediment, String)>) {
        self.change(|inner| {
            *inner.slot(budget) = trouble.map(|(trouble, _)| *trouble);
            if let Some((_, why)) = trouble {
                // The state itself does not change then, and a wrong address is the likeliest first mistake.
                if inner.phase == Phase::WaitingForSchema && inner.why != *why {
                    tracing::warn!(account = &*self.account, why, "the account's fields cannot be read yet");
                }
                why.clone_into(&mut inner.why);
            }
        });
    }

    /// Why it is not flowing, where no call told.
    pub(in crate::lane) fn explain(&self, why: &str) {
        self.change(|inner| why.clone_into(&mut inner.why));
    }

    fn change(&self, edit: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        edit(&mut inner);
        let state = inner.state();
        if matches!(state, LaneState::Flowing | LaneState::Standby) {
            inner.why.clear();
        }
        if state == inner.state {
            return;
        }
        let before = std::mem::replace(&mut inner.state, state);
        inner.since = Timestamp::now();
        self.metrics.lane_state.of(before.as_str()).set(0);
        self.metrics.lane_state.of(state.as_str()).set(1);
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
                    why = inner.why,
                    "lane changed"
                );
            }
        }
    }
}

/// Notices the end of a lane that nobody told to end, a panic above all.
pub(in crate::lane) struct TaskGuard(Option<Arc<LaneStatus>>);

impl TaskGuard {
    /// The lane ends as it should.
    pub(in crate::lane) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if let Some(board) = &self.0 {
            board.pulse(Pulse::ended);
        }
    }
}

impl Inner {
    fn slot(&mut self, budget: BudgetKind) -> &mut Option<Impediment> {
        match budget {
            BudgetKind::Api => &mut self.api,
            BudgetKind::Tracking => &mut self.tracking,
        }
    }

    fn state(&self) -> LaneState {
        let has = |trouble| self.api == Some(trouble) || self.tracking == Some(trouble);
        if self.phase == Phase::Standby {
            LaneState::Standby
        } else if has(Impediment::Unauthorized) {
            LaneState::Unauthorized
        } else if self.phase == Phase::WaitingForSchema {
            LaneState::WaitingForSchema
        } else if has(Impediment::Throttled) {
            LaneState::Throttled
        } else if has(Impediment::Retrying) {
            LaneState::Retrying
        } else {
            LaneState::Flowing
        }
    }
}
