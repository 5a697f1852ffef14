//! Creating, changing and upserting records: one way for all three entities.

use jiff::{Timestamp, tz::Offset};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    answer::Refused,
    contacts, deals,
    fields::FieldFiles,
    habits::{CustomFieldsOnPut, EmailsOnPut},
    selectors::Selectors,
    stages,
    store::{Key, Record, Store},
    unique,
    validate::{self, Stage},
    values::Surroundings,
};
use crate::{schema::Entity, segment::JsonMap};

/// Where writes go, and what they are judged by.
pub(super) struct Writer<'a> {
    pub(super) store: &'a mut Store,
    pub(super) fields: &'a FieldFiles,
    pub(super) selectors: &'a Selectors,
    pub(super) offset: Offset,
    pub(super) now: Timestamp,
    /// From when on searches see what is written; at once where it is absent.
    pub(super) seen_from: Option<Instant>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) id: u64,
    pub(super) stage: Stage,
}

impl Writer<'_> {
    pub(super) fn create(&mut self, entity: Entity, body: &JsonMap) -> Result<u64, Refused> {
        self.write(entity, Stage::Create, Record::new(self.now), body, EmailsOnPut::Merge)
    }

    /// Changes what the body names; custom fields and addresses it does not name go as the account's habits are.
    pub(super) fn update(
        &mut self,
        entity: Entity,
        id: u64,
        body: &JsonMap,
        custom: CustomFieldsOnPut,
        emails: EmailsOnPut,
    ) -> Result<u64, Refused> {
        let mut record = self.existing(entity, id)?;
        match custom {
            CustomFieldsOnPut::Replace if body.get("custom_field").is_some_and(Value::is_object) => {
                record.custom_field.clear();
            }
            CustomFieldsOnPut::Replace | CustomFieldsOnPut::Merge => {}
        }
        self.write(entity, Stage::Update, record, body, emails)
    }

    /// Changes the record with this identifier, or creates it with the identifier as its value.
    pub(super) fn upsert(
        &mut self,
        entity: Entity,
        key: Key,
        value: &str,
        body: &JsonMap,
    ) -> Result<Written, Refused> {
        if value.trim().is_empty() {
            return Err(Refused::invalid(format!("{} can't be blank", key.as_str())));
        }
        if let Some(id) = self.store.shelf(entity).find(key, value) {
            let record = self.existing(entity, id)?;
            let id = self.write(entity, Stage::Update, record, body, EmailsOnPut::Merge)?;
            return Ok(Written { id, stage: Stage::Update });
        }
        let mut body = body.clone();
        body.entry(key.as_str()).or_insert_with(|| Value::from(value));
        let id = self.create(entity, &body)?;
        Ok(Written { id, stage: Stage::Create })
    }

    fn existing(&self, entity: Entity, id: u64) -> Result<Record, Refused> {
        self.store.shelf(entity).get(id).cloned().ok_or_else(Refused::not_found)
    }

    /// All or nothing: a record is stored only if every field of the body was right.
    fn write(
        &mut self,
        entity: Entity,
        stage: Stage,
        mut record: Record,
        body: &JsonMap,
        emails: EmailsOnPut,
    ) -> Result<u64, Refused> {
        let file = self.fields.get(entity.into());
        let surroundings = Surroundings { store: self.store, offset: self.offset };
        let mut problems = validate::write(&file.fields, &surroundings, stage, body, &mut record);
        problems.extend(stages::write(entity, self.fields, self.selectors, body, &mut record));
        problems.extend(match entity {
            Entity::Contact => contacts::write(self.store, body, emails, &mut record),
            Entity::SalesAccount => Vec::new(),
            Entity::Deal => deals::write(self.store, body, &mut record),
        });
        problems.extend(unique::check(self.store, file, entity, &record));
        if !problems.is_empty() {
            return Err(Refused::from(problems));
        }
        record.updated_at = self.now;
        Ok(self.store.put(entity, record, self.seen_from))
    }
}

/// The one pair of `unique_identifier`.
pub(super) fn identifier(entity: Entity, body: &Value) -> Result<(Key, String), Refused> {
    let allowed = || Key::of(entity).iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = || Refused::invalid(format!("unique_identifier should have one of: {}", allowed()));
    let pairs = body.get("unique_identifier").and_then(Value::as_object).ok_or_else(wrong)?;
    let mut pairs = pairs.iter();
    let (Some((word, value)), None) = (pairs.next(), pairs.next()) else { return Err(wrong()) };
    let key = Key::of(entity).iter().copied().find(|key| key.as_str() == word).ok_or_else(wrong)?;
    let text = value.as_str().ok_or_else(|| Refused::invalid(format!("{word} is invalid")))?;
    Ok((key, text.to_owned()))
}
