//! What the API answers: the account behind its API key, its quota and its journal.
//!
//! Pure but for the account's clock: `exchange` reads requests and sends answers.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::endpoint::{Action, ApiEndpoint, RequestTarget, within_account};
use super::fault_injection::faults::Faults;
use super::journal::{Journal, RefusalEntry, RequestEntry};
use super::rate_limit::HourlyQuota;
use super::request::ApiRequest;
use super::response;
use crate::{
    sandbox::{
        account::{SandboxAccount, error::ApiError, search::Paging},
        options::Options,
    },
    schema::Entity,
};

/// One account and what is in front of it.
pub(in crate::sandbox) struct Api {
    /// What a reset restores.
    initial: Options,
    pub(in crate::sandbox) account: SandboxAccount,
    pub(in crate::sandbox) faults: Faults,
    pub(in crate::sandbox) journal: Journal,
    quota: HourlyQuota,
}

impl Api {
    pub(in crate::sandbox) fn new(options: Options) -> Self {
        let account = SandboxAccount::new(options.clone());
        Self {
            quota: HourlyQuota::new(options.requests_per_hour, account.clock.instant()),
            account,
            faults: Faults::default(),
            journal: Journal::default(),
            initial: options,
        }
    }

    /// Empties everything, and restores the fields and options it was started with.
    pub(in crate::sandbox) fn reset(&mut self) {
        *self = Self::new(self.initial.clone());
    }

    /// `id` is the one in the path; 0 if there is none, or none that a record could have.
    pub(super) fn answer(&mut self, target: RequestTarget, id: u64, request: &ApiRequest) -> Response {
        if request.body.is_err() {
            return response::body_too_long();
        }
        self.finish_due_jobs();
        match target {
            RequestTarget::Endpoint(ApiEndpoint::Track(_)) => self.respond(target, id, request),
            RequestTarget::Endpoint(_) => self.respond_if_allowed(target, id, request),
            RequestTarget::UnknownPath | RequestTarget::UnknownMethod => {
                if within_account(&request.path).1.starts_with("/api/") {
                    self.respond_if_allowed(target, id, request)
                } else {
                    self.respond(target, id, request)
                }
            }
        }
    }

    pub(super) fn log(&mut self, request: &ApiRequest, target: RequestTarget, outcome: String) {
        self.journal.log(RequestEntry {
            at_ms: self.account.clock.millis(),
            method: request.method.to_string(),
            path: request.path.clone(),
            endpoint: target.name(),
            outcome,
        });
    }

    /// Writes the records of the bulk jobs that are due. Called before anything looks at the account.
    pub(in crate::sandbox) fn finish_due_jobs(&mut self) {
        for (entity, error) in self.account.finish_due_jobs() {
            self.note(ApiEndpoint::Record(entity, Action::BulkUpsert), &error);
        }
    }

    /// Checks the API key, and counts the call.
    fn respond_if_allowed(&mut self, target: RequestTarget, id: u64, request: &ApiRequest) -> Response {
        if !self.has_right_key(request) {
            return response::login(request.bundle(), request.header(&header::ACCEPT));
        }
        let allowance = self.quota.take(self.account.clock.instant());
        let mut response = if allowance.allowed {
            self.respond(target, id, request)
        } else {
            response::message(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        };
        allowance.add_to(response.headers_mut());
        response
    }

    fn has_right_key(&self, request: &ApiRequest) -> bool {
        let token = request.header(&header::AUTHORIZATION).strip_prefix("Token token=");
        let token = token.unwrap_or_default().trim();
        match &self.account.options.api_key {
            Some(right) => token == right,
            None => !token.is_empty(),
        }
    }

    fn respond(&mut self, target: RequestTarget, id: u64, request: &ApiRequest) -> Response {
        let language = self.account.options.language;
        let unknown = |status, message| response::errors(&ApiError::new(status, message), language);
        match target {
            RequestTarget::Endpoint(endpoint) => self.call(endpoint, id, request).unwrap_or_else(|error| {
                self.note(endpoint, &error);
                if let ApiEndpoint::Track(_) = endpoint {
                    response::message(error.status, &error.messages.join("; "))
                } else {
                    response::errors(&error, language)
                }
            }),
            RequestTarget::UnknownPath => unknown(StatusCode::NOT_FOUND, "Not found"),
            RequestTarget::UnknownMethod => unknown(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        }
    }

    fn call(&mut self, endpoint: ApiEndpoint, id: u64, request: &ApiRequest) -> Result<Response, ApiError> {
        let account = &mut self.account;
        let body = match endpoint {
            ApiEndpoint::Record(entity, action) => return self.call_record(entity, action, id, request),
            ApiEndpoint::Fields(form) => account.fields(form).raw.clone(),
            ApiEndpoint::JobStatus => account.job_status(id)?,
            ApiEndpoint::Lookup => {
                let [q, f, entities] = ["q", "f", "entities"].map(|key| request.query(key));
                account.lookup(q, f, entities)?
            }
            ApiEndpoint::Search => account.search(request.query("q"), request.query("include"))?,
            ApiEndpoint::FilteredSearch(entity) => {
                let paging = Paging::parse(request.query("page"), request.query("per_page"));
                account.filtered_search(entity, &request.json()?, &paging, &request.include())?
            }
            ApiEndpoint::Selector(list) => account.selector(list),
            ApiEndpoint::ContactFilters => {
                json!({ "filters": [{ "id": 1, "name": "All Contacts", "model_class_name": "Contact" }] })
            }
            ApiEndpoint::Forget => {
                account.delete(Entity::Contact, id)?;
                Value::Bool(true)
            }
            ApiEndpoint::Track(kind) => {
                account.track(kind, &request.json()?)?;
                return Ok(StatusCode::OK.into_response());
            }
        };
        Ok(response::json(StatusCode::OK, &body))
    }

    fn call_record(
        &mut self,
        entity: Entity,
        action: Action,
        id: u64,
        request: &ApiRequest,
    ) -> Result<Response, ApiError> {
        let account = &mut self.account;
        let (status, id) = match action {
            Action::Create => (StatusCode::OK, account.create(entity, &request.json()?)?),
            Action::Get => (StatusCode::OK, id),
            Action::Update => (StatusCode::OK, account.update(entity, id, &request.json()?)?),
            Action::Upsert => {
                let upserted = account.upsert(entity, &request.json()?)?;
                (upserted.status(), upserted.id())
            }
            Action::Delete => {
                account.delete(entity, id)?;
                return Ok(response::json(StatusCode::OK, &Value::Bool(true)));
            }
            Action::BulkUpsert => {
                let job = account.start_job(entity, &request.json()?)?;
                let url = format!("{}/api/job_statuses/{job}", request.base());
                let message = "A job writes the records; its status shows which ones failed.";
                let body = json!({ "message": message, "job_status_url": url });
                return Ok(response::json(StatusCode::OK, &body));
            }
        };
        Ok(response::json(status, &account.read(entity, id, &request.include())?))
    }

    fn note(&mut self, endpoint: ApiEndpoint, error: &ApiError) {
        self.journal.note_refusal(RefusalEntry {
            at_ms: self.account.clock.millis(),
            endpoint: endpoint.name(),
            status: error.status.as_u16(),
            message: error.messages.join("; "),
        });
    }
}
