//! Creating, changing and upserting records, in one way for all three entities.
//!
//! A write is checked whole before it is stored: a record changes in every field of the body, or in none. The account and
//! its bulk jobs call this room.

mod addresses;
mod contacts;
mod deals;
mod dependent_choices;
mod unique;
mod validate;
mod values;

use axum::http::StatusCode;
use jiff::{Timestamp, tz::Offset};
use serde_json::Value;

use super::{
    error::ApiError,
    store::{
        Store, WriteTime,
        record::{StoredRecord, UniqueIdentifier},
    },
};
use crate::{
    sandbox::{
        metadata::{fields::FieldFiles, selectors::SelectorLists},
        options::{CustomFieldsOnPut, EmailsOnPut},
    },
    schema::Entity,
    segment::JsonMap,
};
use validate::WriteMode;
use values::ValueChecker;

pub(in crate::sandbox) struct Writer<'a> {
    pub(super) store: &'a mut Store,
    pub(super) fields: &'a FieldFiles,
    pub(super) selectors: &'a SelectorLists,
    /// The account's time zone.
    pub(super) offset: Offset,
    pub(super) now: Timestamp,
    /// The moment of `now`.
    pub(super) time: WriteTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Upserted {
    Created(u64),
    Updated(u64),
}

impl Upserted {
    pub(in crate::sandbox) const fn id(self) -> u64 {
        match self {
            Self::Created(id) | Self::Updated(id) => id,
        }
    }

    pub(in crate::sandbox) const fn status(self) -> StatusCode {
        match self {
            Self::Created(_) => StatusCode::CREATED,
            Self::Updated(_) => StatusCode::OK,
        }
    }
}

impl Writer<'_> {
    pub(super) fn create(&mut self, entity: Entity, body: &JsonMap) -> Result<u64, ApiError> {
        self.write(entity, WriteMode::Create, StoredRecord::new(self.now), body, EmailsOnPut::Merge)
    }

    pub(super) fn update(
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

    /// Changes the oldest record with this identifier, or creates one that has it.
    pub(super) fn upsert(
        &mut self,
        entity: Entity,
        identifier: UniqueIdentifier,
        value: &str,
        body: &JsonMap,
    ) -> Result<Upserted, ApiError> {
        if value.trim().is_empty() {
            return Err(ApiError::invalid(format!("{} can't be blank", identifier.as_str())));
        }
        if let Some(id) = self.store.records(entity).find(identifier, value) {
            let record = self.existing(entity, id)?;
            let id = self.write(entity, WriteMode::Update, record, body, EmailsOnPut::Merge)?;
            return Ok(Upserted::Updated(id));
        }
        let mut body = body.clone();
        body.entry(identifier.as_str()).or_insert_with(|| Value::from(value));
        Ok(Upserted::Created(self.create(entity, &body)?))
    }

    fn existing(&self, entity: Entity, id: u64) -> Result<StoredRecord, ApiError> {
        self.store.records(entity).get(id).cloned().ok_or_else(ApiError::not_found)
    }

    fn write(
        &mut self,
        entity: Entity,
        mode: WriteMode,
        mut record: StoredRecord,
        body: &JsonMap,
        emails: EmailsOnPut,
    ) -> Result<u64, ApiError> {
        let file = self.fields.get(entity.into());
        let checker = ValueChecker { store: self.store, offset: self.offset };
        let mut problems = validate::write(&file.fields, &checker, mode, body, &mut record);
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
        Ok(self.store.put(entity, record, self.time))
    }
}

/// The only pair of the body's `unique_identifier`.
pub(super) fn identifier(entity: Entity, body: &Value) -> Result<(UniqueIdentifier, String), ApiError> {
    let wrong = || {
        let allowed = UniqueIdentifier::of(entity).iter().map(|identifier| identifier.as_str());
        let allowed = allowed.collect::<Vec<_>>().join(", ");
        ApiError::invalid(format!("unique_identifier should have one of: {allowed}"))
    };
    let pairs = body.get("unique_identifier").and_then(Value::as_object).ok_or_else(wrong)?;
    let mut pairs = pairs.iter();
    let (Some((word, value)), None) = (pairs.next(), pairs.next()) else { return Err(wrong()) };
    let identifier =
        UniqueIdentifier::of(entity).iter().copied().find(|identifier| identifier.as_str() == word);
    let identifier = identifier.ok_or_else(wrong)?;
    let text = value.as_str().ok_or_else(|| ApiError::invalid(format!("{word} is invalid")))?;
    Ok((identifier, text.to_owned()))
}
