//! All ways of an event. They are cut into stages, one for each record that is written: how the sales account came to be
//! written makes no difference to the contact after it. So a stage is explored once, however many ways lead to it.

use std::collections::BTreeSet;

use super::condition::{Together, Ways, add};
use super::placeholders::Placeholders;
use super::walk::{EventWalker, LedTo, Way, conditions};
use super::{Foreseen, ForeseenRequest};
use crate::freshsales::{Call, Endpoint};
use crate::outcome::{DeadLetterReason, Outcome};
use crate::schema::Entity;

/// So many calls are walked for one event; the rest is not foreseen. No event needs as many.
const MOST_NODES: usize = 5000;

/// All stages, in the order in which they are reached.
#[derive(Default)]
pub(super) struct Foresight {
    stages: Vec<RecordStage>,
    nodes: usize,
}

/// What may be sent for one record.
struct RecordStage {
    kind: StageKind,
    /// The call that begins it.
    first: Option<Call>,
    /// The answers that lead to it, on the first way that did.
    chosen: Vec<usize>,
    /// The conditions under which it is reached.
    reached: Ways,
    requests: Vec<(Call, Ways)>,
    exits: Vec<Exit>,
}

/// A way out of a stage.
struct Exit {
    calls: u32,
    refused: bool,
    conditions: Together,
    /// The stage it leads to; `None` if the event ends.
    next: Option<usize>,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum StageKind {
    Beginning,
    SalesAccount,
    Contact,
    Deal,
}

impl StageKind {
    /// The stage that a call begins, if it is the first of its kind.
    fn begun_by(call: &Call) -> Option<Self> {
        match call.endpoint {
            Endpoint::Upsert(Entity::SalesAccount) => Some(Self::SalesAccount),
            Endpoint::Upsert(Entity::Contact) | Endpoint::ContactUpdate => Some(Self::Contact),
            Endpoint::ContactRead if call.query.iter().any(|(_, what)| what.contains("deals")) => {
                Some(Self::Deal)
            }
            Endpoint::Upsert(Entity::Deal)
            | Endpoint::DealCreate
            | Endpoint::DealRead
            | Endpoint::DealUpdate => Some(Self::Deal),
            Endpoint::ContactRead
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::Lookup
            | Endpoint::Search(_)
            | Endpoint::Fields(_)
            | Endpoint::Selector(_)
            | Endpoint::BulkUpsert(_)
            | Endpoint::JobStatus
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => None,
        }
    }
}

#[derive(Clone)]
struct Within {
    chosen: Vec<usize>,
    conditions: Together,
    calls: u32,
    refused: bool,
}

impl Foresight {
    pub(super) fn explore(walker: &EventWalker<'_>) -> Self {
        let mut stages = Self::default();
        stages.stage(StageKind::Beginning, None, Vec::new());
        let mut at = 0;
        while at < stages.stages.len() {
            stages.explore_stage(at, walker);
            at += 1;
        }
        stages
    }

    /// The stage that begins with this call; a new one if none does.
    fn stage(&mut self, kind: StageKind, first: Option<Call>, chosen: Vec<usize>) -> usize {
        if let Some(known) = self.stages.iter().position(|stage| stage.kind == kind && stage.first == first) {
            return known;
        }
        let reached = Ways::default();
        self.stages.push(RecordStage {
            kind,
            first,
            chosen,
            reached,
            requests: Vec::new(),
            exits: Vec::new(),
        });
        self.stages.len() - 1
    }

