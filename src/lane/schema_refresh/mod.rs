//! Decides when the account's fields are read, and makes the mapper of them: when the lane gets its first event, hourly,
//! and once more before an event is refused for a field or choice that an admin may just have added. The intake asks it;
//! the scheduler sends the calls. Pure but for logs and jitter.

mod answer;
mod reading;
mod selector_refresh;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::delivery::AccountName;
use crate::lane::timing::{REPLAY_SCHEMA_AGE, SCHEMA_AGE, SCHEMA_AGE_TO_REFUSE, SCHEMA_RETRY};
use crate::mapping::{Mapper, MappingRules, SchemaGap, defaults_table};
use crate::outcome::DeadLetterReason;
use crate::schema::{Entity, Schema, Selector};
use answer::parse;
use reading::FieldsReading;
use selector_refresh::SelectorRefresh;

/// The account's fields, how fresh they are, and when they are read again.
#[derive(Debug)]
pub(super) struct SchemaRefresh {
    account: AccountName,
    rules: MappingRules,
    mapper: Option<Mapper>,
    read_at: Option<Instant>,
    /// When an event that was sent back last had the fields read.
    read_for_replay: Option<Instant>,
    read: Option<FieldsReading>,
    draft: Option<Draft>,
    /// Entities whose fields could not be read at all. Contacts are written without them.
    unreadable: Vec<(Entity, SchemaGap)>,
    /// When to read the fields of those again.
    retry_at: Option<Instant>,
    requested_for: Option<Instant>,
    delays: Delays,
    selectors: SelectorRefresh,
    /// Why there are no fields yet.
    last_failure: Option<String>,
}

/// Fields that are being read.
#[derive(Debug)]
struct Draft {
    schema: Schema,
    missing: Vec<Entity>,
}

impl SchemaRefresh {
    pub(super) fn new(account: AccountName, rules: MappingRules) -> Self {
        Self {
            selectors: SelectorRefresh::new(account.clone()),
            account,
            rules,
            mapper: None,
            read_at: None,
            read_for_replay: None,
            read: None,
            draft: None,
            unreadable: Vec::new(),
            retry_at: None,
            requested_for: None,
            delays: Delays::new(SCHEMA_RETRY.0, SCHEMA_RETRY.1),
            last_failure: None,
        }
    }

    /// The account's rules are others from now on, or its key may be. With other rules the next event waits until the
    /// fields are read again: none may be mapped by the old ones.
    pub(super) fn change_rules(&mut self, rules: &MappingRules, now: Instant) {
        if self.rules != *rules {
            self.rules = rules.clone();
            self.mapper = None;
        }
        if self.mapper.is_none() {
            self.delays.reset();
            self.requested_for = self.requested_for.map(|at| at.min(now));
        }
    }

    pub(super) fn mapper(&self) -> Option<&Mapper> {
        self.mapper.as_ref()
    }

    /// The last reading, for people.
    pub(super) fn read(&self) -> Option<&FieldsReading> {
        self.read.as_ref()
    }

    /// Whether there is a mapper and nothing is being read that might change it.
    pub(super) fn is_settled(&self) -> bool {
        let reading = self.draft.is_some() || self.requested_for.is_some();
        self.mapper.is_some() && !reading && self.selectors.is_settled()
    }

    /// Why there are no fields yet, where an answer about them was of no use.
    pub(super) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Has the fields read, unless they are being read.
    pub(super) fn request(&mut self, at: Instant) {
        if self.draft.is_none() {
            self.requested_for.get_or_insert(at);
        }
    }

    pub(super) fn refresh_when_old(&mut self, now: Instant) {
        if self.age(now) > SCHEMA_AGE {
            self.request(now);
        }
    }

    /// Whether newer fields might save an event refused for this reason. Then it has them read. Where the event was sent
    /// back, somebody most likely has mended a field a moment ago.
    pub(super) fn may_be_stale_for(
        &mut self,
        reason: DeadLetterReason,
        replayed: bool,
        now: Instant,
    ) -> bool {
        match reason {
            // Nothing is known of the entity that it writes.
            DeadLetterReason::Undeliverable => {
                self.request(self.retry_at.unwrap_or(now));
                true
            }
            DeadLetterReason::UnknownCustomField
            | DeadLetterReason::InvalidCustomField
            | DeadLetterReason::InvalidField => {
                let since =
                    |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
                let for_replay = replayed && since(self.read_for_replay) > REPLAY_SCHEMA_AGE;
                let stale = for_replay || since(self.read_at) > SCHEMA_AGE_TO_REFUSE;
                if stale {
                    self.request(now);
                    self.read_for_replay = if replayed { Some(now) } else { self.read_for_replay };
                }
                stale
            }
            DeadLetterReason::MalformedJson
            | DeadLetterReason::InvalidEvent
            | DeadLetterReason::UnknownAccount
            | DeadLetterReason::MissingUserId
            | DeadLetterReason::MissingEmail
            | DeadLetterReason::InvalidEmail
            | DeadLetterReason::TrackingNotConfigured
            | DeadLetterReason::TooLarge
            | DeadLetterReason::Rejected
            | DeadLetterReason::DeliveryLimit => false,
        }
    }

