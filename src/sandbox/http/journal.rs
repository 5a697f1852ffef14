//! What was asked and answered: counts, the last requests, the last refusals.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::endpoint::ApiEndpoint;

/// How many requests are remembered one by one.
const REQUESTS_KEPT: usize = 2000;

/// How many refusals are remembered.
const REFUSALS_KEPT: usize = 100;

/// One request, as the log shows it.
pub(in crate::sandbox) struct RequestEntry {
    pub(in crate::sandbox) at_ms: u64,
    pub(in crate::sandbox) method: String,
    pub(in crate::sandbox) path: String,
    pub(in crate::sandbox) endpoint: ApiEndpoint,
    /// The status sent, or `hang` or `reset`.
    pub(in crate::sandbox) outcome: String,
}

/// One refusal, as the page shows it.
pub(in crate::sandbox) struct RefusalEntry {
    pub(in crate::sandbox) at_ms: u64,
    pub(in crate::sandbox) endpoint: ApiEndpoint,
    pub(in crate::sandbox) status: u16,
    pub(in crate::sandbox) message: String,
}

/// Everything that happened since the start or the last reset.
#[derive(Default)]
pub(in crate::sandbox) struct Journal {
    counts: BTreeMap<String, BTreeMap<String, u64>>,
    log: VecDeque<RequestEntry>,
    refusals: VecDeque<RefusalEntry>,
}

impl Journal {
    pub(in crate::sandbox) fn enter(&mut self, entry: RequestEntry) {
        let counts = self.counts.entry(entry.endpoint.name().into_owned()).or_default();
        *counts.entry(entry.outcome.clone()).or_default() += 1;
        self.log.push_back(entry);
        if self.log.len() > REQUESTS_KEPT {
            self.log.pop_front();
        }
    }

    pub(in crate::sandbox) fn refused(&mut self, refusal: RefusalEntry) {
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

    /// Newest first.
    pub(in crate::sandbox) fn refusals(&self) -> impl Iterator<Item = &RefusalEntry> {
        self.refusals.iter().rev()
    }

    /// Newest last.
    pub(in crate::sandbox) fn log_json(&self) -> Value {
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
    pub(in crate::sandbox) fn refusals_json(&self) -> Value {
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
