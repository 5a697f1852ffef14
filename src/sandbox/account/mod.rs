//! One Freshsales account in memory: what its endpoints read, write and refuse.
//!
//! Knows nothing of paths, headers and sockets: `http` turns a request into a call of [`SandboxAccount`] and the result
//! into an answer. `admin` reads everything and replaces metadata and options.

pub(super) mod bulk_jobs;
pub(super) mod clock;
pub(super) mod error;
pub(super) mod language;
pub(super) mod related;
pub(super) mod render;
pub(super) mod search;
pub(super) mod store;
pub(super) mod tracking;
pub(super) mod writing;

use std::mem;

use serde_json::Value;
use tokio::time::Instant;

use self::{
    bulk_jobs::BulkJobs,
    clock::Clock,
    error::ApiError,
    related::{Includable, Relations, SideLoaded},
    search::Paging,
    store::{Store, WriteTime, account_records::AccountRecords},
    tracking::{Activities, TrackingKind},
    writing::{Upserted, Writer, identifier},
};
use super::{
    metadata::{
        field_file::{FieldFile, Form},
        fields::FieldFiles,
        selector_list::SelectorList,
        selectors::SelectorLists,
    },
    options::{Options, SearchInclude},
};
use crate::{schema::Entity, segment::JsonMap};

pub(super) struct SandboxAccount {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) jobs: BulkJobs,
    pub(super) activities: Activities,
    fields: FieldFiles,
    selectors: SelectorLists,
}

impl SandboxAccount {
    pub(super) fn new(options: Options) -> Self {
        Self {
            fields: options.fields.clone(),
            clock: Clock::start(),
            store: Store::default(),
            jobs: BulkJobs::default(),
            activities: Activities::default(),
            selectors: SelectorLists::default(),
            options,
        }
    }

    pub(super) fn fields(&self, form: Form) -> &FieldFile {
        self.fields.get(form)
    }

    pub(super) fn replace_fields(&mut self, form: Form, file: FieldFile) {
        self.fields.replace(form, file);
    }

    pub(super) fn selector(&self, list: SelectorList) -> Value {
        self.selectors.answer(list, &self.fields)
    }

    /// The error says what the body should look like.
    pub(super) fn replace_selector(&mut self, list: SelectorList, body: &[u8]) -> Result<(), String> {
        self.selectors.replace(list, body)
    }

    pub(super) fn create(&mut self, entity: Entity, body: &Value) -> Result<u64, ApiError> {
        self.writer().create(entity, record_in(entity, body)?)
    }

    /// Changes the fields in the body. What happens to custom fields and addresses that it does not name is an option.
    pub(super) fn update(&mut self, entity: Entity, id: u64, body: &Value) -> Result<u64, ApiError> {
        let (custom, emails) = (self.options.custom_fields_on_put, self.options.emails_on_put);
        self.writer().update(entity, id, record_in(entity, body)?, custom, emails)
    }

    pub(super) fn upsert(&mut self, entity: Entity, body: &Value) -> Result<Upserted, ApiError> {
        let (identifier, value) = identifier(entity, body)?;
        self.writer().upsert(entity, identifier, &value, record_in(entity, body)?)
    }

    pub(super) fn delete(&mut self, entity: Entity, id: u64) -> Result<(), ApiError> {
        let time = self.write_time(self.clock.instant());
        if self.store.remove(entity, id, time) { Ok(()) } else { Err(ApiError::not_found()) }
    }

    /// `{"contact": {..}, "meta": null}`, with the related records that `include` names.
    pub(super) fn read(&self, entity: Entity, id: u64, include: &[Includable]) -> Result<Value, ApiError> {
        let record = self.store.records(entity).get(id).ok_or_else(ApiError::not_found)?;
        let mut full = render::full(&self.fields, entity, record);
        let mut side_loaded = SideLoaded::default();
        self.relations(&self.store.current).add(entity, record, include, &mut full, &mut side_loaded);
        let mut out = JsonMap::new();
        out.insert(entity.singular().to_owned(), Value::Object(full));
        side_loaded.add_to(&mut out);
        out.insert("meta".to_owned(), Value::Null);
        Ok(Value::Object(out))
    }

