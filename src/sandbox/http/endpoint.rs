//! The endpoints of the API: the one list of their names, methods and paths.

use std::collections::BTreeSet;

use axum::routing::MethodFilter;
use strum::{IntoStaticStr, VariantArray};

use crate::{
    sandbox::{
        account::tracking::TrackingKind,
        metadata::{field_file::Form, selector_list::SelectorList},
    },
    schema::Entity,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(in crate::sandbox) enum Action {
    Create,
    Get,
    Update,
    Delete,
    Upsert,
    BulkUpsert,
}

/// One method of one path, but for the word in `filtered_search/..`, which shares a name.
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
}

impl ApiEndpoint {
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::JobStatus, Self::Lookup, Self::Search, Self::ContactFilters, Self::Forget];
        for entity in Entity::ALL {
            all.extend(Action::VARIANTS.iter().map(|action| Self::Record(*entity, *action)));
            all.push(Self::FilteredSearch(*entity));
        }
        all.extend(Form::VARIANTS.iter().map(|form| Self::Fields(*form)));
        all.extend(SelectorList::VARIANTS.iter().map(|list| Self::Selector(*list)));
        all.extend(TrackingKind::VARIANTS.iter().map(|kind| Self::Track(*kind)));
        all
    }

    /// The name in the state's counts and in faults.
    pub(in crate::sandbox) fn name(self) -> String {
        match self {
            Self::Record(entity, action) => format!("{}_{}", entity.plural(), action.into_str()),
            Self::Fields(form) => format!("{}_fields", form.as_str()),
            Self::JobStatus => "job_statuses".to_owned(),
            Self::Lookup => "lookup".to_owned(),
            Self::Search => "search".to_owned(),
            Self::FilteredSearch(_) => "filtered_search".to_owned(),
            Self::Selector(list) => format!("selector_{}", list.as_str()),
            Self::ContactFilters => "contacts_filters".to_owned(),
            Self::Forget => "contacts_forget".to_owned(),
            Self::Track(kind) => format!("track_{}", kind.plural()),
        }
    }

    pub(super) const fn method(self) -> MethodFilter {
        match self {
            Self::Record(_, Action::Create | Action::Upsert | Action::BulkUpsert)
            | Self::FilteredSearch(_)
            | Self::Track(_) => MethodFilter::POST,
            Self::Record(_, Action::Update) => MethodFilter::PUT,
            Self::Record(_, Action::Delete) | Self::Forget => MethodFilter::DELETE,
            Self::Record(_, Action::Get)
            | Self::Fields(_)
            | Self::JobStatus
            | Self::Lookup
            | Self::Search
            | Self::Selector(_)
            | Self::ContactFilters => MethodFilter::GET,
        }
    }

    /// The path within the account, as axum's router takes it.
    pub(super) fn path(self) -> String {
        match self {
            Self::Record(entity, Action::Create) => format!("/api/{}", entity.plural()),
            Self::Record(entity, Action::Get | Action::Update | Action::Delete) => {
                format!("/api/{}/{{id}}", entity.plural())
            }
            Self::Record(entity, action @ (Action::Upsert | Action::BulkUpsert)) => {
                format!("/api/{}/{}", entity.plural(), action.into_str())
            }
            Self::Fields(form) => format!("/api/settings/{}/fields", form.as_str()),
            Self::JobStatus => "/api/job_statuses/{id}".to_owned(),
            Self::Lookup => "/api/lookup".to_owned(),
            Self::Search => "/api/search".to_owned(),
            Self::FilteredSearch(entity) => format!("/api/filtered_search/{}", entity.singular()),
            Self::Selector(list) => format!("/api/selector/{}", list.as_str()),
            Self::ContactFilters => "/api/contacts/filters".to_owned(),
            Self::Forget => "/api/contacts/{id}/forget".to_owned(),
            Self::Track(kind) => format!("/track/{}", kind.plural()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum RequestTarget {
    Endpoint(ApiEndpoint),
    UnknownPath,
    /// A path of the API with a method that it does not have.
    UnknownMethod,
}

impl RequestTarget {
    pub(super) fn name(self) -> String {
        match self {
            Self::Endpoint(endpoint) => endpoint.name(),
            Self::UnknownPath | Self::UnknownMethod => "unknown".to_owned(),
        }
    }

    /// Every name that a fault may use.
    pub(super) fn names() -> BTreeSet<String> {
        let endpoints = ApiEndpoint::all().into_iter().map(ApiEndpoint::name);
        endpoints.chain([Self::UnknownPath.name()]).collect()
    }
}

/// The path prefix of accounts that have Freshsales as part of a bundle.
pub(super) const BUNDLE: &str = "/crm/sales";

/// Splits a path into the bundle's prefix, if it has it, and the path within the account.
pub(super) fn within_account(path: &str) -> (&'static str, &str) {
    match path.strip_prefix(BUNDLE) {
        Some(rest) if rest.starts_with('/') => (BUNDLE, rest),
        Some(_) | None => ("", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundles_prefix_is_left_out_and_nothing_else_is() {
        assert_eq!(within_account("/crm/sales/api/search"), ("/crm/sales", "/api/search"));
        assert_eq!(within_account("/crm/salesforce"), ("", "/crm/salesforce"));
        assert_eq!(within_account("/api/search"), ("", "/api/search"));
    }

    #[test]
    fn every_endpoint_has_a_name_of_its_own() {
        let names = RequestTarget::names();
        let filtered_searches = Entity::ALL.len();
        assert_eq!(names.len(), ApiEndpoint::all().len() - filtered_searches + 1 + 1, "and unknown");
        assert!(names.contains("contacts_bulk_upsert"));
    }
}
