//! Holds what waits and what is on its way: what goes next ([`turn`](crate::lane::scheduler::pick)), and what an answer settles. Pure: no
//! clock, no socket, no broker; the time and the answers are handed in, so that a day can be simulated in a second.
//!
//! There is no timer that lingers for batches. A call is planned only when quota and a request slot are there, and
//! then from all that waits: one event alone if it is alone, a hundred in one call if a hundred wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::budget::attribution::{DoubtfulAnswer, SuccessHistory};
use super::budget::budgets::Budgets;
use super::budget::{Impediment, Quota};
use super::timing::{BackoffSettings, TAKE_OVER_DELAY};
use crate::backoff::Delays;
use crate::config::{DealIdentity, Tags};
use crate::freshsales::{BudgetKind, Call, RateLimit, UnavailableCause as Failure, Verdict};
use crate::lane::contact::bulk::job_polling::{JobSlots, JobTimes, Refusals};
use crate::lane::contact::cache::identities::IdentityCache;
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::work_item::{Waiting, WorkItem};
use crate::mapping::{Mapped, Omitted};
use crate::outcome::Outcome;
use crate::schema::{Entity, Selector};
use calls::{Ground, Outgoing, Purpose, Refused};
use window::{Key, Window};

/// A record of a sales account or a deal that is being written.
#[derive(Debug)]
pub(super) struct Name {
    /// The unit that writes it.
    pub(super) holder: u64,
    /// Those that want to write it next.
    pub(super) others: VecDeque<u64>,
}

/// Identifies of one contact that go together and do not get through are done one by one after this long.
const TOGETHER: Duration = Duration::from_mins(1);
/// So often the fields of sales accounts or deals are asked for before the lane goes on without them.
const FIELDS_TRIES: u32 = 3;
/// With fewer failures nothing is said to never get through, however long it took.
const FEWEST_FAILURES: u32 = 5;

/// What to do now.
#[derive(Debug)]
pub enum Next {
    /// Send this call, and hand in its answer under this number.
    Send(u64, Call),
    /// Nothing can be sent before this time, an answer or another event.
    Wait(Option<Instant>),
}

/// What an answer came to.
#[derive(Debug)]
pub enum Effect<D> {
    /// An event ended.
    Settled {
        /// To whom its end is owed.
        debt: D,
        /// How it ended.
        outcome: Outcome,
        /// Calls that were made for it.
        attempts: u32,
    },
    /// Nothing goes in bulk for a while: the account's answers to bulk calls are of no use.
    BulkGivenUp,
    /// Bulk upserts are refused because too many jobs of the account run: records wait, or, where that has lasted too
    /// long, go one by one until a bulk upsert is accepted.
    TooManyJobs {
        /// They go one by one.
        one_by_one: bool,
    },
    /// So many identifies were merged into others.
    Coalesced(u64),
    /// This was left out of a record that is written without it: a value that Freshsales refuses, or a whole sales account
    /// or deal that the account's key has no right to write.
    LeftOut(Omitted),
    /// Freshsales did not show a contact's deals, although they were asked for.
    DealsNotShown,
    /// The fields of an entity: what was asked for by [`Scheduler::read_fields`].
    Fields(Entity, Result<serde_json::Value, u16>),
    /// A selector: what was asked for by [`Scheduler::read_selector`].
    Selector(Selector, Result<serde_json::Value, u16>),
}

