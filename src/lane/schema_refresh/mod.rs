//! When the account's fields are read, and the mapper made of them: when the lane becomes active, hourly, and once
//! more before an event is condemned for a field or a choice that an admin may just have added. Pure but for logs.

pub(super) mod selectors;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::delivery::AccountName;
use crate::mapping::{Mapper, MappingRules, SchemaGap, defaults_table};
use crate::outcome::DeadLetterReason;
use crate::schema::{Entity, Fields, LeftOut, Schema, Selector};
use selectors::Selecting;

/// Fields older than this are read again.
const OLD: Duration = Duration::from_hours(1);
/// Before an event is condemned, fields older than this are read again; so at most this often.
const DOUBTFUL: Duration = Duration::from_mins(5);
/// Between attempts that end in an answer which is of no use.
const DELAYS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// The account's fields, and how fresh they are.
#[derive(Debug)]
pub(super) struct SchemaRefresh {
    account: AccountName,
    rules: MappingRules,
    mapper: Option<Mapper>,
    read_at: Option<Instant>,
    /// Under way: what has come so far, and whose answers are missing.
    draft: Option<(Schema, Vec<Entity>)>,
    /// Of whom nothing could be read. Contacts go on without.
    unreadable: Vec<(Entity, SchemaGap)>,
    /// When to try again to read them.
    retry: Option<Instant>,
    /// To be begun at this time.
    wanted: Option<Instant>,
    delays: Delays,
    selecting: Selecting,
}

impl SchemaRefresh {
    pub(super) fn new(account: AccountName, rules: MappingRules) -> Self {
        let delays = Delays::new(DELAYS.0, DELAYS.1);
        Self {
            selecting: Selecting::new(account.clone()),
            account,
            rules,
            mapper: None,
            read_at: None,
            draft: None,
            unreadable: Vec::new(),
            retry: None,
            wanted: None,
            delays,
        }
    }

    pub(super) fn mapper(&self) -> Option<&Mapper> {
        self.mapper.as_ref()
    }

    /// There is a mapper, and none better is under way.
    pub(super) fn settled(&self) -> bool {
        let fields = self.mapper.is_some() && self.draft.is_none() && self.wanted.is_none();
        fields && self.selecting.settled()
    }

    pub(super) fn want(&mut self, now: Instant) {
        if self.draft.is_none() {
            self.wanted.get_or_insert(now);
        }
    }

    pub(super) fn refresh_when_old(&mut self, now: Instant) {
        if self.age(now) > OLD {
            self.want(now);
        }
    }

    /// Whether newer fields might save an event refused for this reason. Then they are wanted.
    pub(super) fn doubts(&mut self, reason: DeadLetterReason, now: Instant) -> bool {
        let about_fields = matches!(
            reason,
            DeadLetterReason::UnknownCustomField
                | DeadLetterReason::InvalidCustomField
                | DeadLetterReason::InvalidField
        );
        if reason == DeadLetterReason::Undeliverable {
            // Nothing is known of what it writes. They are read again as often as is good for Freshsales.
            let at = self.retry.unwrap_or(now);
            if self.draft.is_none() {
                self.wanted.get_or_insert(at);
            }
            return true;
        }
        let doubtful = about_fields && self.age(now) > DOUBTFUL;
        if doubtful {
            self.want(now);
        }
        doubtful
    }

    /// Whether an event that needs these selectors is judged again once they are read. Then they are wanted.
    pub(super) fn lacks(&mut self, needs: &[Selector], now: Instant) -> bool {
        // All of them are wanted, so that all are read at once.
        needs.iter().filter(|selector| self.selecting.need(**selector, now)).count() > 0
    }

    /// Freshsales refused a record: an admin may have made a field required, or taken a choice away. That event has ended; so
    /// that no more need to, old fields are read again.
    pub(super) fn refused(&mut self, now: Instant) {
        if self.age(now) > DOUBTFUL {
            self.want(now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.read_at.map_or(Duration::MAX, |read_at| now.saturating_duration_since(read_at))
    }

    /// The entities to ask for now.
    pub(super) fn ask(&mut self, now: Instant) -> &'static [Entity] {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if (due(self.wanted) || due(self.retry)) && self.draft.is_none() {
            (self.wanted, self.retry) = (None, None);
            self.draft = Some((Schema::default(), Entity::ALL.to_vec()));
            self.selecting.refresh();
            return Entity::ALL;
        }
        &[]
    }

    /// The selectors to ask for now.
    pub(super) fn ask_selectors(&mut self) -> Vec<Selector> {
        self.selecting.ask()
    }

    /// Takes a selector's answer.
    pub(super) fn read_selector(&mut self, selector: Selector, result: &Result<Value, u16>, now: Instant) {
        self.selecting.read(selector, result, now);
        if let Some(mapper) = &mut self.mapper {
            mapper.set_selectors(self.selecting.known());
        }
    }

