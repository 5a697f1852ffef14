//! Creating, changing and upserting records: one way for all three entities.

pub(super) mod addresses;
pub(super) mod contacts;
pub(super) mod deals;
pub(super) mod dependent_choices;
pub(super) mod unique;
pub(super) mod validate;
pub(in crate::sandbox) mod values;

use jiff::{Timestamp, tz::Offset};
use serde_json::Value;
use tokio::time::Instant;

use super::store::Store;
use super::store::record::{Identifier, StoredRecord};
use crate::sandbox::http::response::ApiError;
use crate::sandbox::metadata::fields::FieldFiles;
use crate::sandbox::metadata::selectors::SelectorLists;
use crate::sandbox::options::{CustomFieldsOnPut, EmailsOnPut};
use crate::schema::Entity;
use crate::segment::JsonMap;
use validate::WriteMode;
use values::ValueChecker;

/// Where writes go, and what they are judged by.
pub(in crate::sandbox) struct Writer<'a> {
    pub(in crate::sandbox) store: &'a mut Store,
    pub(in crate::sandbox) fields: &'a FieldFiles,
    pub(in crate::sandbox) selectors: &'a SelectorLists,
    pub(in crate::sandbox) offset: Offset,
    pub(in crate::sandbox) now: Timestamp,
    /// From when on searches see what is written; at once where it is absent.
    pub(in crate::sandbox) seen_from: Option<Instant>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct Upserted {
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) stage: WriteMode,
}

impl Writer<'_> {
    pub(in crate::sandbox) fn create(&mut self, entity: Entity, body: &JsonMap) -> Result<u64, ApiError> {
        self.write(entity, WriteMode::Create, StoredRecord::new(self.now), body, EmailsOnPut::Merge)
    }

    /// Changes what the body names; custom fields and addresses it does not name go as the account's habits are.
    pub(in crate::sandbox) fn update(
        &mut self,
        entity: Entity,
        id: u64,
        body: &JsonMap,
        custom: CustomFieldsOnPut,
        emails: EmailsOnPut,
    ) -> Result<u64, ApiError> {
        let mut record = self.existing(entity, id)?;
        match custom {
            CustomFieldsOnPut::Replace if body.get("custom_field").is_some_and(Value::is_object) => {
                record.custom_field.clear();
            }
            CustomFieldsOnPut::Replace | CustomFieldsOnPut::Merge => {}
        }
        self.write(entity, WriteMode::Update, record, body, emails)
    }

    /// Changes the record with this identifier, or creates it with the identifier as its value.
    pub(in crate::sandbox) fn upsert(
        &mut self,
        entity: Entity,
        key: Identifier,
        value: &str,
        body: &JsonMap,
    ) -> Result<Upserted, ApiError> {
        if value.trim().is_empty() {
            return Err(ApiError::invalid(format!("{} can't be blank", key.as_str())));
        }
        if let Some(id) = self.store.records(entity).find(key, value) {
            let record = self.existing(entity, id)?;
            let id = self.write(entity, WriteMode::Update, record, body, EmailsOnPut::Merge)?;
            return Ok(Upserted { id, stage: WriteMode::Update });
        }
        let mut body = body.clone();
        body.entry(key.as_str()).or_insert_with(|| Value::from(value));
        let id = self.create(entity, &body)?;
        Ok(Upserted { id, stage: WriteMode::Create })
    }

    fn existing(&self, entity: Entity, id: u64) -> Result<StoredRecord, ApiError> {
        self.store.records(entity).get(id).cloned().ok_or_else(ApiError::not_found)
    }

    /// All or nothing: a record is stored only if every field of the body was right.
    fn write(
        &mut self,
        entity: Entity,
        stage: WriteMode,
        mut record: StoredRecord,
        body: &JsonMap,
        emails: EmailsOnPut,
    ) -> Result<u64, ApiError> {
        let file = self.fields.get(entity.into());
        let surroundings = ValueChecker { store: self.store, offset: self.offset };
        let mut problems = validate::write(&file.fields, &surroundings, stage, body, &mut record);
        problems.extend(dependent_choices::write(entity, self.fields, self.selectors, body, &mut record));
        problems.extend(match entity {
            Entity::Contact => contacts::write(self.store, body, emails, &mut record),
            Entity::SalesAccount => Vec::new(),
            Entity::Deal => deals::write(self.store, body, &mut record),
        });
        problems.extend(unique::check(self.store, file, entity, &record));
        if !problems.is_empty() {
            return Err(ApiError::from(problems));
        }
        record.updated_at = self.now;
        Ok(self.store.put(entity, record, self.seen_from))
    }
}

/// The one pair of `unique_identifier`.
pub(in crate::sandbox) fn identifier(entity: Entity, body: &Value) -> Result<(Identifier, String), ApiError> {
    let allowed = || Identifier::of(entity).iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = || ApiError::invalid(format!("unique_identifier should have one of: {}", allowed()));
    let pairs = body.get("unique_identifier").and_then(Value::as_object).ok_or_else(wrong)?;
    let mut pairs = pairs.iter();
    let (Some((word, value)), None) = (pairs.next(), pairs.next()) else { return Err(wrong()) };
    let key = Identifier::of(entity).iter().copied().find(|key| key.as_str() == word).ok_or_else(wrong)?;
    let text = value.as_str().ok_or_else(|| ApiError::invalid(format!("{word} is invalid")))?;
    Ok((key, text.to_owned()))
}