/// One account's work: what waits, what is on its way, what may go.
#[derive(Debug)]
pub struct Scheduler<D> {
    pub(super) concurrency: usize,
    pub(super) patience: BackoffSettings,
    /// What the key has no right to write is left out, and the rest of the event delivered.
    pub(super) leaves_out: bool,
    pub(super) deal_identity: DealIdentity,
    pub(super) tags: Tags,
    /// When it was told last that a contact's deals are not shown.
    pub(super) deals_hidden: Option<Instant>,
    pub(super) window: Window<Waiting<D>>,
    /// By the number of their first event, so oldest first.
    pub(super) units: BTreeMap<u64, WorkItem<D>>,
    /// Units whose next step is not on its way and waits for nothing but its turn.
    pub(super) idle: BTreeSet<u64>,
    /// Sales accounts and deals being written, by whom, and the units that want to write them next.
    pub(super) names: HashMap<(Entity, String), Name>,
    pub(super) calls: HashMap<u64, Outgoing>,
    /// Calls to be sent (again) at a time.
    pub(super) due: BTreeSet<(Instant, u64)>,
    numbers: u64,
    pub(super) budgets: Budgets,
    pub(super) history: SuccessHistory,
    /// Whose fields to read next to find out whether Freshsales lets the account in.
    pub(super) next_check: Entity,
    pub(super) memo: RecordCache,
    pub(super) identities: IdentityCache,
    pub(super) times: JobTimes,
    pub(super) slots: JobSlots,
    /// Until then nothing goes in bulk: the account's answers to bulk calls are of no use.
    pub(super) single_until: Option<Instant>,
    /// Until then an entity's records do not go in bulk: the account is not let in with them.
    pub(super) bulk_denied: HashMap<Entity, Instant>,
    /// Bulk calls in a row whose report was of no use.
    pub(super) unclear: u32,
    /// Work stood ready at the last call of [`Scheduler::next`] and only quota was missing.
    pub(super) starved: bool,
    /// Until then nothing goes but what reads fields; set once a session.
    pub(super) take_over: Option<Instant>,
    /// Since when the lane is here, so that what is written for the account is remembered.
    pub(super) here_since: Option<Instant>,
    /// What ended without a call; to be taken with [`Scheduler::take_ended`].
    pub(super) ended: Vec<Effect<D>>,
}

impl<D> Scheduler<D> {
    /// An account with nothing to do.
    pub fn new(concurrency: usize, patience: BackoffSettings, api: Quota, tracking: Quota) -> Self {
        Self {
            concurrency,
            patience,
            leaves_out: false,
            deal_identity: DealIdentity::default(),
            tags: Tags::default(),
            deals_hidden: None,
            window: Window::default(),
            units: BTreeMap::new(),
            idle: BTreeSet::new(),
            names: HashMap::new(),
            calls: HashMap::new(),
            due: BTreeSet::new(),
            numbers: 0,
            budgets: Budgets::new(api, tracking, patience),
            history: SuccessHistory::default(),
            next_check: Entity::Contact,
            memo: RecordCache::new(),
            identities: IdentityCache::new(),
            times: JobTimes::new(),
            slots: JobSlots::new(patience.jobs),
            single_until: None,
            bulk_denied: HashMap::new(),
            unclear: 0,
            starved: false,
            take_over: None,
            here_since: None,
            ended: Vec::new(),
        }
    }

    /// The same, for an account whose url may be without the path that the API is under.
    #[must_use]
    pub fn with_a_path_that_may_be_missing(mut self, missing: bool) -> Self {
        if missing {
            self.budgets.set_not_found_hint("is /crm/sales missing from its end?");
        }
        self
    }

    /// The same, with at most so many bulk jobs at once.
    #[must_use]
    pub fn with_bulk_jobs(mut self, most: usize) -> Self {
        self.slots.at_most(most);
        self
    }

    /// The same, with deals found so.
    #[must_use]
    pub fn with_deals(mut self, identity: DealIdentity) -> Self {
        self.deal_identity = identity;
        self
    }

    /// The same, with records' tags treated so.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Nothing goes before this time, because a gateway before Freshsales asks all accounts to stay away; then one call of
    /// each budget goes first.
    pub fn stay_away(&mut self, until: Instant, now: Instant) {
        self.budgets.stay_away(until, now);
    }

    /// Leaves out what the account's key has no right to write, instead of giving up the event.
    #[must_use]
    pub fn leaving_out_what_is_denied(mut self, leaves_out: bool) -> Self {
        self.leaves_out = leaves_out;
        self
    }

    /// Another session begins.
    pub fn begin(&mut self) {
        self.take_over = None;
        self.here_since = None;
        self.identities.was_elsewhere();
    }

    /// Another session begins, of a source that gives to nobody else: nobody had the lane before.
    pub fn begin_alone(&mut self, now: Instant) {
        self.begin();
        self.here_since = now.checked_sub(self.patience.look_up_delay);
    }

