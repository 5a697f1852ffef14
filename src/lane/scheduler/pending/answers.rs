//! What becomes of a call once it was answered: it is concluded, sent again later, or given up.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::calls::{PendingCall, Purpose};
use crate::freshsales::{BudgetKind, RateLimit, UnavailableCause, Verdict};
use crate::lane::budget::doubt::attribution::DoubtfulAnswer;
use crate::lane::contact::refused::refusal::{Ground, RefusedCall};
use crate::lane::contact::steps::{plausible, reread};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

/// Merged identifies whose call fails for this long are sent one by one.
const MERGED_FOR: Duration = Duration::from_mins(1);
/// After this many failures the lane goes on without a selector, or without the fields of sales accounts or deals.
const MOST_READ_FAILURES: u32 = 3;
/// With fewer failures no event is given up, however long they took.
const FEWEST_FAILURES: u32 = 5;

impl<D> Scheduler<D> {
    /// Takes the answer to a call.
    pub fn answered(
        &mut self,
        number: u64,
        verdict: Verdict,
        limit: &RateLimit,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let mut effects = self.take_answer(number, verdict, limit, now);
        effects.append(&mut self.ended);
        self.file_changed();
        effects
    }

    fn take_answer(
        &mut self,
        number: u64,
        verdict: Verdict,
        limit: &RateLimit,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(mut call) = self.calls.take(number) else { return Vec::new() };
        let verdict = self.checked(&call, verdict);
        let kind = call.budget();
        let budget = self.budgets.of_mut(kind);
        let was_outage = budget.is_outage();
        let again = budget.answered(call.attempt(number), &verdict, limit, now);
        let last_success = budget.last_success();
        if was_outage && !budget.is_outage() {
            self.send_failed_calls_now(kind, now);
        }
        if verdict == Verdict::TooManyJobs
            && let Purpose::Bulk(entity, items) = call.purpose
        {
            return self.too_many_jobs(entity, items, now);
        }
        let result = match verdict {
            Verdict::Done(body) => Ok(body),
            Verdict::Refused { status, messages } => Err(RefusedCall::rejected(status, messages)),
            Verdict::Denied { .. }
            | Verdict::Unrecognized(_)
            | Verdict::Unauthorized { .. }
            | Verdict::Throttled { .. }
            | Verdict::TooManyJobs
            | Verdict::Unavailable { .. } => {
                call.count_failure(&verdict, last_success, now);
                if let Some(refused) = self.give_up(&call, &verdict, last_success, now) {
                    return self.conclude(call, Err(refused), now);
                }
                self.prepare_retry(&mut call, &verdict);
                return self.send_later(number, call, &verdict, again.unwrap_or(now), now);
            }
        };
        if call.takes_turns() {
            self.budgets.of_mut(kind).allow_repeats();
        }
        // A 404 may also mean that the account does not exist, so it shows nothing about other calls.
        let not_found = result.as_ref().is_err_and(RefusedCall::says_not_found);
        let mut effects = if not_found { Vec::new() } else { self.weigh_success(&call, now) };
        if let Ok(body) = &result
            && self.replace_prepared(&mut call, body)
        {
            self.calls.put_back(number, call, now);
            return effects;
        }
        effects.extend(self.conclude(call, result, now));
        effects
    }

    /// The verdict, once the answer was compared with what was asked for.
    fn checked(&self, call: &PendingCall, verdict: Verdict) -> Verdict {
        let Purpose::Step(item) = call.purpose else { return verdict };
        match self.items.contact(item) {
            Some(work) => plausible::checked(work, call.call.endpoint, verdict),
            None => verdict,
        }
    }

    /// What a call came to, now that Freshsales has accepted or refused it.
    pub(in crate::lane::scheduler) fn conclude(
        &mut self,
        call: PendingCall,
        result: Result<Value, RefusedCall>,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let (endpoint, sent) = (call.call.endpoint, call.last_sent().unwrap_or(now));
        let or_status = |refused: RefusedCall| refused.status.unwrap_or_default();
        match call.purpose {
            Purpose::Fields(entity) => vec![Effect::Fields(entity, result.map_err(or_status))],
            Purpose::Selector(selector) => vec![Effect::Selector(selector, result.map_err(or_status))],
            Purpose::Check(_) => {
                self.next_check = Entity::Contact;
                Vec::new()
            }
            Purpose::Step(item) => match result {
                Ok(body) => self.step_succeeded(item, endpoint, &body, now),
                Err(refused) => self.step_refused(item, endpoint, refused, now),
            },
            Purpose::Bulk(entity, items) => self.bulk_answered(entity, items, result, now),
            Purpose::Poll(polling) => self.job_answered(call.call, polling, result, now),
            Purpose::Search(search) => self.searched(search, result, sent, now),
            Purpose::ReadBack(trial) => self.read_back_answered(trial, result, now),
        }
    }

    /// A call did not get through, and is sent again.
    fn send_later(
        &mut self,
        number: u64,
        mut call: PendingCall,
        verdict: &Verdict,
        again: Instant,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Purpose::Check(entity) = call.purpose {
            // A call in doubt asks for the next check. The key may be denied the fields of one entity only.
            self.next_check = other_entity(entity);
            self.blame_account();
            return Vec::new();
        }
        if let Some(answer) = DoubtfulAnswer::of(verdict) {
            return self.suspect(number, call, &answer, now);
        }
        if let Purpose::Step(item) = call.purpose
            && matches!(verdict, Verdict::Unavailable { .. })
        {
            self.record_failure(call.family(), item);
        }
        let often = call.failures() > 0 && call.failures().is_multiple_of(MOST_READ_FAILURES);
        if let Purpose::Search(search) = &mut call.purpose
            && often
            && !self.let_one_go_singly(search)
        {
            return Vec::new();
        }
        if let Purpose::Bulk(Entity::Contact, items) = &call.purpose
            && matches!(verdict, Verdict::Unavailable { .. })
            && self.adds_links(items)
        {
            self.links_uncertain(items, now);
            return Vec::new();
        }
        self.calls.put_back(number, call, again);
        self.let_others_write(number, now);
        Vec::new()
    }

