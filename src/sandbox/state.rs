//! The account: everything it holds, and its answer to each request. Knows nothing of sockets.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    answer::{Answer, Refused},
    bulk::Jobs,
    clock::Clock,
    endpoint::{Action, Endpoint, NoRoute, Route, route},
    faults::Faults,
    fields::FieldFiles,
    habits::{Language, SearchInclude},
    journal::{Entry, Journal, Refusal},
    limit::Window,
    options::Options,
    records::{Writer, Written, identifier},
    related::{Beside, Relations},
    render,
    request::Request,
    search::{self, Page},
    selectors::Selectors,
    store::Store,
    tracking::{self, Activities, Kind},
    validate::Stage,
};
use crate::{schema::Entity, segment::JsonMap};

/// Everything one account holds.
pub(super) struct State {
    /// What a fresh start brings back.
    started: Options,
    /// As they are now.
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) fields: FieldFiles,
    pub(super) selectors: Selectors,
    pub(super) store: Store,
    pub(super) jobs: Jobs,
    pub(super) activities: Activities,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    window: Window,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        let clock = Clock::start();
        Self {
            fields: options.fields.clone(),
            window: Window::new(options.requests_per_hour, clock.instant()),
            selectors: Selectors::default(),
            store: Store::default(),
            jobs: Jobs::default(),
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
    pub(super) fn endpoint(method: &Method, path: &str) -> Endpoint {
        route(method, path).map_or(Endpoint::Unknown, |route| route.endpoint)
    }

    /// Answers one API or tracking request; `path` is within the account.
    pub(super) fn answer(&mut self, request: &Request, path: &str) -> Answer {
        self.settle_jobs();
        if path.starts_with("/track/") || path == "/track" {
            return self.answer_tracking(request, path);
        }
        if !path.starts_with("/api/") {
            return missing(NoRoute::Path, self.options.language);
        }
        if !self.authorized(request) {
            return Answer::login(request.prefix, request.accept.as_deref());
        }
        let allowance = self.window.take(self.clock.instant());
        let mut answer = if allowance.allowed {
            self.answer_api(request, path)
        } else {
            Answer::message(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        };
        allowance.tell(&mut answer.headers);
        answer
    }

    /// Enters a request in the journal.
    pub(super) fn enter(&mut self, request: &Request, endpoint: Endpoint, outcome: String) {
        self.journal.enter(Entry {
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
            self.note(Endpoint::Record(entity, Action::BulkUpsert), &refused);
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

    fn answer_api(&mut self, request: &Request, path: &str) -> Answer {
        let answered = match route(&request.method, path) {
            Ok(found) => self.act(request, found).map_err(|refused| {
                self.note(found.endpoint, &refused);
                refused.answer(self.options.language)
            }),
            Err(miss) => Err(missing(miss, self.options.language)),
        };
        answered.unwrap_or_else(|refusal| refusal)
    }

    fn answer_tracking(&mut self, request: &Request, path: &str) -> Answer {
        let kind = match route(&request.method, path) {
            Ok(Route { endpoint: Endpoint::Track(kind), .. }) => kind,
            Ok(_) => return missing(NoRoute::Path, self.options.language),
            Err(miss) => return missing(miss, self.options.language),
        };
        match self.track(kind, request) {
            Ok(()) => Answer::empty(StatusCode::OK),
            Err(refused) => {
                self.note(Endpoint::Track(kind), &refused);
                Answer::json(refused.status, &tracking::refusal(&refused))
            }
        }
    }

    fn track(&mut self, kind: Kind, request: &Request) -> Result<(), Refused> {
        let body = request.json()?;
        self.activities.take(kind, &body, self.options.app_token.as_deref(), self.clock.date())
    }

    fn act(&mut self, request: &Request, route: Route) -> Result<Answer, Refused> {
        match route.endpoint {
            Endpoint::Record(entity, action) => self.act_on_record(request, entity, action, route.id),
            Endpoint::Fields(form) => Ok(Answer::json(StatusCode::OK, &self.fields.get(form).raw)),
            Endpoint::JobStatus => {
                let job = self.jobs.get(route.id).ok_or_else(Refused::not_found)?;
                Ok(Answer::json(StatusCode::OK, &job.status(self.clock.instant(), &self.options)))
            }
            Endpoint::Lookup => {
                self.store.lag.settle(self.clock.instant());
                let [q, f, entities] = ["q", "f", "entities"].map(|key| request.query(key));
                let found = search::lookup(&self.store, &self.fields, q, f, entities)?;
                Ok(Answer::json(StatusCode::OK, &found))
            }
            Endpoint::Search => {
                self.store.lag.settle(self.clock.instant());
                let found = search::search(&self.store, request.query("q"), request.query("include"))?;
                Ok(Answer::json(StatusCode::OK, &found))
            }
            Endpoint::FilteredSearch(entity) => {
                self.store.lag.settle(self.clock.instant());
                let asked = match self.options.search_include {
                    SearchInclude::Honoured => request.include(),
                    SearchInclude::Ignored => Vec::new(),
                };
                let page = Page::of(request.query("page"), request.query("per_page"));
                let found = search::filtered(&self.relations(), entity, &request.json()?, &page, &asked)?;
                Ok(Answer::json(StatusCode::OK, &found))
            }
            Endpoint::Selector(selector) => {
                Ok(Answer::json(StatusCode::OK, &self.selectors.answer(selector, &self.fields)))
            }
            Endpoint::ContactFilters => {
                let filters = json!([{ "id": 1, "name": "All Contacts", "model_class_name": "Contact" }]);
                Ok(Answer::json(StatusCode::OK, &json!({ "filters": filters })))
            }
            Endpoint::Forget => self.delete(Entity::Contact, route.id),
            Endpoint::Track(_) | Endpoint::Unknown => Ok(missing(NoRoute::Path, self.options.language)),
        }
    }

    fn act_on_record(
        &mut self,
        request: &Request,
        entity: Entity,
        action: Action,
        id: u64,
    ) -> Result<Answer, Refused> {
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
                let Written { id, stage } =
                    self.writer().upsert(entity, key, &value, wrapped(entity, &body)?)?;
                let status = match stage {
                    Stage::Create => StatusCode::CREATED,
                    Stage::Update => StatusCode::OK,
                };
                self.record(request, entity, id, status)
            }
            Action::BulkUpsert => self.bulk(request, entity),
        }
    }

    fn delete(&mut self, entity: Entity, id: u64) -> Result<Answer, Refused> {
        let seen_from = self.seen_from();
        if !self.store.remove(entity, id, seen_from) {
            return Err(Refused::not_found());
        }
        Ok(Answer::json(StatusCode::OK, &Value::Bool(true)))
    }

    fn bulk(&mut self, request: &Request, entity: Entity) -> Result<Answer, Refused> {
        let body = request.json()?;
        let id = self.store.new_id();
        self.jobs.take(entity, &body, id, &self.clock, self.options.job_time)?;
        let url = format!("http://{}{}/api/job_statuses/{id}", request.host, request.prefix);
        let message = "The records are being worked on; the job's status tells how they fared.";
        Ok(Answer::json(StatusCode::OK, &json!({ "message": message, "job_status_url": url })))
    }

    fn record(
        &self,
        request: &Request,
        entity: Entity,
        id: u64,
        status: StatusCode,
    ) -> Result<Answer, Refused> {
        let record = self.store.shelf(entity).get(id).ok_or_else(Refused::not_found)?;
        let mut full = render::full(&self.fields, entity, record);
        let mut beside = Beside::default();
        self.relations().add(entity, record, &request.include(), &mut full, &mut beside);
        let mut out = JsonMap::new();
        out.insert(entity.singular().to_owned(), Value::Object(full));
        beside.add_to(&mut out);
        out.insert("meta".to_owned(), Value::Null);
        Ok(Answer::json(status, &Value::Object(out)))
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

    fn note(&mut self, endpoint: Endpoint, refused: &Refused) {
        self.journal.refused(Refusal {
            at_ms: self.clock.millis(),
            endpoint,
            status: refused.status.as_u16(),
            message: refused.messages.join("; "),
        });
    }
}

/// The record inside `{"contact": {..}}`.
fn wrapped(entity: Entity, body: &Value) -> Result<&JsonMap, Refused> {
    let record = body.get(entity.singular()).and_then(Value::as_object);
    record.ok_or_else(|| Refused::invalid(format!("{} can't be blank", entity.singular())))
}

fn missing(miss: NoRoute, language: Language) -> Answer {
    let (status, message) = match miss {
        NoRoute::Path => (StatusCode::NOT_FOUND, "Not found"),
        NoRoute::Method => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
    };
    Answer::errors(status, &[language.say(message)])
}
