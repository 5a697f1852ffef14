//! What the real API does not have: the page for people, the state as JSON, faults, other metadata and options, a reset.
//!
//! Its requests are never delayed, counted or struck by faults. Knows `http` and `account`; only `server` calls it.

mod options;
mod page;
pub(super) mod state;

use std::str::FromStr;

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequest, Path, Request, State},
    http::{Method, StatusCode, Uri},
    response::Response,
    routing::{any, get, post, put},
};
use serde_json::{Value, json};
use strum::VariantArray;

use super::{
    http::{request::ApiRequest, response, routes::unknown_path, served::Served},
    metadata::{
        field_file::{FieldFile, Form},
        selector_list::SelectorList,
    },
};

/// The page on `/`, and everything under `/_sandbox/`.
pub(super) fn routes() -> Router<Served> {
    Router::new()
        // As a replica's, so that `freshet status --ready --url http://…/_sandbox` waits for it.
        .route("/_sandbox/readyz", get(|| async { "ready" }))
        .route("/_sandbox/state", get(show_state))
        .route("/_sandbox/reset", post(reset))
        .route("/_sandbox/faults", get(show_faults).post(add_faults).delete(clear_faults))
        .route("/_sandbox/fields/{form}", put(replace_fields))
        .route("/_sandbox/options", get(show_options).put(change_options))
        .route("/_sandbox/selectors/{list}", put(replace_selector))
        .route("/_sandbox/jobs", put(set_jobs_of_others))
        .method_not_allowed_fallback(wrong_method)
        .route("/_sandbox/", any(not_here))
        .route("/_sandbox/{*path}", any(not_here))
        // Other methods of `/` are requests to the API, which has no such path.
        .route("/", get(show_page).fallback(unknown_path))
}

/// A body within the limit.
struct AdminBody(Bytes);

impl FromRequest<Served> for AdminBody {
    type Rejection = Response;

    async fn from_request(request: Request, served: &Served) -> Result<Self, Response> {
        let request = ApiRequest::read(request, served.body_limit()).await;
        request.body.map(Self).map_err(|_too_long| response::body_too_long())
    }
}

async fn show_page(State(served): State<Served>) -> Response {
    let mut api = served.api.lock();
    api.finish_due_jobs();
    match page::page(&api) {
        Ok(page) => response::html(page),
        Err(error) => response::message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn show_state(State(served): State<Served>) -> Response {
    let mut api = served.api.lock();
    api.finish_due_jobs();
    ok(&state::shown(&api))
}

async fn reset(State(served): State<Served>) -> Response {
    served.api.lock().reset();
    ok(&json!({ "reset": true }))
}

async fn show_faults(State(served): State<Served>) -> Response {
    ok(&json!({ "faults": served.api.lock().faults.json() }))
}

async fn add_faults(State(served): State<Served>, AdminBody(body): AdminBody) -> Response {
    let mut api = served.api.lock();
    changed(api.faults.add(&body).map(|()| json!({ "faults": api.faults.json() })))
}

async fn clear_faults(State(served): State<Served>) -> Response {
    let mut api = served.api.lock();
    api.faults.clear();
    ok(&json!({ "faults": api.faults.json() }))
}

async fn replace_fields(
    State(served): State<Served>,
    Path(word): Path<String>,
    AdminBody(body): AdminBody,
) -> Response {
    let replace = || {
        let form: Form = named("fields are", &word)?;
        let file = FieldFile::parse(form, &body)?;
        let count = file.fields.fields.len();
        served.api.lock().account.replace_fields(form, file);
        Ok(json!({ "fields": count }))
    };
    changed(replace())
}

async fn show_options(State(served): State<Served>) -> Response {
    ok(&options::shown(&served.api.lock().account.options))
}

async fn change_options(State(served): State<Served>, AdminBody(body): AdminBody) -> Response {
    let mut api = served.api.lock();
    // Jobs that are due end as they were started.
    api.finish_due_jobs();
    let options = &mut api.account.options;
    changed(options::change(options, &body).map(|()| options::shown(options)))
}

async fn replace_selector(
    State(served): State<Served>,
    Path(word): Path<String>,
    AdminBody(body): AdminBody,
) -> Response {
    let replace = || {
        let list: SelectorList = named("selector is", &word)?;
        let mut api = served.api.lock();
        api.finish_due_jobs();
        api.account.replace_selector(list, &body)?;
        Ok(api.account.selector(list))
    };
    changed(replace())
}

async fn set_jobs_of_others(State(served): State<Served>, AdminBody(body): AdminBody) -> Response {
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let others = body.as_ref().and_then(|body| body.get("others")?.as_u64());
    let others = others.and_then(|others| usize::try_from(others).ok());
    let expected = r#"expected the number of bulk jobs that other programs run: {"others": 10}"#;
    changed(others.ok_or_else(|| expected.to_owned()).map(|others| {
        served.api.lock().account.set_jobs_of_others(others);
        json!({ "others": others })
    }))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    response::message(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is no method of {}", uri.path()))
}

async fn not_here() -> Response {
    response::message(
        StatusCode::NOT_FOUND,
        "the sandbox has GET /_sandbox/readyz, GET /_sandbox/state, GET|POST|DELETE /_sandbox/faults, \
         PUT /_sandbox/fields/{contacts|sales_accounts|deals|sales_activities}, GET|PUT /_sandbox/options, \
         PUT /_sandbox/selectors/{the word in the path}, PUT /_sandbox/jobs, POST /_sandbox/reset",
    )
}

/// The form or list with this word in its path. The error names all of them.
fn named<T: FromStr + VariantArray + Into<&'static str> + Copy>(what: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|_| {
        let words: Vec<&'static str> = T::VARIANTS.iter().map(|variant| (*variant).into()).collect();
        format!("no {what} called {word:?}; expected one of {}", words.join(", "))
    })
}

fn ok(body: &Value) -> Response {
    response::json(StatusCode::OK, body)
}

/// The answer to a change: what is now in force, or what the body should look like.
fn changed(result: Result<Value, String>) -> Response {
    match result {
        Ok(body) => ok(&body),
        Err(problem) => response::json(StatusCode::BAD_REQUEST, &json!({ "error": problem })),
    }
}
