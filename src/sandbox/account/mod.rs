//! The account: everything it holds, and its answer to each request. Knows nothing of sockets.

pub(super) mod bulk_jobs;
pub(super) mod clock;
pub(super) mod language;
pub(super) mod related;
pub(super) mod render;
pub(super) mod search;
pub(super) mod store;
pub(super) mod tracking;
pub(super) mod writing;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::options::Options;
use super::options::{Language, SearchInclude};
use crate::sandbox::account::writing::validate::WriteMode;
use crate::sandbox::http::endpoint::{Action, ApiEndpoint, NoRoute, Route, route};
use crate::sandbox::http::faults::Faults;
use crate::sandbox::http::journal::{Journal, RefusalEntry, RequestEntry};
use crate::sandbox::http::rate_limit::HourlyQuota;
use crate::sandbox::http::request::Request;
use crate::sandbox::http::response::{ApiError, ApiResponse};
use crate::sandbox::metadata::fields::FieldFiles;
use crate::sandbox::metadata::selectors::SelectorLists;
use crate::schema::Entity;
use crate::segment::JsonMap;
use bulk_jobs::BulkJobs;
use clock::Clock;
use related::{Relations, SideLoaded};
use search::Paging;
use store::Store;
use tracking::{Activities, TrackingKind};
use writing::{Upserted, Writer, identifier};

/// Everything one account holds.
pub(super) struct SandboxAccount {
    /// What a fresh start brings back.
    started: Options,
    /// As they are now.
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) fields: FieldFiles,
    pub(super) selectors: SelectorLists,
    pub(super) store: Store,
    pub(super) jobs: BulkJobs,
    pub(super) activities: Activities,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    window: HourlyQuota,
}

impl SandboxAccount {
    pub(super) fn new(options: Options) -> Self {
        let clock = Clock::start();
        Self {
            fields: options.fields.clone(),
            window: HourlyQuota::new(options.requests_per_hour, clock.instant()),
            selectors: SelectorLists::default(),
            store: Store::default(),
            jobs: BulkJobs::default(),
            activities: Activities::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            clock,
            started: options.clone(),
            options,
        }
    }