    fn explore_stage(&mut self, at: usize, walker: &EventWalker<'_>) {
        let Some(stage) = self.stages.get(at) else { return };
        let kind = stage.kind;
        let begin =
            Within { chosen: stage.chosen.clone(), conditions: Together::new(), calls: 0, refused: false };
        let mut left = vec![begin];
        while let Some(within) = left.pop() {
            self.nodes += 1;
            if self.nodes > MOST_NODES {
                return;
            }
            let Way { calls, reached } = walker.walk(&within.chosen);
            let (call, answers) = match reached {
                LedTo::Call(call, answers) => (call, answers),
                LedTo::End(outcome) => {
                    self.exit(at, within, None, Some(outcome));
                    continue;
                }
            };
            let begins = StageKind::begun_by(&call).filter(|next| *next > kind);
            let begins =
                begins.filter(|next| calls.iter().all(|call| StageKind::begun_by(call) != Some(*next)));
            if let Some(next) = begins {
                let next = self.stage(next, Some(call), within.chosen.clone());
                self.exit(at, within, Some(next), None);
                continue;
            }
            self.request(at, &call, &within.conditions);
            for (choice, answer) in answers.into_iter().enumerate().rev() {
                let mut then = within.clone();
                then.chosen.push(choice);
                for condition in conditions(&answer, calls.len()) {
                    add(&mut then.conditions, condition);
                }
                then.calls += 1;
                then.refused |= answer.is_refusal;
                left.push(then);
            }
        }
    }

    fn request(&mut self, at: usize, call: &Call, conditions: &Together) {
        let Some(stage) = self.stages.get_mut(at) else { return };
        if let Some((_, ways)) = stage.requests.iter_mut().find(|(known, _)| known == call) {
            return ways.add(conditions.clone());
        }
        let mut ways = Ways::default();
        ways.add(conditions.clone());
        stage.requests.push((call.clone(), ways));
    }

    fn exit(&mut self, at: usize, within: Within, next: Option<usize>, outcome: Option<Outcome>) {
        let Within { conditions, calls, refused, .. } = within;
        if let Some(stage) = self.stages.get_mut(at) {
            stage.exits.push(Exit { calls, refused, conditions, next, outcome });
        }
    }

    pub(super) fn foreseen(mut self, placeholders: Placeholders) -> Foreseen {
        let mut requests: Vec<ForeseenRequest> = Vec::new();
        for at in 0..self.stages.len() {
            let Some(stage) = self.stages.get_mut(at) else { continue };
            if at == 0 {
                stage.reached = Ways::always();
            }
            let reached = std::mem::take(&mut stage.reached).simplified();
            for (call, ways) in &stage.requests {
                let mut all = Ways::default();
                for way in ways.clone().simplified().each() {
                    all.extend(reached.and(way));
                }
                let all = all.simplified();
                requests.push(placeholders.request(call, &all));
            }
            let exits: Vec<(usize, Ways)> = stage
                .exits
                .iter()
                .filter_map(|exit| Some((exit.next?, reached.and(&exit.conditions))))
                .collect();
            for (next, ways) in exits {
                if let Some(next) = self.stages.get_mut(next) {
                    next.reached.extend(ways);
                }
            }
        }
        let (usual_least, usual_most) = self.costs(0, true).unwrap_or_default();
        let most = self.costs(0, false).map(|(_, most)| most).unwrap_or_default();
        Foreseen { requests, most, usual: (usual_least, usual_most), refusals: self.refusals() }
    }

    /// The fewest and the most calls from this stage on; `accepted`: if Freshsales refuses nothing.
    fn costs(&self, at: usize, accepted: bool) -> Option<(u32, u32)> {
        let exits = self.stages.get(at)?.exits.iter().filter(|exit| !(accepted && exit.refused));
        let costs = exits.filter_map(|exit| {
            // Foresight lead to later kinds only, so this ends.
            let (least, most) = exit.next.map_or(Some((0, 0)), |next| self.costs(next, accepted))?;
            Some((exit.calls + least, exit.calls + most))
        });
        costs.reduce(|(least, most), (fewer, more)| (least.min(fewer), most.max(more)))
    }

    fn refusals(&self) -> BTreeSet<DeadLetterReason> {
        let ends = self.stages.iter().flat_map(|stage| &stage.exits).filter_map(|exit| exit.outcome.as_ref());
        let reasons = ends.filter_map(|outcome| match outcome {
            Outcome::DeadLetter(refusal) => Some(refusal.reason),
            Outcome::Delivered | Outcome::Skipped(_) | Outcome::Returned => None,
        });
        reasons.collect()
    }
}