    /// The session brings an event that was handed out before. What its last holder sent for it may still take
    /// effect, so nothing is sent for a moment. That it may have been this very process is no exception: another
    /// replica may have had the lane in between. Once each time the lane comes here, because what was handed out
    /// before comes first. It can have been elsewhere, within one session too, only if nothing of it is held here.
    pub fn redelivered(&mut self, now: Instant) {
        if self.window.is_empty() {
            self.take_over = None;
            self.here_since = None;
            self.identities.was_elsewhere();
        }
        self.take_over.get_or_insert(now + TAKE_OVER_DELAY);
    }

    /// Whether nothing goes because the calls of the last holder may not be over.
    pub fn taking_over(&self, now: Instant) -> bool {
        self.take_over.is_some_and(|until| now < until)
    }

    /// Events taken and not settled.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// Whether no event is taken and not settled.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Requests that are not answered yet.
    pub fn sending(&self) -> usize {
        self.budgets.in_flight()
    }

    /// Whether work stood ready and only quota was missing.
    pub fn starved(&self) -> bool {
        self.starved
    }

    /// Whether a call that failed waits to be sent again.
    pub fn retrying(&self) -> bool {
        let failed = |number| self.calls.get(number).is_some_and(|outgoing| outgoing.since.is_some());
        self.due.iter().any(|(_, number)| failed(number))
    }

    /// API calls that could go at once.
    pub fn quota_remaining(&self, now: Instant) -> f64 {
        u32::try_from(self.budgets.of(BudgetKind::Api).remaining(now)).map_or(f64::MAX, f64::from)
    }

    /// What keeps the calls of a budget from getting through. Only refused credentials are told where nothing is to be
    /// sent: nothing is kept there by an outage, and nothing finds out when a wait is over.
    pub fn trouble(&self, budget: BudgetKind) -> Option<&(Impediment, String)> {
        let trouble = match budget {
            BudgetKind::Api => self.budgets.of(budget).impediment().or_else(|| self.slots.trouble()),
            BudgetKind::Tracking => self.budgets.of(budget).impediment(),
        };
        trouble.filter(|(trouble, _)| *trouble == Impediment::Unauthorized || self.has_work(budget))
    }

    pub(super) fn has_work(&self, budget: BudgetKind) -> bool {
        self.calls.values().any(|outgoing| outgoing.call.endpoint.budget() == budget)
            || self.oldest(budget).is_some()
    }

    /// Adds an event. `taught` is a `userId` and the e-mail address it belongs to.
    pub fn insert(&mut self, mapped: Mapped, keys: &[Key], taught: Option<(String, String)>, debt: D) {
        let place = self.keep(keys);
        self.fill(place, mapped, keys, taught, debt);
    }

    /// Keeps a place for an event about these that cannot be judged yet: later ones of the same contact wait for it. To
    /// be ended by [`Scheduler::fill`] or [`Scheduler::leave`].
    pub fn keep(&mut self, keys: &[Key]) -> u64 {
        // A lane cannot move while this replica holds one of its events. Now it may have moved, and come back.
        if self.window.is_empty() {
            self.memo.doubt_values();
        }
        self.window.keep(&self.with_addresses(keys))
    }

    /// Whether a place before this one is kept for an event of the same contact; without a place, any.
    pub fn kept_before(&self, place: Option<u64>, keys: &[Key]) -> bool {
        self.window.kept_before(place, &self.with_addresses(keys))
    }

    /// Puts an event into the place that was kept for it.
    pub fn fill(
        &mut self,
        place: u64,
        mapped: Mapped,
        keys: &[Key],
        taught: Option<(String, String)>,
        debt: D,
    ) {
        let mut mapped = HeldEvent::from(mapped);
        let mut keys = keys.to_vec();
        if let HeldEvent::Contact(write) = &mut mapped
            && let Some(user_id) = write.external_id()
            && write.email.is_none()
            && let Some(email) = self.identities.latest(&user_id)
        {
            Arc::make_mut(write).email = Some(email.into());
            keys.push(Key::Email(email.to_owned()));
        }
        if self.tags == Tags::Append {
            mapped = mapped.appending_tags();
        }
        if let Some((user_id, email)) = taught {
            self.identities.admitted(&user_id, email, place);
        }
        self.window.fill(place, &keys, Waiting { mapped, debt, moves: 0 });
    }

