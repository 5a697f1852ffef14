//! What is noticed while one event is mapped: problems, ignored traits, omitted values. Everything that maps adds to
//! it.

use std::collections::HashSet;

use super::position::{At, TraitPath};
use crate::mapping::{Ignored, Omitted, Recorded, SetField};
use crate::outcome::{DeadLetterReason, LISTED_PROBLEMS, Problem, Refusal};
use crate::schema::{Entity, Selector};

#[derive(Debug, Default)]
pub(in crate::mapping) struct Findings {
    problems: Vec<(At, DeadLetterReason, Problem)>,
    /// How many problems there were, those dropped from `problems` included.
    found: usize,
    ignored: usize,
    omitted: Vec<Omitted>,
    /// Paths that an override of the contact has read, also inside `company` and `deal`.
    pub(in crate::mapping) overridden: HashSet<String>,
    /// Selectors that would settle what a value means.
    pub(in crate::mapping) needs: Vec<Selector>,
    /// Kept only where somebody asks which trait set which field, and which none.
    recorded: Option<Recorded>,
}

impl Findings {
    /// Findings that also keep which trait set which field.
    pub(in crate::mapping) fn recording() -> Self {
        Self { recorded: Some(Recorded::default()), ..Self::default() }
    }

    pub(in crate::mapping) fn is_recording(&self) -> bool {
        self.recorded.is_some()
    }

    pub(in crate::mapping) fn record_set(&mut self, set: impl FnOnce() -> SetField) {
        if let Some(recorded) = &mut self.recorded {
            recorded.set.push(set());
        }
    }

    pub(in crate::mapping) fn record_null(&mut self, entity: Entity, trait_path: impl FnOnce() -> String) {
        if let Some(recorded) = &mut self.recorded {
            recorded.nulls.push((entity, trait_path()));
        }
    }

    pub(in crate::mapping) fn take_recorded(&mut self) -> Recorded {
        self.recorded.take().unwrap_or_default()
    }

    pub(in crate::mapping) fn problem(&mut self, at: At, reason: DeadLetterReason, problem: Problem) {
        self.found += 1;
        self.problems.push((at, reason, problem));
        // Only the first problems in the document are reported. Sorting each time that twice as many have gathered
        // keeps the work linear and the memory bounded.
        if self.problems.len() >= 2 * LISTED_PROBLEMS {
            self.keep_first();
        }
    }

    fn keep_first(&mut self) {
        self.problems.sort_by_key(|(at, ..)| *at);
        self.problems.truncate(LISTED_PROBLEMS);
    }

    pub(in crate::mapping) fn refuse(&mut self, at: At, refusal: Refusal) {
        for problem in refusal.problems {
            self.problem(at, refusal.reason, problem);
        }
    }

    pub(in crate::mapping) fn ignore(
        &mut self,
        entity: Entity,
        trait_path: impl FnOnce() -> String,
        why: &'static str,
    ) {
        self.ignored += 1;
        if let Some(recorded) = &mut self.recorded {
            recorded.ignored.push(Ignored { entity, trait_path: trait_path(), why });
        }
    }

    /// Whether an override of the contact has read this path.
    pub(in crate::mapping) fn is_overridden(&self, path: &TraitPath<'_>) -> bool {
        !self.overridden.is_empty() && self.overridden.contains(&path.text())
    }

    pub(in crate::mapping) fn omit(&mut self, omitted: Omitted) {
        self.omitted.push(omitted);
    }

    /// The number of values omitted so far, for [`omit_whole`](Self::omit_whole).
    pub(in crate::mapping) fn omitted(&self) -> usize {
        self.omitted.len()
    }

    /// Omits a whole record in place of its single values, which are those omitted since there were `before`.
    pub(in crate::mapping) fn omit_whole(&mut self, before: usize, omitted: Omitted) {
        self.omitted.truncate(before);
        self.omitted.push(omitted);
    }

    pub(in crate::mapping) fn problem_count(&self) -> usize {
        self.found
    }

    /// The refusal if there was a problem, the number of ignored traits, and the omitted values.
    pub(in crate::mapping) fn finish(mut self) -> (Option<Refusal>, usize, Vec<Omitted>) {
        self.keep_first();
        let reason = self.problems.first().map(|(_, reason, _)| *reason);
        let mut problems: Vec<_> = self.problems.into_iter().map(|(.., problem)| problem).collect();
        problems.extend(Problem::further(self.found.saturating_sub(problems.len())));
        (reason.map(|reason| Refusal { reason, problems, http_status: None }), self.ignored, self.omitted)
    }
}
