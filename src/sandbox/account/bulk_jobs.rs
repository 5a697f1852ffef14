//! Bulk upserts: accepted at once, written when their job's time has passed, and their failures only in the job's status.

use std::{collections::BTreeMap, mem};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    clock::Clock,
    error::ApiError,
    store::record::UniqueIdentifier,
    writing::{Upserted, Writer},
};
use crate::{
    sandbox::{
        metadata::numbers,
        options::{BulkLinks, CustomFieldsOnPut, EmailsOnPut, JobReport, Language, Options},
    },
    schema::Entity,
};

/// Records in one call.
const MAX_RECORDS: usize = 100;

/// Jobs of an account that run at a time, those of all programs together.
const MAX_RUNNING_JOBS: usize = 10;

/// Jobs that are remembered, the running ones included.
const JOBS_KEPT: usize = 2000;

pub(in crate::sandbox) struct BulkJob {
    pub(in crate::sandbox) entity: Entity,
    started: Instant,
    due: Instant,
    created_at: Timestamp,
    status_updated_at: Timestamp,
    /// Empty once it has ended.
    records: Vec<Value>,
    /// `None` while it runs.
    pub(in crate::sandbox) report: Option<Report>,
}

/// How a job ended.
#[derive(Default)]
pub(in crate::sandbox) struct Report {
    pub(in crate::sandbox) succeeded: usize,
    /// Each failed record without its data, and the error.
    pub(in crate::sandbox) failures: Vec<(Value, ApiError)>,
}

#[derive(Default)]
pub(in crate::sandbox) struct BulkJobs {
    by_id: BTreeMap<u64, BulkJob>,
    /// Jobs so far, those that are no longer remembered included.
    started: u64,
    /// How many jobs other programs run in this account.
    pub(super) of_others: usize,
}

impl BulkJobs {
    /// Starts a job for the records in the body.
    pub(super) fn start(
        &mut self,
        entity: Entity,
        body: &Value,
        id: u64,
        clock: &Clock,
        options: &Options,
    ) -> Result<(), ApiError> {
        let running = self.by_id.values().filter(|job| job.report.is_none()).count();
        if running.saturating_add(self.of_others) >= MAX_RUNNING_JOBS {
            let message = format!("Max of {MAX_RUNNING_JOBS} transactions");
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        let plural = entity.plural();
        let records = body.get(plural).and_then(Value::as_array);
        let records =
            records.ok_or_else(|| ApiError::invalid(format!("The type for {plural} is invalid.")))?;
        if records.is_empty() || records.len() > MAX_RECORDS {
            let message = format!("{plural} should have from 1 to {MAX_RECORDS} records");
            return Err(ApiError::invalid(message));
        }
        let (started, created_at) = (clock.instant(), clock.date());
        let job_time = options.time_of_job(self.started);
        self.started += 1;
        let job = BulkJob {
            entity,
            started,
            due: started + job_time,
            created_at,
            status_updated_at: created_at,
            records: records.clone(),
            report: None,
        };
        self.by_id.insert(id, job);
        while self.by_id.len() > JOBS_KEPT {
            self.by_id.pop_first();
        }
        Ok(())
    }

    pub(super) fn get(&self, id: u64) -> Option<&BulkJob> {
        self.by_id.get(&id)
    }

    /// Oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &BulkJob)> {
        self.by_id.iter().map(|(id, job)| (*id, job))
    }

    /// The jobs that are due and have not written their records, with the moments at which they are, in that order.
    pub(super) fn due(&self, now: Instant) -> Vec<(Instant, u64)> {
        let due = self.by_id.iter().filter(|(_, job)| job.report.is_none() && job.due <= now);
        let mut due: Vec<_> = due.map(|(id, job)| (job.due, *id)).collect();
        due.sort_unstable();
        due
    }

    /// Writes the records of a job, and returns the errors.
    pub(super) fn finish(
        &mut self,
        id: u64,
        links: BulkLinks,
        writer: &mut Writer<'_>,
    ) -> Vec<(Entity, ApiError)> {
        let Some(job) = self.by_id.get_mut(&id) else { return Vec::new() };
        let (mut report, mut errors) = (Report::default(), Vec::new());
        for record in mem::take(&mut job.records) {
            match write(job.entity, &record, links, writer) {
                Ok(_) => report.succeeded += 1,
                Err(error) => {
                    errors.push((job.entity, error.clone()));
                    report.failures.push((without_data(record), error));
                }
            }
        }
        job.report = Some(report);
        job.status_updated_at = writer.now;
        errors
    }
}

impl BulkJob {
    /// In percent. It grows with time, although the records are all written at the end.
    pub(in crate::sandbox) fn progress(&self, now: Instant) -> u64 {
        if self.report.is_some() {
            return 100;
        }
        let (passed, whole) = (now - self.started, self.due - self.started);
        let percent = passed.as_millis().saturating_mul(100).checked_div(whole.as_millis()).unwrap_or(99);
        u64::try_from(percent.min(99)).unwrap_or(99)
    }

    /// The job's status as the API answers it: the report is JSON inside a string. `job_type_name`, and a running job's
    /// status and data, are guesses.
    pub(super) fn status(&self, now: Instant, options: &Options) -> Value {
        let (status, data) = match &self.report {
            None => ("IN_PROGRESS", json!({})),
            Some(report) => (options.job_end_word.as_str(), data(report, options)),
        };
        json!({
            "created_at": self.created_at.to_string(),
            "data": data.to_string(),
            "job_type_name": "bulk_upsert",
            "progress": self.progress(now),
            "status": status,
            "status_updated_at": self.status_updated_at.to_string(),
        })
    }
}

fn data(report: &Report, options: &Options) -> Value {
    let rows = match options.job_report {
        JobReport::Rows => {
            report.failures.iter().map(|(record, error)| row(record, error, options.language)).collect()
        }
        JobReport::Counts => Vec::new(),
    };
    json!({
        "record_status": { "succeeded": report.succeeded, "failed": report.failures.len() },
        "detailed_failure_report": rows,
    })
}

fn row(record: &Value, error: &ApiError, language: Language) -> Value {
    let messages: Vec<String> = error.messages.iter().map(|message| language.translate(message)).collect();
    json!({ "record": record, "code": error.status.as_u16(), "message": messages })
}

fn without_data(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        record.shift_remove("data");
    }
    record
}

fn write(entity: Entity, record: &Value, links: BulkLinks, writer: &mut Writer<'_>) -> Result<u64, ApiError> {
    let data = record.get("data").and_then(Value::as_object);
    let mut data = data.cloned().ok_or_else(|| ApiError::invalid("data can't be blank"))?;
    match links {
        BulkLinks::Kept => {}
        BulkLinks::Ignored => {
            data.shift_remove("sales_accounts");
        }
    }
    if let Some(id) = record.get("id") {
        let id = numbers::id(id).ok_or_else(ApiError::not_found)?;
        return writer.update(entity, id, &data, CustomFieldsOnPut::Merge, EmailsOnPut::Merge);
    }
    for identifier in UniqueIdentifier::of(entity) {
        let word = identifier.as_str();
        if let Some(value) = record.get(word) {
            let value = value.as_str().ok_or_else(|| ApiError::invalid(format!("{word} is invalid")))?;
            return writer.upsert(entity, *identifier, value, &data).map(Upserted::id);
        }
    }
    Err(ApiError::invalid("a record should have an id or an identifier"))
}
