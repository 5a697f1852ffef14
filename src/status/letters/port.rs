//! What the pages have of the dead letters. Asks the worker, and waits for it a moment at most.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::state::LettersState;
use crate::broker::LetterQueueError;
use crate::dead_letter::LetterFilter;

/// What wants to be done at once; more is refused.
const MOST_TASKS_WAITING: usize = 16;
/// How long who asks first waits for the letters to be read.
const FIRST_LOOK_WAIT: Duration = Duration::from_secs(2);
/// The same where something older can be shown.
const NEW_LOOK_WAIT: Duration = Duration::from_millis(500);
/// Until a replay has begun, or could not begin. Shorter than a connection to the pages may last.
const BEGIN_WAIT: Duration = Duration::from_secs(12);

/// Which letters are to be sent back, and by whom.
#[derive(Debug)]
pub(in crate::status) struct ReplayRequest {
    pub(in crate::status) filter: LetterFilter,
    /// The most letters a second.
    pub(in crate::status) rate: Option<f64>,
    /// Who asks, for the log.
    pub(in crate::status) who: String,
}

#[derive(Debug, thiserror::Error)]
pub(in crate::status) enum ReplayError {
    /// One was started here.
    #[error("letters are being sent back by this replica already; wait for the end, or stop it")]
    Runs,
    /// Somebody else takes letters out.
    #[error("{0}")]
    Claimed(String),
    /// The broker did not let it begin.
    #[error("{0}")]
    Broker(String),
    /// The daemon takes no more.
    #[error("this replica is stopping, or very busy; try again, or ask another one")]
    Busy,
}

impl From<&LetterQueueError> for ReplayError {
    fn from(error: &LetterQueueError) -> Self {
        match error {
            LetterQueueError::Claimed { .. } => Self::Claimed(error.to_string()),
            LetterQueueError::Unreachable(_)
            | LetterQueueError::NoQueue(_)
            | LetterQueueError::Interrupted(_)
            | LetterQueueError::NotPermitted(_)
            | LetterQueueError::Output(_) => Self::Broker(error.to_string()),
        }
    }
}

/// What the worker is asked.
#[derive(Debug)]
pub(in crate::status) enum LetterTask {
    Look,
    Replay(Box<ReplayRequest>, oneshot::Sender<Result<(), ReplayError>>),
    /// Answered with whether there was something to stop.
    Stop(oneshot::Sender<bool>),
}

/// What the pages have of the dead letters.
#[derive(Debug, Clone)]
pub struct LetterPort {
    commands: mpsc::Sender<LetterTask>,
    state: watch::Receiver<LettersState>,
}

impl LetterPort {
    pub(super) fn new(state: watch::Receiver<LettersState>) -> (Self, mpsc::Receiver<LetterTask>) {
        let (commands, taken) = mpsc::channel(MOST_TASKS_WAITING);
        (Self { commands, state }, taken)
    }

    pub(in crate::status) fn state(&self) -> LettersState {
        self.state.borrow().clone()
    }

    /// Has the letters read where that is due, and waits a moment for it.
    pub(in crate::status) async fn refresh(&self) {
        let mut state = self.state.clone();
        let (due, looking, wait) = {
            let known = state.borrow_and_update();
            let wait = if known.view.is_some() { NEW_LOOK_WAIT } else { FIRST_LOOK_WAIT };
            (known.is_due(Instant::now()), known.looking, wait)
        };
        if !due && !looking {
            return;
        }
        if due && self.commands.try_send(LetterTask::Look).is_err() {
            return;
        }
        let ended = async {
            // It has not begun yet, perhaps.
            if due && state.changed().await.is_err() {
                return;
            }
            state.wait_for(|state| !state.looking).await.ok();
        };
        tokio::time::timeout(wait, ended).await.ok();
    }

    /// Has letters sent back. Returns once that has begun, or after a while.
    pub(in crate::status) async fn replay(&self, request: ReplayRequest) -> Result<(), ReplayError> {
        let (reply, begun) = oneshot::channel();
        self.commands
            .try_send(LetterTask::Replay(Box::new(request), reply))
            .map_err(|_| ReplayError::Busy)?;
        match tokio::time::timeout(BEGIN_WAIT, begun).await {
            Ok(begun) => begun.map_err(|_| ReplayError::Busy)?,
            // Its state says how it goes on.
            Err(_) => Ok(()),
        }
    }

    /// Ends a replay in good order. Whether there was one.
    pub(in crate::status) async fn stop(&self) -> Result<bool, ReplayError> {
        let (reply, stopped) = oneshot::channel();
        self.commands.try_send(LetterTask::Stop(reply)).map_err(|_| ReplayError::Busy)?;
        let stopped = tokio::time::timeout(BEGIN_WAIT, stopped).await.map_err(|_| ReplayError::Busy)?;
        stopped.map_err(|_| ReplayError::Busy)
    }
}