    /// Empties everything, and takes the fields and options it was started with.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.started.clone());
    }

    /// The endpoint a request is counted under; `path` is within the account.
    pub(super) fn endpoint(method: &Method, path: &str) -> ApiEndpoint {
        route(method, path).map_or(ApiEndpoint::Unknown, |route| route.endpoint)
    }

    /// Answers one API or tracking request; `path` is within the account.
    pub(super) fn answer(&mut self, request: &Request, path: &str) -> ApiResponse {
        self.settle_jobs();
        if path.starts_with("/track/") || path == "/track" {
            return self.answer_tracking(request, path);
        }
        if !path.starts_with("/api/") {
            return missing(NoRoute::Path, self.options.language);
        }
        if !self.authorized(request) {
            return ApiResponse::login(request.prefix, request.accept.as_deref());
        }
        let allowance = self.window.take(self.clock.instant());
        let mut answer = if allowance.allowed {
            self.answer_api(request, path)
        } else {
            ApiResponse::message(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        };
        allowance.tell(&mut answer.headers);
        answer
    }

    /// Enters a request in the journal.
    pub(super) fn enter(&mut self, request: &Request, endpoint: ApiEndpoint, outcome: String) {
        self.journal.enter(RequestEntry {
            at_ms: self.clock.millis(),
            method: request.method.to_string(),
            path: request.path.clone(),
            endpoint,
            outcome,
        });
    }

    /// Does the work of the jobs whose time has come.
    pub(super) fn settle_jobs(&mut self) {
        let now = self.clock.instant();
        let mut writer = Writer {
            seen_from: self.seen_from(),
            store: &mut self.store,
            fields: &self.fields,
            selectors: &self.selectors,
            offset: self.options.utc_offset,
            now: self.clock.date(),
        };
        let failed = self.jobs.settle(now, &mut writer);
        for (entity, refused) in failed {
            self.note(ApiEndpoint::Record(entity, Action::BulkUpsert), &refused);
        }
    }

    fn authorized(&self, request: &Request) -> bool {
        let token = request.authorization.as_deref().and_then(|value| value.strip_prefix("Token token="));
        let token = token.unwrap_or_default().trim();
        match &self.options.api_key {
            Some(right) => token == right,
            None => !token.is_empty(),
        }
    }

    fn answer_api(&mut self, request: &Request, path: &str) -> ApiResponse {
        let answered = match route(&request.method, path) {
            Ok(found) => self.act(request, found).map_err(|refused| {
                self.note(found.endpoint, &refused);
                refused.answer(self.options.language)
            }),
            Err(miss) => Err(missing(miss, self.options.language)),
        };
        answered.unwrap_or_else(|refusal| refusal)
    }

    fn answer_tracking(&mut self, request: &Request, path: &str) -> ApiResponse {
        let kind = match route(&request.method, path) {
            Ok(Route { endpoint: ApiEndpoint::Track(kind), .. }) => kind,
            Ok(_) => return missing(NoRoute::Path, self.options.language),
            Err(miss) => return missing(miss, self.options.language),
        };
        match self.track(kind, request) {
            Ok(()) => ApiResponse::empty(StatusCode::OK),
            Err(refused) => {
                self.note(ApiEndpoint::Track(kind), &refused);
                ApiResponse::json(refused.status, &tracking::refusal(&refused))
            }
        }
    }

    fn track(&mut self, kind: TrackingKind, request: &Request) -> Result<(), ApiError> {
        let body = request.json()?;
        self.activities.take(kind, &body, self.options.app_token.as_deref(), self.clock.date())
    }

    fn act(&mut self, request: &Request, route: Route) -> Result<ApiResponse, ApiError> {
        match route.endpoint {
            ApiEndpoint::Record(entity, action) => self.act_on_record(request, entity, action, route.id),
            ApiEndpoint::Fields(form) => Ok(ApiResponse::json(StatusCode::OK, &self.fields.get(form).raw)),
            ApiEndpoint::JobStatus => {
                let job = self.jobs.get(route.id).ok_or_else(ApiError::not_found)?;
                Ok(ApiResponse::json(StatusCode::OK, &job.status(self.clock.instant(), &self.options)))
            }
            ApiEndpoint::Lookup => {
                self.store.lag.catch_up(self.clock.instant());
                let [q, f, entities] = ["q", "f", "entities"].map(|key| request.query(key));
                let found = search::lookup(&self.store, &self.fields, q, f, entities)?;
                Ok(ApiResponse::json(StatusCode::OK, &found))
            }
            ApiEndpoint::Search => {
                self.store.lag.catch_up(self.clock.instant());
                let found = search::search(&self.store, request.query("q"), request.query("include"))?;
                Ok(ApiResponse::json(StatusCode::OK, &found))
            }
            ApiEndpoint::FilteredSearch(entity) => {
                self.store.lag.catch_up(self.clock.instant());
                let asked = match self.options.search_include {
                    SearchInclude::Honoured => request.include(),
                    SearchInclude::Ignored => Vec::new(),
                };
                let page = Paging::of(request.query("page"), request.query("per_page"));
                let found = search::filtered(&self.relations(), entity, &request.json()?, &page, &asked)?;
                Ok(ApiResponse::json(StatusCode::OK, &found))
            }
            ApiEndpoint::Selector(selector) => {
                Ok(ApiResponse::json(StatusCode::OK, &self.selectors.answer(selector, &self.fields)))
            }
            ApiEndpoint::ContactFilters => {
                let filters = json!([{ "id": 1, "name": "All Contacts", "model_class_name": "Contact" }]);
                Ok(ApiResponse::json(StatusCode::OK, &json!({ "filters": filters })))
            }
            ApiEndpoint::Forget => self.delete(Entity::Contact, route.id),
            ApiEndpoint::Track(_) | ApiEndpoint::Unknown => Ok(missing(NoRoute::Path, self.options.language)),
        }
    }

    fn act_on_record(
        &mut self,
        request: &Request,
        entity: Entity,
        action: Action,
        id: u64,
    ) -> Result<ApiResponse, ApiError> {
        match action {
            Action::Create => {
                let body = request.json()?;
                let id = self.writer().create(entity, wrapped(entity, &body)?)?;
                self.record(request, entity, id, StatusCode::OK)
            }
            Action::Get => self.record(request, entity, id, StatusCode::OK),
            Action::Update => {
                let body = request.json()?;
                let (custom, emails) = (self.options.custom_fields_on_put, self.options.emails_on_put);
                let id = self.writer().update(entity, id, wrapped(entity, &body)?, custom, emails)?;
                self.record(request, entity, id, StatusCode::OK)
            }
            Action::Delete => self.delete(entity, id),
            Action::Upsert => {
                let body = request.json()?;
                let (key, value) = identifier(entity, &body)?;
                let Upserted { id, stage } =
                    self.writer().upsert(entity, key, &value, wrapped(entity, &body)?)?;
                let status = match stage {
                    WriteMode::Create => StatusCode::CREATED,
                    WriteMode::Update => StatusCode::OK,
                };
                self.record(request, entity, id, status)
            }
            Action::BulkUpsert => self.bulk(request, entity),
        }
    }

    fn delete(&mut self, entity: Entity, id: u64) -> Result<ApiResponse, ApiError> {
        let seen_from = self.seen_from();
        if !self.store.remove(entity, id, seen_from) {
            return Err(ApiError::not_found());
        }
        Ok(ApiResponse::json(StatusCode::OK, &Value::Bool(true)))
    }

    fn bulk(&mut self, request: &Request, entity: Entity) -> Result<ApiResponse, ApiError> {
        let body = request.json()?;
        let id = self.store.new_id();
        self.jobs.take(entity, &body, id, &self.clock, self.options.job_time)?;
        let url = format!("http://{}{}/api/job_statuses/{id}", request.host, request.prefix);
        let message = "The records are being worked on; the job's status tells how they fared.";
        Ok(ApiResponse::json(StatusCode::OK, &json!({ "message": message, "job_status_url": url })))
    }

    fn record(
        &self,
        request: &Request,
        entity: Entity,
        id: u64,
        status: StatusCode,
    ) -> Result<ApiResponse, ApiError> {
        let record = self.store.records(entity).get(id).ok_or_else(ApiError::not_found)?;
        let mut full = render::full(&self.fields, entity, record);
        let mut beside = SideLoaded::default();
        self.relations().add(entity, record, &request.include(), &mut full, &mut beside);
        let mut out = JsonMap::new();
        out.insert(entity.singular().to_owned(), Value::Object(full));
        beside.add_to(&mut out);
        out.insert("meta".to_owned(), Value::Null);
        Ok(ApiResponse::json(status, &Value::Object(out)))
    }

    fn relations(&self) -> Relations<'_> {
        Relations {
            store: &self.store,
            fields: &self.fields,
            selectors: &self.selectors,
            included_deals: self.options.included_deals,
        }
    }

    /// From when on searches see what is written now.
    fn seen_from(&self) -> Option<Instant> {
        let delay = self.options.search_delay;
        (!delay.is_zero()).then(|| self.clock.instant() + delay)
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer {
            seen_from: self.seen_from(),
            store: &mut self.store,
            fields: &self.fields,
            selectors: &self.selectors,
            offset: self.options.utc_offset,
            now: self.clock.date(),
        }
    }

    fn note(&mut self, endpoint: ApiEndpoint, refused: &ApiError) {
        self.journal.refused(RefusalEntry {
            at_ms: self.clock.millis(),
            endpoint,
            status: refused.status.as_u16(),
            message: refused.messages.join("; "),
        });
    }
}

/// The record inside `{"contact": {..}}`.
fn wrapped(entity: Entity, body: &Value) -> Result<&JsonMap, ApiError> {
    let record = body.get(entity.singular()).and_then(Value::as_object);
    record.ok_or_else(|| ApiError::invalid(format!("{} can't be blank", entity.singular())))
}

fn missing(miss: NoRoute, language: Language) -> ApiResponse {
    let (status, message) = match miss {
        NoRoute::Path => (StatusCode::NOT_FOUND, "Not found"),
        NoRoute::Method => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
    };
    ApiResponse::errors(status, &[language.say(message)])
}
