//! What several pages show alike.

use jiff::Timestamp;

use crate::fleet::LastError;
use crate::lane::RemovedAccount;
use crate::status::view::concern::Concern;
use crate::status::view::words::{TimeShown, slug};

/// Something that wants a person.
#[derive(Debug)]
pub(super) struct ConcernShown {
    pub(super) account: Option<String>,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) since: Option<TimeShown>,
    pub(super) remedy: &'static str,
    pub(super) runbook: Option<RunbookLink>,
}

#[derive(Debug)]
pub(super) struct RunbookLink {
    pub(super) slug: String,
    pub(super) title: &'static str,
}

impl ConcernShown {
    pub(super) fn of(concern: Concern, now: Timestamp) -> Self {
        let Concern { account, what, why, since, remedy, runbook, .. } = concern;
        let since = since.map(|since| TimeShown::relative(since, now));
        let runbook = runbook.map(|title| RunbookLink { slug: slug(title), title });
        Self { account, what, why, since, remedy, runbook }
    }
}

/// What last went wrong.
#[derive(Debug)]
pub(super) struct ErrorShown {
    pub(super) at: TimeShown,
    pub(super) words: String,
}

impl ErrorShown {
    pub(super) fn of(error: &LastError, now: Timestamp) -> Self {
        Self { at: TimeShown::relative(error.at, now), words: error.words.clone() }
    }
}

/// An account that was taken out of the configuration.
#[derive(Debug)]
pub(super) struct RemovedShown {
    pub(super) account: String,
    pub(super) removed: TimeShown,
}

impl RemovedShown {
    pub(super) fn of(removed: &RemovedAccount, now: Timestamp) -> Self {
        let RemovedAccount { account, removed } = removed;
        Self { account: account.to_string(), removed: TimeShown::relative(*removed, now) }
    }
}
