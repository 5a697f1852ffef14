//! Bulk upserts: taken at once, worked later, and their failures told only by the job's status.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    answer::Refused,
    habits::{CustomFieldsOnPut, JobReport, Language},
    records::Writer,
    store::Key,
    values,
};
use crate::schema::Entity;

/// The most records of one call.
const MOST_RECORDS: usize = 100;

/// The most jobs of an account that run at a time, those of all programs together.
const MOST_JOBS: usize = 10;

/// How many jobs are remembered, the running ones included.
const JOBS_KEPT: usize = 2000;

/// One bulk upsert.
pub(super) struct Job {
    pub(super) entity: Entity,
    due: Instant,
    records: Vec<Value>,
    /// None while it runs.
    pub(super) report: Option<Report>,
}

/// How a job ended.
#[derive(Default)]
pub(super) struct Report {
    pub(super) succeeded: usize,
    /// What identified the record, and why it failed.
    pub(super) failures: Vec<(Value, Refused)>,
}

/// Every job, by id.
#[derive(Default)]
pub(super) struct Jobs {
    by_id: BTreeMap<u64, Job>,
    /// Jobs that other programs are said to run in this account.
    pub(super) others: usize,
}

/// Why a bulk upsert was not taken.
pub(super) enum NotTaken {
    /// Too many jobs run already.
    Busy,
    /// The body is wrong.
    Refused(Refused),
}

impl From<NotTaken> for Refused {
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

impl Jobs {
    /// Takes a body's records as a job that ends at `now + job_time`.
    pub(super) fn take(
        &mut self,
        entity: Entity,
        body: &Value,
        id: u64,
        now: Instant,
        job_time: Duration,
    ) -> Result<(), NotTaken> {
        let ours = self.by_id.values().filter(|job| job.report.is_none()).count();
        if ours.saturating_add(self.others) >= MOST_JOBS {
            return Err(NotTaken::Busy);
        }
        let plural = entity.plural();
        let refused = |message| NotTaken::Refused(Refused::invalid(message));
        let records = body.get(plural).and_then(Value::as_array);
        let records = records.ok_or_else(|| refused(format!("The type for {plural} is invalid.")))?;
        if records.is_empty() || records.len() > MOST_RECORDS {
            return Err(refused(format!("{plural} should have from 1 to {MOST_RECORDS} records")));
        }
        let job = Job { entity, due: now + job_time, records: records.clone(), report: None };
        self.by_id.insert(id, job);
        while self.by_id.len() > JOBS_KEPT {
            self.by_id.pop_first();
        }
        Ok(())
    }

    pub(super) fn get(&self, id: u64) -> Option<&Job> {
        self.by_id.get(&id)
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Job)> {
        self.by_id.iter().map(|(id, job)| (*id, job))
    }

    /// Does the work of the jobs that are due, in the order they were taken; tells what was refused.
    pub(super) fn settle(&mut self, now: Instant, writer: &mut Writer<'_>) -> Vec<(Entity, Refused)> {
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
        }
        refusals
    }
}

impl Job {
    /// The job's status as the API answers it: the report is JSON inside a string.
    pub(super) fn status(&self, detail: JobReport, language: Language) -> Value {
        let Some(report) = &self.report else { return json!({ "status": "IN_PROGRESS" }) };
        let rows = match detail {
            JobReport::Rows => {
                report.failures.iter().map(|(record, refused)| row(record, refused, language)).collect()
            }
            JobReport::Counts => Vec::new(),
        };
        let data = json!({
            "record_status": { "succeeded": report.succeeded, "failed": report.failures.len() },
            "detailed_failure_report": rows,
        });
        json!({ "status": "SUCCESS", "data": data.to_string() })
    }
}

fn row(record: &Value, refused: &Refused, language: Language) -> Value {
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

fn upsert(entity: Entity, record: &Value, writer: &mut Writer<'_>) -> Result<u64, Refused> {
    let data = record.get("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| Refused::invalid("data can't be blank"))?;
    if let Some(id) = record.get("id") {
        let id = values::id(id).ok_or_else(Refused::not_found)?;
        return writer.update(entity, id, data, CustomFieldsOnPut::Merge);
    }
    for key in Key::of(entity) {
        if let Some(value) = record.get(key.as_str()) {
            let value =
                value.as_str().ok_or_else(|| Refused::invalid(format!("{} is invalid", key.as_str())))?;
            return writer.upsert(entity, *key, value, data).map(|written| written.id);
        }
    }
    Err(Refused::invalid("a record should have an id or an identifier"))
}
