//! What was requested and answered: counts, the latest requests, and the latest refusals with their messages.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Requests that are kept one by one.
const REQUESTS_KEPT: usize = 2000;

const REFUSALS_KEPT: usize = 100;

/// One request, as the state's `log` shows it.
#[derive(Serialize)]
pub(in crate::sandbox) struct RequestEntry {
    /// Milliseconds since the start.
    pub(super) at_ms: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) endpoint: String,
    /// The status sent, or `hang` or `reset`.
    #[serde(rename = "status")]
    pub(super) outcome: String,
}

/// A refused request, or a refused record of a bulk job, as the state's `refusals` shows it.
#[derive(Serialize)]
pub(in crate::sandbox) struct RefusalEntry {
    /// Milliseconds since the start.
    pub(in crate::sandbox) at_ms: u64,
    pub(in crate::sandbox) endpoint: String,
    pub(in crate::sandbox) status: u16,
    pub(in crate::sandbox) message: String,
}

/// Everything that happened since the start or the last reset.
#[derive(Default)]
pub(in crate::sandbox) struct Journal {
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    requests: VecDeque<RequestEntry>,
    refusals: VecDeque<RefusalEntry>,
}

impl Journal {
    pub(super) fn log(&mut self, entry: RequestEntry) {
        let counts = self.counts.entry(entry.endpoint.clone()).or_default();
        *counts.entry(entry.outcome.clone()).or_default() += 1;
        self.requests.push_back(entry);
        if self.requests.len() > REQUESTS_KEPT {
            self.requests.pop_front();
        }
    }

    pub(super) fn note_refusal(&mut self, refusal: RefusalEntry) {
        self.refusals.push_back(refusal);
        if self.refusals.len() > REFUSALS_KEPT {
            self.refusals.pop_front();
        }
    }

    pub(in crate::sandbox) fn total(&self) -> u64 {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    /// `{"<endpoint>": {"<status>": n}}`.
    pub(in crate::sandbox) fn counts(&self) -> &BTreeMap<String, BTreeMap<String, u64>> {
        &self.counts
    }

    /// Newest last.
    pub(in crate::sandbox) fn requests(&self) -> &VecDeque<RequestEntry> {
        &self.requests
    }

    /// Newest last.
    pub(in crate::sandbox) fn refusals(&self) -> &VecDeque<RefusalEntry> {
        &self.refusals
    }
}
