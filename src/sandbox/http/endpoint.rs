//! Which request means what: the one list of the sandbox's paths, methods and endpoint names.

use std::borrow::Cow;

use axum::http::Method;

use crate::sandbox::account::tracking::TrackingKind;
use crate::sandbox::metadata::fields::Form;
use crate::sandbox::metadata::selectors::SelectorList;
use crate::schema::Entity;

/// What is done to records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Action {
    Create,
    Get,
    Update,
    Delete,
    Upsert,
    BulkUpsert,
}

impl Action {
    const ALL: &'static [Self] =
        &[Self::Create, Self::Get, Self::Update, Self::Delete, Self::Upsert, Self::BulkUpsert];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upsert => "upsert",
            Self::BulkUpsert => "bulk_upsert",
        }
    }
}

/// What a path and a method ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum ApiEndpoint {
    Record(Entity, Action),
    Fields(Form),
    JobStatus,
    Lookup,
    Search,
    FilteredSearch(Entity),
    Selector(SelectorList),
    ContactFilters,
    Forget,
    Track(TrackingKind),
    /// A path or method the API does not have.
    Unknown,
}

impl ApiEndpoint {
    /// The word in the state's counts and in faults.
    pub(in crate::sandbox) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Record(entity, action) => format!("{}_{}", entity.plural(), action.as_str()).into(),
            Self::Fields(form) => format!("{}_fields", form.as_str()).into(),
            Self::JobStatus => "job_statuses".into(),
            Self::Lookup => "lookup".into(),
            Self::Search => "search".into(),
            Self::FilteredSearch(_) => "filtered_search".into(),
            Self::Selector(selector) => format!("selector_{}", selector.as_str()).into(),
            Self::ContactFilters => "contacts_filters".into(),
            Self::Forget => "contacts_forget".into(),
            Self::Track(kind) => format!("track_{}", kind.plural()).into(),
            Self::Unknown => "unknown".into(),
        }
    }

    /// Every name, as a fault may use it.
    pub(in crate::sandbox) fn names() -> Vec<String> {
        let records = Entity::ALL
            .iter()
            .flat_map(|entity| Action::ALL.iter().map(|action| Self::Record(*entity, *action)));
        let fields = Form::ALL.iter().map(|form| Self::Fields(*form));
        let tracks = TrackingKind::ALL.iter().map(|kind| Self::Track(*kind));
        let others = [
            Self::JobStatus,
            Self::Lookup,
            Self::Search,
            Self::FilteredSearch(Entity::Contact),
            Self::ContactFilters,
            Self::Forget,
            Self::Unknown,
        ];
        let selectors = SelectorList::ALL.iter().map(|selector| Self::Selector(*selector));
        let all = records.chain(fields).chain(selectors).chain(tracks).chain(others);
        all.map(|endpoint| endpoint.name().into_owned()).collect()
    }
}

/// A request's endpoint, and the id in its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct Route {
    pub(in crate::sandbox) endpoint: ApiEndpoint,
    /// 0 where the path has no id, or none that any record could have.
    pub(in crate::sandbox) id: u64,
}

/// Why there is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum NoRoute {
    Path,
    Method,
}

/// The path within the account: a bundle's `/crm/sales` is left out.
pub(in crate::sandbox) fn within_account(path: &str) -> (&'static str, &str) {
    const BUNDLE: &str = "/crm/sales";
    match path.strip_prefix(BUNDLE) {
        Some(rest) if rest.starts_with('/') => (BUNDLE, rest),
        Some(_) | None => ("", path),
    }
}

/// Finds what a request asks for; `path` is [`within_account`].
pub(in crate::sandbox) fn route(method: &Method, path: &str) -> Result<Route, NoRoute> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let offered = offered(&segments);
    if offered.is_empty() {
        return Err(NoRoute::Path);
    }
    let found = offered.iter().find(|(offered, _)| offered == method);
    let (_, endpoint) = *found.ok_or(NoRoute::Method)?;
    let id = segments.iter().rev().find_map(|segment| segment.parse().ok()).unwrap_or_default();
    Ok(Route { endpoint, id })
}

