//! Bulk upserts: taken at once, worked later, and their failures told only by the job's status.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::clock::Clock;
use super::store::record::Identifier;
use super::writing::Writer;
use crate::sandbox::account::writing::values;
use crate::sandbox::http::response::ApiError;
use crate::sandbox::options::Options;
use crate::sandbox::options::{CustomFieldsOnPut, EmailsOnPut, JobReport, Language};
use crate::schema::Entity;

/// The most records of one call.
const MOST_RECORDS: usize = 100;

/// The most jobs of an account that run at a time, those of all programs together.
const MOST_JOBS: usize = 10;

/// How many jobs are remembered, the running ones included.
const JOBS_KEPT: usize = 2000;

/// One bulk upsert.
pub(in crate::sandbox) struct BulkJob {
    pub(in crate::sandbox) entity: Entity,
    taken: Instant,
    due: Instant,
    created_at: Timestamp,
    status_updated_at: Timestamp,
    records: Vec<Value>,
    /// None while it runs.
    pub(in crate::sandbox) report: Option<Report>,
}

/// How a job ended.
#[derive(Default)]
pub(in crate::sandbox) struct Report {
    pub(in crate::sandbox) succeeded: usize,
    /// What identified the record, and why it failed.
    pub(in crate::sandbox) failures: Vec<(Value, ApiError)>,
}

/// Every job, by id.
#[derive(Default)]
pub(in crate::sandbox) struct BulkJobs {
    by_id: BTreeMap<u64, BulkJob>,
    /// Jobs that other programs are said to run in this account.
    pub(in crate::sandbox) others: usize,
}

/// Why a bulk upsert was not taken.
pub(in crate::sandbox) enum NotTaken {
    /// Too many jobs run already.
    Busy,
    /// The body is wrong.
    Refused(ApiError),
}

impl From<NotTaken> for ApiError {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Busy => Self {
                status: StatusCode::METHOD_NOT_ALLOWED,
                messages: vec![format!("Max of {MOST_JOBS} transactions")],
            },
            NotTaken::Refused(refused) => refused,
        }
    }
}

impl BulkJobs {
    /// Takes a body's records as a job that ends `job_time` from now.
    pub(in crate::sandbox) fn take(
        &mut self,
        entity: Entity,
        body: &Value,
        id: u64,
        clock: &Clock,
        job_time: Duration,
    ) -> Result<(), NotTaken> {
        let ours = self.by_id.values().filter(|job| job.report.is_none()).count();
        if ours.saturating_add(self.others) >= MOST_JOBS {
            return Err(NotTaken::Busy);
        }
        let plural = entity.plural();
        let refused = |message| NotTaken::Refused(ApiError::invalid(message));
        let records = body.get(plural).and_then(Value::as_array);
        let records = records.ok_or_else(|| refused(format!("The type for {plural} is invalid.")))?;
        if records.is_empty() || records.len() > MOST_RECORDS {
            return Err(refused(format!("{plural} should have from 1 to {MOST_RECORDS} records")));
        }
        let (taken, created_at) = (clock.instant(), clock.date());
        let job = BulkJob {
            entity,
            taken,
            due: taken + job_time,
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

    pub(in crate::sandbox) fn get(&self, id: u64) -> Option<&BulkJob> {
        self.by_id.get(&id)
    }

    /// Oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &BulkJob)> {
        self.by_id.iter().map(|(id, job)| (*id, job))
    }

    /// Does the work of the jobs that are due, in the order they were taken; tells what was refused.
    pub(in crate::sandbox) fn settle(
        &mut self,
        now: Instant,
        writer: &mut Writer<'_>,
    ) -> Vec<(Entity, ApiError)> {
        let mut refusals = Vec::new();
        for job in self.by_id.values_mut().filter(|job| job.report.is_none() && job.due <= now) {
            let mut report = Report::default();
            for record in std::mem::take(&mut job.records) {
                match upsert(job.entity, &record, writer) {
                    Ok(_) => report.succeeded += 1,
                    Err(refused) => {
                        refusals.push((job.entity, refused.clone()));
                        report.failures.push((named(&record), refused));
                    }
                }
            }
            job.report = Some(report);
            job.status_updated_at = writer.now;
        }
        refusals
    }
}

impl BulkJob {
    /// How much of it is done, in percent. It grows with time; the effects all come at the end.
    pub(in crate::sandbox) fn progress(&self, now: Instant) -> u64 {
        if self.report.is_some() {
            return 100;
        }
        let (passed, whole) = (now - self.taken, self.due - self.taken);
        let percent = passed.as_millis().saturating_mul(100).checked_div(whole.as_millis()).unwrap_or(99);
        u64::try_from(percent.min(99)).unwrap_or(99)
    }

    /// The job's status as the API answers it: the report is JSON inside a string. The words of `job_type_name` and of
    /// a running job's status and data are guesses.
    pub(in crate::sandbox) fn status(&self, now: Instant, options: &Options) -> Value {
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
            report.failures.iter().map(|(record, refused)| row(record, refused, options.language)).collect()
        }
        JobReport::Counts => Vec::new(),
    };
    json!({
        "record_status": { "succeeded": report.succeeded, "failed": report.failures.len() },
        "detailed_failure_report": rows,
    })
}

fn row(record: &Value, refused: &ApiError, language: Language) -> Value {
    let messages: Vec<String> = refused.messages.iter().map(|message| language.say(message)).collect();
    json!({ "record": record, "code": refused.status.as_u16(), "message": messages })
}

/// The record without its data: what identified it.
fn named(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        record.shift_remove("data");
    }
    record
}

fn upsert(entity: Entity, record: &Value, writer: &mut Writer<'_>) -> Result<u64, ApiError> {
    let data = record.get("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| ApiError::invalid("data can't be blank"))?;
    if let Some(id) = record.get("id") {
        let id = values::id(id).ok_or_else(ApiError::not_found)?;
        return writer.update(entity, id, data, CustomFieldsOnPut::Merge, EmailsOnPut::Merge);
    }
    for key in Identifier::of(entity) {
        if let Some(value) = record.get(key.as_str()) {
            let value =
                value.as_str().ok_or_else(|| ApiError::invalid(format!("{} is invalid", key.as_str())))?;
            return writer.upsert(entity, *key, value, data).map(|written| written.id);
        }
    }
    Err(ApiError::invalid("a record should have an id or an identifier"))
}