    /// Whether an event that needs these selectors must wait until they are read. Then it has them read.
    pub(super) fn must_read_selectors(&mut self, needs: &[Selector], now: Instant) -> bool {
        // Ask for all of them, not only the first, so that all are read at the same time.
        needs.iter().filter(|selector| self.selectors.must_read(**selector, now)).count() > 0
    }

    /// Freshsales refused a record: an admin may have made a field required, or removed a choice. Old fields are read
    /// again, so that later events are not refused as well.
    pub(super) fn record_refused(&mut self, now: Instant) {
        if self.age(now) > SCHEMA_AGE_TO_REFUSE {
            self.request(now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.read_at.map_or(Duration::MAX, |read_at| now.saturating_duration_since(read_at))
    }

    /// The entities whose fields are to be read now.
    pub(super) fn fields_to_read(&mut self, now: Instant) -> &'static [Entity] {
        if self.draft.is_some() || self.next_attempt().is_none_or(|at| at > now) {
            return &[];
        }
        (self.requested_for, self.retry_at) = (None, None);
        self.draft = Some(Draft { schema: Schema::default(), missing: Entity::ALL.to_vec() });
        self.selectors.refresh();
        Entity::ALL
    }

    pub(super) fn selectors_to_read(&mut self) -> Vec<Selector> {
        self.selectors.due()
    }

    /// When fields are to be read next.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        [self.requested_for, self.retry_at].into_iter().flatten().min()
    }

    /// Whether events wait for fields that are read again only later, because the last answer was of no use.
    pub(super) fn is_pausing(&self) -> bool {
        self.draft.is_none()
            && self.requested_for.is_some()
            && (self.mapper.is_none() || !self.unreadable.is_empty())
    }

    /// Takes a selector, or the status that came instead; 0 where no answer came.
    pub(super) fn take_selector(&mut self, selector: Selector, result: &Result<Value, u16>, now: Instant) {
        self.selectors.take(selector, result, now);
        if let Some(mapper) = &mut self.mapper {
            mapper.set_selectors(self.selectors.known());
        }
    }

    /// Takes an entity's fields, or the status that came instead; 0 where no answer came.
    pub(super) fn take_fields(&mut self, entity: Entity, result: Result<Value, u16>, now: Instant) {
        let Some(draft) = &mut self.draft else { return };
        let unreadable = answer::gap(&result);
        match parse(&self.account, entity, result) {
            Ok(fields) => {
                *draft.schema.of_mut(entity) = fields;
                self.unreadable.retain(|(other, _)| *other != entity);
                self.entity_done(entity, now);
            }
            Err(why) => {
                tracing::warn!(account = &*self.account, why, "fields cannot be read");
                self.fields_failed(entity, unreadable, why, now);
            }
        }
    }

    fn fields_failed(&mut self, entity: Entity, unreadable: SchemaGap, why: String, now: Instant) {
        let known = self.mapper.is_some() && self.unreadable.iter().all(|(other, _)| *other != entity);
        if entity != Entity::Contact && !known {
            // Only events that write the entity need its fields.
            self.unreadable.retain(|(other, _)| *other != entity);
            self.unreadable.push((entity, unreadable));
            return self.entity_done(entity, now);
        }
        self.draft = None;
        if self.mapper.is_some() {
            // The old fields are better than none; they are read again when they are old again.
            self.read_at = Some(now);
            self.retry_unreadable(now);
        } else {
            self.requested_for = Some(now + self.delays.following());
            self.last_failure = Some(why);
        }
    }

    fn retry_unreadable(&mut self, now: Instant) {
        if !self.unreadable.is_empty() {
            self.retry_at = Some(now + self.delays.following());
        }
    }

    /// An entity was answered. After the last one there is a mapper.
    fn entity_done(&mut self, entity: Entity, now: Instant) {
        let Some(draft) = &mut self.draft else { return };
        draft.missing.retain(|other| *other != entity);
        if !draft.missing.is_empty() {
            return;
        }
        let schema = std::mem::take(&mut draft.schema);
        let reading = FieldsReading::of(&schema, now);
        let mut mapper = Mapper::new(self.rules.clone(), schema).with_gaps(self.unreadable.clone());
        mapper.set_selectors(self.selectors.known());
        self.log_new_bad_defaults(&mapper);
        self.read = Some(reading.against(self.mapper.as_ref(), &mapper));
        self.mapper = Some(mapper);
        self.read_at = Some(now);
        self.draft = None;
        self.last_failure = None;
        if self.unreadable.is_empty() {
            self.delays.reset();
        }
        self.retry_unreadable(now);
        tracing::info!(account = &*self.account, "fields read");
    }

    /// Fields are read hourly: the same bad defaults are not logged each time.
    fn log_new_bad_defaults(&self, mapper: &Mapper) {
        if self.mapper.as_ref().is_some_and(|last| last.bad_defaults() == mapper.bad_defaults()) {
            return;
        }
        for bad in mapper.bad_defaults() {
            let (account, table, field) = (&*self.account, defaults_table(bad.entity), &bad.key);
            tracing::warn!(account, table, field, reason = bad.why, "a default cannot be used");
        }
    }

    /// The answers to what is being read will not come.
    pub(super) fn interrupt(&mut self) {
        self.draft = None;
        self.requested_for = None;
        self.retry_at = None;
        self.selectors.interrupt();
    }
}