    /// Nothing comes into the place that was kept.
    pub fn leave(&mut self, place: u64) {
        self.window.finish(place);
    }

    /// The keys, and the e-mail addresses that are known to belong to their `userId`s.
    fn with_addresses(&self, keys: &[Key]) -> Vec<Key> {
        let known = keys.iter().filter_map(|key| match key {
            Key::UserId(user_id) => self.identities.latest(user_id).map(|email| Key::Email(email.to_owned())),
            Key::Email(_) => None,
        });
        known.chain(keys.iter().cloned()).collect()
    }

    /// Asks for the fields of an entity; the answer comes as [`Effect::Fields`].
    pub fn read_fields(&mut self, entity: Entity, now: Instant) {
        self.enqueue(Call::fields(entity), Purpose::Fields(entity), now);
    }

    /// Asks for a selector; the answer comes as [`Effect::Selector`].
    pub fn read_selector(&mut self, selector: Selector, now: Instant) {
        self.enqueue(Call::selector(selector), Purpose::Selector(selector), now);
    }

    pub(super) fn enqueue(&mut self, call: Call, purpose: Purpose, at: Instant) -> u64 {
        let number = self.prepare(call, purpose);
        self.due.insert((at, number));
        number
    }

    pub(super) fn prepare(&mut self, call: Call, purpose: Purpose) -> u64 {
        let number = self.numbers;
        self.numbers += 1;
        let delays = Delays::new(self.patience.unavailable.0, self.patience.unavailable.1);
        let outgoing = Outgoing {
            call,
            purpose,
            delays,
            since: None,
            sent: None,
            told: None,
            suspicion: None,
            failures: 0,
            alone: 0,
            failed: None,
            probe: false,
            unsure: None,
        };
        self.calls.insert(number, outgoing);
        number
    }

    /// What ended without a call, since it was asked for last. To be asked after [`Scheduler::next`].
    pub fn take_ended(&mut self) -> Vec<Effect<D>> {
        std::mem::take(&mut self.ended)
    }

    /// Takes the answer to a call.
    pub fn answered(
        &mut self,
        number: u64,
        verdict: Verdict,
        told: &RateLimit,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let mut effects = self.take_answer(number, verdict, told, now);
        effects.append(&mut self.ended);
        effects
    }

    fn take_answer(
        &mut self,
        number: u64,
        verdict: Verdict,
        told: &RateLimit,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(mut outgoing) = self.calls.remove(&number) else { return Vec::new() };
        let budget = outgoing.call.endpoint.budget();
        let verdict = self.believed(&outgoing, verdict);
        let limit = self.budgets.of_mut(budget);
        let outage = limit.is_outage();
        let again = limit.answered(outgoing.attempt(number), &verdict, told, now);
        let worked = limit.last_success();
        if outage && !limit.is_outage() {
            self.go_on(budget, now);
        }
        if verdict == Verdict::TooManyJobs
            && let Purpose::Bulk(units) = outgoing.purpose
        {
            return self.too_many_jobs(units, now);
        }
        if outgoing.takes_turns() && matches!(verdict, Verdict::Done(_) | Verdict::Refused { .. }) {
            self.budgets.of_mut(budget).allow_repeats();
        }
        let result = match verdict {
            Verdict::Done(body) => Ok(body),
            Verdict::Refused { status, messages } => Err(Refused::said(status, messages)),
            Verdict::Denied { .. }
            | Verdict::Unrecognized(_)
            | Verdict::Unauthorized { .. }
            | Verdict::Throttled { .. }
            | Verdict::TooManyJobs
            | Verdict::Unavailable { .. } => {
                outgoing.failures += 1;
                if matches!(verdict, Verdict::Unavailable { .. }) {
                    outgoing.fails(worked, now);
                }
                if let Some(never) = self.hopeless(&outgoing, &verdict, worked, now) {
                    return self.conclude(outgoing, Err(never), now);
                }
                self.look_before_creating_again(&mut outgoing, &verdict);
                self.read_before_writing_again(&mut outgoing);
                return self.later(number, outgoing, &verdict, again.unwrap_or(now), now);
            }
        };
        // That a record is not there may also be said where the account is not.
        let missing = matches!(&result, Err(refused) if matches!(refused.status, Some(404 | 410)));
        let mut effects = if missing { Vec::new() } else { self.weigh_success(&outgoing, now) };
        if let Ok(body) = &result
            && self.again_after_looking(&mut outgoing, body)
        {
            self.calls.insert(number, outgoing);
            self.due.insert((now, number));
            return effects;
        }
        effects.extend(self.conclude(outgoing, result, now));
        effects
    }

