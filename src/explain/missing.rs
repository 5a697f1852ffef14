//! Which traits of a sample of events have no field, and how often.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::explainer::Explainer;
use super::explanation::Explanation;
use crate::delivery::AccountName;
use crate::outcome::DeadLetterReason;

/// So many traits are kept apart: senders may make names of values.
const MOST_KEPT_TRAITS: usize = 10_000;
/// So many like names are told.
const MOST_NEAREST: usize = 3;

/// A trait that has no field in an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingTrait {
    #[expect(missing_docs, reason = "as it says")]
    pub account: String,
    /// Its path as the senders wrote it.
    #[serde(rename = "trait")]
    pub trait_path: String,
    /// How many events have it.
    pub events: u64,
    /// Traits of like names that have a field, the most alike first.
    pub nearest: Vec<String>,
    /// `unknown_custom_field` if it makes its event a dead letter; `None` if it is ignored.
    pub reason: Option<&'static str>,
}

/// Traits without a field, as they are found.
#[derive(Debug, Default)]
pub struct MissingTraits {
    found: BTreeMap<(AccountName, String), u64>,
    events: BTreeMap<AccountName, u64>,
    left_out: u64,
}

impl MissingTraits {
    /// Takes what is said of one event.
    pub fn add(&mut self, explanation: &Explanation) {
        let Some(account) = &explanation.account else { return };
        *self.events.entry(account.clone()).or_default() += 1;
        let ignored = explanation.ignored.iter().filter(|ignored| ignored.has_no_field());
        for trait_path in ignored.map(|ignored| &ignored.trait_path).collect::<BTreeSet<_>>() {
            let key = (account.clone(), trait_path.clone());
            if self.found.len() >= MOST_KEPT_TRAITS && !self.found.contains_key(&key) {
                self.left_out += 1;
                continue;
            }
            *self.found.entry(key).or_default() += 1;
        }
    }

    /// The accounts that have events, and how many.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountName, u64)> {
        self.events.iter().map(|(account, events)| (account, *events))
    }

    /// How often a trait was not counted, because there are too many different ones.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All of them by account, the most frequent first. `refused`: whether a trait of an account makes dead letters.
    pub fn sorted(&self, explainer: &Explainer, refused: impl Fn(&str, &str) -> bool) -> Vec<MissingTrait> {
        let reason = DeadLetterReason::UnknownCustomField.as_str();
        let missing = |((account, trait_path), events): (&(AccountName, String), &u64)| MissingTrait {
            account: account.to_string(),
            trait_path: trait_path.clone(),
            events: *events,
            nearest: explainer
                .account(account)
                .map(|of| of.alike(trait_path, MOST_NEAREST))
                .unwrap_or_default(),
            reason: refused(account, trait_path).then_some(reason),
        };
        let mut all: Vec<MissingTrait> = self.found.iter().map(missing).collect();
        // Stable: equals stay in the order of their names.
        all.sort_by(|one, other| one.account.cmp(&other.account).then(other.events.cmp(&one.events)));
        all
    }
}
