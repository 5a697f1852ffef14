//! What the real API does not have: the state as JSON, faults, other fields, a fresh start.

pub(super) mod options;
pub(super) mod page;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::account::SandboxAccount;
use crate::sandbox::account::render;
use crate::sandbox::http::request::Request;
use crate::sandbox::http::response::ApiResponse;
use crate::sandbox::metadata::fields::{FieldFile, Form};
use crate::sandbox::metadata::selectors::SelectorList;
use crate::schema::Entity;

/// What the paths of this file start with.
const PREFIX: &str = "/_sandbox/";

/// Answers what is not the API's; `None` for everything else.
pub(super) fn answer(state: &mut SandboxAccount, request: &Request) -> Option<ApiResponse> {
    let ours = request.path == "/" || request.path.starts_with(PREFIX);
    ours.then(|| {
        state.settle_jobs();
        act(state, request)
    })
}

fn act(state: &mut SandboxAccount, request: &Request) -> ApiResponse {
    let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", []) => ApiResponse::html(page::page(state)),
        ("GET", ["_sandbox", "state"]) => ApiResponse::json(StatusCode::OK, &shown(state)),
        ("POST", ["_sandbox", "reset"]) => {
            state.reset();
            ApiResponse::json(StatusCode::OK, &json!({ "reset": true }))
        }
        ("GET", ["_sandbox", "faults"]) => faults(state),
        ("POST", ["_sandbox", "faults"]) => match state.faults.add(&request.body) {
            Ok(()) => faults(state),
            Err(problem) => wrong(&problem),
        },
        ("DELETE", ["_sandbox", "faults"]) => {
            state.faults.clear();
            faults(state)
        }
        ("PUT", ["_sandbox", "fields", word]) => put_fields(state, word, request),
        ("GET", ["_sandbox", "options"]) => options(state),
        ("PUT", ["_sandbox", "options"]) => match options::change(&mut state.options, &request.body) {
            Ok(()) => options(state),
            Err(problem) => wrong(&problem),
        },
        ("PUT", ["_sandbox", "selectors", word]) => put_selector(state, word, request),
        ("PUT", ["_sandbox", "jobs"]) => put_jobs(state, request),
        (
            _,
            []
            | ["_sandbox", "state" | "reset" | "faults" | "jobs" | "options"]
            | ["_sandbox", "fields" | "selectors", _],
        ) => {
            let message = format!("{} is no method of {}", request.method, request.path);
            ApiResponse::message(StatusCode::METHOD_NOT_ALLOWED, &message)
        }
        _ => ApiResponse::message(
            StatusCode::NOT_FOUND,
            "the sandbox has GET /_sandbox/state, GET|POST|DELETE /_sandbox/faults, \
             PUT /_sandbox/fields/{contacts|sales_accounts|deals|sales_activities}, GET|PUT /_sandbox/options, \
             PUT /_sandbox/selectors/{the word in the path}, PUT /_sandbox/jobs, POST /_sandbox/reset",
        ),
    }
}

/// Whether a request is for this file alone, so that faults and latency leave it be.
pub(super) fn exempt(method: &Method, path: &str) -> bool {
    path.starts_with(PREFIX) || (path == "/" && method == Method::GET)
}

fn faults(state: &SandboxAccount) -> ApiResponse {
    ApiResponse::json(StatusCode::OK, &json!({ "faults": state.faults.json() }))
}

fn options(state: &SandboxAccount) -> ApiResponse {
    ApiResponse::json(StatusCode::OK, &options::shown(&state.options))
}

fn put_fields(state: &mut SandboxAccount, word: &str, request: &Request) -> ApiResponse {
    let Some(form) = Form::of_word(word) else {
        let words: Vec<&str> = Form::ALL.iter().map(|form| form.as_str()).collect();
        return wrong(&format!("no fields are called {word:?}; expected one of {}", words.join(", ")));
    };
    match FieldFile::parse(form, &request.body) {
        Ok(file) => {
            let count = file.fields.fields.len();
            state.fields.replace(form, file);
            ApiResponse::json(StatusCode::OK, &json!({ "fields": count }))
        }
        Err(problem) => wrong(&problem),
    }
}

/// The sandbox answers this selector with the body from now on.
fn put_selector(state: &mut SandboxAccount, word: &str, request: &Request) -> ApiResponse {
    let Some(selector) = SelectorList::of_word(word) else {
        let words: Vec<&str> = SelectorList::ALL.iter().map(|selector| selector.as_str()).collect();
        return wrong(&format!("no selector is called {word:?}; expected one of {}", words.join(", ")));
    };
    match state.selectors.replace(selector, &request.body) {
        Ok(()) => ApiResponse::json(StatusCode::OK, &state.selectors.answer(selector, &state.fields)),
        Err(problem) => wrong(&problem),
    }
}

/// So many bulk jobs of other programs run in the account, until told otherwise.
fn put_jobs(state: &mut SandboxAccount, request: &Request) -> ApiResponse {
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    let others = body.as_ref().and_then(|body| body.get("others")?.as_u64());
    match others.and_then(|others| usize::try_from(others).ok()) {
        Some(others) => {
            state.jobs.others = others;
            ApiResponse::json(StatusCode::OK, &json!({ "others": others }))
        }
        None => wrong(r#"expected the number of bulk jobs that other programs run: {"others": 10}"#),
    }
}

fn wrong(problem: &str) -> ApiResponse {
    ApiResponse::json(StatusCode::BAD_REQUEST, &json!({ "error": problem }))
}

/// Everything the account holds, as JSON.
pub(super) fn shown(state: &SandboxAccount) -> Value {
    let records = |entity| -> Value {
        let shelf = state.store.records(entity);
        shelf.iter().map(|record| render::short(&state.store, entity, record)).collect()
    };
    let jobs = state.jobs.iter().map(|(id, job)| {
        let report = job.report.as_ref();
        json!({
            "id": id,
            "entity": job.entity.plural(),
            "done": report.is_some(),
            "progress": job.progress(state.clock.instant()),
            "succeeded": report.map_or(0, |report| report.succeeded),
            "failed": report.map_or(0, |report| report.failures.len()),
        })
    });
    json!({
        "contacts": records(Entity::Contact),
        "sales_accounts": records(Entity::SalesAccount),
        "deals": records(Entity::Deal),
        "activities": state.activities.iter().map(crate::sandbox::account::tracking::TrackedActivity::json).collect::<Value>(),
        "jobs": jobs.collect::<Value>(),
        "options": options::shown(&state.options),
        "requests": state.journal.counts(),
        "total_requests": state.journal.total(),
        "log": state.journal.log_json(),
        "refusals": state.journal.refusals_json(),
    })
}