/// Every method a path has. Words win over ids, so `contacts/filters` is no contact.
fn offered(segments: &[&str]) -> Vec<(Method, ApiEndpoint)> {
    let one = |method, endpoint| vec![(method, endpoint)];
    match segments {
        ["api", "job_statuses", _] => one(Method::GET, ApiEndpoint::JobStatus),
        ["api", "lookup"] => one(Method::GET, ApiEndpoint::Lookup),
        ["api", "search"] => one(Method::GET, ApiEndpoint::Search),
        ["api", "filtered_search", word] => {
            let entity = Entity::ALL.iter().find(|entity| entity.singular() == *word);
            entity.map(|entity| one(Method::POST, ApiEndpoint::FilteredSearch(*entity))).unwrap_or_default()
        }
        ["api", "selector", word] => {
            let selector = SelectorList::of_word(word);
            selector.map(|selector| one(Method::GET, ApiEndpoint::Selector(selector))).unwrap_or_default()
        }
        ["api", "contacts", _, "forget"] => one(Method::DELETE, ApiEndpoint::Forget),
        ["api", "contacts", "filters"] => one(Method::GET, ApiEndpoint::ContactFilters),
        ["api", "settings", word, "fields"] => {
            Form::of_word(word).map(|form| one(Method::GET, ApiEndpoint::Fields(form))).unwrap_or_default()
        }
        ["track", word] => {
            let kind = TrackingKind::ALL.iter().find(|kind| kind.plural() == *word);
            kind.map(|kind| one(Method::POST, ApiEndpoint::Track(*kind))).unwrap_or_default()
        }
        ["api", plural, rest @ ..] => {
            let entity = Entity::ALL.iter().find(|entity| entity.plural() == *plural);
            entity.map(|entity| of_records(*entity, rest)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn of_records(entity: Entity, rest: &[&str]) -> Vec<(Method, ApiEndpoint)> {
    let endpoint = |action| ApiEndpoint::Record(entity, action);
    match rest {
        [] => vec![(Method::POST, endpoint(Action::Create))],
        ["upsert"] => vec![(Method::POST, endpoint(Action::Upsert))],
        ["bulk_upsert"] => vec![(Method::POST, endpoint(Action::BulkUpsert))],
        [_] => vec![
            (Method::GET, endpoint(Action::Get)),
            (Method::PUT, endpoint(Action::Update)),
            (Method::DELETE, endpoint(Action::Delete)),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_win_over_ids_and_methods_are_told_from_paths() {
        let endpoint = |method: &Method, path| route(method, path).map(|route| route.endpoint);
        let contact = |action| Ok(ApiEndpoint::Record(Entity::Contact, action));
        assert_eq!(endpoint(&Method::GET, "/api/contacts/filters"), Ok(ApiEndpoint::ContactFilters));
        assert_eq!(endpoint(&Method::GET, "/api/contacts/17"), contact(Action::Get));
        assert_eq!(endpoint(&Method::POST, "/api/contacts/upsert"), contact(Action::Upsert));
        assert_eq!(endpoint(&Method::PUT, "/api/contacts"), Err(NoRoute::Method));
        assert_eq!(endpoint(&Method::GET, "/track/events"), Err(NoRoute::Method));
        assert_eq!(endpoint(&Method::GET, "/api/leads"), Err(NoRoute::Path));
        assert_eq!(endpoint(&Method::GET, "/"), Err(NoRoute::Path));
    }

    #[test]
    fn a_bundles_prefix_is_left_out_and_nothing_else_is() {
        assert_eq!(within_account("/crm/sales/api/search"), ("/crm/sales", "/api/search"));
        assert_eq!(within_account("/crm/salesforce"), ("", "/crm/salesforce"));
        assert_eq!(within_account("/api/search"), ("", "/api/search"));
    }

    #[test]
    fn every_endpoint_has_a_name_of_its_own() {
        let mut names = ApiEndpoint::names();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"contacts_bulk_upsert".to_owned()));
    }
}