    /// When to ask next, if that is in the future.
    pub(super) fn wake(&self) -> Option<Instant> {
        [self.wanted, self.retry].into_iter().flatten().min()
    }

    /// There are no fields yet, and they are asked for again later: the last answer was of no use.
    pub(super) fn pausing(&self) -> bool {
        self.draft.is_none()
            && self.wanted.is_some()
            && (self.mapper.is_none() || !self.unreadable.is_empty())
    }

    /// Takes one answer. Tells why there are still no fields, if that is so.
    pub(super) fn read(
        &mut self,
        entity: Entity,
        result: Result<Value, u16>,
        now: Instant,
    ) -> Option<String> {
        let (schema, _) = self.draft.as_mut()?;
        let word = entity.singular();
        let unreadable = match &result {
            Err(403) => SchemaGap::Forbidden,
            Err(404 | 410) => SchemaGap::Missing,
            Ok(_) | Err(_) => SchemaGap::NotYet,
        };
        let why = match result.map(|answer| Fields::read(&answer)) {
            // No account's contacts are without a field. Believed, it would have every trait ignored.
            Ok(Some((fields, _))) if entity == Entity::Contact && fields.is_empty() => {
                format!("the {word} fields cannot be understood: the list names none")
            }
            Ok(Some((fields, left_out))) => {
                for LeftOut { name, why } in left_out {
                    let account = &*self.account;
                    tracing::warn!(account, entity = word, field = name, why, "a field is left out");
                }
                match entity {
                    Entity::Contact => schema.contact = fields,
                    Entity::SalesAccount => schema.sales_account = fields,
                    Entity::Deal => schema.deal = fields,
                }
                self.unreadable.retain(|(other, _)| *other != entity);
                self.came(entity, now);
                return None;
            }
            Ok(None) => format!("the {word} fields cannot be understood: there is no list of them"),
            Err(0) => format!("the {word} fields cannot be read: Freshsales does not answer"),
            Err(status) => {
                format!("reading the {word} fields is answered with {status}: check the account's url")
            }
        };
        tracing::warn!(account = &*self.account, why, "fields cannot be read");
        let known = self.mapper.is_some() && self.unreadable.iter().all(|(other, _)| *other != entity);
        if entity != Entity::Contact && !known {
            // Only who writes them needs them.
            self.unreadable.retain(|(other, _)| *other != entity);
            self.unreadable.push((entity, unreadable));
            self.came(entity, now);
            return None;
        }
        self.draft = None;
        if self.mapper.is_some() {
            // The old fields are better than none; they are tried again when they are old again.
            self.read_at = Some(now);
            if !self.unreadable.is_empty() {
                self.retry = Some(now + self.delays.following());
            }
            return None;
        }
        self.wanted = Some(now + self.delays.following());
        Some(why)
    }

    /// An entity's answer has come, whatever it was. After the last one there is a mapper.
    fn came(&mut self, entity: Entity, now: Instant) {
        let Some((schema, missing)) = self.draft.as_mut() else { return };
        missing.retain(|other| *other != entity);
        if !missing.is_empty() {
            return;
        }
        let schema = std::mem::take(schema);
        let mut mapper = Mapper::new(self.rules.clone(), schema).with_gaps(self.unreadable.clone());
        mapper.set_selectors(self.selecting.known());
        // They are told again only once they are others.
        if self.mapper.as_ref().is_none_or(|last| last.bad_defaults() != mapper.bad_defaults()) {
            for bad in mapper.bad_defaults() {
                let (account, table, field) = (&*self.account, defaults_table(bad.entity), &bad.key);
                tracing::warn!(account, table, field, reason = bad.why, "a default cannot be used");
            }
        }
        self.mapper = Some(mapper);
        self.read_at = Some(now);
        self.draft = None;
        if self.unreadable.is_empty() {
            self.delays.reset();
        } else {
            self.retry = Some(now + self.delays.following());
        }
        tracing::info!(account = &*self.account, "fields read");
    }

