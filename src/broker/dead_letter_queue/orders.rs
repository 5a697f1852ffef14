//! What a person asks for, and how far it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::LetterQueueError;
use crate::dead_letter::{Letter, LetterFilter, ListedLetter};

/// The most causes of failures that are told apart.
const MOST_CAUSES: usize = 20;

/// Says whether a letter may go.
pub type LetterJudge = Arc<dyn Fn(&Letter, &ListedLetter) -> LetterVerdict + Send + Sync>;

/// What a judge says of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterVerdict {
    /// It may go.
    Goes,
    /// It must not, for this reason, and stays.
    Stays(String),
    /// What it depends on is not known, for this reason; it stays.
    Unknown(String),
}

/// Told the account and the reason of each letter that was replayed or dropped.
pub type LetterCounter = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Whether the configuration has an account of this name. Asked about each letter, as a reload may take one out meanwhile.
pub type LetterAccounts = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// To replay or to drop letters.
#[derive(Clone)]
pub struct LetterOrder {
    /// Which letters.
    pub filter: LetterFilter,
    /// Who asks for it; stands in the log, and in the tags of consumers.
    pub who: String,
    /// A letter of any other account stays.
    pub accounts: LetterAccounts,
    /// The most letters a second.
    pub rate: Option<f64>,
    /// Asked about each letter that matches.
    pub judge: Option<LetterJudge>,
    #[expect(missing_docs, reason = "described at its type")]
    pub counter: Option<LetterCounter>,
}

impl fmt::Debug for LetterOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LetterOrder")
            .field("filter", &self.filter)
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}

/// How it stands with an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Nothing was looked at yet: the broker is being reached, and nobody else may take letters out.
    #[default]
    Starting,
    /// It goes on.
    Running,
    /// All that matched were tried.
    Done,
    /// It was stopped; the rest stays.
    Stopped,
    /// Why it ended early.
    Failed(String),
}

/// How far an order is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LetterProgress {
    /// Letters that were there at the start.
    pub at_start: u64,
    /// Letters of those that were looked at.
    pub seen: u64,
    /// Letters that the filter means, among those looked at.
    pub matched: u64,
    /// Sent back or dropped.
    pub done: u64,
    #[expect(missing_docs, reason = "described at its type")]
    #[serde(flatten)]
    pub stay: StayingLetters,
    /// The id of the first letter that was done.
    pub first: Option<String>,
    /// The id of the last letter that was done.
    pub last: Option<String>,
    #[expect(missing_docs, reason = "described at its type")]
    pub state: LetterState,
}

/// Letters that were meant, and stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StayingLetters {
    /// Could not be sent back.
    pub failed: u64,
    /// Judged to stay: they would fail again.
    pub skipped: u64,
    /// Could not be judged.
    pub unknown: u64,
    /// Why they stay, and how many; the first causes only.
    pub causes: BTreeMap<String, u64>,
}

impl StayingLetters {
    /// How many.
    pub const fn count(&self) -> u64 {
        self.failed + self.skipped + self.unknown
    }

    pub(super) fn failed(&mut self, why: &str) {
        self.failed += 1;
        self.add_cause(why);
    }

    /// Counts a letter that must stay. True if it may go.
    pub fn may_go(&mut self, verdict: LetterVerdict) -> bool {
        let (stay, why) = match verdict {
            LetterVerdict::Goes => return true,
            LetterVerdict::Stays(why) => (&mut self.skipped, why),
            LetterVerdict::Unknown(why) => (&mut self.unknown, why),
        };
        *stay += 1;
        self.add_cause(&why);
        false
    }

    fn add_cause(&mut self, why: &str) {
        if let Some(count) = self.causes.get_mut(why) {
            *count += 1;
        } else if self.causes.len() < MOST_CAUSES {
            self.causes.insert(why.to_owned(), 1);
        }
    }
}

/// Waits for the end of an order, publishes its last state, and logs who did what, if anything was to be done.
pub(super) async fn conclude(
    what: &'static str,
    order: &LetterOrder,
    progress: &watch::Sender<LetterProgress>,
    outcome: impl Future<Output = Result<LetterState, LetterQueueError>>,
) -> Result<LetterProgress, LetterQueueError> {
    let (began, started) = (Instant::now(), Timestamp::now());
    let outcome = outcome.await;
    let state = match &outcome {
        Ok(state) => state.clone(),
        Err(error) => LetterState::Failed(error.to_string()),
    };
    progress.send_modify(|progress| progress.state = state);
    let end = progress.borrow().clone();
    if end.state == LetterState::Done && end.matched == 0 {
        return outcome.map(|_| end);
    }
    let why = if let LetterState::Failed(why) = &end.state { Some(why.as_str()) } else { None };
    tracing::info!(
        who = order.who,
        filter = %order.filter,
        letters = end.done,
        failed = end.stay.failed,
        skipped = end.stay.skipped,
        unknown = end.stay.unknown,
        first = end.first,
        last = end.last,
        started = %started,
        duration_s = began.elapsed().as_secs(),
        stopped = end.state == LetterState::Stopped,
        why,
        "{what}"
    );
    outcome.map(|_| end)
}
