//! Everything the sandbox holds, as JSON.

use serde_json::{Value, json};

use super::options;
use crate::{
    sandbox::{
        account::{render, tracking::TrackedActivity},
        http::api::Api,
    },
    schema::Entity,
};

/// The answer to `GET /_sandbox/state`.
pub(in crate::sandbox) fn shown(api: &Api) -> Value {
    let (account, journal) = (&api.account, &api.journal);
    let records = |entity| -> Value {
        let records = account.store.records(entity);
        records.iter().map(|record| render::short(&account.store.current, entity, record)).collect()
    };
    let jobs = account.jobs.iter().map(|(id, job)| {
        let report = job.report.as_ref();
        json!({
            "id": id,
            "entity": job.entity.plural(),
            "done": report.is_some(),
            "progress": job.progress(account.clock.instant()),
            "succeeded": report.map_or(0, |report| report.succeeded),
            "failed": report.map_or(0, |report| report.failures.len()),
        })
    });
    json!({
        "contacts": records(Entity::Contact),
        "sales_accounts": records(Entity::SalesAccount),
        "deals": records(Entity::Deal),
        "activities": account.activities.iter().map(TrackedActivity::json).collect::<Value>(),
        "jobs": jobs.collect::<Value>(),
        "options": options::shown(&account.options),
        "requests": journal.counts(),
        "total_requests": journal.total(),
        "log": journal.requests(),
        "refusals": journal.refusals(),
    })
}