    /// Answers under way will not come.
    pub(super) fn interrupted(&mut self) {
        self.draft = None;
        self.wanted = None;
        self.retry = None;
        self.selecting.interrupted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::intake::judge::judge;
    use crate::outcome::Outcome;
    use crate::segment::EventType;
    use serde_json::json;

    fn answer(reading: &mut SchemaRefresh, contact: &Result<Value, u16>, now: Instant) {
        for entity in reading.ask(now) {
            let fields =
                if *entity == Entity::Contact { contact.clone() } else { Ok(json!({ "fields": [] })) };
            reading.read(*entity, fields, now);
        }
    }

    fn fields(type_of_size: &str) -> Value {
        let field = |id: u8, name: &str, kind: &str| {
            json!({ "id": id, "label": name, "name": name, "type": kind, "default": true, "visible": true,
                "choices": [] })
        };
        let fields = [field(1, "emails", "group_field"), field(2, "size", type_of_size)];
        json!({ "fields": fields })
    }

    fn refused(reading: &SchemaRefresh) -> Option<DeadLetterReason> {
        let event =
            json!({ "type": "identify", "userId": "a@x.com", "traits": { "size": "tall" } }).to_string();
        match judge(&event.into(), &[EventType::Identify], true, reading.mapper().unwrap()).verdict {
            Ok(_) => None,
            Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_condemned_only_by_fields_read_lately() {
        let start = Instant::now();
        let mut reading = SchemaRefresh::new("acme".into(), MappingRules::default());
        reading.want(start);
        answer(&mut reading, &Ok(fields("number")), start);
        let reason = refused(&reading).unwrap();
        let soon = start + Duration::from_mins(5);
        assert!(!reading.doubts(reason, soon));
        assert!(reading.settled());
        // An admin changed the field meanwhile.
        let later = soon + Duration::from_secs(1);
        assert!(reading.doubts(reason, later));
        assert!(!reading.settled());
        answer(&mut reading, &Ok(fields("text")), later);
        assert!(reading.settled());
        assert_eq!(refused(&reading), None);
        // Whatever is refused now is not asked about again for a while.
        assert!(!reading.doubts(reason, later + Duration::from_mins(4)));
    }

    #[test]
    fn a_list_without_a_single_field_of_contacts_takes_no_field_away() {
        let start = Instant::now();
        let mut reading = SchemaRefresh::new("acme".into(), MappingRules::default());
        reading.want(start);
        let empty = Ok(json!({ "fields": [] }));
        answer(&mut reading, &empty, start);
        assert!(reading.mapper().is_none(), "every trait would be ignored");
        let later = start + Duration::from_mins(1);
        answer(&mut reading, &Ok(fields("number")), later);
        let reason = refused(&reading);
        assert!(reason.is_some());
        let later = later + Duration::from_hours(2);
        reading.refresh_when_old(later);
        answer(&mut reading, &empty, later);
        assert!(reading.settled());
        assert_eq!(refused(&reading), reason);
    }

    #[test]
    fn fields_that_cannot_be_read_again_are_not_asked_for_again_and_again() {
        let start = Instant::now();
        let mut reading = SchemaRefresh::new("acme".into(), MappingRules::default());
        reading.want(start);
        answer(&mut reading, &Ok(fields("number")), start);
        let reason = refused(&reading).unwrap();
        let later = start + Duration::from_mins(6);
        assert!(reading.doubts(reason, later));
        answer(&mut reading, &Err(404), later);
        assert!(reading.settled());
        assert!(!reading.doubts(reason, later + Duration::from_secs(1)));
        assert_eq!(reading.ask(later + Duration::from_secs(1)), &[]);
    }

    #[test]
    fn contacts_do_not_wait_for_the_fields_of_deals() {
        let deal =
            json!({ "type": "identify", "userId": "a@x.com", "traits": { "deal": { "name": "Big" } } });
        let plain = json!({ "type": "identify", "userId": "a@x.com" });
        let judged = |reading: &SchemaRefresh, event: &Value| {
            let mapper = reading.mapper().expect("no mapper");
            match judge(&event.to_string().into(), &[EventType::Identify], true, mapper).verdict {
                Ok(_) => None,
                Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
                Err(other) => panic!("{other:?}"),
            }
        };
        for (answered, reason) in [
            (Err(403), DeadLetterReason::Rejected),
            (Err(404), DeadLetterReason::Rejected),
            (Err(0), DeadLetterReason::Undeliverable),
            (Ok(json!({ "fields": "none" })), DeadLetterReason::Undeliverable),
        ] {
            let start = Instant::now();
            let mut reading = SchemaRefresh::new("acme".into(), MappingRules::default());
            reading.want(start);
            let answers = |reading: &mut SchemaRefresh, deal: &Result<Value, u16>, now: Instant| {
                for entity in reading.ask(now) {
                    let result = if *entity == Entity::Deal { deal.clone() } else { Ok(fields("number")) };
                    assert_eq!(reading.read(*entity, result, now), None);
                }
            };
            answers(&mut reading, &answered, start);
            assert!(reading.settled(), "{answered:?}");
            assert_eq!(judged(&reading, &plain), None);
            assert_eq!(judged(&reading, &deal), Some(reason), "{answered:?}");
            // What may be known soon is waited for, and no other is.
            assert!(!reading.doubts(DeadLetterReason::InvalidField, start), "it is kept waiting for deals");
            assert_eq!(reading.doubts(reason, start), reason == DeadLetterReason::Undeliverable);
            let again = reading.wake().expect("they are never read again");
            assert!(again > start && again <= start + Duration::from_secs(10));
            answers(&mut reading, &Ok(json!({ "fields": [] })), again);
            assert!(reading.settled() && reading.wake().is_none());
            // Once known, they are not forgotten for a bad answer.
            reading.want(again);
            for entity in reading.ask(again) {
                let result = if *entity == Entity::Deal { Err(403) } else { Ok(fields("number")) };
                reading.read(*entity, result, again);
            }
            assert_eq!(judged(&reading, &deal), None);
        }
    }
}