    /// The id of a job that upserts the records in the body.
    pub(super) fn start_job(&mut self, entity: Entity, body: &Value) -> Result<u64, ApiError> {
        let id = self.store.new_id();
        self.jobs.start(entity, body, id, &self.clock, &self.options)?;
        Ok(id)
    }

    pub(super) fn job_status(&self, id: u64) -> Result<Value, ApiError> {
        let job = self.jobs.get(id).ok_or_else(ApiError::not_found)?;
        Ok(job.status(self.clock.instant(), &self.options))
    }

    /// Writes the records of the jobs whose time has passed, and returns the errors.
    pub(super) fn finish_due_jobs(&mut self) -> Vec<(Entity, ApiError)> {
        let now = self.clock.instant();
        // Taken out, because the writer borrows the whole account.
        let mut jobs = mem::take(&mut self.jobs);
        let mut errors = Vec::new();
        for (due, id) in jobs.due(now) {
            errors.extend(jobs.finish(id, self.options.bulk_links, &mut self.writer_at(due)));
        }
        self.jobs = jobs;
        errors
    }

    /// From now on, other programs run this many jobs in the account.
    pub(super) fn set_jobs_of_others(&mut self, jobs: usize) {
        self.jobs.of_others = jobs;
    }

    /// Parameters as in the query.
    pub(super) fn lookup(&mut self, q: &str, f: &str, entities: &str) -> Result<Value, ApiError> {
        self.store.index.catch_up(self.clock.instant());
        search::lookup(self.store.index.records(), &self.fields, q, f, entities)
    }

    /// Parameters as in the query.
    pub(super) fn search(&mut self, q: &str, include: &str) -> Result<Value, ApiError> {
        self.store.index.catch_up(self.clock.instant());
        search::search(self.store.index.records(), q, include)
    }

    pub(super) fn filtered_search(
        &mut self,
        entity: Entity,
        body: &Value,
        paging: &Paging,
        include: &[Includable],
    ) -> Result<Value, ApiError> {
        self.store.index.catch_up(self.clock.instant());
        let mut include = include.to_vec();
        include.retain(|related| match self.options.search_include {
            SearchInclude::Honoured => true,
            SearchInclude::WithoutDeals => *related != Includable::Deals,
            SearchInclude::Ignored => false,
        });
        let relations = self.relations(self.store.index.records());
        search::filtered(&relations, entity, body, paging, &include, self.options.search_filter)
    }

    pub(super) fn track(&mut self, kind: TrackingKind, body: &Value) -> Result<(), ApiError> {
        self.activities.track(kind, body, self.options.app_token.as_deref(), self.clock.date())
    }

    fn relations<'a>(&'a self, records: &'a AccountRecords) -> Relations<'a> {
        Relations {
            records,
            fields: &self.fields,
            selectors: &self.selectors,
            included_deals: self.options.included_deals,
        }
    }

    fn write_time(&self, at: Instant) -> WriteTime {
        WriteTime { at, seen_from: at + self.options.search_delay }
    }

    fn writer(&mut self) -> Writer<'_> {
        self.writer_at(self.clock.instant())
    }

    /// A writer for what happens at this moment.
    fn writer_at(&mut self, at: Instant) -> Writer<'_> {
        Writer {
            time: self.write_time(at),
            now: self.clock.date_at(at),
            store: &mut self.store,
            fields: &self.fields,
            selectors: &self.selectors,
            offset: self.options.utc_offset,
        }
    }
}

/// The record in `{"contact": {..}}`.
fn record_in(entity: Entity, body: &Value) -> Result<&JsonMap, ApiError> {
    let record = body.get(entity.singular()).and_then(Value::as_object);
    record.ok_or_else(|| ApiError::invalid(format!("{} can't be blank", entity.singular())))
}