    /// A call did not get through, and is tried again.
    fn later(
        &mut self,
        number: u64,
        outgoing: Outgoing,
        verdict: &Verdict,
        again: Instant,
        now: Instant,
    ) -> Vec<Effect<D>> {
        if let Purpose::Check(entity) = outgoing.purpose {
            // Only what is in doubt needs it, and asks again. One form alone may be forbidden.
            self.next_check = after(entity);
            self.blame_account();
            return Vec::new();
        }
        if let Some(answer) = DoubtfulAnswer::of(verdict) {
            return self.suspect(number, outgoing, &answer, now);
        }
        if let Purpose::Step(unit) = outgoing.purpose
            && matches!(verdict, Verdict::Unavailable { .. })
        {
            self.history.record_failure(outgoing.family(), unit);
        }
        self.due.insert((again, number));
        self.calls.insert(number, outgoing);
        self.stand_aside(number);
        Vec::new()
    }

    /// Why a call that did not get through is not tried again, if it is not.
    fn hopeless(
        &mut self,
        outgoing: &Outgoing,
        verdict: &Verdict,
        worked: Option<Instant>,
        now: Instant,
    ) -> Option<Refused> {
        if outgoing.hopeless(verdict, worked, now) {
            return Some(Refused { status: None, ground: Ground::Said(Vec::new()) });
        }
        let unit = match outgoing.purpose {
            Purpose::Step(unit) => unit,
            // Contacts can be written without them.
            Purpose::Fields(Entity::SalesAccount | Entity::Deal) if outgoing.failures >= FIELDS_TRIES => {
                return Some(Refused { status: None, ground: Ground::Said(Vec::new()) });
            }
            // Events go on without it, but not because Freshsales is away.
            Purpose::Selector(_)
                if outgoing.failures >= FIELDS_TRIES && outgoing.others_got_through(worked) =>
            {
                return Some(Refused { status: None, ground: Ground::Said(Vec::new()) });
            }
            Purpose::Fields(_)
            | Purpose::Selector(_)
            | Purpose::Check(_)
            | Purpose::Bulk(_)
            | Purpose::Poll(_) => return None,
        };
        let through = self.history.working_time(outgoing.family());
        let unit = self.units.get_mut(&unit)?;
        let since = *unit.failing.get_or_insert(through);
        let single = unit.events.len() <= 1;
        let patience =
            if single { self.patience.give_up_after } else { self.patience.give_up_after.min(TOGETHER) };
        let lasted = through.saturating_sub(since);
        if outgoing.failures < FEWEST_FAILURES || lasted < patience {
            return None;
        }
        let (status, last) = last_words(verdict);
        let why = format!(
            "never got through while others did; it was tried {} times, and last {last}",
            unit.attempts
        );
        Some(Refused { status, ground: Ground::Never(why) })
    }

    /// A bulk upsert was refused because too many jobs run: its records gather with others until one may be submitted.
    fn too_many_jobs(&mut self, units: Vec<u64>, now: Instant) -> Vec<Effect<D>> {
        self.idle.extend(units.into_iter().filter(|unit| self.units.contains_key(unit)));
        match self.slots.refuse(now) {
            Refusals::Began => vec![Effect::TooManyJobs { one_by_one: false }],
            Refusals::LastTooLong => vec![Effect::TooManyJobs { one_by_one: true }],
            Refusals::GoOn => Vec::new(),
        }
    }

