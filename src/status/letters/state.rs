//! What is known of the dead letters at one moment. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::{LetterProgress, LetterState, LettersSeen};
use crate::dead_letter::{LetterFilter, LetterGroup};

/// What is known at one moment.
#[derive(Debug, Clone, Default)]
pub(in crate::status) struct LettersState {
    /// What the last whole look saw.
    pub(in crate::status) view: Option<Arc<LetterView>>,
    pub(in crate::status) looking: bool,
    /// Why the last look saw nothing, and when that was.
    pub(in crate::status) problem: Option<(String, Timestamp)>,
    /// No look begins before.
    pub(in crate::status) next_look: Option<Instant>,
    /// The last replay that was started here.
    pub(in crate::status) replay: Option<ReplayView>,
}

/// What a look saw.
#[derive(Debug)]
pub(in crate::status) struct LetterView {
    /// The largest first.
    pub(in crate::status) groups: Vec<LetterGroup>,
    pub(in crate::status) seen: LettersSeen,
    /// When it ended.
    pub(in crate::status) read_at: Timestamp,
}

/// A replay that was started here.
#[derive(Debug, Clone)]
pub(in crate::status) struct ReplayView {
    pub(in crate::status) filter: LetterFilter,
    /// Letters a second.
    pub(in crate::status) rate: Option<f64>,
    pub(in crate::status) started: Timestamp,
    pub(in crate::status) ended: Option<Timestamp>,
    pub(in crate::status) stopping: bool,
    pub(super) progress: watch::Receiver<LetterProgress>,
}

impl ReplayView {
    pub(in crate::status) fn new(
        filter: LetterFilter,
        rate: Option<f64>,
        progress: watch::Receiver<LetterProgress>,
    ) -> Self {
        Self { filter, rate, started: Timestamp::now(), ended: None, stopping: false, progress }
    }

    pub(in crate::status) fn progress(&self) -> LetterProgress {
        self.progress.borrow().clone()
    }

    /// Whether it goes on.
    pub(in crate::status) fn runs(&self) -> bool {
        match self.progress.borrow().state {
            // Its task may have panicked.
            LetterState::Starting | LetterState::Running => self.progress.has_changed().is_ok(),
            LetterState::Done | LetterState::Stopped | LetterState::Failed(_) => false,
        }
    }
}

impl LettersState {
    /// Whether letters are being sent back by this replica.
    pub(in crate::status) fn replays(&self) -> bool {
        self.replay.as_ref().is_some_and(ReplayView::runs)
    }

    /// Whether a look may begin.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.looking && !self.replays() && self.next_look.is_none_or(|next| next <= now)
    }
}