    /// Why a call that did not get through is given up, if it is.
    fn give_up(
        &mut self,
        call: &PendingCall,
        verdict: &Verdict,
        last_success: Option<Instant>,
        now: Instant,
    ) -> Option<RefusedCall> {
        if call.is_overdue(verdict, last_success, now) {
            return Some(RefusedCall::given_up());
        }
        match call.purpose {
            Purpose::Step(item) => self.give_up_step(item, call, verdict),
            // Contacts can be written without the fields of sales accounts and deals.
            Purpose::Fields(Entity::SalesAccount | Entity::Deal) => {
                (call.failures() >= MOST_READ_FAILURES).then(RefusedCall::given_up)
            }
            // Events go on without a selector, and records without a search, but not because Freshsales is down.
            Purpose::Selector(_) | Purpose::Search(_) => {
                let fails_alone = call.others_got_through(last_success);
                (call.failures() >= MOST_READ_FAILURES && fails_alone).then(RefusedCall::given_up)
            }
            Purpose::Fields(Entity::Contact) | Purpose::Check(_) | Purpose::Bulk(..) | Purpose::Poll(_) => {
                None
            }
            // Others wait for it. Sent singly, each contact is read itself.
            Purpose::ReadBack(_) => (call.failures() >= MOST_READ_FAILURES).then(RefusedCall::given_up),
        }
    }

    fn give_up_step(&mut self, item: u64, call: &PendingCall, verdict: &Verdict) -> Option<RefusedCall> {
        let working_time = self.history.working_time(call.family());
        let item = self.items.get_mut(item)?;
        let since = *item.failing_since.get_or_insert(working_time);
        let give_up_after = self.settings.backoff.give_up_after;
        let longest = if item.events.len() <= 1 { give_up_after } else { give_up_after.min(MERGED_FOR) };
        if call.failures() < FEWEST_FAILURES || working_time.saturating_sub(since) < longest {
            return None;
        }
        let (status, last) = last_answer(verdict);
        let why = format!(
            "never got through while others did; it was tried {} times, and last {last}",
            item.attempts
        );
        Some(RefusedCall { status, ground: Ground::Undeliverable(why) })
    }

    /// Replaces a failed call by the reading of what it holds of the record, where that may have changed. It stays the same
    /// call to all that count its failures, so a call that never gets through is still given up.
    fn prepare_retry(&mut self, call: &mut PendingCall, verdict: &Verdict) {
        let Purpose::Step(item) = call.purpose else { return };
        if call.prepares.is_some() {
            return;
        }
        if let Some(work) = self.items.contact_mut(item)
            && let Some(read) = reread::call_before(work, &call.call, verdict)
        {
            call.prepares = Some(std::mem::replace(&mut call.call, read));
        }
    }

    /// What a failed call holds of the record was read anew. True if the call is still needed, and is to be sent again.
    fn replace_prepared(&mut self, call: &mut PendingCall, body: &Value) -> bool {
        let Purpose::Step(item) = call.purpose else { return false };
        let Some(failed) = call.prepares.take() else { return false };
        let Some(work) = self.items.contact_mut(item) else { return false };
        let Some(again) = reread::call_after(work, body, failed) else { return false };
        call.call = again;
        true
    }

    /// An outage is over: the calls that failed in it wait no longer.
    fn send_failed_calls_now(&mut self, budget: BudgetKind, now: Instant) {
        let failed = self
            .calls
            .waiting()
            .filter(|(at, _, call)| *at > now && call.was_sent() && call.budget() == budget);
        let failed: Vec<u64> = failed.map(|(_, number, _)| number).collect();
        for number in failed {
            self.calls.wait_until(number, now);
        }
    }
}

/// The entity whose fields the next check reads.
fn other_entity(entity: Entity) -> Entity {
    match entity {
        Entity::Contact => Entity::SalesAccount,
        Entity::SalesAccount => Entity::Deal,
        Entity::Deal => Entity::Contact,
    }
}

/// How a call was answered last, for people, and the status if there was one.
fn last_answer(verdict: &Verdict) -> (Option<u16>, String) {
    let answered = |status: u16| (Some(status), format!("answered with status {status}"));
    match verdict {
        Verdict::Unavailable { cause, .. } => match cause {
            UnavailableCause::UnexpectedBody(status) => {
                (Some(*status), format!("answered with status {status} and a body that cannot be read"))
            }
            UnavailableCause::ServerError(status) | UnavailableCause::UnexpectedStatus(status) => {
                answered(*status)
            }
            UnavailableCause::Timeout => (None, "not answered in time".to_owned()),
            UnavailableCause::Connection => (None, "broken off".to_owned()),
            UnavailableCause::Panicked => (None, "ended by a bug of Freshet".to_owned()),
        },
        Verdict::Unauthorized { status }
        | Verdict::Denied { status, .. }
        | Verdict::Refused { status, .. } => answered(*status),
        Verdict::Throttled { .. } => answered(429),
        Verdict::TooManyJobs => answered(405),
        Verdict::Unrecognized(answer) => (Some(answer.status), format!("answered with {answer}")),
        Verdict::Done(_) => (None, "accepted".to_owned()),
    }
}