    /// The outage is over: what failed in it waits no longer.
    fn go_on(&mut self, budget: BudgetKind, now: Instant) {
        let failed = |number: &u64| {
            self.calls
                .get(number)
                .is_some_and(|outgoing| outgoing.since.is_some() && outgoing.call.endpoint.budget() == budget)
        };
        let later: Vec<(Instant, u64)> = self.due.range((now, u64::MAX)..).copied().collect();
        for (at, number) in later.into_iter().filter(|(_, number)| failed(number)) {
            self.due.remove(&(at, number));
            self.due.insert((now, number));
        }
    }

    /// A call was broken off: what became of it is not known, and says nothing about the account.
    pub fn aborted(&mut self, number: u64, now: Instant) {
        let Some(outgoing) = self.calls.get(&number) else { return };
        let (budget, probe) = (outgoing.call.endpoint.budget(), outgoing.probe);
        self.budgets.of_mut(budget).aborted(probe, now);
        self.due.insert((now, number));
    }

    /// Gives up what is not on its way: nothing more will be sent for it.
    pub fn give_back(&mut self) -> Vec<D> {
        let mut debts: Vec<D> = self.window.drain_waiting().into_iter().map(|waiting| waiting.debt).collect();
        let under_way: BTreeSet<u64> = self.under_way();
        let idle: Vec<u64> = self.units.keys().copied().filter(|unit| !under_way.contains(unit)).collect();
        for number in idle {
            if let Some(unit) = self.units.remove(&number) {
                for (number, waiting) in unit.events.into_iter().chain(unit.rest) {
                    self.window.finish(number);
                    debts.push(waiting.debt);
                }
            }
        }
        self.idle.clear();
        if under_way.is_empty() {
            // Whoever held them is gone.
            self.names.clear();
        }
        for (_, number) in std::mem::take(&mut self.due) {
            self.calls.remove(&number);
        }
        self.identities.given_back();
        self.history.forget_work_items();
        self.budgets.gave_back();
        debts
    }

    /// The units whose request is not answered yet.
    fn under_way(&self) -> BTreeSet<u64> {
        let waiting: BTreeSet<u64> = self.due.iter().map(|(_, number)| *number).collect();
        let sent = self.calls.iter().filter(|(number, _)| !waiting.contains(number));
        sent.flat_map(|(_, outgoing)| outgoing.purpose.units().iter().copied()).collect()
    }
}

fn after(entity: Entity) -> Entity {
    match entity {
        Entity::Contact => Entity::SalesAccount,
        Entity::SalesAccount => Entity::Deal,
        Entity::Deal => Entity::Contact,
    }
}

/// What a call met last, and its status, if it had one.
fn last_words(verdict: &Verdict) -> (Option<u16>, String) {
    let answered = |status: u16| (Some(status), format!("answered with status {status}"));
    match verdict {
        Verdict::Unavailable { cause: Failure::UnexpectedBody(status), .. } => {
            (Some(*status), format!("answered with status {status} and a body that cannot be read"))
        }
        Verdict::Unavailable {
            cause: Failure::ServerError(status) | Failure::UnexpectedStatus(status),
            ..
        }
        | Verdict::Unauthorized { status }
        | Verdict::Denied { status, .. }
        | Verdict::Refused { status, .. } => answered(*status),
        Verdict::Unavailable { cause: Failure::Timeout, .. } => (None, "not answered in time".to_owned()),
        Verdict::Unavailable { cause: Failure::Connection, .. } => (None, "broken off".to_owned()),
        Verdict::Unavailable { cause: Failure::Panicked, .. } => {
            (None, "ended by a bug of Freshet".to_owned())
        }
        Verdict::Throttled { .. } => answered(429),
        Verdict::TooManyJobs => answered(405),
        Verdict::Unrecognized(unrecognized) => {
            (Some(unrecognized.status), format!("answered with {unrecognized}"))
        }
        Verdict::Done(_) => (None, "accepted".to_owned()),
    }
}

pub(super) mod attribution;
pub(super) mod calls;
pub(super) mod pick;
#[cfg(test)]
mod tests;
pub(super) mod window;
