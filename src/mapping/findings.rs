//! What is noticed while one event is mapped: its problems in their order, and the traits left out.

use std::collections::HashSet;

use super::position::At;
use super::{Ignored, Omitted};
use crate::outcome::{DeadLetterReason, LISTED_PROBLEMS, Problem, Refusal};
use crate::schema::{Entity, Selector};

#[derive(Debug, Default)]
pub(super) struct Findings {
    flaws: Vec<(At, DeadLetterReason, Problem)>,
    /// How many there were, those that are not told included.
    found: usize,
    ignored: Vec<Ignored>,
    omitted: Vec<Omitted>,
    /// Paths that an override of the contact has read, even inside `company` and `deal`.
    pub(super) overridden: HashSet<String>,
    /// Selectors that might tell what a value means.
    pub(super) needs: Vec<Selector>,
}

impl Findings {
    pub(super) fn flaw(&mut self, at: At, reason: DeadLetterReason, problem: Problem) {
        self.found += 1;
        self.flaws.push((at, reason, problem));
        // Of many only the first in the document are told. Twice as many are let in, so that sorting costs little.
        if self.flaws.len() >= 2 * LISTED_PROBLEMS {
            self.keep_first();
        }
    }

    fn keep_first(&mut self) {
        self.flaws.sort_by_key(|(at, ..)| *at);
        self.flaws.truncate(LISTED_PROBLEMS);
    }

    pub(super) fn refuse(&mut self, at: At, refusal: Refusal) {
        for problem in refusal.problems {
            self.flaw(at, refusal.reason, problem);
        }
    }

    pub(super) fn ignore(&mut self, entity: Entity, trait_path: String, why: &'static str) {
        self.ignored.push(Ignored { entity, trait_path, why });
    }

    pub(super) fn omit(&mut self, omitted: Omitted) {
        self.omitted.push(omitted);
    }

    /// How many values are left out so far.
    pub(super) fn omitted(&self) -> usize {
        self.omitted.len()
    }

    /// A whole record is left out, and with it what was left out of it since there were so many.
    pub(super) fn omit_whole(&mut self, before: usize, omitted: Omitted) {
        self.omitted.truncate(before);
        self.omitted.push(omitted);
    }

    /// How many problems were found so far.
    pub(super) fn flaws(&self) -> usize {
        self.found
    }

    /// The refusal, if there is any reason for one; what was ignored; and what was left out.
    pub(super) fn finish(mut self) -> (Option<Refusal>, Vec<Ignored>, Vec<Omitted>) {
        self.keep_first();
        let reason = self.flaws.first().map(|(_, reason, _)| *reason);
        let mut problems: Vec<_> = self.flaws.into_iter().map(|(.., problem)| problem).collect();
        problems.extend(Problem::further(self.found.saturating_sub(problems.len())));
        (reason.map(|reason| Refusal { reason, problems, http_status: None }), self.ignored, self.omitted)
    }
}
