//! One way of an event through its calls: the scheduler is asked what to send, and gets the answers that were chosen.

use std::time::Duration;

use tokio::time::Instant;

use super::answers::{EventParts, ModelledAnswer, Said, answers};
use super::condition::{Condition, Together, add};
use super::placeholders::Placeholders;
use crate::config::{AccountConfig, Tags};
use crate::freshsales::{Call, RateLimit};
use crate::lane::{Addressed, BackoffSettings, Effect, Next, Quota, Scheduler, SchedulerSettings};
use crate::mapping::{Mapped, Record};
use crate::outcome::Outcome;
use crate::schema::Entity;

/// Calls an hour: more than any event takes.
const ENOUGH_CALLS: f64 = 1000.0;
/// More turns than any event takes.
const MOST_TURNS: usize = 1000;

pub(super) struct EventWalker<'a> {
    settings: SchedulerSettings,
    send: &'a Addressed,
    parts: EventParts,
    placeholders: Placeholders,
    now: Instant,
}

/// Where a way has led to.
pub(super) enum LedTo {
    /// This call is sent next, and these answers to it are possible.
    Call(Call, Vec<ModelledAnswer>),
    End(Outcome),
}

/// A way: its calls and what was answered, and where it leads.
pub(super) struct Way {
    pub(super) calls: Vec<Call>,
    pub(super) reached: LedTo,
}

impl<'a> EventWalker<'a> {
    pub(super) fn new(
        account: &AccountConfig,
        send: &'a Addressed,
        placeholders: Placeholders,
        now: Instant,
    ) -> Self {
        let settings = SchedulerSettings::of(account, 1, BackoffSettings::default());
        Self { settings, send, parts: parts(&send.mapped, account.tags), placeholders, now }
    }

    /// Follows the answers chosen so far, each by its place among those that are possible.
    pub(super) fn walk(&self, chosen: &[usize]) -> Way {
        let mut now = self.now;
        let quota = || Quota::new(ENOUGH_CALLS, Duration::from_hours(1), 1.0, now);
        let mut scheduler = Scheduler::new(self.settings, quota(), quota());
        scheduler.begin();
        let Addressed { mapped, keys, identity_pair } = self.send;
        scheduler.insert(mapped.clone(), keys, identity_pair.clone(), ());
        let mut chosen = chosen.iter();
        let mut calls = Vec::new();
        let mut known = Together::new();
        for _ in 0..MOST_TURNS {
            let mut effects = Vec::new();
            match scheduler.next(now) {
                Next::Send(number, call) => {
                    let mut possible = answers(&call, &self.parts, self.placeholders);
                    possible.retain(|answer| agrees(answer, &known));
                    for answer in &mut possible {
                        answer.says.retain(|said| !said.stays || !is_known(said, &known));
                    }
                    let Some(choice) = chosen.next() else {
                        return Way { calls, reached: LedTo::Call(call, possible) };
                    };
                    let Some(answer) = possible.into_iter().nth(*choice) else { break };
                    for condition in conditions(&answer, calls.len()) {
                        add(&mut known, condition);
                    }
                    calls.push(call);
                    effects = scheduler.answered(number, answer.verdict, &RateLimit::default(), now);
                }
                Next::Wait(Some(at)) => now = at.max(now + Duration::from_millis(1)),
                Next::Wait(None) if scheduler.is_empty() => {}
                // Not reached: nothing else holds up a single event.
                Next::Wait(None) => break,
            }
            effects.extend(scheduler.take_ended());
            let end = effects.into_iter().find_map(|effect| match effect {
                Effect::Settled { outcome, .. } => Some(outcome),
                Effect::BulkGivenUp
                | Effect::TooManyJobs(_)
                | Effect::Coalesced(_)
                | Effect::LeftOut(_)
                | Effect::BulkFeature(..)
                | Effect::DealsNotShown
                | Effect::Fields(..)
                | Effect::Selector(..) => None,
            });
            if let Some(outcome) = end {
                return Way { calls, reached: LedTo::End(outcome) };
            }
        }
        Way { calls, reached: LedTo::End(Outcome::Returned) }
    }
}

/// What an answer says, as conditions of the calls after it. `place` is its call's.
pub(super) fn conditions(answer: &ModelledAnswer, place: usize) -> impl Iterator<Item = Condition> {
    answer.says.iter().enumerate().map(move |(within, said)| Condition {
        place: (place, within),
        // A call that is refused again is another question.
        question: if answer.is_refusal {
            format!("{place} {}", said.question)
        } else {
            said.question.clone()
        },
        answers: said.answers,
        text: said.text.clone(),
        is_refusal: answer.is_refusal,
        implies: said.implies.clone(),
    })
}

/// Whether an answer says the same as earlier ones where that does not change.
fn agrees(answer: &ModelledAnswer, known: &Together) -> bool {
    answer.says.iter().filter(|said| said.stays).all(|said| {
        known.iter().filter(|known| known.question == said.question).all(|known| known.text == said.text)
    })
}

fn is_known(said: &Said, known: &Together) -> bool {
    known.iter().any(|known| known.question == said.question)
}

fn parts(mapped: &Mapped, tags: Tags) -> EventParts {
    let Mapped::Contact(contact) = mapped else { return EventParts::default() };
    let tags = |record: &Record| {
        let tags = record.fields.get("tags").filter(|_| tags == Tags::Append)?;
        serde_json::from_str(tags).ok()
    };
    let mut added_tags = Vec::new();
    let records = [
        (Entity::Contact, Some(&contact.record)),
        (Entity::SalesAccount, contact.company.as_ref().map(|company| &company.record)),
        (Entity::Deal, contact.deal.as_ref().map(|deal| &deal.record)),
    ];
    for (entity, record) in records {
        added_tags.extend(record.and_then(tags).map(|tags| (entity, tags)));
    }
    EventParts {
        has_company: contact.company.is_some(),
        deal: contact.deal.as_ref().map(|deal| deal.name.clone()),
        added_tags,
    }
}
