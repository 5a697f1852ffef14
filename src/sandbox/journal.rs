//! What was asked and answered: counts, the last requests, the last refusals.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::endpoint::Endpoint;

/// How many requests are remembered one by one.
const REQUESTS_KEPT: usize = 2000;

/// How many refusals are remembered.
const REFUSALS_KEPT: usize = 100;

/// One request, as the log shows it.
pub(super) struct Entry {
    pub(super) at_ms: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) endpoint: Endpoint,
    /// The status sent, or `hang` or `reset`.
    pub(super) outcome: String,
}

/// One refusal, as the page shows it.
pub(super) struct Refusal {
    pub(super) at_ms: u64,
    pub(super) endpoint: Endpoint,
    pub(super) status: u16,
    pub(super) message: String,
}

/// Everything that happened since the start or the last reset.
#[derive(Default)]
pub(super) struct Journal {
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    log: VecDeque<Entry>,
    refusals: VecDeque<Refusal>,
}

impl Journal {
    pub(super) fn enter(&mut self, entry: Entry) {
        let counts = self.counts.entry(entry.endpoint.name().into_owned()).or_default();
        *counts.entry(entry.outcome.clone()).or_default() += 1;
        self.log.push_back(entry);
        if self.log.len() > REQUESTS_KEPT {
            self.log.pop_front();
        }
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.refusals.push_back(refusal);
        if self.refusals.len() > REFUSALS_KEPT {
            self.refusals.pop_front();
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    /// `{"<endpoint>": {"<status>": n}}`.
    pub(super) fn counts(&self) -> &BTreeMap<String, BTreeMap<String, u64>> {
        &self.counts
    }

    /// Newest first.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.refusals.iter().rev()
    }

    /// Newest last.
    pub(super) fn log_json(&self) -> Value {
        let entries = self.log.iter().map(|entry| {
            json!({
                "at_ms": entry.at_ms,
                "method": entry.method,
                "path": entry.path,
                "endpoint": entry.endpoint.name(),
                "status": entry.outcome,
            })
        });
        entries.collect()
    }

    /// Newest last.
    pub(super) fn refusals_json(&self) -> Value {
        let refusals = self.refusals.iter().map(|refusal| {
            json!({
                "at_ms": refusal.at_ms,
                "endpoint": refusal.endpoint.name(),
                "status": refusal.status,
                "message": refusal.message,
            })
        });
        refusals.collect()
    }
}
